"""Routers: policies of Routing alone, from uniform random choice to prices of sites and a convex optimiser.

Some hold the router's five knobs at fixed levels, the others give every site a level in each step, by what was measured.
What a level of a site means is the simulator's `STEER_RANGE`: replicas at level x have their weights times e^(4 x).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import PLANNERS, Constants
from og_agents.planners.convex_router import convex, convex_true
from og_agents.planners.site_prices import loads, site_prices
from og_agents.policy import Asked, as_predict
from og_env.errors import nearest_valid
from og_env.simulator import DOWN, GATEWAY, KNOBS, STEER_RANGE, WARM, Simulator

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
SiteRule = Callable[[Simulator, Constants, Floats, Bools], tuple[Floats, Floats]]
"""levels [B, N] and the memory [B, N] for the next step, from the last memory and flags [B, 1] of who begins with 0"""

NO_PENALTIES: Mapping[str, float] = MappingProxyType(
    {"router.load_penalty": 0.0, "router.risk_aversion": 0.0, "router.spread": 0.0}
)
ANYWHERE: Mapping[str, float] = MappingProxyType({**NO_PENALTIES, "router.latency_temperature_ms": 1e6})
"""a router that sees no distance either"""
NEAREST_MS = 1.0
"""temperature at which a site that is 5 ms nearer gets all but a hundredth of the traffic"""
MS, SMALL = 1000.0, 1e-9


def hosting(simulator: Simulator) -> npt.NDArray[np.bool_]:
    """Sites [B, N] that are up and have a warm replica."""
    state = simulator.state
    return (state.phase == WARM).any(axis=1) & ((state.status & DOWN) == 0)


def least_loaded(simulator: Simulator, constants: Constants, before: Floats, fresh: Bools) -> tuple[Floats, Floats]:
    """Level 1 at a measured load of 0, -1 at full load."""
    load, _ = loads(simulator, 0.0)
    return np.clip(1 - 2 * load, -1, 1), before


def power_of_two(simulator: Simulator, constants: Constants, before: Floats, fresh: Bools) -> tuple[Floats, Floats]:
    """The less loaded of two sites that are drawn at random (Mitzenmacher 2001), as weights of sites.

    The site of rank r of n by measured load is the less loaded one of 2 (n - r) + 1 of n^2 pairs. Ranks are of sites, so
    for a model at some of them the weights are an approximation.
    """
    load, _ = loads(simulator, 0.0)
    among = hosting(simulator)
    lower = (load[:, None, :] < load[:, :, None]) & among[:, None, :]
    equal = (load[:, None, :] == load[:, :, None]) & among[:, None, :]
    count = among.sum(axis=1, keepdims=True)
    rank = lower.sum(axis=2) + (equal.sum(axis=2) + 1) / 2
    weight = np.where(among, 2 * (count - rank) + 1, 1.0)
    middle = np.log(np.maximum(2 * count - 1, 1)) / 2
    return np.where(among, (np.log(np.maximum(weight, 1.0)) - middle) / STEER_RANGE, 0.0), before


def first_token_s(simulator: Simulator, distance: float) -> Floats:
    """Measured time to the first token [B, N] by site: wait, prefill at its measured pace, and `distance` of the way.

    The way is the round trips from all live gateways alike; prefill is that of the models that are warm there.
    """
    state, world = simulator.state, simulator.world
    warm = state.phase == WARM
    prefill = (world.prefill_s[state.world] * warm).sum(axis=1) / np.maximum(warm.sum(axis=1), 1)
    gates = ((state.role_ms[:, GATEWAY] == 0) & ((state.status & DOWN) == 0)).astype(np.float64)
    shares = gates / np.maximum(gates.sum(axis=1, keepdims=True), 1)
    way_s = np.einsum("bg,bgn->bn", shares, world.rtt_ms[state.world]) * world.round_trips[state.world][:, None] / MS
    return state.shown_wait_s + np.exp2(state.shown_slowness_log2) * prefill + distance * way_s


def ewma_latency(simulator: Simulator, constants: Constants, before: Floats, fresh: Bools) -> tuple[Floats, Floats]:
    """Levels by the exponentially weighted mean of the measured time to the first token, in units of `scale_s`.

    `rate` is the weight of the last step, `distance` that of the way, which the knobs' softmax sees as well.
    """
    now = first_token_s(simulator, constants["distance"])
    mean = np.where(fresh, now, before + constants["rate"] * (now - before))
    among = hosting(simulator)
    middle = (mean * among).sum(axis=1, keepdims=True) / np.maximum(among.sum(axis=1, keepdims=True), 1)
    return np.where(among, np.clip((middle - mean) / max(constants["scale_s"], SMALL), -1, 1), 0.0), mean


class Router(NamedTuple):
    """A router: a rule for sites, or none, its sentence and the scenario's knobs that it asks for."""

    rule: SiteRule | None
    """None for fixed levels of the knobs, which are its constants, or 0"""
    doc: str
    overrides: Mapping[str, float]


ROUTERS: Mapping[str, Router] = MappingProxyType(
    {
        "uniform": Router(None, "any replica, uniformly at random, as in OpenGradient", {"router.spread": 1.0}),
        "nearest": Router(
            None,
            "the nearest replica",
            {**NO_PENALTIES, "router.cold_penalty": 0.0, "router.latency_temperature_ms": NEAREST_MS},
        ),
        "least_loaded": Router(least_loaded, "the replica whose site has the lowest measured load", ANYWHERE),
        "power_of_two": Router(power_of_two, "the less loaded of two random replicas", ANYWHERE),
        "ewma_latency": Router(
            ewma_latency, "away from sites whose measured time to first token is long", {"router.load_penalty": 0.0}
        ),
        "tuned_knobs": Router(None, "the best fixed knobs of a search on training episodes", {}),
        # the price takes the place of the penalty on the last step's load, by which a router swings to and fro
        "site_prices": Router(
            site_prices, "a price on every site, which its load above a target raises", {"router.load_penalty": 0.0}
        ),
        "convex": Router(convex, "minimises expected late, unserved and use cost on what was measured", NO_PENALTIES),
        "convex_true": Router(convex_true, "the same, with the sites' true speed read from the tape", NO_PENALTIES),
    }
)
DOCS: Mapping[str, str] = MappingProxyType({name: f"Routing: {router.doc}" for name, router in ROUTERS.items()})


@dataclass
class RouterPolicy:
    """A policy of Routing; one that steers sites measures the environment that `attach` shows it.

    The state of `predict` is the rule's memory [B, N].
    """

    name: str
    constants: Constants = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(init=False)
    env_kwargs: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        valid = PLANNERS.get(constants_name(self.name), ())
        for key in self.constants:
            if key not in valid:
                raise ValueError(f"{self.name} has no constant {key!r}{nearest_valid(key, valid)}")
        self.overrides = dict(ROUTERS[self.name].overrides)
        self.env_kwargs = {"interface": "knobs" if ROUTERS[self.name].rule is None else "sites"}
        self._simulator: Simulator | None = None

    def attach(self, env: Any) -> None:
        """Measure this environment, single or vector."""
        settings, wanted = env.simulator.settings, self.env_kwargs["interface"]
        steers = settings.steering if settings.task == "joint" else settings.interface
        if steers != wanted:
            what = "sites" if wanted == "sites" else "the knobs"
            argument = "steering" if settings.task == "joint" else "interface"
            raise ValueError(f'{self.name} steers {what}: make the environment with {argument}="{wanted}"')
        self._simulator = env.simulator

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.float32], Any]:
        """Levels [B, N] of the sites, or [B, 5] of the knobs, for the environments as they are now."""
        observation, rule = asked.observation, ROUTERS[self.name].rule
        shape = np.shape(observation["globals"] if isinstance(observation, Mapping) else observation)
        single = len(shape) == 1
        if rule is None:
            knobs = np.array([self.constants.get(knob, 0.0) for knob in KNOBS], np.float32)
            return (knobs if single else np.tile(knobs, (shape[0], 1))), asked.state
        simulator = self._simulator
        if simulator is None:
            raise ValueError(f"{self.name} measures the environment that it plays in: attach(env) first")
        batch, sites = simulator.state.status.shape
        fresh = np.ones((batch, 1), np.bool_)
        if asked.state is not None:
            start = np.zeros(batch) if asked.episode_start is None else asked.episode_start
            fresh = np.reshape(np.asarray(start, np.bool_), (-1, 1))
        before = np.where(fresh, 0.0, np.zeros((batch, sites)) if asked.state is None else asked.state)
        levels, memory = rule(simulator, self.constants, before, fresh)
        actions = levels.astype(np.float32)
        return (actions[0] if single else actions), memory


def constants_name(name: str) -> str:
    """The planner whose file has a router's constants."""
    return "convex" if name == "convex_true" else name
