"""Copies of environments that run ahead: what an action brings over the next steps, without touching the episode.

A copy reads a tape of its own: the nominal forecast (expected demand, present outages go on, no new ones) or, for a
reference that no policy can be, what will really happen. Worlds are shared with the source, so a copy is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_env import advance
from og_env.binding import allocate, bind
from og_env.layout import METRICS, TERMS, Memo, Output, Scratch, State, Tape, World
from og_env.nominal import THRESHOLD

Indices = npt.NDArray[np.int64]
Choice = Callable[[npt.NDArray[np.int32], npt.NDArray[np.float32]], Indices]
"""from offers [B, P] and their gains [B, P, 5] to actions [B]: 0 does nothing, i takes offer i - 1"""

NO_LEVELS = np.zeros((0, 0), np.float32)
OFFSETS = np.full(16, -1, np.int64)
"""of an observation that is not written"""


class Outlook(NamedTuple):
    """What candidate actions would do: rewards [A, H], terms [A, H, 6] and metrics [A, H, Q] by TERMS and METRICS."""

    rewards: np.ndarray
    terms: np.ndarray
    metrics: np.ndarray

    def returns(self) -> np.ndarray:
        """Sum of rewards [A]."""
        return self.rewards.sum(axis=1)


class Source(NamedTuple):
    """What a simulator lends: its arrays and sizes."""

    sizes: dict[str, int]
    world: World
    tape: Tape
    state: State
    output: Output


def idle(offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
    """Does nothing."""
    return np.zeros(len(offer), np.int64)


class Copies:
    """E x K copies with room for H steps. `load` puts environments in, `run` steps them all."""

    def __init__(self, source: Source, environments: int, copies: int, horizon: int) -> None:
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}; it must be 1 or more")
        self.source, self.environments, self.copies, self.horizon = source, environments, copies, horizon
        batch = environments * copies
        sizes = source.sizes | {"B": batch, "T": horizon + 1, "C": 1}
        self.tape: Tape = allocate(Tape, sizes)
        self.state: State = allocate(State, sizes)
        self.output: Output = allocate(Output, sizes)
        self._scratch: Scratch = allocate(Scratch, sizes)
        self._memo: Memo = allocate(Memo, sizes)
        self.table = bind(sizes, source.world, self.tape, self.state, self.output, self._scratch, self._memo)
        self.batch = batch
        self._left = np.zeros(batch, np.int64)
        self._nothing = np.zeros((batch, 0), np.float32)
        self._no_mask = np.zeros((batch, 0), np.int8)

    def load(self, rows: npt.NDArray[np.integer], *, truth: bool = False) -> None:
        """Put environments `rows` [E] in, K copies of each side by side, with the forecast or the true tape ahead."""
        source = self.source
        index = np.repeat(rows, self.copies)
        for target, values in zip(self.state, source.state, strict=True):
            np.take(values, index, axis=0, out=target)
        np.take(source.output.offer, index, axis=0, out=self.output.offer)
        np.take(source.output.offer_gain, index, axis=0, out=self.output.offer_gain)
        self._memo.known[:] = 0
        self._memo.dying[:] = 0
        passed = self.state.step.copy()
        self.state.step[:] = 0
        self.state.attack_until[:] -= passed
        self.state.attack_ready[:] = self.state.attack_ready - passed if truth else np.iinfo(np.int32).max
        last = source.tape.attack.shape[1] - 1
        self._left[:] = last - passed
        ahead = np.minimum(source.state.step[rows][:, None] + np.arange(self.horizon + 1), last)
        if truth:
            self._true(rows, ahead)
        else:
            self._forecast(rows)
        day = source.world.diurnal.shape[1]
        self.tape.start_step[:] = (source.tape.start_step[index] + passed) % day

    def _true(self, rows: npt.NDArray[np.integer], ahead: npt.NDArray[np.integer]) -> None:
        """Rows [E, H + 1] of the source's tape, the last one again beyond the end of the episode."""
        for name in ("regional", "model", "status", "signal", "attack", "outages"):
            values = getattr(self.source.tape, name)[rows[:, None], ahead]
            getattr(self.tape, name)[:] = np.repeat(values, self.copies, axis=0)

    def _forecast(self, rows: npt.NDArray[np.integer]) -> None:
        """Expected demand from the present one on, status as it is."""
        source, tape = self.source, self.source.tape
        step, day = source.state.step[rows], source.world.diurnal.shape[1]
        hours = (tape.start_step[rows] + step)[:, None] + np.arange(self.horizon + 1)
        curve = source.world.diurnal[source.state.world[rows][:, None], hours % day]
        regional = tape.regional[rows, step][:, None] * curve / np.maximum(curve[:, :1], 1e-3)
        self.tape.regional[:] = np.repeat(regional, self.copies, axis=0)
        for name in ("model", "signal", "outages"):
            present = getattr(tape, name)[rows, step]
            getattr(self.tape, name)[:] = np.repeat(present, self.copies, axis=0)[:, None]
        self.tape.status[:] = np.repeat(source.state.status[rows], self.copies, axis=0)[:, None]
        self.tape.attack[:] = 0

    def greedy(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        """The built-in autoscaler's choice: the largest gain, where it is above the scenario's threshold."""
        gains = np.where(offer != 0, gain[:, :, 0], -np.inf)
        least = self.source.world.planner[self.state.world, THRESHOLD]
        return np.where(gains.max(axis=1) > least, gains.argmax(axis=1) + 1, 0)

    def run(
        self,
        first: Indices,
        follow: Choice,
        *,
        levels: npt.NDArray[np.float32] | None = None,
        every: int = 1,
        record: Outlook | None = None,
    ) -> npt.NDArray[np.float64]:
        """Rewards [E K, H] of taking offers `first` [E K] (0 nothing), then what `follow` chooses in every `every`-th
        step. Steps beyond the end of the episode count 0. `levels` are of the knobs, from the first step on."""
        rewards = np.zeros((self.batch, self.horizon))
        chosen = first.astype(np.int64)
        steps = min(self.horizon, int(self._left.max()))
        for i in range(steps):
            if i > 0:
                acts = follow is not idle and i % every == 0
                chosen = follow(self.output.offer, self.output.offer_gain) if acts else np.zeros_like(chosen)
            use = levels if levels is not None and i == 0 else self._nothing
            proposes = follow is not idle and (i + 1) % every == 0 and i + 1 < steps
            mode = advance.PROPOSALS if proposes else advance.OPERATIONS
            actions = chosen if proposes else self.operations(chosen)
            advance.ENTRIES[mode](
                self.table, 0, self.batch, 0, mode, actions, use, self._nothing, OFFSETS, self._no_mask
            )
            rewards[:, i] = self.output.reward
            if record is not None:
                record.terms[:, i] = self.output.terms
                record.metrics[:, i] = self.output.metrics
        return np.where(np.arange(self.horizon) < self._left[:, None], rewards, 0.0)

    def operations(self, chosen: Indices) -> Indices:
        """Operations of offers [E K]."""
        taken = self.output.offer[np.arange(self.batch), np.maximum(chosen - 1, 0)]
        return np.where(chosen > 0, taken, 0).astype(np.int64)

    def try_operations(self, operations: Indices) -> Indices:
        """Put operations [E K] in the place of the first offers; returns what takes them."""
        self.output.offer[:, 0] = operations
        return (operations > 0).astype(np.int64)


def outlook(copies: Copies, first: Indices, follow: Choice, levels: npt.NDArray[np.float32] | None = None) -> Outlook:
    """Everything that `run` meets on the way."""
    shape = (copies.batch, copies.horizon)
    result = Outlook(np.zeros(shape), np.zeros((*shape, len(TERMS))), np.zeros((*shape, len(METRICS))))
    return result._replace(rewards=copies.run(first, follow, levels=levels, record=result))
