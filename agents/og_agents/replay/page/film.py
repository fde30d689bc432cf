"""One episode of one policy with everything that a moving map shows of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import playing
from og_agents.evaluation.recording import Recording, record
from og_agents.policy import Policy, attach
from og_env.render import MapView, view_of
from og_env.scenario.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv
from og_env.world import Domain

LEAST_FLOW = 0.004
"""share of the demand from which traffic between two sites is kept"""
MOST_FLOWS = 120
"""pairs of sites kept of a moment"""


class Film(NamedTuple):
    """T steps; entry 0 of what has T + 1 entries is the start."""

    recording: Recording
    """recording of this one episode"""
    views: tuple[MapView, ...]
    """[T + 1] state of the map at each moment, without flows"""
    flows: tuple[npt.NDArray[np.float64], ...]
    """[T + 1] largest flows of each moment, each [A, 3]: gateway's site, serving site, requests/s"""
    domains: tuple[Domain, ...]
    """domains that two sites or more share"""
    twin: Recording | None = None
    """recording of the same episode with nothing broken"""


class Camera:
    """Films one of the episodes that `record` plays, as its argument `watch`."""

    def __init__(self, struck: bool = False) -> None:
        """Make a camera; `struck`: film the first episode in which something breaks, not the first of all."""
        self.struck, self.row = struck, 0
        self.views: list[MapView] = []
        self.flows: list[npt.NDArray[np.float64]] = []
        self.domains: tuple[Domain, ...] = ()

    def __call__(self, env: NetworkVectorEnv) -> None:
        """Take the present moment."""
        sim = env.simulator
        if not self.views:
            self.row = (
                int((sim.tape.status.any(axis=(1, 2)) | sim.tape.supply.any(axis=(1, 2))).argmax())
                if self.struck
                else 0
            )
            world = sim.world_of(self.row)
            self.domains = tuple(domain for domain in world.domains[: world.sizes["S"]] if domain.kind)
        whole = sim.world_of(self.row).resolved
        view = view_of(whole, sim.world, sim.tape, sim.state, sim.output, row=self.row)
        self.flows.append(largest(view.flow_rps, float(view.load_rps.sum())))
        self.views.append(view._replace(flow_rps=np.zeros((0, 0))))

    def film(self, recording: Recording, twin: Recording | None = None) -> Film:
        """The film, with what was recorded of the same episode: the first of the recording, and of its twin."""
        first = np.arange(len(recording.seeds)) == 0
        other = None if twin is None else twin.chosen(first)
        return Film(recording.chosen(first), tuple(self.views), tuple(self.flows), self.domains, other)


def film(
    policy: Policy, name: str, spec: ScenarioSpec, *, task: str, seed: int, options: dict[str, Any] | None = None
) -> Film:
    """Play and film the test episode of a seed; `options` are those of `reset`."""
    camera = Camera()
    env = playing.stage(policy, spec, task, 1)
    try:
        attach(policy, env)
        return camera.film(record(policy, env, seed, options, name=name, watch=camera))
    finally:
        env.close()


def largest(flow_rps: npt.NDArray[np.float64], demand_rps: float) -> npt.NDArray[np.float64]:
    """The flows [A, 3] of a matrix [N, N] that are worth a line, the largest first."""
    start, end = np.nonzero(flow_rps > LEAST_FLOW * max(demand_rps, 1e-9))
    order = np.argsort(-flow_rps[start, end], kind="stable")[:MOST_FLOWS]
    return np.column_stack([start, end, flow_rps[start, end]])[order].astype(np.float64)
