"""The base policy of rollouts: `greedy_tuned` on the raw gains of offers, for all copies in a few array operations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from og_env.actions import LAUNCH, RETIRE, STAGE
from og_env.layout import ABSENT, DOWN, FETCHING, STAGING, STORE, VERIFIER, WARM, State, Tape, World
from og_env.lookahead import Indices
from og_env.proposals import REMOVALS

CALM = 0.3
"""a signal up to which is taken for noise"""
FULL_MARGIN = 0.34
"""live verifiers beyond the quorum over registered ones, where more than two thirds must vote: no fleet has more"""


class TunedGreedy:
    """Values of offers by tuned constants: the parts' weights, what a change must gain, and the stores' queue.

    The reserve's look-ahead is left out: a rollout shows what it guesses at.
    """

    def __init__(self, constants: Mapping[str, float], world: World, tape: Tape, state: State, offers: int) -> None:
        self.world, self.tape, self.state = world, tape, state
        self.congestion, self.alarm, self.quorum = constants["congestion"], constants["alarm"], constants["quorum"]
        self.reserve, self.target = constants["reserve"], constants["target"]
        self.parts = np.array([1.0, constants["rent"], constants["risk"]], np.float32)
        first = offers - int(offers * REMOVALS)
        self.adds = np.arange(offers) < first
        self.least = np.where(self.adds, constants["add"], constants["remove"])

    def values(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Reward per step [B, P] of taking each offer; -inf where there is none."""
        value = gain[:, :, 1:4] @ self.parts - self.least
        if self.congestion:
            value = value - self.congestion * self._fetches(offer) * self._queue()[:, None]
        if self.reserve:
            value = value + self.reserve * self._tightness(offer)
        if self.alarm:
            value = value - self.alarm * self.adds * np.maximum(self._alarms(offer) - CALM, 0)
        if self.quorum:
            value = value + self.quorum * self._short_of_votes()[:, None] * self._verifiers(offer)
        return np.where(offer != 0, value, -np.inf)

    def choose(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        """Actions [B]: the offer of the highest value above 0."""
        values = self.values(offer, gain)
        return np.where(values.max(axis=1) > 0, values.argmax(axis=1) + 1, 0)

    def _fetches(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether each offer [B, P] fetches weights: a launch or a stage of a model that is not on the site's disk."""
        verb, place = self._parts(offer)
        phase = np.take_along_axis(self.state.phase.reshape(len(offer), -1), place, axis=1)
        absent = (phase == ABSENT) | (phase == STAGING)
        return ((verb == LAUNCH) | (verb == STAGE)) & absent

    def _alarms(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Highest signal [B, P] among the visible shared dependencies of each offer's site."""
        world, signal = self.world, self.tape.signal
        level = signal[np.arange(len(offer)), self.state.step] / 127.5 - 0.25
        shared = level.shape[1]
        level = np.where(world.domain_visible[self.state.world, :shared] == 1, level, 0.0)
        level = np.concatenate([np.clip(level, 0, 1), np.zeros((len(offer), 1))], axis=1)
        site = np.maximum(offer - 1, 0) % world.site_domain.shape[1]
        domains = world.site_domain[self.state.world[:, None], site]
        domains = np.where((domains >= 0) & (domains < shared), domains, shared)
        return np.take_along_axis(level, domains.reshape(len(offer), -1), axis=1).reshape(domains.shape).max(axis=2)

    def _short_of_votes(self) -> npt.NDArray[np.float64]:
        """How far the verifiers' margin [B], as observations have it, is from a full one."""
        running = self.state.role_ms[:, VERIFIER] == 0
        registered, live = running.sum(axis=1), (running & ((self.state.status & DOWN) == 0)).sum(axis=1)
        margin = np.clip((live - 2 * registered // 3 - 1) / np.maximum(registered, 1), -1, 1)
        return np.maximum(FULL_MARGIN - margin, 0)

    def _verifiers(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """1 for offers [B, P] that add a verifier, -1 for those that remove one, else 0."""
        sites = self.state.phase.shape[2]
        index = offer - 1 - 3 * self.state.phase.shape[1] * sites
        role = np.where((offer > 0) & (index >= 0), index // sites, -1)
        return np.where(role == 2 * VERIFIER, 1.0, np.where(role == 2 * VERIFIER + 1, -1.0, 0.0))

    def _parts(self, offer: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """What offers [B, P] do (LAUNCH, RETIRE, STAGE; -1 nothing, from 3 on roles) and the place m N + s they do it to."""
        cells = self.state.phase.shape[1] * self.state.phase.shape[2]
        index = np.maximum(offer - 1, 0)
        return np.where(offer > 0, index // cells, -1), index % cells

    def _tightness(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Share of demand times utilisation beyond the target [B, P] of a launch's model; negative for a retirement."""
        state = self.state
        sites = state.phase.shape[2]
        warm = (state.phase == WARM) & ((state.status & DOWN) == 0)[:, None]
        capacity = (self.world.capacity_rps[state.world] * warm).sum(axis=2)
        busy = np.where(capacity > 0, state.model_served_rps / np.maximum(capacity, 1e-6), 0.0)
        share = state.model_demand_rps / np.maximum(state.model_demand_rps.sum(axis=1, keepdims=True), 1e-6)
        tight = share * np.maximum(np.minimum(busy, 1.0) - self.target, 0)
        verb, model = self._parts(offer)
        sign = np.where(verb == LAUNCH, 1.0, np.where(verb == RETIRE, -1.0, 0.0))
        return sign * np.take_along_axis(tight, np.minimum(model // sites, state.phase.shape[1] - 1), axis=1)

    def _queue(self) -> npt.NDArray[np.float64]:
        """Fetches under way over twice the full-speed streams of the live stores, at most 1, as observations have it."""
        state = self.state
        fetches = ((state.phase == FETCHING) | (state.phase == STAGING)).sum(axis=(1, 2))
        live = ((state.role_ms[:, STORE] == 0) & ((state.status & DOWN) == 0)).sum(axis=1)
        full = self.world.store_streams[state.world] * np.maximum(live, 1)
        return np.minimum(fetches / (2.0 * full), 1.0)
