"""Collects experience for RLlib: a batch of environments in each runner, and nothing that is lost with it.

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

from og_agents.cluster.rllib_module import packed_space
from og_agents.learning import ppo, train_settings
from og_agents.learning.ppo import mixed
from og_agents.learning.training_progress import METRICS
from og_env.scenario import loading
from og_env.simulator import TERMS

WATCHED = (*(f"term_{term}" for term in TERMS), *METRICS)


class Position(NamedTuple):
    """Where a runner stands: all its environments begin and end together."""

    round: int
    """number of episodes that each environment has ended"""
    actions: list[np.ndarray]
    """actions [n, ...] of the present episodes, step by step"""


class Fragment(NamedTuple):
    """Experience that a runner hands over."""

    runner: int
    episodes: list[Any]
    """episodes of RLlib or parts of them, row by row"""
    position: Position
    happened: dict[str, float]
    """mean of the terms and metrics of WATCHED"""


class Piece(NamedTuple):
    """Steps of one round: T of them by n environments, step first."""

    seen: list[np.ndarray]
    """T + 1, with masks"""
    actions: list[np.ndarray]
    logp: list[np.ndarray]
    inputs: list[np.ndarray]
    rewards: list[np.ndarray]


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
            self._seen, *_ = self._step(actions)

    def _begin(self, number: int, seed: int) -> None:
        self.env.seed(mixed(seed, self.number, number, 0))
        self._seen = self._with_mask(self.env.reset())
        self.position = Position(number, [])

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """The next observations (at the end of the episodes the last ones), rewards, and whether the episodes ended."""
        seen, rewards, dones, infos = self.env.step(actions)
        self.position.actions.append(actions)
        ended = bool(dones.any())
        if ended:
            seen = np.stack([info["terminal_observation"] for info in infos])
        return self._with_mask(seen), rewards, ended

    def _with_mask(self, seen: np.ndarray) -> np.ndarray:
        if not self.masked:
            return seen
        masks = np.stack(self.env.env_method("action_masks"))
        return np.concatenate([seen, masks.astype(np.float32)], axis=1)

    def _collect(self, steps: int, seed: int) -> Fragment:
        episodes, sums = [], dict.fromkeys(WATCHED, 0.0)
        piece = Piece([self._seen], [], [], [], [])
        for step in range(steps):
            actions, logp, inputs = self._choose()
            played = actions
            if isinstance(self.env.action_space, gym.spaces.Box):
                played = np.clip(actions, self.env.action_space.low, self.env.action_space.high)
            self._seen, rewards, ended = self._step(played)
            for values, value in zip(piece, (self._seen, actions, logp, inputs, rewards), strict=True):
                values.append(value)
            for name in WATCHED:
                sums[name] += float(self.env.happened[name].mean())
            if ended or step == steps - 1:
                episodes += self._episodes(piece, ended)
            if ended:
                self._begin(self.position.round + 1, seed)
                piece = Piece([self._seen], [], [], [], [])
        return Fragment(self.number, episodes, self.position, {name: total / steps for name, total in sums.items()})

    def _choose(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions, their log-probabilities, and the inputs of the distribution."""
        inputs = self.module.forward_exploration({Columns.OBS: torch.from_numpy(self._seen)})
        inputs = inputs[Columns.ACTION_DIST_INPUTS]
        distribution = self.distribution.from_logits(inputs)
        actions = distribution.sample()
        return actions.numpy(), distribution.logp(actions).numpy(), inputs.numpy()

    def _episodes(self, piece: Piece, ended: bool) -> list[Any]:
        """The rows of a piece, as RLlib has them."""
        names = (Columns.ACTION_LOGP, Columns.ACTION_DIST_INPUTS)
        arrays = [np.stack(values, axis=1) for values in piece]
        result = []
        for row in range(self.rows):
            seen, actions, logp, inputs, rewards = (
                InfiniteLookbackBuffer(np.ascontiguousarray(values[row]), lookback=0) for values in arrays
            )
            result.append(
                SingleAgentEpisode(
                    id_=f"{self.number}-{self.position.round}-{row}",
                    observations=seen,
                    observation_space=self.packed,
                    actions=actions,
                    action_space=self.env.action_space,
                    rewards=rewards,
                    infos=[{}] * (len(piece.rewards) + 1),
                    truncated=ended,
                    extra_model_outputs=dict(zip(names, (logp, inputs), strict=True)),
                    t_started=len(self.position.actions) - len(piece.rewards),
                    len_lookback_buffer=0,
                )
            )
        return result

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
