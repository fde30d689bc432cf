"""Copies of environments that run ahead: what an action brings over the next steps, without touching the episode.

A copy reads a tape of its own: the nominal forecast (expected demand, present outages go on, no new ones, every site at
its nominal speed) or, for a reference that no policy can be, what will really happen. Worlds are shared with the
simulator, so a copy is cheap.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import CALM_SPEED, GAIN, LEAVING, PLANNER, SCARCE, TAKEN, Memo, Output, Scratch, State, Tape
from og_env.kernel.memory import CopiedWhole, Table, allocate
from og_env.kernel.random_streams import later_noise
from og_env.observation.fields import column
from og_env.simulator import compiled_step
from og_env.simulator.simulator import Simulator
from og_env.tape.outages_ahead import drawn_status

Indices = npt.NDArray[np.int64]
Offers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Gains = npt.NDArray[np.float32]
Levels = Floats | None
Choice = Callable[[Offers, Gains], Indices]
"""from offers [B, P] and gains [B, P, 4], at the positions of GAIN, to actions [B]: 0 does nothing, i takes offer i - 1"""

NO_LEVELS = np.zeros((0, 0), np.float32)
"""in place of levels of knobs and sites that stay as they are, and of observations that are not written"""
NO_MASK = np.zeros((0, 0), np.int8)
"""in place of masks that are not written"""
OFFSETS = np.full(16, -1, np.int64)
"""of an observation that is not written"""
EPISODE_LEFT = column("globals", "episode_left")
"""column of the one field that depends on the length of the tape, which is shorter in a copy"""


def idle(offer: Offers, gain: Gains) -> Indices:
    """Choose to do nothing, everywhere: actions [B]."""
    return np.zeros(len(offer), np.int64)


def operations_of(offer: Offers, chosen: Indices) -> Indices:
    """Operations [B] of choices [B] among offers [B, P]: 0 does nothing, i takes offer i - 1."""
    taken = offer[np.arange(len(offer)), np.maximum(chosen - 1, 0)]
    return np.where(chosen > 0, taken, 0).astype(np.int64)


class Copies(CopiedWhole):
    """K copies each of up to E environments of a simulator, with room for H steps.

    `load` puts environments in, `run` steps them all. `batch` copies are loaded, the first ones in the arrays `tape`,
    `state`, `output` and `observation`; the copies of an environment lie side by side.
    """

    def __init__(
        self, simulator: Simulator, environments: int, copies: int, horizon: int, *, observed: bool = False
    ) -> None:
        """Make room for copies; observed: write flat observations [B, O] as the simulator's, for a choice to read."""
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}; it must be 1 or more")
        self.simulator, self.environments, self.copies, self.horizon = simulator, environments, copies, horizon
        most = environments * copies
        sizes = simulator.sizes | {"P": simulator.settings.proposals, "B": most, "T": horizon + 1, "C": 1}
        self.tape: Tape = allocate(Tape, sizes)
        self.state: State = allocate(State, sizes)
        self.output: Output = allocate(Output, sizes)
        scratch: Scratch = allocate(Scratch, sizes)
        self._memo: Memo = allocate(Memo, sizes)
        self._table = Table(sizes, simulator.world, self.tape, self.state, self.output, scratch, self._memo)
        self._offsets = simulator.slices.offsets if observed else OFFSETS
        self.observation = np.zeros((most, simulator.slices.width if observed else 0), np.float32)
        self.batch = most
        self.decisions = simulator.spec.episode.operations_per_step
        """decisions that a step has room for"""
        self.passed = np.zeros(most, np.int32)
        """int32 [B] steps that the environments of the loaded copies had done"""
        self._left = np.zeros(most, np.int64)
        self._rows = np.zeros(0, np.int64)

    def load(self, rows: npt.NDArray[np.integer], *, truth: bool = False) -> None:
        """Put environments `rows` in, K copies of each side by side, with the forecast or the true tape ahead.

        Raises ValueError for more than E of them.
        """
        source, state, count = self.simulator, self.state, len(rows) * self.copies
        if len(rows) > self.environments:
            raise ValueError(f"{len(rows)} environments for copies of {self.environments}")
        index = np.repeat(rows, self.copies)
        for target, values in zip(state, source.state, strict=True):
            np.take(values, index, axis=0, out=target[:count])
        offers = source.output.offer.shape[1]
        self.output.offer[:count, :offers] = source.output.offer[index]
        self.output.offer_gain[:count, :offers] = source.output.offer_gain[index]
        self.output.offer_ready_s[:count, :offers] = source.output.offer_ready_s[index]
        self._memo.known[:count] = 0
        self._memo.dying[:count] = 0
        passed = state.step[:count].copy()
        state.step[:count] = 0
        state.attack_until[:count] -= passed
        state.attack_ready[:count] = state.attack_ready[:count] - passed if truth else np.iinfo(np.int32).max
        last = source.tape.attack.shape[1] - 1
        self.batch, self.passed, self._left, self._rows = count, passed, last - passed, rows
        ahead = np.minimum(source.state.step[rows][:, None] + np.arange(self.horizon + 1), last)
        if truth:
            self._true(rows, ahead)
        else:
            self._forecast(rows)
        day = source.world.diurnal.shape[1]
        self.tape.start_step[:count] = (source.tape.start_step[index] + passed) % day

    def load_copies(self, source: Copies, rows: slice) -> None:
        """Put the loaded copies `rows` of `source` in, K copies of each side by side, as they stand, without offers.

        Raises ValueError for more than E of them, or other room for steps.
        """
        number = rows.stop - rows.start
        if number > self.environments or source.horizon != self.horizon:
            raise ValueError(f"{number} copies of {source.horizon} steps for {self.environments} of {self.horizon}")
        count = number * self.copies
        for target, values in zip((*self.state, *self.tape), (*source.state, *source.tape), strict=True):
            target[:count] = np.repeat(values[rows], self.copies, axis=0)
        self._memo.known[:count] = 0
        self._memo.dying[:count] = 0
        self.batch, self._rows = count, source._rows[rows]
        self.passed = np.repeat(source.passed[rows], self.copies)
        self._left = np.repeat(source._left[rows], self.copies)

    def run_plan(self, first: Indices, plan: Indices, site_levels: Levels = None) -> npt.NDArray[np.float64]:
        """Rewards [batch, H] of operations `first` [batch] and then of a plan [E, H, D], the same for all copies of each.

        The plan has D operations for every step of the clock, 0 for none; `first` stands before those of the first step.
        site_levels: float32 [E, H, N] of the sites in each step; None leaves them as they are. Nobody decides anything
        on the way, and no offers are found. Steps beyond the end of the episode count 0.
        """
        rewards, unused = np.zeros((self.batch, self.horizon)), (NO_LEVELS, OFFSETS, NO_MASK)
        compiled_step.prepare(compiled_step.OPERATIONS)

        def carry_out(operations: Indices, clock: int, levels: Floats = NO_LEVELS) -> None:
            words, mode = self._table.words, compiled_step.OPERATIONS
            compiled_step.by_operations(words, 0, self.batch, 0, mode, clock, operations, NO_LEVELS, levels, *unused)

        nothing = np.zeros(self.batch, np.int64)
        for i in range(min(self.horizon, int(self._left.max()))):
            decisions = [np.repeat(plan[:, i, place], self.copies) for place in range(plan.shape[2])]
            for operations in ([first.astype(np.int64)] if i == 0 else []) + decisions:
                if operations.any():
                    carry_out(operations, compiled_step.STANDING)
            levels = NO_LEVELS if site_levels is None else np.repeat(site_levels[:, i], self.copies, axis=0)
            carry_out(nothing, compiled_step.MOVING, levels)
            rewards[:, i] = self.output.reward[: self.batch]
        return np.where(np.arange(self.horizon) < self._left[:, None], rewards, 0.0)

    def _true(self, rows: npt.NDArray[np.integer], ahead: npt.NDArray[np.integer]) -> None:
        """Write the simulator's tape rows [E, H + 1], the last one again beyond the end of the episode."""
        source = self.simulator.tape
        for name in ("regional", "model", "signal", "condition", "attack", "outages", "supply"):
            values = getattr(source, name)[rows[:, None], ahead]
            getattr(self.tape, name)[: self.batch] = np.repeat(values, self.copies, axis=0)
        noise = later_noise(source.noise[rows], ahead[:, 0])
        self.tape.noise[: self.batch] = np.repeat(noise, self.copies)
        status = source.status_at(rows[:, None], ahead)
        self.tape.write_status(np.repeat(status, self.copies, axis=0), slice(self.batch))

    def _forecast(self, rows: npt.NDArray[np.integer]) -> None:
        """Write demand that follows its expected curve from the present on, and the present status in every row.

        Sites have their nominal speed and working telemetry, and the noise of measurements is not the true one.
        """
        source, tape, count = self.simulator, self.simulator.tape, self.batch
        step, day = source.state.step[rows], source.world.diurnal.shape[1]
        hours = (tape.start_step[rows] + step)[:, None] + np.arange(self.horizon + 1)
        curve = source.world.diurnal[source.state.world[rows][:, None], hours % day]
        regional = tape.regional[rows, step][:, None] * curve / np.maximum(curve[:, :1], 1e-3)
        self.tape.regional[:count] = np.repeat(regional, self.copies, axis=0)
        for name in ("model", "signal", "outages"):
            present = getattr(tape, name)[rows, step]
            getattr(self.tape, name)[:count] = np.repeat(present, self.copies, axis=0)[:, None]
        status = np.repeat(source.state.status[rows], self.copies, axis=0)
        self.tape.write_status(status[:, None], slice(count))
        self._forecast_supply(rows)
        self.tape.condition[:count] = CALM_SPEED
        self.tape.noise[:count] = np.repeat(~tape.noise[rows], self.copies)
        self.tape.attack[:count] = 0

    def _forecast_supply(self, rows: npt.NDArray[np.integer]) -> None:
        """Let the present supply last, as far as it is known; what will be withdrawn is so from the next row on."""
        source, count = self.simulator, self.batch
        told = source.world.announces[source.state.world[rows]][:, None] == 1
        known = np.where(told, source.state.supply[rows], source.state.supply[rows] & ~np.uint8(SCARCE))
        later = np.where(known & LEAVING, known & ~np.uint8(LEAVING) | TAKEN, known)
        self.state.supply[:count] = np.repeat(known, self.copies, axis=0)
        self.tape.supply[:count] = np.repeat(later, self.copies, axis=0)[:, None]
        self.tape.supply[:count, 0] = self.state.supply[:count]

    def add_drawn_outages(self, futures: int, generator: np.random.Generator) -> None:
        """Put drawn outages into the loaded forecasts: copy i of an environment sees future i modulo `futures`.

        K is a multiple of `futures`. A future is drawn from the scenario's failure process, given the present alarms
        and what is broken now, so it tells nothing of the tape. Scripted outages are in none.
        """
        source, rows = self.simulator, self.horizon + 1
        drawn = np.zeros((len(self._rows), 1, futures, rows, source.sizes["N"]), np.uint8)
        for place, b in enumerate(self._rows):
            world, step = source.tape_worlds[source.state.world[b]], source.state.step[b]
            seeds = generator.integers(1 << 63, size=futures, dtype=np.uint64)
            drawn[place, 0] = drawn_status(world, source.tape.signal[b, step], source.state.status[b], rows, seeds)
        shape = (len(self._rows), self.copies // futures, *drawn.shape[2:])
        self.tape.write_status(np.broadcast_to(drawn, shape).reshape(self.batch, rows, -1), slice(self.batch))

    def greedy(self, offer: Offers, gain: Gains) -> Indices:
        """Choose as the built-in autoscaler does: the largest gain, where it is above the scenario's threshold."""
        gains = np.where(offer != 0, gain[:, :, GAIN.total], -np.inf)
        least = self.simulator.world.planner[self.state.world[: len(offer)], PLANNER.threshold]
        return np.where(gains.max(axis=1) > least, gains.argmax(axis=1) + 1, 0)

    def run(
        self,
        first: Indices,
        follow: Choice,
        *,
        levels: Levels = None,
        site_levels: Levels = None,
        every: int = 1,
        offers_after: bool = False,
        after_step: Callable[[int], None] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Rewards [batch, H] of taking offers `first` [batch] (0 nothing), then what `follow` chooses.

        An offer leaves the clock where it stands as long as the step has room for another decision, as in the
        environment; `follow` makes it, in the first and in every `every`-th step. Steps beyond the end of the episode
        count 0. levels: float32 [batch, 5] of the knobs, and site_levels: float32 [batch, N] of the sites, from the
        first step on. offers_after: find the offers after the last step as well. after_step: is called with the number
        of every step, once `output` holds what it brought.
        """
        rewards, count = np.zeros((self.batch, self.horizon)), self.batch
        chosen = first.astype(np.int64)
        steps = min(self.horizon, int(self._left.max()))
        for i in range(steps):
            acts = follow is not idle and i % every == 0
            if i > 0:
                offer, gain = self.output.offer[:count], self.output.offer_gain[:count]
                chosen = follow(offer, gain) if acts else np.zeros_like(chosen)
            if acts:
                chosen = self._last_of_step(chosen, follow, i)
            use = tuple(NO_LEVELS if each is None or i > 0 else each for each in (levels, site_levels))
            acts_next = follow is not idle and (i + 1) % every == 0 and i + 1 < steps
            seen = self.observation if acts_next else NO_LEVELS
            self._step(chosen, use, seen, proposes=acts_next or (offers_after and i + 1 == steps))
            if acts_next:
                self._write_left(i + 1)
            rewards[:, i] = self.output.reward[:count]
            if after_step is not None:
                after_step(i)
        return np.where(np.arange(self.horizon) < self._left[:, None], rewards, 0.0)

    def _last_of_step(self, chosen: Indices, follow: Choice, step: int) -> Indices:
        """The last choices [batch] of a step of the clock that `chosen` goes on, after all before have been carried out."""
        offer, gain = self.output.offer[: self.batch], self.output.offer_gain[: self.batch]
        decisions = self.state.decisions[: self.batch]
        room = (chosen > 0) & (decisions + 1 < self.decisions)
        while room.any():
            carried_out = np.where(room, chosen, 0)
            self._step(
                carried_out, (NO_LEVELS, NO_LEVELS), self.observation, proposes=True, clock=compiled_step.STANDING
            )
            self._write_left(step)
            chosen = np.where(room, follow(offer, gain), chosen)
            room &= (chosen > 0) & (decisions + 1 < self.decisions)
        return chosen

    def _write_left(self, step: int) -> None:
        """Write what is left of the episodes to the observations, for a tape is shorter in a copy."""
        if self.observation.shape[1]:
            left = self._left[: self.batch] - step
            share = np.maximum(left, 0) / (left + self.passed[: self.batch] + step)
            self.observation[: self.batch, EPISODE_LEFT] = share

    def _step(
        self,
        chosen: Indices,
        levels: tuple[Floats, ...],
        seen: Floats,
        *,
        proposes: bool,
        clock: int = compiled_step.MOVING,
    ) -> None:
        """Step the loaded copies by offers `chosen` [batch] and levels of knobs and sites.

        Finds no offers for the next step unless it `proposes`. A clock that is STANDING lets no time pass, and 0 changes
        nothing then.
        """
        mode = compiled_step.PROPOSALS if proposes else compiled_step.OPERATIONS
        actions = chosen if proposes else operations_of(self.output.offer[: self.batch], chosen)
        compiled_step.prepare(mode)
        entry = compiled_step.ENTRIES[mode]
        entry(self._table.words, 0, self.batch, 0, mode, clock, actions, *levels, seen, self._offsets, NO_MASK)

    def try_operations(self, operations: Indices) -> Indices:
        """Put operations [batch] in the place of the first offers; returns the actions [batch] that take them."""
        self.output.offer[: self.batch, 0] = operations
        return (operations > 0).astype(np.int64)
