"""A trained policy as ONNX, for hosts without torch.

The graph takes `observation` float32 [B, O], the flat observation (`flatten=True`), and, but for routing, `action_mask`
bool [B, A]. A policy among all operations has their flags behind its observation, [B, O + A]. The graph gives `action`,
what the policy does when it explores nothing: int64 [B] (Placement), int64 [B, 6] (Joint) or float32 [B, 5] (Routing);
`scores` float32 [B, A], the logits, impossible ones at -1e8, or the knobs before clipping; and `value` float32 [B]. What
the policy was trained for stands in the model's metadata under `og_env`, as JSON.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from og_agents.learning.checkpoint import LearnedPolicy
from og_agents.learning.networks import IMPOSSIBLE, SharedScorerPolicy
from og_env.errors import import_extra
from og_env.simulator import choices_of

OPSET = 18
KEPT = ("format", "algorithm", "policy", "task", "env_kwargs", "scenario", "observation_space", "action_space")
"""entries of policy.json that the metadata keep"""


class PolicyGraph(nn.Module):
    """The forward pass of an SB3 policy without distributions, which a graph cannot hold."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.extractor: Any = policy.mlp_extractor
        self.action_net, self.value_net = policy.action_net, policy.value_net
        self.sizes = choices_of(policy.action_space)

    def forward(
        self, observation: torch.Tensor, action_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions [B], scores [B, A] and values [B] of flat observations [B, O] and masks [B, A]."""
        scores = self.action_net(self.extractor.forward_actor(observation))
        value = self.value_net(self.extractor.forward_critic(observation)).squeeze(1)
        if not self.sizes:
            return scores.clamp(-1.0, 1.0), scores, value
        if action_mask is not None:
            scores = scores.masked_fill(~action_mask, IMPOSSIBLE)
        chosen = [part.argmax(1) for part in scores.split(self.sizes, 1)]
        return (chosen[0] if len(chosen) == 1 else torch.stack(chosen, 1)), scores, value


def graph_of(learned: LearnedPolicy) -> PolicyGraph:
    """The graph of a policy that reads a flat observation; ValueError for another."""
    policy = learned.network
    if learned.recurrent:
        raise ValueError(f"{learned.name}: a network with a memory cannot be exported: take --policy shared or mlp")
    if getattr(policy, "believes", False):
        raise ValueError(
            f"{learned.name}: a policy that a router solves for cannot be exported: its levels need the router"
        )
    if not isinstance(policy, SharedScorerPolicy) and not isinstance(policy.observation_space, gym.spaces.Box):
        raise ValueError(f"{learned.name}: only a policy on flat observations can be exported: train with flatten=True")
    return PolicyGraph(policy).eval()


def width_of(learned: LearnedPolicy) -> int:
    """Numbers in the flat observation."""
    policy = learned.network
    return policy.shapes.width if isinstance(policy, SharedScorerPolicy) else int(policy.observation_space.shape[0])


def _log_of_sum(graph: Any, one: Any, other: Any) -> Any:
    """`torch.logaddexp`, which mixes sharp and flat scores, in operators that ONNX has."""
    larger, smaller = graph.op("Max", one, other), graph.op("Min", one, other)
    share = graph.op("Exp", graph.op("Sub", smaller, larger))
    unit = graph.op("Constant", value_t=torch.tensor(1.0))
    return graph.op("Add", larger, graph.op("Log", graph.op("Add", share, unit)))


def export(learned: LearnedPolicy, path: Path) -> Path:
    """Write the policy as ONNX; ValueError where onnx is missing or the policy cannot be exported."""
    onnx = import_extra("onnx")
    graph, masked = graph_of(learned), learned.meta["task"] != "routing"
    inputs: tuple[torch.Tensor, ...] = (torch.zeros(2, width_of(learned)),)
    names = ["observation"]
    if masked:
        inputs += (torch.ones(2, sum(graph.sizes), dtype=torch.bool),)
        names.append("action_mask")
    outputs = ["action", "scores", "value"]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.register_custom_op_symbolic("aten::logaddexp", _log_of_sum, OPSET)
        torch.onnx.export(
            graph,
            inputs,
            str(part),
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (*names, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(part))
    kept = {key: learned.meta[key] for key in KEPT if key in learned.meta}
    onnx.helper.set_model_props(model, {"og_env": json.dumps(kept)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(part))
    part.replace(path)
    return path
