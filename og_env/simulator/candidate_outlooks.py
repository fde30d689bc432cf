"""Outlooks of candidate actions: what each would bring over the next steps, in copies of the environment."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import METRICS, TERMS
from og_env.simulator.compiled_step import AUTOSCALED, OPERATIONS
from og_env.simulator.environment_copies import Choice, Copies, Levels, idle
from og_env.simulator.simulator import Simulator

Floats = npt.NDArray[np.float64]
Follow = Literal["nothing", "greedy"]


class Outlook(NamedTuple):
    """Rewards, terms and metrics that A candidate actions would bring in each of H steps."""

    rewards: Floats
    """[A, H]"""
    terms: Floats
    """[A, H, 6] unweighted, in the order of TERMS"""
    metrics: Floats
    """[A, H, Q] in the order of METRICS"""

    def returns(self) -> Floats:
        """Sum of rewards [A]."""
        return self.rewards.sum(axis=1)


def outlook(
    copies: Copies, first: npt.NDArray[np.int64], follow: Choice, levels: Levels = None, site_levels: Levels = None
) -> Outlook:
    """Everything that `copies.run`, with the same arguments, meets on the way; a candidate is a loaded copy."""
    shape = (copies.batch, copies.horizon)
    terms, metrics = np.zeros((*shape, len(TERMS))), np.zeros((*shape, len(METRICS)))

    def record(step: int) -> None:
        terms[:, step] = copies.output.terms[: copies.batch]
        metrics[:, step] = copies.output.metrics[: copies.batch]

    rewards = copies.run(first, follow, levels=levels, site_levels=site_levels, after_step=record)
    return Outlook(rewards, terms, metrics)


def simulate(
    simulator: Simulator,
    b: int,
    actions: npt.NDArray[np.int64],
    levels: Levels,
    site_levels: Levels,
    horizon: int,
    follow: Follow = "nothing",
) -> Outlook:
    """The outlook of first actions [A], operations or offers by interface, in environment b.

    They come with levels of knobs [A, 5] and of sites [A, N], which stay in force; None leaves them as they are.

    Copies run under the nominal forecast: expected demand, present outages go on, no new ones. After the first action
    nothing is done, or the best offer is taken in every step (`follow` "greedy"; always so where the autoscaler acts).
    Steps beyond the end of the episode count 0. The episode is not touched. ValueError for a wrong `follow` or horizon.
    """
    if follow not in get_args(Follow):
        raise ValueError(f"follow is {follow!r}; valid are {', '.join(get_args(Follow))}")
    copies = Copies(simulator, 1, len(actions), horizon)
    copies.load(np.array([b]))
    first = actions.astype(np.int64)
    if simulator.mode == OPERATIONS:
        first = copies.try_operations(first)
    elif simulator.mode == AUTOSCALED:
        first, follow = copies.greedy(copies.output.offer, copies.output.offer_gain), "greedy"
    return outlook(copies, first, copies.greedy if follow == "greedy" else idle, levels, site_levels)
