"""PPO on sites whose advantages are counterfactual: copies of a state try levels of the sites on the same tape.

What is drawn are the levels, or beliefs for which a router solves for levels. In every state n of them are drawn from the
policy's Gaussian, in pairs on both sides of its mean. Each goes ahead in a copy of the environment for a few steps, on the
tape of the episode, with the built-in autoscaler. What a draw earns above the mean of its pair is its advantage: the tape
is common to both, so its noise cancels, and no value network is needed. The clipped update is Stable-Baselines3's own. The
episodes go on by the means, as they are played later.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv

from og_agents.learning.believed_speeds import BelievedVecEnv
from og_agents.learning.devices import CPU
from og_agents.learning.site_scorer import SiteScorerPolicy
from og_env.simulator import STEER_RANGE, Copies
from og_env.vector_env import NetworkVectorEnv

Floats = npt.NDArray[np.floating]


class SitesAhead:
    """`copies` copies of every environment of a batch, which run `horizon` steps ahead on the tape with levels of sites.

    The built-in autoscaler acts on, as in the environment, and levels stay in force. Raises ValueError for another task
    than Routing with interface "sites".
    """

    def __init__(self, env: NetworkVectorEnv, copies: int, horizon: int, threads: int = 2) -> None:
        settings = env.simulator.settings
        if (settings.task, settings.interface) != ("routing", "sites"):
            raise ValueError('levels of sites are tried in Routing alone: take interface="sites"')
        self.count = copies
        self._shares = np.array_split(np.arange(env.num_envs), min(threads, env.num_envs))
        self._copies = [Copies(env.simulator, len(rows), copies, horizon) for rows in self._shares]
        self._pool = ThreadPoolExecutor(len(self._shares))

    def returns(self, levels: npt.NDArray[np.float32]) -> Floats:
        """Sums of rewards [B, n] over the horizon after levels [B, n, N] in [-1, 1], from the environments as they are."""

        def run(share: int) -> Floats:
            rows, copies = self._shares[share], self._copies[share]
            copies.load(rows, truth=True)
            tried = np.ascontiguousarray(levels[rows].reshape(copies.batch, -1))
            # as in the environment, the autoscaler's first operations are found with the new levels in force
            valid = copies.simulator.world.site_valid[copies.state.world[: copies.batch]]
            copies.state.steer[: copies.batch] = STEER_RANGE * tried * valid
            offer, gain = copies.output.offer[: copies.batch], copies.output.offer_gain[: copies.batch]
            rewards = copies.run(copies.greedy(offer, gain), copies.greedy, site_levels=tried)
            return rewards.sum(axis=1).reshape(len(rows), self.count)

        return np.concatenate(list(self._pool.map(run, range(len(self._shares)))))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class PairedBuffer(RolloutBuffer):
    """A rollout buffer whose states have n actions each: [T, B, n N] actions, [T, B, n] log densities and advantages."""

    def __init__(
        self,
        steps: int,
        observation_space: Any,
        action_space: Any,
        envs: int,
        tries: int,
        device: torch.device | str = CPU,
    ) -> None:
        self.tries = tries
        super().__init__(steps, observation_space, action_space, device=device, n_envs=envs)

    def reset(self) -> None:
        """Forget all states."""
        super().reset()
        wide = (self.buffer_size, self.n_envs)
        self.actions = np.zeros((*wide, self.tries * self.action_dim), np.float32)
        self.log_probs = np.zeros((*wide, self.tries), np.float32)
        self.advantages = np.zeros((*wide, self.tries), np.float32)

    def put(self, observations: Floats, actions: Floats, log_probs: Floats, earned: Floats) -> None:
        """Add the states of a step: observations [B, O], actions [B, n, N], their log densities and returns [B, n]."""
        place, mean = self.pos, earned.mean(axis=1, keepdims=True)
        pairs = earned.reshape(len(earned), 2, -1)
        self.observations[place], self.actions[place] = observations, actions.reshape(self.n_envs, -1)
        self.log_probs[place] = log_probs
        self.advantages[place] = (pairs - pairs.mean(axis=1, keepdims=True)).reshape(earned.shape)
        self.returns[place] = self.values[place] = mean[:, 0]
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of all states in a random order."""
        order = np.random.permutation(self.buffer_size * self.n_envs)  # noqa: NPY002 - as Stable-Baselines3 does
        parts = (self.observations, self.actions, self.values, self.log_probs, self.advantages, self.returns)
        flat = [self.to_torch(part.reshape(len(order), *part.shape[2:])) for part in parts]
        size = len(order) if batch_size is None else batch_size
        for first in range(0, len(order), size):
            yield RolloutBufferSamples(*(part[order[first : first + size]] for part in flat))


class PairedPPO(PPO):
    """PPO that learns levels of sites from `tries` draws in every state, each paid `horizon` steps on the same tape.

    The environment is a TrainingReward around an SB3VecEnv of Routing with interface "sites".
    """

    policy: SiteScorerPolicy  # type: ignore[assignment]

    def __init__(self, *arguments: Any, tries: int = 8, horizon: int = 8, **named: Any) -> None:
        self.tries, self.horizon = tries, horizon
        super().__init__(*arguments, **named)
        self.rollout_buffer = PairedBuffer(
            self.n_steps, self.observation_space, self.action_space, self.n_envs, self.tries, self.device
        )
        inner: Any = self.env
        self._ahead = SitesAhead(inner.venv.env, tries, horizon)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with the draws of `n_rollout_steps` steps of every environment; False where a run ends."""
        assert isinstance(rollout_buffer, PairedBuffer)
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        half = (self.n_envs, self.tries // 2, self.policy.shapes.sites)
        for _ in range(n_rollout_steps):
            seen: Any = np.array(self._last_obs, np.float32)
            with torch.no_grad():
                mean = self.policy.mean_levels(torch.as_tensor(seen, device=self.device))
                noise = torch.randn(half).to(self.device)
                drawn = mean.unsqueeze(1) + self.policy.log_std.exp() * torch.cat([noise, -noise], 1)
                log_probs = self.policy.log_probs(mean, drawn).cpu()
                mean, drawn = mean.cpu(), drawn.cpu()
            played, tried = mean.clamp(-1, 1).numpy(), drawn.clamp(-1, 1).numpy()
            inner: Any = env
            believes = isinstance(inner.venv, BelievedVecEnv)
            earned = self._ahead.returns(inner.venv.levels_of(tried) if believes else tried)
            rollout_buffer.put(seen, drawn.numpy(), log_probs.numpy(), earned)
            self._last_obs, _, dones, infos = env.step(played)  # type: ignore[assignment]
            self.num_timesteps += self.n_envs
            callback.update_locals({**locals(), "dones": dones})
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            self._last_episode_starts = dones
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True
