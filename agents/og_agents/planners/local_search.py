"""The best static placement by local search: placements are compared by their returns on training episodes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from og_agents.planners.static_placement import ROLES, Target, fits, starting
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import ABSENT, ON_DISK, WARM, Copies, Settings, Simulator, World, idle

TRAINING = Settings(interface="operations", flatten=True)
"""the environment in which placements are played"""
SIDE_BY_SIDE = 8
"""placements that are played in one call"""


class Pricing:
    """Mean returns of placements on training episodes; a placement stands from the first step on and never changes."""

    def __init__(self, spec: ScenarioSpec, episodes: int, seed: int) -> None:
        if spec.fleet == "random":
            raise ValueError(f"{spec.name}: a static placement needs a fixed fleet, but every episode draws another")
        self.simulator = Simulator(spec, episodes, TRAINING)
        for b in range(episodes):
            self.simulator.load_episode(b, self.simulator.tape_seed(np.random.default_rng([seed, b])))
        self._rows = np.arange(episodes)
        self.simulator.start(self._rows)
        self.copies = Copies(self.simulator, episodes, SIDE_BY_SIDE, spec.episode.steps)

    @property
    def world(self) -> World:
        """The compiled world of the scenario."""
        return self.simulator.world

    def returns(self, targets: list[Target]) -> npt.NDArray[np.float64]:
        """Mean return of each of up to SIDE_BY_SIDE placements."""
        copies, state = self.copies, self.copies.state
        copies.load(self._rows, truth=True)
        for index in range(SIDE_BY_SIDE):
            target = targets[min(index, len(targets) - 1)]
            held = self.world.start_phase[0]
            disk = np.where(held >= ON_DISK, ON_DISK, ABSENT)
            state.phase[index::SIDE_BY_SIDE] = np.where(target.replicas, WARM, disk)
            state.fetch_left_mb[index::SIDE_BY_SIDE] = 0
            state.load_left_ms[index::SIDE_BY_SIDE] = 0
            state.gpus_used[index::SIDE_BY_SIDE] = (target.replicas * self.world.replica_gpus[0]).sum(axis=0)
            state.role_ms[index::SIDE_BY_SIDE] = np.where(target.roles, 0, -1)
        rewards = copies.run(np.zeros(copies.batch, np.int64), idle).sum(axis=1)
        return rewards.reshape(-1, SIDE_BY_SIDE).mean(axis=0)[: len(targets)]


def neighbour(target: Target, world: World, rng: np.random.Generator) -> Target:
    """A random placement that fits and differs by one replica or role, which is added, removed or moved."""
    models, sites = target.replicas.shape
    while True:
        replicas, roles = target.replicas.copy(), target.roles.copy()
        row = int(rng.integers(models + 1))
        table, line = (replicas, row) if row < models else (roles, int(rng.integers(ROLES)))
        s = int(rng.integers(sites))
        if table is replicas and not table[line, s] and rng.random() < 0.3:
            replicas[:, s] = False  # to make room for the new replica
        table[line, s] = ~table[line, s]
        there = np.flatnonzero(table[line] & (np.arange(sites) != s))
        if rng.random() < 0.5 and table[line, s] and len(there):
            table[line, rng.choice(there)] = False
        trial = Target(replicas, roles)
        if world.site_valid[0, s] and fits(world, trial) and replicas.any(axis=1).all():
            return trial


def best_static(
    spec: ScenarioSpec, *, start: Target | None = None, rounds: int = 60, episodes: int = 6, seed: int = 0
) -> Target:
    """The placement that local search finds from `start`, or from the scenario's own start.

    In each round the best of SIDE_BY_SIDE random neighbours takes the place of the present one, if it is better.

    Raises ValueError for a scenario without a fixed fleet.
    """
    pricing, rng = Pricing(spec, episodes, seed), np.random.default_rng(seed)
    best = starting(pricing.world) if start is None else start
    value = pricing.returns([best])[0]
    for _ in range(rounds):
        trials = [neighbour(best, pricing.world, rng) for _ in range(SIDE_BY_SIDE)]
        values = pricing.returns(trials)
        if values.max() > value:
            best, value = trials[int(values.argmax())], values.max()
    pricing.simulator.close()
    return best
