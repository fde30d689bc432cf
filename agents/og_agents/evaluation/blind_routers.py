"""Routers for the blindness table: the best fixed knobs, the best router that adapts, and the same without measured speeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.policy import Asked, Policy, as_predict, wishes
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import KNOB_RANGE, KNOBS
from og_env.vector_env import NetworkVectorEnv

CANDIDATES, TRAINING_EPISODES = 32, 16
"""settings of the knobs that are tried, the scenario's own first, and training episodes of each choice among routers"""


@dataclass(frozen=True)
class FixedKnobs:
    """A policy of Routing that keeps the router's knobs at the same levels."""

    levels: npt.NDArray[np.float32]
    name: str = "fixed knobs"

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.float32], Any]:
        """The levels [B, 5], whatever is observed."""
        return np.tile(self.levels, (len(asked.observation["globals"]), 1)), asked.state

    def settings(self, spec: ScenarioSpec) -> dict[str, float]:
        """The knobs as settings of the scenario by dotted key."""
        values = {f"router.{knob}": getattr(spec.router, knob) for knob in KNOBS}
        for key, level in zip(values, self.levels.tolist(), strict=True):
            values[key] *= KNOB_RANGE**level
        spread, level = spec.router.spread, float(self.levels[KNOBS.index("spread")])
        return values | {"router.spread": spread * (1 + level) if level < 0 else spread + (1 - spread) * level}


def best_knobs(spec: ScenarioSpec, seed: int = 0) -> FixedKnobs:
    """The fixed knobs of the highest mean return on training episodes, by random search."""
    levels = np.random.default_rng(seed).uniform(-1, 1, (CANDIDATES, len(KNOBS))).astype(np.float32)
    levels[0] = 0
    actions = np.repeat(levels, TRAINING_EPISODES, axis=0)
    env = NetworkVectorEnv(len(actions), task="routing", scenario=spec, split="train", flatten=True)
    env.reset(seed=np.tile(seed + np.arange(TRAINING_EPISODES), CANDIDATES).tolist())
    returns = np.zeros(len(actions))
    for _ in range(spec.episode.steps):
        returns += env.step(actions)[1]
    env.close()
    return FixedKnobs(levels[returns.reshape(CANDIDATES, -1).mean(axis=1).argmax()])


class _Nominal:
    """A simulator where no slowness was measured, and all else as it is."""

    def __init__(self, simulator: Any) -> None:
        slowness = np.zeros_like(simulator.state.shown_slowness_log2)
        self._simulator, self.state = simulator, simulator.state._replace(shown_slowness_log2=slowness)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator, name)


class _Shown:
    """An environment that shows a simulator in place of its own."""

    def __init__(self, env: Any, simulator: Any) -> None:
        self._env, self.simulator = env, simulator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


@dataclass
class AdaptiveRouter:
    """A router on other knobs than the scenario's, if any; a blind one takes every site to have its nominal speed."""

    router: Any
    name: str
    knobs: Mapping[str, float] = field(default_factory=dict)
    blind: bool = False

    def __post_init__(self) -> None:
        asked = wishes(self.router)
        self.overrides, self.env_kwargs = {**self.knobs, **asked.overrides}, asked.env_kwargs
        self.predict = self.router.predict

    def attach(self, env: Any) -> None:
        """Route for this environment, whose simulator the router reads what was measured from."""
        self.router.attach(_Shown(env, _Nominal(env.simulator)) if self.blind else env)


def adaptive_routers(spec: ScenarioSpec, knobs: FixedKnobs, *, blind: bool = False) -> dict[str, Policy]:
    """The routers that there are by name, oracles too, each on the scenario's knobs and on the best fixed ones."""
    routers: dict[str, Policy] = {}
    for name in planners.ROUTERS:
        for label, settings in ((name, {}), (f"{name} on the best knobs", knobs.settings(spec))):
            routers[label] = AdaptiveRouter(planners.make(name, spec, "routing"), label, settings, blind)
    return routers


def training_returns(spec: ScenarioSpec, knobs: FixedKnobs, seed: int = 0) -> dict[str, float]:
    """Mean return of every router of `adaptive_routers` on training episodes, by name."""

    def earns(router: Policy) -> float:
        return float(playing.run(router, spec, "routing", TRAINING_EPISODES, seed, split="train").returns.mean())

    return {name: earns(router) for name, router in adaptive_routers(spec, knobs).items()}


def best_of(returns: Mapping[str, float], kind: str | None = None) -> str:
    """Name of the router of the highest return, on whichever knobs: of one kind, or of all that no oracle tells."""

    def counts(name: str) -> bool:
        router = name.split(" ", maxsplit=1)[0]
        return router not in planners.ORACLES if kind is None else router == kind

    return max(filter(counts, returns), key=returns.__getitem__)
