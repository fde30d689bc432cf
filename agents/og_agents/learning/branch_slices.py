"""Rounds of branches in slices: some of a run's environments that play together, on any thread or machine.

A slice's round is a pure function of the policy, of the state of its environments, and of a turn, which says whose round
it is. How environments are cut into slices depends on their number alone, never on how many threads or workers there are.
So a network meets batches of the same size everywhere, and the branches are equal to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from og_agents.learning import train_settings
from og_agents.learning.blind_world import training_worlds
from og_agents.learning.counterfactual_branches import RANDOM, Branches, Seen, Trials, check_offers, joined, play_round
from og_agents.learning.networks import masked_logits
from og_agents.learning.resume_file import State, part_of
from og_agents.learning.router_beside import KEY, RouterBeside, env_kwargs_of, overrides_of
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

SLICE = 16
"""most environments of a slice: with 8 calls of the network cost more, with 32 fewer workers share a round"""
SHARPNESS = 200.0
"""logit of the policy per fitted logit: small numbers are fitted faster, and large ones are played nearly greedily. The
prior's logits are 800 per unit of a step's gain, and a gain acts for some of the horizon's steps, so both agree in size"""


class Turn(NamedTuple):
    """A round of a slice, of the run with a seed."""

    seed: int
    round: int
    number: int
    """of the slice"""
    first: int
    """number of its first environment"""
    rows: int
    """number of its environments"""


class Rounds(Protocol):
    """All environments of a run, which play round after round, and which a run can save and go on with."""

    env: NetworkVectorEnv
    """has the spaces of all environments"""

    def play(self, policy: Any) -> Branches:
        """The branches of the next round, of all slices in their order."""
        ...

    def get_state(self) -> State:
        """The state of all environments, after a round."""
        ...

    def set_state(self, state: State, where: Path) -> None:
        """Go on where `get_state` was called; ValueError in one line for the state of another run."""
        ...

    def close(self) -> None:
        """Let go of threads and environments."""
        ...


def turns(meta: Mapping[str, Any], number: int) -> list[Turn]:
    """The turns of a round: equal slices of at most SLICE environments, two at least, the last one smaller if need be."""
    n_envs = meta["settings"]["n_envs"]
    rows = min(SLICE, math.ceil(n_envs / 2))
    firsts = enumerate(range(0, n_envs, rows))
    return [Turn(meta["seed"], number, place, first, min(rows, n_envs - first)) for place, first in firsts]


def worlds(meta: dict[str, Any], rows: int) -> NetworkVectorEnv:
    """Some of the environments of the run that a description is of, on one thread."""
    settings = settings_of(meta).model_copy(update={"n_envs": rows})
    spec, overrides = loading.load(meta["scenario"]), overrides_of(meta)
    spec = loading.override(spec, overrides) if overrides else spec
    return training_worlds(spec, {**meta, "env_kwargs": env_kwargs_of(meta)}, settings, threads=1)


def settings_of(meta: Mapping[str, Any]) -> TrainSettings:
    """The settings in a description."""
    return train_settings.check(meta["settings"], "settings")


def sampled(
    policy: Any, rng: np.random.Generator, observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]
) -> npt.NDArray[np.integer]:
    """Actions [B] sampled from a policy that is being fitted, some of them at random."""
    with torch.no_grad():
        logits = masked_logits(policy, torch.as_tensor(observations), torch.as_tensor(masks)).double().numpy()
    logits *= SHARPNESS
    wild = rng.random(len(logits)) < RANDOM
    logits = np.where(masks & wild[:, None], 0.0, logits)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


class Slice:
    """The environments of a slice, the router beside their placer where there is one, and the memory for their branches.

    Raises ValueError for another task than placement among offers, alone or beside a router.
    """

    def __init__(self, meta: dict[str, Any], rows: int) -> None:
        settings = settings_of(meta)
        self._round = {
            "spacing": settings.branch_spacing,
            "horizon": settings.branch_horizon,
            "moments": settings.branch_moments,
        }
        self.env = worlds(meta, rows)
        check_offers(self.env)
        self._router = RouterBeside(self.env, meta[KEY]) if KEY in meta else None
        self._trials = Trials(self.env, settings.branch_horizon, threads=1)
        self._seen: Seen | None = None

    def begin(self, turn: Turn) -> None:
        """Begin the first episodes, where none is being played."""
        if self._seen is None:
            self._seen = self.env.reset(seed=turn.seed + turn.first)

    def play(self, policy: Any, turn: Turn) -> Branches:
        """The branches of the next round."""
        self.begin(turn)
        assert self._seen is not None
        rng = np.random.default_rng((turn.seed, turn.round, turn.number))

        def act(observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer]:
            return sampled(policy, rng, observations, masks)

        tried, self._seen = play_round(self.env, act, self._seen, self._trials, router=self._router, **self._round)
        return tried

    def get_state(self) -> State:
        """The state of the environments and of the router."""
        return {**self.env.get_state(), **({} if self._router is None else self._router.get_state())}

    def set_state(self, state: Mapping[str, Any] | None) -> None:
        """Go on where `get_state` was called; None stands before the first episodes."""
        if self._router is not None:
            state = self._router.set_state(state)
        self._seen = None if state is None else self.env.set_state(state)


class Slices:
    """The slices of a run in this process, on threads."""

    def __init__(self, meta: dict[str, Any], threads: int = 2) -> None:
        self.meta, self.rounds = meta, 0
        self._parts = [Slice(meta, turn.rows) for turn in turns(meta, 0)]
        self.env = self._parts[0].env
        self._pool = ThreadPoolExecutor(min(threads, len(self._parts)))

    def play(self, policy: Any) -> Branches:
        """The branches of the next round, of all slices in their order."""
        due = turns(self.meta, self.rounds)
        for part, turn in zip(self._parts, due, strict=True):
            part.begin(turn)
        tried = joined(list(self._pool.map(lambda part, turn: part.play(policy, turn), self._parts, due)))
        self.rounds += 1
        return tried

    def get_state(self) -> State:
        """The state of all environments, after a round."""
        return packed(self.rounds, [part.get_state() for part in self._parts])

    def set_state(self, state: State, where: Path) -> None:
        """Go on where `get_state` was called; ValueError in one line for the state of another run."""
        self.rounds, states = unpacked(state, self.meta, where)
        for part, each in zip(self._parts, states, strict=True):
            part.set_state(each)

    def close(self) -> None:
        """Let go of threads and environments; slices that have not begun a round do not."""
        self._pool.shutdown(cancel_futures=True)
        for part in self._parts:
            part.env.close()


def packed(rounds: int, states: list[State]) -> State:
    """The states of slices as one, with the number of rounds so far."""
    every = {f"{number}.{name}": value for number, state in enumerate(states) for name, value in state.items()}
    return {"rounds": rounds, "slices": len(states), **every}


def unpacked(state: State, meta: Mapping[str, Any], where: Path) -> tuple[int, list[State]]:
    """The number of rounds, and the state of each slice; ValueError in one line for the state of another run."""
    if "slices" not in state:
        raise ValueError(
            f"{where}: of a version whose environments played together: begin anew from its policy with "
            f"--start {where.parent}"
        )
    count = len(turns(meta, 0))
    if state["slices"] != count:
        raise ValueError(f"{where}: state is of {state['slices']} slices of environments, and here it is {count}")
    return state["rounds"], [part_of(state, f"{number}.") for number in range(count)]
