"""Do the planner's offers bring what it says: nominal gains against gains that the simulator finds by trying.

Episodes are played by the built-in autoscaler. At random steps every offer, and doing nothing, is tried in a copy of the
environment; nothing else is done over the planner's horizon. A simulated gain is the reward with the offer less the
reward with nothing, per step: by the forecast, which is all that the planner can know, and by what really comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.simulator import GAIN, Copies, Settings, Simulator, idle

Floats = NDArray[np.float64]

SCENARIOS = ("one-cloud", "global-24", "near-but-cold", "flash-crowd")
HORIZON = 36
"""steps within which the planner wants a change to be worth its one-off cost"""
STATES, QUICK_STATES = 500, 20
STATES_PER_EPISODE = 10
OFFERS = 10
"""the default number of offers"""
SEED = 20_260_302


class Tried(NamedTuple):
    """Gains, reward per step, of the K offers of one scenario."""

    state: NDArray[np.int64]
    """[K] number of the state that the offer belongs to"""
    nominal: Floats
    forecast: Floats
    """[K] simulated on the forecast"""
    truth: Floats
    """[K] simulated on the true tape"""


class Agreement(NamedTuple):
    """How well nominal gains foretell simulated ones."""

    rank_correlation: float | None
    """Spearman's, over all offers; None where one side never varies"""
    rank_correlation_in_state: float | None
    """its mean over states: whether the best of the offers at hand can be told"""
    mean_absolute_error: float
    bias: float
    """mean of nominal less simulated"""
    same_sign: float
    """share of the offers that are gains or losses by both"""


class Honesty(NamedTuple):
    """The planner of one scenario."""

    scenario: str
    states: int
    offers: int
    mean_size: float
    """mean absolute gain, simulated on the forecast"""
    forecast: Agreement
    truth: Agreement


def check_planner(quick: bool = False) -> list[Honesty]:
    """The planner's honesty in every scenario of SCENARIOS."""
    return [judge(name, try_offers(name, QUICK_STATES if quick else STATES)) for name in SCENARIOS]


def try_offers(scenario: str, states: int) -> Tried:
    """Try all offers at so many random states of episodes that the autoscaler plays."""
    simulator = Simulator(scenario, 1, Settings("placement", "proposals", True, OFFERS, "test", 1.0))
    copies = Copies(simulator, 1, OFFERS + 1, HORIZON)
    rng, found = np.random.default_rng(SEED), 0
    tried: list[Tried] = []
    for episode in range(-(-states // STATES_PER_EPISODE)):
        simulator.load_episode(0, episode)
        simulator.start(np.zeros(1, np.int64))
        latest = simulator.tape.attack.shape[1] - 1 - HORIZON
        wanted = set(rng.choice(latest, min(STATES_PER_EPISODE, states - found), replace=False).tolist())
        while wanted:
            step = int(simulator.state.step[0])
            if step in wanted:
                wanted.remove(step)
                tried.append(_try_here(simulator, copies, found))
                found += 1
            offer, gain = simulator.output.offer, simulator.output.offer_gain
            simulator.advance(copies.greedy(offer, gain))
    simulator.close()
    return Tried(*(np.concatenate(values) for values in zip(*tried, strict=True)))


def _try_here(simulator: Simulator, copies: Copies, state: int) -> Tried:
    """The offers of the present state."""
    offered = np.flatnonzero(simulator.output.offer[0] != 0)
    nominal = simulator.output.offer_gain[0, offered, GAIN.total].astype(np.float64)
    gains = []
    for truth in (False, True):
        copies.load(np.zeros(1, np.int64), truth=truth)
        returns = copies.run(np.arange(OFFERS + 1), idle).sum(axis=1)
        gains.append((returns[1:] - returns[0])[offered] / HORIZON)
    return Tried(np.full(len(offered), state), nominal, *gains)


def judge(scenario: str, tried: Tried) -> Honesty:
    """The figures of a scenario's offers."""
    return Honesty(
        scenario=scenario,
        states=len(np.unique(tried.state)),
        offers=len(tried.nominal),
        mean_size=float(np.abs(tried.forecast).mean()),
        forecast=agreement(tried.state, tried.nominal, tried.forecast),
        truth=agreement(tried.state, tried.nominal, tried.truth),
    )


def agreement(state: NDArray[np.int64], nominal: Floats, simulated: Floats) -> Agreement:
    """How well nominal gains [K] of offers at states [K] foretell simulated ones [K]."""
    own = [spearman(nominal[state == each], simulated[state == each]) for each in np.unique(state)]
    known = [value for value in own if value is not None]
    return Agreement(
        rank_correlation=spearman(nominal, simulated),
        rank_correlation_in_state=float(np.mean(known)) if known else None,
        mean_absolute_error=float(np.abs(nominal - simulated).mean()),
        bias=float((nominal - simulated).mean()),
        same_sign=float(((nominal > 0) == (simulated > 0)).mean()),
    )


def spearman(left: Sequence[float] | Floats, right: Sequence[float] | Floats) -> float | None:
    """Correlation of ranks, equal values sharing their mean rank; None where one side does not vary."""
    ranks = [_ranks(np.asarray(side, np.float64)) for side in (left, right)]
    if any(len(side) < 2 or side.std() == 0 for side in ranks):
        return None
    return float(np.asarray(np.corrcoef(np.stack(ranks)))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Mean ranks [K] from 0."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]
