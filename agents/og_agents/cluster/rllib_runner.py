"""Collects experience for RLlib: a batch of environments in each runner, and nothing that is lost with it.

The environments of a runner begin a round of episodes together. Where a step has several decisions, they do not end
together: those that end early go on with another episode, which is cut off when the last one has ended.

A call says where the runner stands (which round of episodes, and the actions so far), the weights and the update. A
runner that stands elsewhere, because it was started anew, plays these actions again. What it returns depends on the
call alone, so that a run in which a worker dies learns the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID  # pyright: ignore[reportMissingImports]
from ray.rllib.core.columns import Columns  # pyright: ignore[reportMissingImports]
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES  # pyright: ignore[reportMissingImports]
from ray.rllib.env.env_runner import EnvRunner  # pyright: ignore[reportMissingImports]
from ray.rllib.env.single_agent_episode import SingleAgentEpisode  # pyright: ignore[reportMissingImports]
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer  # pyright: ignore[reportMissingImports]

from og_agents.cluster.rllib_advantages import ELAPSED
from og_agents.cluster.rllib_module import packed_space
from og_agents.learning import ppo, train_settings
from og_agents.learning.ppo import mixed
from og_agents.learning.training_progress import METRICS
from og_env.scenario import loading
from og_env.simulator import TERMS

WATCHED = (*(f"term_{term}" for term in TERMS), *METRICS)


class Position(NamedTuple):
    """Where a runner stands: all its environments begin a round together."""

    round: int
    """number of rounds that have ended"""
    actions: list[np.ndarray]
    """actions [n, ...] of the present round, decision by decision"""


class Fragment(NamedTuple):
    """Experience that a runner hands over."""

    runner: int
    episodes: list[Any]
    """episodes of RLlib or parts of them, row by row"""
    position: Position
    happened: dict[str, float]
    """mean of the terms and metrics of WATCHED"""


class Piece(NamedTuple):
    """Decisions of one round: T of them by n environments, decision first."""

    seen: list[np.ndarray]
    """with masks, before each decision"""
    actions: list[np.ndarray]
    logp: list[np.ndarray]
    inputs: list[np.ndarray]
    elapsed: list[np.ndarray]
    """whether the clock moved"""
    rewards: list[np.ndarray]


class Step(NamedTuple):
    """The outcome of a decision."""

    last: np.ndarray
    """observations with masks; where an episode ended, the last one of it"""
    rewards: np.ndarray
    ended: np.ndarray
    """bool [n]"""


def rows_of(n_envs: int, runners: int, number: int) -> int:
    """Environments of one of the runners, so that together they are `n_envs`."""
    return n_envs // runners + (number < n_envs % runners)


class FragmentRunner(EnvRunner):
    """An env runner whose `fragment` is a pure function of its arguments."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        torch.set_num_threads(1)
        self.number = max((self.worker_index or 0) - 1, 0)
        self.make_env()
        self.make_module()

    def make_env(self) -> None:
        """Make the environments of this runner."""
        given = self.config.env_config
        self.meta, self.settings = given["meta"], train_settings.check(given["settings"], "settings")
        self.rows = rows_of(self.settings.n_envs, max(self.num_workers, 1), self.number)
        settings = self.settings.model_copy(update={"n_envs": self.rows})
        self.env: Any = ppo.training_env(loading.load(self.meta["scenario"]), self.meta, settings, together=True)
        self.masked = self.meta["task"] != "routing"
        self.packed = packed_space(self.env.observation_space, self.env.action_space, self.masked)
        self.position = Position(-1, [])
        self._seen: np.ndarray = np.zeros(0, np.float32)
        self._ends: np.ndarray = np.zeros(0, np.int64)

    def make_module(self) -> None:
        """Make the network that chooses the actions."""
        spec = self.config.get_rl_module_spec(spaces=self.get_spaces(), inference_only=False)
        self.module: Any = spec.build()
        self.distribution = self.module.get_exploration_action_dist_cls()

    def get_spaces(self) -> dict[str, Any]:
        """Spaces of observations and actions, by the names that RLlib reads."""
        both = (self.packed, self.env.action_space)
        return {INPUT_ENV_SPACES: both, INPUT_ENV_SINGLE_SPACES: both, DEFAULT_MODULE_ID: both}

    def assert_healthy(self) -> None:
        """Raise AssertionError where the runner is not complete."""
        assert self.env is not None and self.module is not None

    def fragment(
        self, *, weights: Any, update: int, position: Position, steps: int, offset: float, seed: int
    ) -> Fragment | ValueError:
        """`steps` steps from `position` on with these weights; an error that would come again is returned."""
        try:
            self.module.set_state(weights)
            self.env.offset = offset
            self._go_to(position, seed)
            torch.manual_seed(mixed(seed, self.number, update, 1))
            return self._collect(steps, seed)
        except ValueError as error:
            return error

    def sample(self, **kwargs: Any) -> Any:
        """Collect experience, by the name that RLlib calls."""
        return self.fragment(**kwargs)

    def _go_to(self, position: Position, seed: int) -> None:
        """Stand at a position, by playing again where the runner stands elsewhere."""
        here = self.position
        if here.round == position.round and len(here.actions) == len(position.actions):
            return
        self._begin(position.round, seed)
        for actions in position.actions:
            self._step(actions)

    def _begin(self, number: int, seed: int) -> None:
        self.env.seed(mixed(seed, self.number, number, 0))
        self._seen = self._with_mask(self.env.reset())
        self.position = Position(number, [])
        self._ends = np.zeros(self.rows, np.int64)

    def _step(self, actions: np.ndarray) -> Step:
        """Take a decision everywhere."""
        seen, rewards, ended, infos = self.env.step(actions)
        self.position.actions.append(actions)
        self._ends += ended
        last = seen.copy()
        for row in np.flatnonzero(ended):
            last[row] = infos[row]["terminal_observation"]
        self._seen = self._with_mask(seen)
        return Step(self._with_mask(last), rewards, ended)

    def _with_mask(self, seen: np.ndarray) -> np.ndarray:
        if not self.masked:
            return seen
        masks = np.stack(self.env.env_method("action_masks"))
        return np.concatenate([seen, masks.astype(np.float32)], axis=1)

    def _collect(self, steps: int, seed: int) -> Fragment:
        episodes, sums = [], dict.fromkeys(WATCHED, 0.0)
        piece, first = Piece([], [], [], [], [], []), np.zeros(self.rows, np.int64)
        for step in range(steps):
            seen, (actions, logp, inputs) = self._seen, self._choose()
            played = actions
            if isinstance(self.env.action_space, gym.spaces.Box):
                played = np.clip(actions, self.env.action_space.low, self.env.action_space.high)
            done = self._step(played)
            elapsed = self.env.moved.astype(np.float32)
            for values, value in zip(piece, (seen, actions, logp, inputs, elapsed, done.rewards), strict=True):
                values.append(value)
            for name in WATCHED:
                sums[name] += float(self.env.happened[name].mean())
            over = bool((self._ends > 0).all())
            for row in range(self.rows) if over or step == steps - 1 else np.flatnonzero(done.ended):
                episodes.append(self._episode(piece, int(row), int(first[row]), done))
                first[row] = len(piece.rewards)
            if over:
                self._begin(self.position.round + 1, seed)
                piece, first = Piece([], [], [], [], [], []), np.zeros(self.rows, np.int64)
        return Fragment(self.number, episodes, self.position, {name: total / steps for name, total in sums.items()})

    def _choose(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions, their log-probabilities, and the inputs of the distribution."""
        inputs = self.module.forward_exploration({Columns.OBS: torch.from_numpy(self._seen)})
        inputs = inputs[Columns.ACTION_DIST_INPUTS]
        distribution = self.distribution.from_logits(inputs)
        actions = distribution.sample()
        return actions.numpy(), distribution.logp(actions).numpy(), inputs.numpy()

    def _episode(self, piece: Piece, row: int, first: int, done: Step) -> Any:
        """The decisions of a row of a piece from `first` on, as RLlib has them."""
        names = (Columns.ACTION_LOGP, Columns.ACTION_DIST_INPUTS, ELAPSED)
        before, actions, *rest, rewards = (np.stack([value[row] for value in values[first:]]) for values in piece)
        seen = np.concatenate([before, done.last[row : row + 1]])
        seen, actions, rewards, *rest = (
            InfiniteLookbackBuffer(values, lookback=0) for values in (seen, actions, rewards, *rest)
        )
        ended, steps = bool(done.ended[row]), len(piece.rewards) - first
        return SingleAgentEpisode(
            id_=f"{self.number}-{self.position.round}-{row}-{self._ends[row] - ended}",
            observations=seen,
            observation_space=self.packed,
            actions=actions,
            action_space=self.env.action_space,
            rewards=rewards,
            infos=[{}] * (steps + 1),
            truncated=ended,
            extra_model_outputs=dict(zip(names, rest, strict=True)),
            t_started=len(self.position.actions) - steps,
            len_lookback_buffer=0,
        )

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return no state: the arguments of a call say all that matters."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take no state: the arguments of a call say all that matters."""

    def get_metrics(self) -> Any:
        """Metrics of RLlib itself."""
        return self.metrics.reduce()

    def stop(self) -> None:
        """Close the environments."""
        self.env.close()
