"""The planner that a training begins as: the best on validation episodes, after a short search where none was tuned.

A scenario that comes with the package has constants of its own for the tuned greedy planner. A user's own fleet has
none, and another scenario's can be far worse than none. So the candidates play the same validation episodes: the nominal
gain, the constants of this scenario or of `global-24`, and, where the scenario has none, those of a cross-entropy search
on training episodes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import playing
from og_agents.heuristics.cross_entropy import cross_entropy
from og_agents.heuristics.tuned_constants import FALLBACK, Constants, of_planner
from og_agents.planners.offer_rules import OfferPolicy
from og_env.scenario.specs import ScenarioSpec

PLANNER, SEARCHED = "greedy_tuned", "searched"
"""name of the planner, and of constants that a search has found"""
EPISODES, LEAST_EPISODES = 12, 4
"""training episodes of a trial, and how few they may be where time is short"""
POPULATION, ROUNDS = 9, 4
"""trials of a round of the search, and its most rounds"""
VALIDATION_EPISODES, FIRST_SEED = 32, 50_000
"""validation episodes on which the candidates are compared; checkpoints are chosen on others, from 0 on"""
SHARE = 0.2
"""most of the time given that all this may take"""
EVALUATION_SHARE, LEAST_EVALUATED = 0.1, 8
"""most of the time given that one policy may take in a validation of a training, and how few episodes it may have"""


class Start(NamedTuple):
    """The planner that a policy begins as."""

    name: str
    """`gain`, `tuned`, `tuned for global-24` or `searched`"""
    constants: dict[str, float]
    """of the tuned greedy planner; the untuned ones are the nominal gain"""
    returns: dict[str, float]
    """mean return of every candidate on the validation episodes"""
    episode_s: float = 0.0
    """seconds that an episode of the comparison took"""

    def told(self) -> str:
        """One line for whoever waits."""
        others = ", ".join(f"{name} {value:.2f}" for name, value in self.returns.items() if name != self.name)
        return f"begins as {PLANNER}, constants {self.name}: {self.returns[self.name]:.2f} (others: {others})"


def mean_returns(
    candidates: list[Constants], spec: ScenarioSpec, episodes: int, split: str, first_seed: int = 0
) -> npt.NDArray[np.float64]:
    """Mean return [C] of the tuned greedy planner with each of the constants, all side by side on the same episodes."""
    rows = len(candidates) * episodes
    columns = {name: np.repeat([each[name] for each in candidates], episodes)[:, None] for name in candidates[0]}
    policy = OfferPolicy(PLANNER, "placement", columns)  # type: ignore[arg-type]
    env = playing.stage(policy, spec, "placement", rows, split=split)
    steps = env.simulator.spec.episode.steps
    done, returns = np.zeros(rows, np.int64), np.zeros(rows)
    try:
        observation, _ = env.reset(seed=[first_seed + row % episodes for row in range(rows)])
        while (done < steps).any():
            actions, _ = policy.predict(observation)
            observation, reward, _, truncated, info = env.step(actions)
            moved = (info["final_info"] if truncated.any() else info)["moved"] & (done < steps)
            returns[moved] += reward[moved]
            done += moved
    finally:
        env.close()
    return returns.reshape(len(candidates), episodes).mean(axis=1)


def compared(
    candidates: list[Constants], spec: ScenarioSpec, most: int, budget_s: float | None
) -> tuple[npt.NDArray[np.float64], float]:
    """Mean returns [C] on validation episodes, `most` or as many as a budget in seconds allows, and seconds an episode.

    The first few compile what is not compiled, so the time of the next few says how many are affordable, if there is time
    for these.
    """
    total, played, episode_s, left_s = np.zeros(len(candidates)), 0, 0.0, math.inf if budget_s is None else budget_s
    for chunk in (LEAST_EPISODES, LEAST_EPISODES, most):
        affordable = (
            chunk if played <= LEAST_EPISODES or left_s == math.inf else int(left_s / (episode_s * len(candidates)))
        )
        episodes = min(chunk, most - played, affordable)
        if played and (episodes <= 0 or left_s <= 0):
            break
        began = time.monotonic()
        total += episodes * mean_returns(candidates, spec, episodes, "validation", FIRST_SEED + played)
        spent_s = time.monotonic() - began
        episode_s, left_s, played = spent_s / (episodes * len(candidates)), left_s - spent_s, played + episodes
    return total / played, episode_s


def find(
    spec: ScenarioSpec, seed: int, budget_s: float | None, told: Callable[[str], Any] = lambda line: None
) -> Start:
    """The best planner to begin as.

    With a budget in seconds, trials have as few episodes as it takes, and the search ends where the time is over.
    """
    began, known = time.monotonic(), of_planner(PLANNER)
    candidates: dict[str, Constants] = {"gain": known.untuned}
    if spec.name in known.tuned:
        candidates["tuned"] = known.tuned[spec.name]
    else:
        candidates[f"tuned for {FALLBACK}"] = known.tuned[FALLBACK]
        told(f"no constants of {PLANNER} for {spec.name}: searching some on training episodes ...")
        first = mean_returns(list(candidates.values()), spec, LEAST_EPISODES, "train")
        episode_s = (time.monotonic() - began) / (len(first) * LEAST_EPISODES)
        affordable = math.inf if budget_s is None else budget_s / episode_s
        episodes = round(min(max(affordable / (2 * ROUNDS * POPULATION), LEAST_EPISODES), EPISODES))
        candidates[SEARCHED], _ = cross_entropy(
            lambda points: list(mean_returns(points, spec, episodes, "train")),
            list(candidates.values())[int(first.argmax())],
            known,
            population=POPULATION,
            rounds=ROUNDS,
            seed=seed,
            go_on=lambda: budget_s is None or time.monotonic() - began < budget_s / 2,
        )
    left_s = None if budget_s is None else budget_s - (time.monotonic() - began)
    values, episode_s = compared(list(candidates.values()), spec, VALIDATION_EPISODES, left_s)
    returns = dict(zip(candidates, values.tolist(), strict=True))
    name = max(returns, key=returns.__getitem__)
    start = Start(name, dict(candidates[name]), returns, episode_s)
    told(start.told())
    return start


def evaluated(start: Start, limit_s: float | None, episodes: int) -> int:
    """How many of a validation's episodes a training with a time limit in seconds can afford: all, half, a quarter, ...

    Halves, so that runs of one length have as many, and can be compared.
    """
    if limit_s is None:
        return episodes
    while episodes >= 2 * LEAST_EVALUATED and episodes * start.episode_s > EVALUATION_SHARE * limit_s:
        episodes //= 2
    return episodes


def described(start: Start) -> Mapping[str, Any]:
    """The start as a card has it."""
    return {"planner": PLANNER, "constants_from": start.name, "constants": start.constants, "returns": start.returns}
