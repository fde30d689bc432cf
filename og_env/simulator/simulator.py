"""A batch of episodes in memory: worlds, tapes, states and the calls that step them. Both environments stand on it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from og_env.dynamics import operations
from og_env.kernel.arrays import GROUPS, METRICS, Memo, Output, Scratch, State, Tape, World
from og_env.kernel.memory import CopiedWhole, Table, allocate
from og_env.observation.buffers import Buffer, BufferPool
from og_env.observation.fields import Slices, slices
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import compiled_step
from og_env.simulator.room import check_room
from og_env.simulator.settings import FLAT_TABLES, SPLITS, Settings, checked
from og_env.simulator.steered_providers import most_steered, provider_sites
from og_env.tape.draw import NOTHING, Scripted, draw, draw_row, tape_world
from og_env.tape.reward_weights import drawn_weights
from og_env.world import CompiledWorld, compile_world, sizes_of
from og_env.world.scarcity import has_scarcity

SPLIT_SHIFT = 60
"""a tape's seed carries its split above this bit, so that splits share no tape"""
NO_SEED = 2**64 - 1
"""in place of a seed: no episode was drawn"""

DRAWN_BY_ONE = 8
"""episodes so few that one thread draws them"""
THREADED_CELLS = 6_000
"""environments x sites x models in a call from which on threads pay (about 0.3 ms of work)"""
PART_CELLS = 3_000
"""environments x sites x models that a thread takes at a time, at least"""
PARTS = 16
"""slices that each thread takes of a batch that is large enough"""

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class Simulator(CopiedWhole):
    """B environments of one scenario, and the arrays of their worlds, tapes, states and outputs.

    `world`, `tape`, `state` and `output` are the arrays of `og_env.kernel.arrays`, allocated once and changed in place:
    `state.phase` is int8 [B, M, N], `output.offer` int32 [B, P]. `sizes` gives the size of every dimension letter,
    `compiled` and `world_of` the scenarios behind the arrays. `observation` float32 [B, O] and `mask` int8 [B, V] (or
    [B, 1 + P]) are those of the last step. `providers` float32 [W, K, N] has 1 where a provider that Joint steers with
    steering="domains" has a site. `clock` says which decisions
    move the clock: BY_SCENARIO, where the scenario's number of operations a step says it, STANDING or MOVING. `seeds`
    uint64 [B] are the tape seeds of the episodes. `after_load` is called with the simulator and every environment whose
    episode has been drawn, and may change its world and tape; None leaves them as they are. Copies and pickles have arrays
    of their own, and threads.
    """

    def __init__(
        self, scenario: Any, batch: int, settings: Settings, threads: int = 1, *, single: bool = False
    ) -> None:
        """Make room for a batch; ValueError for a wrong scenario or setting.

        single: hand out the one row of observation and mask, not a batch.
        """
        settings = checked(settings)
        self.spec: ScenarioSpec = loading.load(scenario)
        self.batch, self.settings, self.threads = batch, settings, threads
        self.random_fleet = self.spec.fleet == "random"
        self.random_weights = self.spec.reward.weights == "random"
        self.own_worlds = self.random_fleet or self.random_weights
        compiled = compile_world(
            loading.resolve(self.spec), risk_weight=settings.risk_weight, sizes=sizes_of(self.spec)
        )
        check_room(compiled.sizes, batch, own_worlds=self.own_worlds, threads=threads)
        self.compiled: list[CompiledWorld] = [compiled] * (batch if self.own_worlds else 1)
        self.tape_worlds = [tape_world(compiled)] * len(self.compiled)
        places = most_steered(self.spec, compiled) if settings.steering == "domains" else 0
        self.providers = np.stack([provider_sites(compiled, places)] * len(self.compiled))
        self.mode = self._mode()
        self.clock = compiled_step.BY_SCENARIO
        self.after_load: Callable[[Simulator, int], None] | None = None
        looks = not settings.flatten or self.mode == compiled_step.PROPOSALS or bool(self.spec.failures.hidden)
        self.sizes = compiled.sizes | {
            "W": len(self.compiled),
            "B": batch,
            "P": 0 if self.mode == compiled_step.OPERATIONS else settings.proposals,
            "H": compiled.sizes["F"] if looks else 0,
            "Q": len(METRICS),
            "C": 1,
            "V": operations.count(compiled.sizes["N"], compiled.sizes["M"]),
        }
        self.slices = self._slices()
        self.cuts = self._cuts()
        self._allocate(single)
        if not self.random_fleet:
            for index in range(len(self.compiled)):
                self._place_world(index, compiled)
        self.threaded_cells = THREADED_CELLS
        self.cells = batch * self.sizes["N"] * self.sizes["M"]
        self.seeds = np.full(batch, NO_SEED, np.uint64)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __getstate__(self) -> dict[str, Any]:
        """All but the threads, which a copy starts anew; where they are stopped, they stay so."""
        return self.__dict__ | {"pool": self.pool is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.pool = ThreadPoolExecutor(self.threads) if state["pool"] else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Simulator:
        """A simulator with arrays of its own; compiled scenarios, which nobody changes, are shared."""
        for part in (self.spec, *self.compiled, *self.tape_worlds):
            memo[id(part)] = part
        result = memo[id(self)] = type(self).__new__(type(self))
        result.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return result

    def _mode(self) -> int:
        if self.settings.task == "routing":
            return compiled_step.AUTOSCALED
        return compiled_step.PROPOSALS if self.settings.interface == "proposals" else compiled_step.OPERATIONS

    def _slices(self) -> Slices:
        interface = "proposals" if self.settings.interface == "proposals" else "operations"
        tables = FLAT_TABLES[interface]
        if not self.settings.flatten:
            tables = ("globals", "models", "sites", "regions", "domains")
            tables += ("proposals",) if interface == "proposals" else ()
            if self.has_scarcity:
                tables += ("supply", "offer_supply") if interface == "proposals" else ("supply",)
        return slices(self.sizes, tables)

    @property
    def has_scarcity(self) -> bool:
        """Whether the observation has the tables of supply besides."""
        return has_scarcity(self.spec, self.compiled[0].resolved)

    def _cuts(self) -> list[tuple[str, int, int, tuple[int, ...]]]:
        """Name, first column, last column + 1 and shape of every table of a flat observation."""
        result: list[tuple[str, int, int, tuple[int, ...]]] = []
        first = 0
        for name, shape in self.slices.shapes.items():
            last = first + math.prod(shape)
            result.append((name, first, last, shape))
            first = last
        return result

    def _allocate(self, single: bool) -> None:
        groups = [allocate(layout, self.sizes) for layout in GROUPS]
        self.world: World = groups[0]
        self.tape: Tape = groups[1]
        self.state: State = groups[2]
        self.output: Output = groups[3]
        self.memo: Memo = groups[5]
        scratches: list[Scratch] = [allocate(Scratch, self.sizes) for _ in range(self.threads)]
        self.thread_tables = [Table(self.sizes, *groups[:4], scratch, self.memo) for scratch in scratches]
        masked = {compiled_step.OPERATIONS: self.sizes["V"], compiled_step.PROPOSALS: 1 + self.settings.proposals}
        choices = masked.get(self.mode, 0)
        self.buffers = BufferPool(self.batch, self.slices.width, choices, self.slices.shapes, single=single)
        self.no_levels = np.zeros((self.batch, 0), np.float32)
        if self.own_worlds:
            self.state.world[:] = np.arange(self.batch)

    def _place_world(self, index: int, compiled: CompiledWorld) -> None:
        for target, source in zip(self.world, compiled.arrays, strict=True):
            target[index] = source[0]

    def tape_seed(self, generator: np.random.Generator) -> int:
        """Draw the tape seed of a next episode, in the settings' split."""
        return int(generator.integers(1 << SPLIT_SHIFT)) | (SPLITS.index(self.settings.split) << SPLIT_SHIFT)

    @property
    def table(self) -> Indices:
        """The table of the first thread."""
        return self.thread_tables[0].words

    @property
    def observation(self) -> Floats:
        """The flat observations [B, O] of the last step."""
        return self.buffers.current.observation

    @property
    def mask(self) -> npt.NDArray[np.int8]:
        """The masks int8 [B, V] or [B, 1 + P] of the last step."""
        return self.buffers.current.mask

    def load_episode(self, b: int, seed: int, scripted: Scripted = NOTHING) -> None:
        """Draw the episode of a tape seed into environment b.

        A new fleet and new weights of the reward are drawn where the scenario asks for them.
        """
        compiled_step.prepare(self.mode, draw_row)
        self.load_world(b, seed)
        draw(self.tape, b, seed, self.tape_worlds[self.state.world[b]], scripted)
        if self.after_load is not None:
            self.after_load(self, b)

    def load_world(self, b: int, seed: int) -> None:
        """Make the world of environment b that of a tape seed, where the scenario draws fleets or weights."""
        self.seeds[b] = seed
        if self.random_fleet:
            resolved = loading.resolve(self.spec, fleet_seed=seed)
            compiled = compile_world(resolved, risk_weight=self.settings.risk_weight, sizes=self.compiled[b].sizes)
            self.compiled[b] = compiled
            self.tape_worlds[b] = tape_world(compiled)
            self._place_world(b, compiled)
            self.providers[b] = provider_sites(compiled, self.providers.shape[1])
        if self.random_weights:
            self.world.weights[b] = drawn_weights(self.spec.reward, seed)

    def load_episodes(self, rows: Indices, seeds: Sequence[int], scripted: Scripted = NOTHING) -> None:
        """Draw the episodes of tape seeds into environments `rows`, on all threads where fleets are fixed."""
        if self.pool is None or self.random_fleet or len(rows) < DRAWN_BY_ONE:
            for b, seed in zip(rows, seeds, strict=True):
                self.load_episode(int(b), seed, scripted)
            return
        compiled_step.prepare(self.mode, draw_row)  # once, not by each thread
        parts = iter(range(len(rows)))

        def work(thread: int) -> None:
            for i in parts:
                self.load_episode(int(rows[i]), seeds[i], scripted)

        self._work_together(self.pool, work)

    def renew(self, *, keep: bool = False) -> Buffer:
        """Take other arrays for observations and masks, which nobody else holds; keep: with the last values."""
        return self.buffers.renew(keep=keep)

    def start(self, rows: Indices) -> None:
        """Begin the loaded episodes of environments `rows`."""
        begin = np.full(self.batch, compiled_step.BEGIN, np.int64)
        if len(rows) == self.batch:
            self.advance(begin)
            return
        for b in rows:
            self.advance_slice(b, b + 1, 0, begin, self.no_levels)

    def advance(self, actions: Indices, levels: Floats | None = None, site_levels: Floats | None = None) -> None:
        """Step all environments by actions int64 [B], operations or offers by interface, and levels float32.

        They are of the knobs, [B, 5], and of the sites, [B, N]; without them, what is in force stays. Observations and
        masks are written to the current arrays.
        """
        levels = self.no_levels if levels is None else levels
        if self.pool is None or self.cells < self.threaded_cells:
            self.advance_slice(0, self.batch, 0, actions, levels, site_levels)
            return
        size = max(self.batch // (PARTS * self.threads), PART_CELLS * self.batch // self.cells, 1)
        parts = iter(range(0, self.batch, size))

        def work(thread: int) -> None:
            for first in parts:
                self.advance_slice(first, min(first + size, self.batch), thread, actions, levels, site_levels)

        self._work_together(self.pool, work)

    def _work_together(self, pool: ThreadPoolExecutor, work: Callable[[int], None]) -> None:
        """Call `work` with its number on every thread, this one included.

        It takes part after part until none is left, so a thread that starts late or is held up costs one part at most.
        """
        calls = [pool.submit(work, thread) for thread in range(1, self.threads)]
        work(0)
        for call in calls:
            if not call.cancel():
                call.result()

    def advance_slice(
        self, first: int, stop: int, thread: int, actions: Indices, levels: Floats, site_levels: Floats | None = None
    ) -> None:
        """Step environments first to stop - 1 alone, with the scratch memory of a thread; see `advance`."""
        buffer = self.buffers.current
        compiled_step.ENTRIES[self.mode](
            self.thread_tables[thread].words,
            first,
            stop,
            0,
            self.mode,
            self.clock,
            actions,
            levels,
            self.no_levels if site_levels is None else site_levels,
            buffer.observation,
            self.slices.offsets,
            buffer.mask,
        )

    @property
    def moved(self) -> npt.NDArray[np.bool_]:
        """Whether the clock moved in the last call, bool [B]; true as well where an episode has begun."""
        return self.state.decisions == 0

    def tables(self, flat: Floats) -> dict[str, Floats]:
        """Views of a flat observation [..., O] by table, [..., rows, columns]."""
        front = flat.shape[:-1]
        return {name: flat[..., first:last].reshape(front + shape) for name, first, last, shape in self.cuts}

    def world_of(self, b: int) -> CompiledWorld:
        """The compiled scenario of environment b, whose names `world_of(b).resolved` has."""
        return self.compiled[self.state.world[b]]

    def close(self) -> None:
        """Stop the threads."""
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None
