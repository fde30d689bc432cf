"""The same days played in several ways: with an outage and without, with a node and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.advice.user_regions import region_step
from og_agents.evaluation import playing
from og_agents.evaluation.recording import Recording, record
from og_agents.policy import Policy, attach
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import TERM, WARM, Simulator
from og_env.vector_env import NetworkVectorEnv

Floats = npt.NDArray[np.float64]
HOURS_PER_DAY, SECONDS_PER_HOUR = 24, 3600


class Days(NamedTuple):
    """E episodes of T steps with U user regions and N sites."""

    recording: Recording
    demand_rps: Floats
    """[E, T, U] requests/s that a region asks for"""
    served_rps: Floats
    """[E, T, U] of them served"""
    wait_ms: Floats
    """[E, T, U] mean time to the first token in a region"""
    gpu_usd_per_hour: Floats
    """[E, T, N] what the GPUs of a site cost: rent of those that are held, and the price of their use"""
    warm: npt.NDArray[np.bool_]
    """[E, T, M, N] whether a model is warm at a site"""
    weights: Floats
    """[6] weights of the reward"""
    budget_usd_per_hour: float
    """spending that counts as 1 in the cost term"""

    @property
    def step_h(self) -> float:
        """Length of a step in hours."""
        return self.recording.step_h

    @property
    def usd_per_reward(self) -> float:
        """Dollars an hour that one unit of reward a step is worth, by the scenario's own weights; nan without a price."""
        weight = float(self.weights[TERM.cost])
        return self.budget_usd_per_hour / weight if weight > 0 else float("nan")

    def unserved(self, steps: slice = slice(None)) -> Floats:
        """Requests [E] that are not served."""
        lost = self.recording.metric("demand_rps") - self.recording.metric("served_rps")
        return lost.clip(0)[:, steps].sum(axis=1) * self.recording.step_s

    def unverified(self, steps: slice = slice(None)) -> Floats:
        """Requests [E] that are served without the proof that they want."""
        rps = self.recording.term("unverified") * self.recording.metric("demand_rps")
        return rps[:, steps].sum(axis=1) * self.recording.step_s

    def usd_per_day(self) -> Floats:
        """Spending [E], as dollars a day."""
        return self.recording.metric("usd_per_hour").mean(axis=1) * HOURS_PER_DAY

    def mean_wait_ms(self, steps: slice = slice(None)) -> Floats:
        """Mean time to the first token [E] of what is served; nan where nothing is."""
        served = self.recording.metric("served_rps")[:, steps]
        return _mean(self.recording.metric("first_token_mean_ms")[:, steps], served, (1,))

    def wait_ms_of(self, regions: npt.NDArray[np.bool_]) -> Floats:
        """Mean time to the first token [E] of the users of some regions, bool [U]; nan where none is served."""
        return _mean(self.wait_ms[:, :, regions], self.served_rps[:, :, regions], (1, 2))

    def reward(self) -> Floats:
        """Mean reward a step [E]."""
        return self.recording.rewards.mean(axis=1)

    def region_wait_ms(self, steps: slice = slice(None)) -> Floats:
        """Mean time to the first token [E, U] in each region; nan where nothing is served."""
        return _mean(self.wait_ms[:, steps], self.served_rps[:, steps], (1,))

    def region_unserved(self, steps: slice = slice(None)) -> Floats:
        """Requests [E, U] of each region that are not served."""
        return (self.demand_rps - self.served_rps)[:, steps].clip(0).sum(axis=1) * self.recording.step_s


def play(
    policy: Policy,
    spec: ScenarioSpec,
    *,
    episodes: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    prepare: Callable[[NetworkVectorEnv], None] | None = None,
    by_region: bool = True,
) -> Days:
    """Play test episodes seed, seed + 1, ...; `options` are those of reset, `prepare` may change the environment first.

    Figures by user region take a while: without `by_region` there are none.
    """
    env = playing.stage(policy, spec, "placement", episodes)
    seen: list[tuple[npt.NDArray[Any], ...]] = []

    def watch(played: NetworkVectorEnv) -> None:
        simulator = played.simulator
        if simulator.state.step[0] == 0:
            return
        regions = region_step(simulator) if by_region else [np.zeros((episodes, 0))] * 3
        seen.append((*regions, _gpu_usd_per_hour(simulator), simulator.state.phase == WARM))

    try:
        if prepare is not None:
            prepare(env)
        attach(policy, env)
        recording = record(policy, env, seed, dict(options or {}), watch=watch)
        weights = env.simulator.world.weights[0].astype(np.float64)
        budget = float(env.simulator.world.budget_usd_per_hour[0])
    finally:
        env.close()
    columns = (np.stack(parts, axis=1) for parts in zip(*seen, strict=True))
    demand, served, wait, gpu_usd, warm = columns
    return Days(recording, demand, served, wait, gpu_usd, warm, weights, budget)


def _gpu_usd_per_hour(simulator: Simulator) -> Floats:
    """Rent of held GPUs and price of their use [B, N] in the last step."""
    world, state = simulator.world, simulator.state
    rent = state.gpus_used * world.usd_per_gpu_hour[state.world].astype(np.float64)
    return rent + (state.load_rps * world.use_usd[state.world].astype(np.float64)).sum(axis=1) * SECONDS_PER_HOUR


def _mean(values: Floats, weights: Floats, axis: tuple[int, ...]) -> Floats:
    """Weighted mean over axes; nan where all weights are 0."""
    whole = weights.sum(axis=axis)
    return np.divide((values * weights).sum(axis=axis), whole, out=np.full(whole.shape, np.nan), where=whole > 1e-9)
