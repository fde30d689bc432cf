"""Counterfactual branches: every action of a state is tried, and then all goes on as it did when the episode was played.

The policy plays on, and what it did in the steps after a state is the plan that all branches of the state carry out. So
they differ in the action that is tried and in what follows from it, and in nothing that somebody decides afterwards. A
policy that reacts in every branch makes many other decisions, whose luck hides what the action is worth: in global-24 the
spread of returns is three times as wide then, and a branch takes twenty times as long. A branch says what it brings to
have an action's effect, given the rest of the plan. All branches of a state run on the same tape, which is for training
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.learning.router_beside import RouterBeside
from og_agents.planners.tuned_greedy import Act
from og_env.simulator import Copies, operations_of
from og_env.vector_env import NetworkVectorEnv

RANDOM = 0.02
"""share of actions that a learner plays at random in a round, so that unlikely states are seen too"""


Seen = tuple[Any, dict[str, Any]]
"""observations and infos of a batch, as its reset returns them"""


class Branches(NamedTuple):
    """S states and the returns of each action there, over the horizon."""

    observations: npt.NDArray[np.float32]
    """[S, W] flat observations"""
    masks: npt.NDArray[np.bool_]
    """[S, A] true where an action is possible"""
    returns: npt.NDArray[np.float32]
    """[S, A] sum of rewards; for an impossible action the sum after doing nothing"""


class Tried(NamedTuple):
    """The operations that are tried in each state of a batch; doing nothing is the first one."""

    operations: npt.NDArray[np.int64]
    """[B, A]"""
    masks: npt.NDArray[np.bool_]
    """[B, A] true where one is tried"""


def joined(parts: Sequence[Branches]) -> Branches:
    """The states of all parts, one part after the other."""
    return Branches(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class Moment:
    """A batch as it stood before a decision, what is tried there, and all that was done from then on."""

    def __init__(self, env: NetworkVectorEnv, observation: Any, tried: Tried, horizon: int) -> None:
        simulator = env.simulator
        self.observations, self.masks = np.array(observation, np.float32), tried.masks
        self.operations = tried.operations
        self.stands = Copies(simulator, simulator.batch, 1, horizon)
        self.stands.load(np.arange(simulator.batch), truth=True)
        decisions = simulator.spec.episode.operations_per_step
        self.plan = np.zeros((simulator.batch, horizon, decisions), np.int64)
        steers = simulator.settings.task == "joint"
        shape = (*self.plan.shape[:2], simulator.sizes["N"])
        self.levels = np.zeros(shape, np.float32) if steers else None
        """[B, H, N] of the sites, as they were in force in each step; None where nobody steers"""
        self._rows = np.arange(simulator.batch)
        self._step, self._place = (np.zeros(simulator.batch, np.int64) for _ in range(2))

    def note(
        self,
        operations: npt.NDArray[np.int64],
        moved: npt.NDArray[np.bool_],
        levels: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Write down a decision of every environment [B], whether the clock moved with it, and levels of sites [B, N]."""
        inside = self._step < self.plan.shape[1]
        rows, steps = self._rows[inside], self._step[inside]
        self.plan[rows, steps, self._place[inside]] = operations[inside]
        if self.levels is not None and levels is not None:
            self.levels[rows, steps] = levels[inside]  # in force is what the last decision of a step sets
        self._step += moved
        self._place = np.where(moved, 0, self._place + 1)

    @property
    def complete(self) -> bool:
        """Whether all steps of the horizon have been played everywhere."""
        return bool((self._step >= self.plan.shape[1]).all())


class Trials:
    """Runs the branches of moments, on threads, each for some of the environments; one thread is the caller's own.

    `actions` A are tried in a state; None is doing nothing and every offer.
    """

    def __init__(self, env: NetworkVectorEnv, horizon: int, threads: int = 2, actions: int | None = None) -> None:
        shares = np.array_split(np.arange(env.num_envs), min(threads, env.num_envs))
        self._shares = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in shares]
        self._actions = env.simulator.settings.proposals + 1 if actions is None else actions
        self._copies = [Copies(env.simulator, len(rows), self._actions, horizon) for rows in shares]
        self._pool = ThreadPoolExecutor(len(shares)) if len(shares) > 1 else None

    def rewards(self, moment: Moment) -> npt.NDArray[np.float64]:
        """Rewards [B, A, H] of every action at a moment and of the plan afterwards, less the action that was taken there."""

        def run(share: int) -> npt.NDArray[np.float64]:
            rows, copies = self._shares[share], self._copies[share]
            copies.load_copies(moment.stands, rows)
            plan = moment.plan[rows].copy()
            plan[:, 0, 0] = 0
            levels = None if moment.levels is None else moment.levels[rows]
            rewards = copies.run_plan(moment.operations[rows].reshape(-1), plan, levels)
            return rewards.reshape(len(plan), self._actions, -1)

        shares = range(len(self._shares))
        return np.concatenate(list(map(run, shares) if self._pool is None else self._pool.map(run, shares)))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


class Round:
    """A round of training: a batch plays on, and now and then a moment begins whose branches are run at the end.

    Call `before` with what is about to be done and `after` when it was done. A round is complete when the last of its
    moments has been played to the horizon, so nothing is left over where the next one begins.
    Raises ValueError where something else is decided than what places, and in Joint than levels of sites.
    """

    def __init__(self, env: NetworkVectorEnv, *, spacing: int, horizon: int, moments: int) -> None:
        if not places(env):
            raise ValueError("branches try what places alone: take the task placement")
        self.env, self.spacing, self.horizon, self.most = env, spacing, horizon, moments
        self.moments: list[Moment] = []
        self._decisions = 0
        self._operations = np.zeros(env.num_envs, np.int64)

    @property
    def complete(self) -> bool:
        """Whether all moments have begun, and have been played to the horizon."""
        return len(self.moments) == self.most and self.moments[-1].complete

    @property
    def due(self) -> bool:
        """Whether a moment begins with the decision that comes next."""
        return self._decisions % self.spacing == 0 and len(self.moments) < self.most

    def before(self, observation: Any, tried: Tried | None, operations: npt.NDArray[np.integer]) -> None:
        """Take in what is seen, what is tried where a moment is due, and the operations [B] that come next."""
        if tried is not None:
            self.moments.append(Moment(self.env, observation, tried, self.horizon))
        self._decisions += 1
        self._operations = operations.astype(np.int64)

    def after(self, moved: npt.NDArray[np.bool_], levels: npt.NDArray[np.float32] | None = None) -> None:
        """Take in where the clock moved [B], and in Joint the levels of sites [B, N] that were set."""
        for moment in self.moments:
            moment.note(self._operations, moved, levels)

    def branches(self, trials: Trials) -> Branches:
        """The branches of all moments, one after the other."""
        returns = [trials.rewards(moment).sum(axis=2).astype(np.float32) for moment in self.moments]
        observations, masks = ([getattr(moment, name) for moment in self.moments] for name in ("observations", "masks"))
        return Branches(np.concatenate(observations), np.concatenate(masks), np.concatenate(returns))


def every_offer(env: NetworkVectorEnv, masks: npt.NDArray[np.bool_]) -> Tried:
    """Doing nothing and every offer, where masks [B, 1 + P] say that there is one."""
    offers = env.simulator.output.offer.astype(np.int64)
    return Tried(np.pad(offers, ((0, 0), (1, 0))), masks)


def places(env: NetworkVectorEnv) -> bool:
    """Whether placement is all that is decided, but for levels of sites, which a branch can repeat."""
    settings = env.simulator.settings
    return settings.task == "placement" or (settings.task == "joint" and settings.steering == "sites")


def check_offers(env: NetworkVectorEnv) -> None:
    """ValueError in one line for another task than placement among offers, alone or beside levels of sites."""
    if not places(env) or env.simulator.settings.interface != "proposals":
        raise ValueError("branches choose among offers alone: take the task placement and the interface proposals")


def play_round(
    env: NetworkVectorEnv,
    act: Act,
    seen: Seen,
    trials: Trials,
    *,
    spacing: int,
    horizon: int,
    moments: int,
    router: RouterBeside | None = None,
) -> tuple[Branches, Seen]:
    """Play a batch on by `act`, in Joint beside a router, for a round; its branches, and what is seen where it ended.

    Raises ValueError for another task than placement among offers, alone or beside a router.
    """
    check_offers(env)
    choices = env.simulator.settings.proposals + 1
    played = Round(env, spacing=spacing, horizon=horizon, moments=moments)
    observation, info = seen
    while not played.complete:
        masks = info["action_mask"][:, :choices].astype(np.bool_)
        actions = act(observation, masks)
        taken = operations_of(env.simulator.output.offer, actions.astype(np.int64))
        played.before(observation, every_offer(env, masks) if played.due else None, taken)
        levels = None
        if router is not None:
            actions, levels = router.route(observation, actions)
        observation, _, _, ended, info = env.step(actions)
        played.after(info["moved"], levels)
        if router is not None:
            router.after(ended)
    return played.branches(trials), (observation, info)
