"""How much of what was learned is played of each kind of offer: a search at the end of a training.

One share for everything (`learned_share`) is as small as the worst kind needs it. In store-loss an eighth was played, while
half of what was learned of stores and of weights on disks earns most. So the search goes from kind to kind, from the best
policy so far. For each it tries a larger share and none, on training episodes that are the same for all. It keeps what is
better by more than the standard error of the paired differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import playing
from og_agents.learning.checkpoint import LearnedPolicy
from og_agents.learning.learned_share import Part, played
from og_agents.learning.networks import KINDS
from og_agents.learning.run_folder import Stop
from og_agents.learning.train_settings import TrainSettings
from og_agents.learning.training_progress import VALIDATION_THREADS, Clock, validation
from og_env.scenario.specs import ScenarioSpec

NAMES = ("nothing", *KINDS)
"""kinds of actions that have a share of their own"""
FACTOR, LEAST = 4.0, 0.25
"""factor of a share that is tried, and the share that is tried where none is played"""
FIRST_SEED = 60_000
"""first training episode of the search"""

Shares = tuple[float, ...]


class Found(NamedTuple):
    """What a search has found."""

    policy: Any
    shares: dict[str, float]
    """share of what was learned that is played, by kind of action"""
    facts: dict[str, float]
    """its validation"""


def larger(share: float) -> float:
    """The larger share that is tried in the place of one."""
    return min(max(FACTOR * share, LEAST), 1.0)


def climbed(
    shares: Shares, returns_of: Callable[[Shares], npt.NDArray[np.float64]], go_on: Callable[[], bool]
) -> Shares:
    """The best shares that were found, from kind to kind. `returns_of` gives the returns [E] of the same episodes."""
    best = returns_of(shares)
    for kind in range(len(shares)):
        if not go_on():
            break
        tries = [(*shares[:kind], share, *shares[kind + 1 :]) for share in (larger(shares[kind]), 0.0)]
        tries = [each for each in tries if each != shares]
        with ThreadPoolExecutor(VALIDATION_THREADS) as pool:
            returns = list(pool.map(returns_of, tries))
        better = [i for i, each in enumerate(returns) if surely(each - best)]
        if better:
            chosen = max(better, key=lambda i: float(returns[i].mean()))
            shares, best = tries[chosen], returns[chosen]
    return shares


def surely(differences: npt.NDArray[np.float64]) -> bool:
    """Whether paired differences [E] are above 0 by more than their standard error."""
    return bool(differences.mean() > differences.std() / np.sqrt(len(differences)))


def in_time(clock: Clock, stop: Stop) -> Callable[[], bool]:
    """Whether a search may go on: until the clock is over. KeyboardInterrupt where the run is to stop."""

    def go_on() -> bool:
        if stop.signal is not None:
            raise KeyboardInterrupt
        return not clock.is_over()

    return go_on


def told(found: Found, best: float) -> str:
    """One line for whoever waits."""
    by_kind = ", ".join(f"{name} {share:g}" for name, share in found.shares.items())
    return f"  shares by kind ({by_kind}): validation {found.facts['validation/return']:.2f}, best {best:.2f}"


def search(
    part: Part,
    finished: Callable[[Any], Any],
    meta: Mapping[str, Any],
    spec: ScenarioSpec,
    settings: TrainSettings,
    go_on: Callable[[], bool],
) -> Found | None:
    """The best shares by kind and their validation; None where one share is as good, or a policy has no kinds of offers.

    `finished` makes a policy to play of one that is being learned. The search ends early where `go_on` says no.
    """
    fitted, share = part.best()
    if not part.parts or not part.learned or not hasattr(fitted.mlp_extractor, "heads"):
        return None

    def policy_of(shares: Shares) -> Any:
        return finished(played(fitted, part.begun, *shares))

    def returns_of(shares: Shares) -> npt.NDArray[np.float64]:
        learned = LearnedPolicy(policy_of(shares), dict(meta), "learned")
        episodes = settings.evaluation_episodes
        return playing.run(learned, spec, meta["task"], episodes, FIRST_SEED, split="train").returns

    first = (share,) * len(NAMES)
    shares = climbed(first, returns_of, go_on)
    if shares == first:
        return None
    policy = policy_of(shares)
    return Found(policy, dict(zip(NAMES, shares, strict=True)), validation(policy, meta, spec, settings))
