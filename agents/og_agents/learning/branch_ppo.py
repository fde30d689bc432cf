"""PPO whose advantages are counterfactual: what an action brings against the others of its state, on the same tape.

Returns of whole days differ by hundreds of times what one operation brings, so advantages from rewards along the way
teach little. Here a rollout is a round of `counterfactual_branches`: the policy plays, and at some moments every action
is tried. The advantage of an action is its branch's return minus the mean over the policy's own probabilities, which is
an exact baseline (Foerster et al. 2018, "Counterfactual multi-agent policy gradients"). Since the branches of all actions
are known, nothing is drawn: each action of a state counts with its probability (Asadi et al. 2017, "Mean actor critic").
Branches of the last `rounds` rounds are learned from. What an action brings does not depend on who chose it, so
probabilities and advantages are taken anew from the policy before each update. Stable-Baselines3's clipped update does the
rest. No value network takes part. What is played, validated and kept is a share of what was learned (`learned_share`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from og_agents.learning.counterfactual_branches import RANDOM, Round, Trials, Tried, every_offer
from og_agents.learning.learned_share import Part
from og_agents.learning.networks import masked_logits
from og_agents.learning.shaped_reward import bent
from og_agents.learning.tried_states import TriedBuffer, TriedStates
from og_env.simulator import operations_of
from og_env.vector_env import NetworkVectorEnv

PART = 512
"""states that the network reads at once"""
KEPT = "kept."
"""beginning of the names of kept branches in a state"""


class BranchPPO(MaskablePPO):
    """MaskablePPO on flat observations of Placement among offers, with the advantages of branches.

    The policy is one of `networks.ChoosesAmong`, and the environment a `shaped_reward.TrainingReward`.
    """

    rollout_buffer: TriedBuffer  # type: ignore[assignment]
    tries: int | None = None
    """operations that are tried in a state; None is every offer"""

    def __init__(
        self,
        policy: Any,
        env: VecEnv,
        *,
        spacing: int,
        horizon: int,
        moments: int,
        bend: float,
        rounds: int,
        divergence: float,
        average: float,
        parts: bool,
        **named: Any,
    ) -> None:
        named |= {"n_steps": 2, "rollout_buffer_class": TriedBuffer}
        super().__init__(policy, env, **named)
        self.round = {"spacing": spacing, "horizon": horizon, "moments": moments}
        self.bend, self.divergence, self.average = bend, divergence, average
        self.parts = parts
        self._part: Part | None = None
        self.kept: deque[TriedStates] = deque(maxlen=rounds)
        self._trials: Trials | None = None

    def candidates(self) -> dict[float, Any]:
        """Policies to validate, by the share of what was learned that they play."""
        return {share: self.part.kept(share) for share in self.part.shares()}

    @property
    def part(self) -> Part:
        """The part of what was learned that is played, from the weights that the policy has when it is first asked for."""
        if self._part is None:
            self._part = Part(self.policy, self.parts)
        return self._part

    def train(self) -> None:
        """Learn from the buffer; the average takes the new weights in."""
        part = self.part  # made before anything is learned
        super().train()
        part.add(self.policy, self.average)
        part.play(self.policy)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int, use_masking: bool = True
    ) -> bool:
        """Play a round and fill the buffer; returns False where the callback has ended the training before."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        batch, player = env.venv.env, self.part.player  # type: ignore[attr-defined]
        played = Round(batch, **self.round)
        while not played.complete:
            masks = batch.action_masks().astype(np.bool_)
            logits = _logits(player, self._last_obs, masks).numpy()
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

    def _tried(self, batch: NetworkVectorEnv, logits: np.ndarray, masks: np.ndarray, actions: np.ndarray) -> Tried:
        """The operations that are tried in each state: every offer."""
        return every_offer(batch, masks)

    def _operations(self, batch: NetworkVectorEnv, actions: np.ndarray) -> np.ndarray:
        """The operations [B] of actions [B]."""
        return operations_of(batch.simulator.output.offer, actions.astype(np.int64))

    def _take(self, buffer: TriedBuffer, played: Round) -> None:
        """Keep the branches of a round, and put those of the last rounds into the buffer."""
        assert self._trials is not None
        branches = played.branches(self._trials)
        self.kept.append(TriedStates(branches.observations, self._chosen(played), branches.masks, branches.returns))
        states = TriedStates(*(np.concatenate(parts) for parts in zip(*self.kept, strict=True)))
        buffer.put(states, *self._weighed(states))

    def _chosen(self, played: Round) -> npt.NDArray[np.int64]:
        """The actions [S, n] that were tried in a round: every offer, and doing nothing in the place of those that are none."""
        masks = np.concatenate([moment.masks for moment in played.moments])
        return np.where(masks, np.arange(masks.shape[1]), 0)

    def _play(self, logits: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """The likeliest actions [B] by logits [B, A], some of them at random."""
        wild = torch.rand(len(masks)).numpy() < RANDOM
        noise = np.where(masks, torch.rand(masks.shape).numpy(), -1.0)
        return np.where(wild[:, None], noise, logits).argmax(axis=1)

    def _weighed(self, states: TriedStates) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Log probabilities among what was tried, and advantages weighted by probability, each [S, n]."""
        parts = np.array_split(np.arange(len(states.returns)), max(1, len(states.returns) // PART))
        with torch.no_grad():
            seen = [[torch.as_tensor(values[rows], device=self.device) for values in states[:2]] for rows in parts]
            logs = torch.cat([self.policy.logs_among(*each) for each in seen]).cpu()  # type: ignore[operator]
            start = torch.cat([self.policy.start_among(*each) for each in seen]).cpu()  # type: ignore[operator]
        likely = logs.exp().numpy()
        worth = self._worth(states) - self.divergence * (logs - start).numpy()
        worth = np.where(states.tried, likely * (worth - (likely * worth).sum(axis=1, keepdims=True)), 0.0)
        return logs.numpy(), worth.astype(np.float32)

    def _worth(self, states: TriedStates) -> npt.NDArray[np.floating]:
        """Bent returns [S, n] relative to the median one of a state; 0 for what was not tried."""
        middle = np.nanmedian(np.where(states.tried, states.returns, np.nan), axis=1, keepdims=True)
        return np.where(states.tried, bent(states.returns - middle, self.bend), 0.0)

    def kept_state(self) -> dict[str, Any]:
        """The kept branches and what is played, by name, for a run that goes on."""
        branches = {
            f"{KEPT}{i}.{name}": values
            for i, states in enumerate(self.kept)
            for name, values in states._asdict().items()
        }
        return branches | self.part.get_state()

    def put_kept(self, state: Mapping[str, Any], where: Path) -> None:
        """Take what `kept_state` gave; KeyError, or ValueError in one line, where something is missing or does not fit."""
        self.kept.clear()
        while f"{KEPT}{len(self.kept)}.returns" in state:
            names = (f"{KEPT}{len(self.kept)}.{name}" for name in TriedStates._fields)
            self.kept.append(TriedStates(*(state[name] for name in names)))
        self.part.set_state(self.policy, dict(state), bool(self.kept), where)


def _logits(policy: Any, observations: Any, masks: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return masked_logits(policy, torch.as_tensor(observations), torch.as_tensor(masks))
