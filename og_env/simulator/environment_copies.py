"""Copies of environments that run ahead: what an action brings over the next steps, without touching the episode.

A copy reads a tape of its own: the nominal forecast (expected demand, present outages go on, no new ones) or, for a
reference that no policy can be, what will really happen. Worlds are shared with the source, so a copy is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.kernel.arrays import METRICS, TERMS, Memo, Output, Scratch, State, Tape, World
from og_env.kernel.views import allocate, bind
from og_env.observation.fields import Slices, column
from og_env.planner.expected_gain import THRESHOLD
from og_env.simulator import compiled_step

Indices = npt.NDArray[np.int64]
Choice = Callable[[npt.NDArray[np.int32], npt.NDArray[np.float32]], Indices]
"""from offers [B, P] and their gains [B, P, 5] to actions [B]: 0 does nothing, i takes offer i - 1"""

NO_LEVELS = np.zeros((0, 0), np.float32)
NO_MASK = np.zeros((0, 0), np.int8)
OFFSETS = np.full(16, -1, np.int64)
"""of an observation that is not written"""
EPISODE_LEFT = column("globals", "episode_left")
"""a copy's tape ends sooner"""


class Outlook(NamedTuple):
    """What candidate actions would do: rewards [A, H], terms [A, H, 6] and metrics [A, H, Q] by TERMS and METRICS."""

    rewards: np.ndarray
    terms: np.ndarray
    metrics: np.ndarray

    def returns(self) -> np.ndarray:
        """Sum of rewards [A]."""
        return self.rewards.sum(axis=1)


class Source(NamedTuple):
    """What a simulator lends: its arrays, and sizes with room for offers even where it has none."""

    sizes: dict[str, int]
    world: World
    tape: Tape
    state: State
    output: Output


def idle(offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
    """Does nothing."""
    return np.zeros(len(offer), np.int64)


def operations_of(offer: npt.NDArray[np.int32], chosen: Indices) -> Indices:
    """Operations [B] of choices among offers [B, P]: 0 does nothing, i takes offer i - 1."""
    taken = offer[np.arange(len(offer)), np.maximum(chosen - 1, 0)]
    return np.where(chosen > 0, taken, 0).astype(np.int64)


class Copies:
    """K copies each of up to E environments with room for H steps. `load` puts environments in, `run` steps them all;
    `batch` copies are loaded, the first ones in the arrays."""

    def __init__(
        self, source: Source, environments: int, copies: int, horizon: int, observed: Slices | None = None
    ) -> None:
        """observed: where a flat observation has what, if `follow` is to read `observation` [B, O]."""
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}; it must be 1 or more")
        self.source, self.environments, self.copies, self.horizon = source, environments, copies, horizon
        most = environments * copies
        sizes = source.sizes | {"B": most, "T": horizon + 1, "C": 1}
        self.tape: Tape = allocate(Tape, sizes)
        self.state: State = allocate(State, sizes)
        self.output: Output = allocate(Output, sizes)
        self._scratch: Scratch = allocate(Scratch, sizes)
        self._memo: Memo = allocate(Memo, sizes)
        self.table = bind(sizes, source.world, self.tape, self.state, self.output, self._scratch, self._memo)
        self.offsets = OFFSETS if observed is None else observed.offsets
        self.observation = np.zeros((most, 0 if observed is None else observed.width), np.float32)
        self.batch = most
        self._passed = np.zeros(most, np.int32)
        self._left = np.zeros(most, np.int64)

    def load(self, rows: npt.NDArray[np.integer], *, truth: bool = False) -> None:
        """Put environments `rows` in, K copies of each side by side, with the forecast or the true tape ahead.

        Raises ValueError for more than E of them."""
        source, state, count = self.source, self.state, len(rows) * self.copies
        if len(rows) > self.environments:
            raise ValueError(f"{len(rows)} environments for copies of {self.environments}")
        index = np.repeat(rows, self.copies)
        for target, values in zip(state, source.state, strict=True):
            np.take(values, index, axis=0, out=target[:count])
        offers = source.output.offer.shape[1]
        self.output.offer[:count, :offers] = source.output.offer[index]
        self.output.offer_gain[:count, :offers] = source.output.offer_gain[index]
        self._memo.known[:count] = 0
        self._memo.dying[:count] = 0
        passed = state.step[:count].copy()
        state.step[:count] = 0
        state.attack_until[:count] -= passed
        state.attack_ready[:count] = state.attack_ready[:count] - passed if truth else np.iinfo(np.int32).max
        last = source.tape.attack.shape[1] - 1
        self.batch, self._passed, self._left = count, passed, last - passed
        ahead = np.minimum(source.state.step[rows][:, None] + np.arange(self.horizon + 1), last)
        if truth:
            self._true(rows, ahead)
        else:
            self._forecast(rows)
        day = source.world.diurnal.shape[1]
        self.tape.start_step[:count] = (source.tape.start_step[index] + passed) % day

    def unload(self, rows: npt.NDArray[np.integer], state: State, output: Output) -> None:
        """Write the copies, one of each environment, to `rows` of a batch that reads the source's tape."""
        index, count = np.asarray(rows), self.batch
        for target, values in zip(state, self.state, strict=True):
            target[index] = values[:count]
        output.offer[index] = self.output.offer[:count]
        output.offer_gain[index] = self.output.offer_gain[:count]
        for moment in (state.step, state.attack_until, state.attack_ready):
            moment[index] += self._passed

    def _true(self, rows: npt.NDArray[np.integer], ahead: npt.NDArray[np.integer]) -> None:
        """Rows [E, H + 1] of the source's tape, the last one again beyond the end of the episode."""
        for name in ("regional", "model", "signal", "attack", "outages"):
            values = getattr(self.source.tape, name)[rows[:, None], ahead]
            getattr(self.tape, name)[: self.batch] = np.repeat(values, self.copies, axis=0)
        status = self.source.tape.status_at(rows[:, None], ahead)
        self.tape.write_status(np.repeat(status, self.copies, axis=0), slice(self.batch))

    def _forecast(self, rows: npt.NDArray[np.integer]) -> None:
        """Expected demand from the present one on, status as it is."""
        source, tape, count = self.source, self.source.tape, self.batch
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
        self.tape.attack[:count] = 0

    def greedy(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        """The built-in autoscaler's choice: the largest gain, where it is above the scenario's threshold."""
        gains = np.where(offer != 0, gain[:, :, 0], -np.inf)
        least = self.source.world.planner[self.state.world[: len(offer)], THRESHOLD]
        return np.where(gains.max(axis=1) > least, gains.argmax(axis=1) + 1, 0)

    def run(
        self,
        first: Indices,
        follow: Choice,
        *,
        levels: npt.NDArray[np.float32] | None = None,
        every: int = 1,
        offers_after: bool = False,
        record: Outlook | None = None,
    ) -> npt.NDArray[np.float64]:
        """Rewards [batch, H] of taking offers `first` [batch] (0 nothing), then what `follow` chooses in every
        `every`-th step. Steps beyond the end of the episode count 0. `levels` are of the knobs, from the first step on.
        offers_after: find the offers after the last step as well."""
        rewards, count = np.zeros((self.batch, self.horizon)), self.batch
        chosen = first.astype(np.int64)
        steps = min(self.horizon, int(self._left.max()))
        for i in range(steps):
            if i > 0:
                acts = follow is not idle and i % every == 0
                offer, gain = self.output.offer[:count], self.output.offer_gain[:count]
                chosen = follow(offer, gain) if acts else np.zeros_like(chosen)
            use = levels if levels is not None and i == 0 else NO_LEVELS
            acts_next = follow is not idle and (i + 1) % every == 0 and i + 1 < steps
            proposes = acts_next or (offers_after and i + 1 == steps)
            mode = compiled_step.PROPOSALS if proposes else compiled_step.OPERATIONS
            actions = chosen if proposes else self.operations(chosen)
            seen = self.observation if acts_next else NO_LEVELS
            compiled_step.ENTRIES[mode](self.table, 0, count, 0, mode, actions, use, seen, self.offsets, NO_MASK)
            if acts_next and seen.shape[1]:
                left = self._left[:count] - 1 - i
                seen[:count, EPISODE_LEFT] = np.maximum(left, 0) / (left + self._passed[:count] + 1 + i)
            rewards[:, i] = self.output.reward[:count]
            if record is not None:
                record.terms[:, i] = self.output.terms[:count]
                record.metrics[:, i] = self.output.metrics[:count]
        return np.where(np.arange(self.horizon) < self._left[:, None], rewards, 0.0)

    def operations(self, chosen: Indices) -> Indices:
        """Operations of offers [batch]."""
        return operations_of(self.output.offer[: self.batch], chosen)

    def try_operations(self, operations: Indices) -> Indices:
        """Put operations [batch] in the place of the first offers; returns what takes them."""
        self.output.offer[: self.batch, 0] = operations
        return (operations > 0).astype(np.int64)


def outlook(copies: Copies, first: Indices, follow: Choice, levels: npt.NDArray[np.float32] | None = None) -> Outlook:
    """Everything that `run` meets on the way."""
    shape = (copies.batch, copies.horizon)
    result = Outlook(np.zeros(shape), np.zeros((*shape, len(TERMS))), np.zeros((*shape, len(METRICS))))
    return result._replace(rewards=copies.run(first, follow, levels=levels, record=result))
