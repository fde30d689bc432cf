"""The start of a policy that routes by beliefs: a filter of measured speeds, and the constants with which it routes best.

First the router `convex` plays training episodes, in which the filter is fitted to true speeds. Then a cross-entropy
search on training episodes finds how much of the filter's expectation to believe, how many of its standard deviations to
add, and the constants of the router that go with these.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from og_agents import planners
from og_agents.heuristics.cross_entropy import cross_entropy
from og_agents.heuristics.tuned_constants import Constants, PlannerConstants, of_planner
from og_agents.learning.believed_speeds import RANGE, ROUTER, BelievedRouter
from og_agents.learning.speed_filter import COLUMNS, MEMORY, OCTAVES, SpeedFilter, columns_of, remember
from og_agents.planners.convex_router import true_slowness_log2
from og_agents.planners.routers import ROUTERS, hosting
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv

USUAL = {"share": 0.8, "caution": 0.6}
"""where the search begins, by trials in grey-failures and global-24 (configs/training/RESULTS.md)"""
SPREAD = {"share": 0.1, "caution": 0.3}
LOW, HIGH = {"share": 0.0, "caution": -1.0}, {"share": 1.5, "caution": 3.0}
FIT_EPISODES, FIRST_TRIAL = 48, 1_000
"""training episodes of the fit, from 0 on, and the first one of the search"""
EPISODES, POPULATION, ROUNDS = 32, 8, 5
"""training episodes of a trial, trials of a round of the search, and its most rounds"""
SHARE = 0.5
"""most of the time given that all this may take"""


class Start(NamedTuple):
    """The beginning of a policy that routes by beliefs."""

    constants: dict[str, float]
    """share, caution, and the router's rate and refused"""
    weights: dict[str, torch.Tensor]
    """of the filter"""
    error: tuple[float, float]
    """root mean square of the filter's error in octaves, and that of the share of the last measurement that the router
    believes by itself, on episodes that the filter was not fitted to"""
    trials: int

    def told(self) -> str:
        """One line for whoever waits."""
        ours, theirs = self.error
        words = ", ".join(f"{name} {value:g}" for name, value in self.constants.items())
        return f"begins as {ROUTER} with speeds to within {ours:.2f} octaves ({theirs:.2f} by itself): {words}"


def usual(constants: Constants) -> dict[str, float]:
    """The constants of an untrained filter, with which the router is the one of these constants."""
    return {"share": constants["faith"], "caution": 0.0, "rate": constants["rate"], "refused": constants["refused"]}


def find(
    spec: ScenarioSpec, constants: Constants, seed: int, budget_s: float | None, told: Callable[[str], Any]
) -> Start:
    """The filter of a scenario and the constants with which it routes best.

    `constants` are those of the router by itself; the search ends where the budget in seconds is over.
    """
    began = time.monotonic()
    told(f"fitting a filter of measured speeds to {FIT_EPISODES} training episodes ...")
    columns, truth = _measured(spec, FIT_EPISODES, seed)
    held = len(columns) // 4
    torch.manual_seed(seed)
    fitted = SpeedFilter()
    fitted.fit(np.concatenate(columns[held:]), np.concatenate(truth[held:]), seed)
    error = _errors(fitted, np.concatenate(columns[:held]), np.concatenate(truth[:held]), constants["faith"])
    known = of_planner(ROUTER)
    space = PlannerConstants(
        untuned={},
        spread={**SPREAD, "rate": known.spread["rate"] / 2, "refused": known.spread["refused"]},
        low={**LOW, "rate": known.low["rate"], "refused": known.low["refused"]},
        high={**HIGH, "rate": known.high["rate"], "refused": known.high["refused"]},
        tuned={},
    )
    first = {**USUAL, "rate": constants["rate"], "refused": constants["refused"]}
    found, trials = cross_entropy(
        lambda points: [mean_return(fitted, point, spec, EPISODES, FIRST_TRIAL) for point in points],
        first,
        space,
        population=POPULATION,
        rounds=ROUNDS,
        seed=seed,
        go_on=lambda: budget_s is None or time.monotonic() - began < budget_s,
    )
    weights = {name: value.detach().clone() for name, value in fitted.state_dict().items()}
    start = Start(found, weights, error, trials)
    told(start.told())
    return start


def described(start: Start) -> Mapping[str, Any]:
    """The start as a card has it."""
    ours, theirs = (round(value, 4) for value in start.error)
    return {
        "router": ROUTER,
        "constants": start.constants,
        "trials": start.trials,
        "error_octaves": {"filtered": ours, "measured": theirs},
    }


def _environment(spec: ScenarioSpec, episodes: int, first_seed: int) -> NetworkVectorEnv:
    spec = loading.override(spec, dict(ROUTERS[ROUTER].overrides))
    env = NetworkVectorEnv(episodes, "routing", spec, split="train", interface="sites", flatten=True)
    env.reset(seed=[first_seed + i for i in range(episodes)])
    return env


def _measured(spec: ScenarioSpec, episodes: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns [S, COLUMNS] of sites with warm replicas and their octaves of slowness [S] then, by training episode."""
    env = _environment(spec, episodes, seed)
    router: Any = planners.make(ROUTER, spec, "routing")
    router.attach(env)
    simulator = env.simulator
    memory, levels = np.zeros((episodes, MEMORY, simulator.sizes["N"])), None
    columns, truth, hosts = [], [], []
    for _ in range(env.simulator.spec.episode.steps):
        memory = remember(memory, simulator)
        columns.append(columns_of(memory, simulator))
        truth.append(true_slowness_log2(simulator))
        hosts.append(hosting(simulator))
        actions, levels = router.predict(simulator.observation, levels, np.zeros(episodes, np.bool_))
        env.step(actions)
    env.close()
    every, true, among = np.stack(columns, 1), np.stack(truth, 1), np.stack(hosts, 1)
    pairs = [(every[i][among[i]], true[i][among[i]]) for i in range(episodes)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _errors(fitted: SpeedFilter, columns: np.ndarray, truth: np.ndarray, faith: float) -> tuple[float, float]:
    with torch.no_grad():
        expected = fitted(torch.as_tensor(columns))[0].numpy()
    last = faith * OCTAVES * columns[:, 0]
    return math.sqrt(np.square(expected - truth).mean()), math.sqrt(np.square(last - truth).mean())


def mean_return(fitted: SpeedFilter, constants: Constants, spec: ScenarioSpec, episodes: int, first_seed: int) -> float:
    """Mean return of the router on what a filter believes, with these constants, on training episodes from a seed on."""
    env = _environment(spec, episodes, first_seed)
    router = BelievedRouter(constants)
    router.attach(env)
    memory, returns = None, np.zeros(episodes)
    for _ in range(env.simulator.spec.episode.steps):
        memory, columns = router.measured(memory, None)
        with torch.no_grad():
            belief, _ = fitted.believed(torch.as_tensor(columns.reshape(episodes, -1, COLUMNS)), constants)
        levels = router.levels((belief / RANGE).numpy(), memory)
        memory = router.in_force(memory, levels)
        returns += env.step(levels.astype(np.float32))[1]
    env.close()
    return float(returns.mean())
