"""The base policy of rollouts: `greedy_tuned` on the raw gains of offers, for all copies in a few array operations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from og_env.layout import ABSENT, DOWN, FETCHING, ON_DISK, STAGING, STORE, State, World
from og_env.lookahead import Indices
from og_env.proposals import REMOVALS


class TunedGreedy:
    """Values of offers by tuned constants: the parts' weights, what a change must gain, and the stores' queue.

    The terms for alarm and reserve are left out; the forecast of a rollout shows what they guess at.
    """

    def __init__(self, constants: Mapping[str, float], world: World, state: State, offers: int) -> None:
        self.world, self.state, self.congestion = world, state, constants["congestion"]
        self.parts = np.array([1.0, constants["rent"], constants["risk"]], np.float32)
        first = offers - int(offers * REMOVALS)
        self.least = np.where(np.arange(offers) < first, constants["add"], constants["remove"])

    def values(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Reward per step [B, P] of taking each offer; -inf where there is none."""
        value = gain[:, :, 1:4] @ self.parts - self.least
        if self.congestion:
            value = value - self.congestion * self._fetches(offer) * self._queue()[:, None]
        return np.where(offer != 0, value, -np.inf)

    def choose(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        """Actions [B]: the offer of the highest value above 0."""
        values = self.values(offer, gain)
        return np.where(values.max(axis=1) > 0, values.argmax(axis=1) + 1, 0)

    def _fetches(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether each offer [B, P] fetches weights: a launch or a stage of a model that is not on the site's disk."""
        models, sites = self.state.phase.shape[1:]
        index = np.maximum(offer - 1, 0)
        verb = index // (models * sites)
        place = index % (models * sites)
        phase = np.take_along_axis(self.state.phase.reshape(len(offer), -1), place, axis=1)
        absent = (phase == ABSENT) | (phase == STAGING)
        return (offer > 0) & ((verb == 0) | (verb == 2)) & absent & (phase < ON_DISK)

    def _queue(self) -> npt.NDArray[np.float64]:
        """Fetches under way over twice the full-speed streams of the live stores, at most 1, as observations have it."""
        state = self.state
        fetches = ((state.phase == FETCHING) | (state.phase == STAGING)).sum(axis=(1, 2))
        live = ((state.role_ms[:, STORE] == 0) & ((state.status & DOWN) == 0)).sum(axis=1)
        full = self.world.store_streams[state.world] * np.maximum(live, 1)
        return np.minimum(fetches / (2.0 * full), 1.0)
