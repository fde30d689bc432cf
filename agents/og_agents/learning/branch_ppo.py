"""PPO whose advantages are counterfactual: what an action brings against the others of its state, on the same tape.

Returns of whole days differ by hundreds of times what one operation brings, so advantages from rewards along the way
teach little. Here a rollout is a round of `counterfactual_branches`: the policy plays, and at some moments every action
is tried. The advantage of an action is its branch's return minus the mean over the policy's own probabilities, which is
an exact baseline (Foerster et al. 2018, "Counterfactual multi-agent policy gradients"). Since the branches of all actions
are known, nothing is drawn: each action of a state counts with its probability (Asadi et al. 2017, "Mean actor critic").
Stable-Baselines3's clipped update does the rest. No value network takes part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from og_agents.learning.counterfactual_branches import RANDOM, Branches, Round, Trials, Tried, every_offer
from og_agents.learning.networks import masked_logits
from og_agents.learning.shaped_reward import bent
from og_env.simulator import operations_of
from og_env.vector_env import NetworkVectorEnv


class BranchPPO(MaskablePPO):
    """MaskablePPO on flat observations of Placement among offers, with the advantages of branches.

    The buffer has every action of every branched state. The environments are those of `shaped_reward.TrainingReward`.
    """

    tries: int | None = None
    """operations that are tried in a state; None is every offer"""

    def __init__(
        self, policy: Any, env: VecEnv, *, spacing: int, horizon: int, moments: int, bend: float, **named: Any
    ) -> None:
        named.setdefault("n_steps", env.action_space.n * moments)  # type: ignore[attr-defined]
        super().__init__(policy, env, **named)
        self.round = {"spacing": spacing, "horizon": horizon, "moments": moments}
        self.bend = bend
        self._trials: Trials | None = None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int, use_masking: bool = True
    ) -> bool:
        """Play a round and fill the buffer; returns False where the callback has ended the training before."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        batch = env.venv.env  # type: ignore[attr-defined]
        played = Round(batch, **self.round)
        while not played.complete:
            masks = batch.action_masks().astype(np.bool_)
            logits = self._logits(self._last_obs, masks).numpy()
            actions = self._play(logits, masks)
            tried = self._tried(batch, logits, masks, actions) if played.due else None
            played.before(self._last_obs, tried, self._operations(batch, actions))
            new_obs, _, dones, infos = env.step(actions)
            played.after(env.venv.moved)  # type: ignore[attr-defined]
            self.num_timesteps += env.num_envs
            self._update_info_buffer(infos, dones)
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
        if self._trials is None:
            self._trials = Trials(batch, self.round["horizon"], actions=self.tries)
        self._take(rollout_buffer, played)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _logits(self, observations: Any, masks: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            return masked_logits(self.policy, torch.as_tensor(observations), torch.as_tensor(masks))

    def _tried(self, batch: NetworkVectorEnv, logits: np.ndarray, masks: np.ndarray, actions: np.ndarray) -> Tried:
        """The operations that are tried in each state: every offer."""
        return every_offer(batch, masks)

    def _operations(self, batch: NetworkVectorEnv, actions: np.ndarray) -> np.ndarray:
        """The operations [B] of actions [B]."""
        return operations_of(batch.simulator.output.offer, actions.astype(np.int64))

    def _take(self, buffer: Any, played: Round) -> None:
        """Put what the branches of a round say into the buffer."""
        assert self._trials is not None
        self._fill(buffer, played.branches(self._trials))

    def _play(self, logits: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """The likeliest actions [B] by logits [B, A], some of them at random."""
        wild = torch.rand(len(masks)).numpy() < RANDOM
        noise = np.where(masks, torch.rand(masks.shape).numpy(), -1.0)
        return np.where(wild[:, None], noise, logits).argmax(axis=1)

    def _fill(self, buffer: MaskableRolloutBuffer, tried: Branches) -> None:
        """Put every action of every state into an empty buffer, its advantage weighted by its probability.

        In the place of an impossible action stands doing nothing, with an advantage of 0.
        """
        logs = torch.log_softmax(self._logits(tried.observations, tried.masks), dim=1)
        middle = np.nanmedian(np.where(tried.masks, tried.returns, np.nan), axis=1, keepdims=True)
        worth = np.where(tried.masks, bent(tried.returns - middle, self.bend), 0.0)
        likely = logs.exp().numpy()
        worth = np.where(tried.masks, likely * (worth - (likely * worth).sum(axis=1, keepdims=True)), 0.0)
        buffer.reset()
        none, starts = torch.zeros(self.n_envs), np.zeros(self.n_envs, np.bool_)
        for moment in np.split(np.arange(len(worth)), len(worth) // self.n_envs):
            for action in range(worth.shape[1]):
                actions = np.where(tried.masks[moment, action], action, 0)
                log_probabilities = logs[moment, actions]
                buffer.add(
                    tried.observations[moment],
                    actions[:, None],
                    worth[moment, action],
                    starts,
                    none,
                    log_probabilities,
                    action_masks=tried.masks[moment],
                )
        buffer.advantages[:] = buffer.rewards
        buffer.returns[:] = 0.0
