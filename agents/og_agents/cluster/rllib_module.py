"""The networks of `og_agents.learning.networks` as an RLModule, weight for weight."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns  # pyright: ignore[reportMissingImports]
from ray.rllib.core.distribution.torch.torch_distribution import (  # pyright: ignore[reportMissingImports]
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.rl_module.apis import ValueFunctionAPI  # pyright: ignore[reportMissingImports]
from ray.rllib.core.rl_module.torch import TorchRLModule  # pyright: ignore[reportMissingImports]

from og_agents.learning.networks import IMPOSSIBLE, policy_class
from og_env.simulator import choices_of


def packed_space(observation: gym.Space[Any], action: gym.Space[Any], masked: bool) -> gym.spaces.Box:
    """Flat observation and mask side by side [O + A], as RLlib hands them about."""
    width = int((observation.shape or (0,))[0])
    return gym.spaces.Box(-1, 1, (width + (sum(choices_of(action)) if masked else 0),), np.float32)


def make_policy(model: dict[str, Any], action_space: gym.Space[Any]) -> Any:
    """The SB3 policy that `model` (kind, masked, kwargs, observation_space, seed) describes.

    The same seed gives the same weights in every process.
    """
    with torch.random.fork_rng():
        torch.manual_seed(model["seed"])
        kind = policy_class(model["kind"], model["masked"])
        return kind(model["observation_space"], action_space, lambda _: 0.0, **model["kwargs"])


class PolicyModule(TorchRLModule, ValueFunctionAPI):
    """Observations and masks [B, O + A] to the inputs of the action's distribution, and values."""

    def setup(self) -> None:
        """Make the network and choose the distribution of the action space."""
        model = self.model_config
        self.policy = make_policy(model, self.action_space)
        self.width = int(model["observation_space"].shape[0])
        self.masked = bool(model["masked"])
        self.action_dist_cls: Any = TorchCategorical
        if isinstance(self.action_space, gym.spaces.MultiDiscrete):
            parts = choices_of(self.action_space)
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(space=self.action_space, input_lens=parts)
        elif isinstance(self.action_space, gym.spaces.Box):
            self.action_dist_cls = TorchDiagGaussian

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        packed = batch[Columns.OBS]
        scores = self.policy.action_net(self.policy.mlp_extractor.forward_actor(packed[:, : self.width]))
        if self.masked:
            scores = scores.masked_fill(packed[:, self.width :] < 0.5, IMPOSSIBLE)
        elif isinstance(self.action_space, gym.spaces.Box):
            scores = torch.cat([scores, self.policy.log_std.expand_as(scores)], 1)
        return {Columns.ACTION_DIST_INPUTS: scores}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Values [B] of a batch."""
        seen = batch[Columns.OBS][:, : self.width]
        return self.policy.value_net(self.policy.mlp_extractor.forward_critic(seen)).squeeze(1)

    def get_inference_action_dist_cls(self) -> Any:
        """Distribution of actions."""
        return self.action_dist_cls

    get_exploration_action_dist_cls = get_inference_action_dist_cls
    get_train_action_dist_cls = get_inference_action_dist_cls
