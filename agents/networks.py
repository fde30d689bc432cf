"""The shared-scorer policy: one small network reads every proposal, and the planner's gain is the prior.

Logit of a proposal = scorer(its encoding, context) + beta x its gain; doing nothing has a logit of its own. The context
is the globals, the models, and the mean and maximum of all encodings, so the policy does not depend on the order of the
proposals and serves any number of them. The value has a separate network.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import nn

from og_env.fields import column

BETA = 12.0
"""starting weight of the planner's gain in the logits"""
KNOB_LOGITS = 25
GAIN = column("proposals", "gain")
VALID = column("proposals", "valid")


class Shapes(NamedTuple):
    """Rows and columns of the flat observation: globals, models, proposals."""

    globals: int
    models: int
    proposals: int
    columns: int

    @property
    def width(self) -> int:
        return self.globals + self.models + self.proposals * self.columns


class ProposalScorer(nn.Module):
    """Flat observation [B, O] to logits [B, 1 + P (+ 25)] and to the value's features [B, H]."""

    def __init__(self, shapes: Shapes, knobs: bool, hidden: int = 32, prior: bool = True) -> None:
        super().__init__()
        self.shapes, self.knobs = shapes, knobs
        plain = shapes.globals + shapes.models
        context = plain + 2 * hidden
        self.encoder = nn.Sequential(nn.Linear(shapes.columns, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.context = nn.Sequential(nn.Linear(context, hidden), nn.Tanh())
        self.scorer = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.nothing = nn.Linear(hidden, 1)
        self.levels = nn.Linear(hidden, KNOB_LOGITS) if knobs else None
        self.beta = nn.Parameter(torch.tensor(BETA if prior else 0.0), requires_grad=prior)
        self.value_encoder = nn.Sequential(nn.Linear(shapes.columns, hidden), nn.Tanh())
        self.value = nn.Sequential(nn.Linear(plain + hidden, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.latent_dim_pi = 1 + shapes.proposals + (KNOB_LOGITS if knobs else 0)
        self.latent_dim_vf = 64
        self.quiet_ends()

    def quiet_ends(self) -> None:
        """Start at the prior: last layers near zero."""
        for layer in (self.scorer[-1], self.nothing, self.levels):
            if layer is not None:
                nn.init.orthogonal_(layer.weight, 0.01)
                nn.init.zeros_(layer.bias)

    def _parts(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        plain, rows = features.split([self.shapes.globals + self.shapes.models, features.shape[1] - self._plain], 1)
        return plain, rows.unflatten(1, (self.shapes.proposals, self.shapes.columns))

    @property
    def _plain(self) -> int:
        return self.shapes.globals + self.shapes.models

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Logits."""
        plain, rows = self._parts(features)
        encoded = self.encoder(rows)
        valid = rows[..., VALID : VALID + 1]
        mean = (encoded * valid).sum(1) / valid.sum(1).clamp(min=1)
        top = torch.where(valid > 0, encoded, -1.0).max(1).values
        context = self.context(torch.cat([plain, mean, top], 1))
        spread = context.unsqueeze(1).expand(-1, self.shapes.proposals, -1)
        scores = self.scorer(torch.cat([encoded, spread], 2)).squeeze(2) + self.beta * rows[..., GAIN]
        logits = [self.nothing(context), scores]
        if self.levels is not None:
            logits.append(self.levels(context))
        return torch.cat(logits, 1)

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the value."""
        plain, rows = self._parts(features)
        return self.value(torch.cat([plain, self.value_encoder(rows).mean(1)], 1))


class SharedScorerPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy on the flat observation, its actor a ProposalScorer."""

    def __init__(
        self, *args: Any, shapes: tuple[int, ...], knobs: bool, hidden: int = 32, prior: bool = True, **kwargs: Any
    ) -> None:
        self.scorer_arguments = (Shapes(*shapes), knobs, hidden, prior)
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        shapes, knobs, hidden, prior = self.scorer_arguments
        if shapes.width != self.features_dim:
            raise ValueError(f"observation has {self.features_dim} numbers, the policy was made for {shapes.width}")
        self.mlp_extractor = ProposalScorer(shapes, knobs, hidden, prior)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = nn.Identity()
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        self.value_net.apply(partial(self.init_weights, gain=1.0))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)
