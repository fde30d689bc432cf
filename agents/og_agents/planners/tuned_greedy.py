"""The tuned greedy planner on raw states: a few array operations for all copies that a rollout runs.

`offer_rules.greedy_tuned` is the same planner on observations. Copies may also be played by a policy that reads
observations (`acting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from og_agents.planners.offer_value import TINY, Offers, tuned_value
from og_env.simulator import (
    ABSENT,
    CODES_PER_UNIT,
    DOWN,
    FETCHING,
    GAIN,
    LAUNCH,
    LOADING,
    RETIRE,
    SIGNAL_LOW,
    STAGE,
    STAGING,
    STORE,
    VERBS,
    VERIFIER,
    WARM,
    Choice,
    Copies,
    Indices,
    State,
    Tape,
    World,
    additions_of,
    quorum_of,
)

Act = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], npt.NDArray[np.integer]]
"""a policy as a function from flat observations [B, W] and masks [B, A] to actions [B]"""
ADD_VERIFIER = len(VERBS)
"""number of the first change of a role; changes of roles come after the verbs for models"""


def masks_of(offer: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Masks [B, 1 + P] of offers [B, P]: doing nothing is always possible."""
    return np.concatenate([np.ones((len(offer), 1), np.bool_), offer != 0], axis=1)


def acting(act: Act, copies: Copies) -> Choice:
    """The choice of a policy in copies that write observations for it."""

    def choose(offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        return act(copies.observation[: len(offer)], masks_of(offer)).astype(np.int64)

    return choose


class TunedGreedy:
    """The tuned greedy planner's values of offers, and its choice, from raw states.

    It does not look at the forecast of demand, as the planner on observations does: a rollout plays what is to come.
    """

    def __init__(self, constants: Mapping[str, float], world: World, tape: Tape, state: State, offers: int) -> None:
        self.world, self.tape, self.state = world, tape, state
        self.constants = constants
        self.adds = (np.arange(offers) < additions_of(offers)).astype(np.float64)

    def values(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Value [B, P] of each offer, reward per step; -inf where there is none. B may be fewer, the first environments."""
        if len(offer) < len(self.state.step):
            return self._of_first(len(offer)).values(offer, gain)
        verb, place = self._parts(offer)
        phase = np.take_along_axis(self.state.phase.reshape(len(offer), -1), place, axis=1)
        share, busy, unserved, loading = self._load(place)
        seen = Offers(
            service=gain[:, :, GAIN.service].astype(np.float64),
            cost=gain[:, :, GAIN.cost],
            resilience=gain[:, :, GAIN.resilience],
            adds=self.adds,
            launches=(verb == LAUNCH).astype(np.float64),
            retires=(verb == RETIRE).astype(np.float64),
            fetches=((verb == LAUNCH) | (verb == STAGE)) & ((phase == ABSENT) | (phase == STAGING)),
            verifiers=(verb == ADD_VERIFIER) | (verb == ADD_VERIFIER + 1),
            alarm=self._alarms(offer) if self.constants["alarm"] else np.zeros(1),
            share=share,
            busy=busy,
            unserved=unserved,
            loading=loading,
            queue=self._queue()[:, None],
            margin=self._margin()[:, None],
        )
        return np.where(offer != 0, tuned_value(seen, self.constants), -np.inf)

    def choose(self, offer: npt.NDArray[np.int32], gain: npt.NDArray[np.float32]) -> Indices:
        """Actions [B]: the offer of the highest value above 0."""
        values = self.values(offer, gain)
        return np.where(values.max(axis=1) > 0, values.argmax(axis=1) + 1, 0)

    def _of_first(self, count: int) -> TunedGreedy:
        """The planner for the first `count` environments of the batch."""
        tape, state = Tape(*(v[:count] for v in self.tape)), State(*(v[:count] for v in self.state))
        return TunedGreedy(self.constants, self.world, tape, state, len(self.adds))

    def _alarms(self, offer: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Highest signal [B, P] among the visible shared dependencies of each offer's site."""
        world, signal = self.world, self.tape.signal
        level = signal[np.arange(len(offer)), self.state.step] / CODES_PER_UNIT + SIGNAL_LOW
        shared = level.shape[1]
        level = np.where(world.domain_visible[self.state.world, :shared] == 1, level, 0.0)
        level = np.concatenate([np.clip(level, 0, 1), np.zeros((len(offer), 1))], axis=1)
        site = np.maximum(offer - 1, 0) % world.site_domain.shape[1]
        domains = world.site_domain[self.state.world[:, None], site]
        domains = np.where((domains >= 0) & (domains < shared), domains, shared)
        return np.take_along_axis(level, domains.reshape(len(offer), -1), axis=1).reshape(domains.shape).max(axis=2)

    def _margin(self) -> npt.NDArray[np.float64]:
        """Live verifiers beyond the quorum over registered ones [B]."""
        running = self.state.role_ms[:, VERIFIER] == 0
        registered, live = running.sum(axis=1), (running & ((self.state.status & DOWN) == 0)).sum(axis=1)
        return np.clip((live - quorum_of(registered)) / np.maximum(registered, 1), -1, 1)

    def _parts(self, offer: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """The verb [B, P] and the place [B, P] of each offer.

        A verb is LAUNCH, RETIRE, STAGE, or ADD_VERIFIER and the other changes of roles after it; -1 where there is no
        offer. A place is m N + s for a verb on a model, and any place otherwise.
        """
        models, sites = self.state.phase.shape[1:]
        index = np.maximum(offer - 1, 0)
        of_role = index - ADD_VERIFIER * models * sites
        verb = np.where(of_role < 0, index // (models * sites), ADD_VERIFIER + of_role // sites)
        return np.where(offer > 0, verb, -1), index % (models * sites)

    def _load(self, place: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.float64], ...]:
        """Four values [B, P] of the model at each place, each in [0, 1].

        They are its share of demand, its utilisation, its unserved share, and the share of its replicas on their way.
        """
        state = self.state
        models, sites = state.phase.shape[1:]
        up = ((state.status & DOWN) == 0)[:, None]
        warm = (state.phase == WARM) & up
        loading = ((state.phase == FETCHING) | (state.phase == LOADING)) & up
        coming = loading.sum(axis=2) / ((warm | loading).sum(axis=2) + TINY)
        capacity = (self.world.capacity_rps[state.world] * warm).sum(axis=2)
        busy = np.where(capacity > 0, state.model_served_rps / np.maximum(capacity, 1e-6), 0.0)
        demand = state.model_demand_rps
        share = demand / np.maximum(demand.sum(axis=1, keepdims=True), 1e-6)
        unserved = np.clip(1 - state.model_served_rps / np.maximum(demand, 1e-6), 0, 1)
        model = np.minimum(place // sites, models - 1)
        by_model = (share, np.minimum(busy, 1.0), unserved, coming)
        return tuple(np.take_along_axis(values, model, axis=1) for values in by_model)

    def _queue(self) -> npt.NDArray[np.float64]:
        """Fetches under way over twice the full-speed streams of the live stores, at most 1, as observations have it."""
        state = self.state
        fetches = ((state.phase == FETCHING) | (state.phase == STAGING)).sum(axis=(1, 2))
        live = ((state.role_ms[:, STORE] == 0) & ((state.status & DOWN) == 0)).sum(axis=1)
        full = self.world.store_streams[state.world] * np.maximum(live, 1)
        return np.minimum(fetches / (2.0 * full), 1.0)
