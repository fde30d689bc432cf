"""Whole episodes of one policy step by step: what a table, a plot or a page about them is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation.episode_results import TRACED, Episodes
from og_agents.policy import Policy
from og_env.simulator import (
    AUTOSCALED,
    BY_SCENARIO,
    DOWN,
    FROZEN,
    METRICS,
    MOVING,
    SLOW,
    STANDING,
    TERMS,
    UNTRUSTED,
    WARM,
    ActionParts,
    describe_operation,
    split_actions,
)
from og_env.vector_env import NetworkVectorEnv

BITS = {DOWN: "down", FROZEN: "frozen", UNTRUSTED: "untrusted", SLOW: "slow"}
"""words of the status bits"""


class Recording(NamedTuple):
    """E episodes of T steps by one policy on N sites; row 0 of what has T + 1 rows is the start."""

    policy: str
    scenario: str
    seeds: npt.NDArray[np.int64]
    """[E] seed that each episode was reset with"""
    step_s: int
    start_hour_utc: npt.NDArray[np.float64]
    """[E] hour of the day at which each episode begins"""
    sites: tuple[tuple[str, ...], ...]
    """[E] names of the fleet's sites"""
    models: tuple[str, ...]
    incidents: tuple[Mapping[str, Any], ...]
    """[E] `info["incident"]` of each episode; empty where no incident is replayed"""
    rewards: npt.NDArray[np.float64]
    """[E, T] reward of each step"""
    terms: npt.NDArray[np.float32]
    """[E, T, 6] unweighted reward terms, in the order of `og_env.simulator.TERMS`"""
    metrics: npt.NDArray[np.float32]
    """[E, T, Q] metrics, in the order of `og_env.simulator.METRICS`"""
    operations: npt.NDArray[np.int64]
    """[E, T, K] numbers of the operations that were carried out, up to K in a step; 0 is none"""
    status: npt.NDArray[np.uint8]
    """[E, T + 1, N] status bits of each site"""
    share: npt.NDArray[np.float32]
    """[E, T + 1, N] share of the served traffic on each site"""
    warm: npt.NDArray[np.int16]
    """[E, T + 1, N] warm replicas on each site"""
    predict_s: float
    """seconds spent in `predict`"""

    @property
    def step_h(self) -> float:
        """Length of a step in hours."""
        return self.step_s / 3600

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """[E] sum of rewards."""
        return self.rewards.sum(axis=1)

    def metric(self, name: str) -> npt.NDArray[np.float64]:
        """One metric [E, T]."""
        return self.metrics[..., METRICS.index(name)].astype(np.float64)

    def term(self, name: str) -> npt.NDArray[np.float64]:
        """One unweighted reward term [E, T]."""
        return self.terms[..., TERMS.index(name)].astype(np.float64)

    def episodes(self) -> Episodes:
        """The recording as means over the steps, for `comparison`."""
        return Episodes(
            policy=self.policy,
            seeds=self.seeds,
            returns=self.returns,
            terms=self.terms.mean(axis=1, dtype=np.float64),
            metrics=self.metrics.mean(axis=1, dtype=np.float64),
            traces={name: self.metrics[..., METRICS.index(name)] for name in TRACED},
            steps=self.rewards.shape[1],
            predict_s=self.predict_s,
            step_s=self.step_s,
        )

    def chosen(self, rows: npt.NDArray[np.bool_]) -> Recording:
        """Some of the episodes [E]."""
        picked = np.flatnonzero(rows)
        arrays = {name: value[rows] for name, value in self._asdict().items() if isinstance(value, np.ndarray)}
        return self._replace(
            **arrays,
            sites=tuple(self.sites[e] for e in picked),
            incidents=tuple(self.incidents[e] for e in picked) if self.incidents else (),
        )


class Event(NamedTuple):
    """Something that happened in an episode."""

    hour: float
    """hours since the episode began"""
    kind: str
    """outage, repair or operation"""
    text: str


def record(
    policy: Policy,
    env: NetworkVectorEnv,
    seed: int,
    options: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    watch: Callable[[NetworkVectorEnv], None] | None = None,
) -> Recording:
    """Play one episode in every row of an environment made for the policy (`playing.stage`), from seed on.

    `options` are those of `reset`, for all episodes; `watch` is called with the environment at the start and after each
    step. The numbers are those of `playing.run`, but for a policy with a memory or random choices where a step has several
    decisions: episodes go on step by step together, and it is asked again where it has done already. ValueError where
    reset raises it.
    """
    simulator, rows, steps = env.simulator, env.num_envs, env.simulator.spec.episode.steps
    observation, info = env.reset(seed=seed, options=options)
    worlds = [simulator.world_of(b) for b in range(rows)]
    player = _Player(policy, env, observation)
    frames, moves = [_frame(env)], []
    if watch is not None:
        watch(env)
    for _ in range(steps):
        carried_out, output = player.step(), simulator.output
        moves.append((output.reward.astype(np.float64), output.terms.copy(), output.metrics.copy(), carried_out))
        frames.append(_frame(env))
        if watch is not None:
            watch(env)
    rewards, terms, metrics, operations = (np.stack(parts, axis=1) for parts in zip(*moves, strict=True))
    status, share, warm = (np.stack(parts, axis=1) for parts in zip(*frames, strict=True))
    return Recording(
        policy=name or str(getattr(policy, "name", type(policy).__name__)),
        scenario=simulator.spec.name,
        seeds=seed + np.arange(rows),
        step_s=simulator.spec.episode.step_s,
        start_hour_utc=simulator.tape.start_step * simulator.spec.episode.step_s / 3600,
        sites=tuple(tuple(site.name for site in world.resolved.sites) for world in worlds),
        models=tuple(model.name for model in worlds[0].resolved.models),
        incidents=tuple(info["incident"]) if "incident" in info else (),
        rewards=rewards,
        terms=terms,
        metrics=metrics,
        operations=operations.astype(np.int64),
        status=status,
        share=share,
        warm=warm,
        predict_s=player.predict_s,
    )


class _Player:
    """A policy that plays all environments step by step together."""

    def __init__(self, policy: Policy, env: NetworkVectorEnv, observation: Any) -> None:
        self.policy, self.env, self.observation = policy, env, observation
        self.memory: Any = None
        self.start = np.ones(env.num_envs, np.bool_)
        self.predict_s = 0.0
        simulator = env.simulator
        self.most = 1 if simulator.mode == AUTOSCALED else simulator.spec.episode.operations_per_step

    def step(self) -> npt.NDArray[np.int32]:
        """Carry out a step of the clock with all its decisions; returns the operations [E, K]."""
        simulator = self.env.simulator
        result = np.zeros((self.env.num_envs, self.most), np.int32)
        acts, held = np.ones(self.env.num_envs, np.bool_), ActionParts(np.zeros(0, np.int64), None, None)
        try:
            for decision in range(self.most):
                parts = self._decide()
                chosen = np.where(acts, parts.chosen, 0)
                held = ActionParts(
                    chosen, _kept(acts, parts.levels, held.levels), _kept(acts, parts.site_levels, held.site_levels)
                )
                last = decision == self.most - 1 or not chosen.any()
                simulator.clock = MOVING if last else STANDING
                decided = simulator.state.decisions.copy()
                # not `env.step`, which begins the next episode before the last state could be read
                simulator.advance(*held)
                result[:, decision] = simulator.output.operation
                flat = simulator.observation.copy()
                self.observation = flat if simulator.settings.flatten else simulator.tables(flat)
                acts = acts & (simulator.state.decisions > decided)
                if last:
                    break
        finally:
            simulator.clock = BY_SCENARIO
        return result

    def _decide(self) -> ActionParts:
        """The policy's choices and levels of knobs and sites for the environments as they are."""
        env = self.env
        masks = env.action_masks() if env.simulator.mask.shape[1] else None
        begin = time.perf_counter()
        actions, self.memory = self.policy.predict(
            self.observation, self.memory, self.start, deterministic=True, action_masks=masks
        )
        self.predict_s += time.perf_counter() - begin
        self.start = np.zeros(env.num_envs, np.bool_)
        return split_actions(actions, env.simulator, env.single_action_space, np.arange(env.num_envs))


def _kept(
    acts: npt.NDArray[np.bool_], levels: npt.NDArray[np.float32] | None, held: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32] | None:
    """Levels [E, L] of those who act [E], and those held before of all others."""
    return levels if levels is None or held is None else np.where(acts[:, None], levels, held)


def _frame(env: NetworkVectorEnv) -> tuple[npt.NDArray[Any], ...]:
    """Status, share of traffic and warm replicas [E, N] at this moment."""
    state = env.simulator.state
    return state.status.copy(), state.site_share.copy(), (state.phase == WARM).sum(axis=1).astype(np.int16)


def events(recording: Recording, episode: int = 0) -> list[Event]:
    """Events of one episode in the order of time: outages and repairs by status bit, and operations."""
    names, status = recording.sites[episode], recording.status[episode]
    result = []
    for row in range(len(status)):
        hour = row * recording.step_h
        before = status[row - 1] if row else np.zeros_like(status[0])
        for bit, word in BITS.items():
            was, now = (before & bit) != 0, (status[row] & bit) != 0
            for kind, changed in (("outage", now & ~was), ("repair", was & ~now)):
                if changed.any():
                    listed = ", ".join(names[s] for s in np.flatnonzero(changed))
                    result.append(Event(hour, kind, f"{word if kind == 'outage' else 'no longer ' + word}: {listed}"))
        for operation in recording.operations[episode, row - 1] if row else ():
            if operation:
                text = describe_operation(int(operation), list(names), list(recording.models))
                result.append(Event(hour, "operation", text))
    return result
