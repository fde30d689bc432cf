"""The operation scorer: one small network scores doing nothing and every operation, without a planner.

The rows of sites and of models are encoded by a small network each. A replica shows in what is possible: retiring it is
possible where it is. So each model also reads the mean encoding of the sites that hold it, and each site that of the
models that it holds. The score of launching, retiring or staging mixes the encodings of model and site, a context of the
whole fleet, and which of the three is possible there; that of changing a role mixes the site's alone. Weights differ
between kinds of operations, and are the same for all models and sites. So the policy depends neither on the order of
sites nor on their number, but for a learned vector of each place (0 in a fleet that it was not trained in). No gain, no
offer and no price of a planner is read. What is possible stands behind the observation (`possible_behind`).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple, cast

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from og_agents.learning.networks import IMPOSSIBLE, ChoosesAmong, tanh_layers
from og_env.fields import TABLES, column
from og_env.simulator import VERBS, count_operations

READ = ("globals", "models", "sites")
"""tables that the policy reads, in the order of the flat observation"""
GLOBALS, MODEL_COLUMNS, SITE_COLUMNS = (len(TABLES[name]) for name in READ)
VALID = column("sites", "valid")
PAIR_KINDS, ROLE_KINDS = len(VERBS), 6
"""kinds of operations of a model at a site, and of a role at a site"""
KINDS = PAIR_KINDS + ROLE_KINDS
VALUE_WIDTH = 16
"""features of the value, which branches do not use"""


class OperationScorerSettings(NamedTuple):
    """Settings of the operation scorer, which are also those of its policy's `policy_kwargs`."""

    models: int
    """M, which the sizes of spaces alone do not tell"""
    hidden: int = 32
    """width of its layers"""
    places: int = 8
    """length of the learned vector of a place"""
    sharpness: float = 0.5
    """factor of the logits"""
    nothing: float = 4.0
    """first score of doing nothing, before that factor; the other scores begin near 0"""


class OperationShapes(NamedTuple):
    """Sizes of a policy's observation and action."""

    models: int
    """M"""
    sites: int
    """N"""

    @property
    def operations(self) -> int:
        """V, number of operations."""
        return count_operations(self.sites, self.models)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers in each of the three tables of the flat observation, and flags of what is possible behind them."""
        return GLOBALS, self.models * MODEL_COLUMNS, self.sites * SITE_COLUMNS, self.operations


def operation_shapes(observation_space: gym.Space[Any], action_space: gym.Space[Any], models: int) -> OperationShapes:
    """Shapes of Placement with interface "operations" and flags behind flat observations; ValueError for other spaces."""
    if not isinstance(action_space, gym.spaces.Discrete):
        raise ValueError(f"the operation scorer chooses one operation, not in {action_space}")
    shapes = OperationShapes(models, (int(action_space.n) - 1) // (PAIR_KINDS * models + ROLE_KINDS))
    width = math.prod(observation_space.shape or ())
    if shapes.operations != action_space.n or width != sum(shapes.widths):
        raise ValueError(
            f"the operation scorer needs flat observations of {models} models and of all sites, with flags of what is "
            "possible behind them: interface 'operations'"
        )
    return shapes


class OperationScorer(nn.Module):
    """The network from observations [B, O + V] to logits [B, V] and, apart from it, the value's features [B, 16]."""

    def __init__(self, shapes: OperationShapes, settings: OperationScorerSettings) -> None:
        super().__init__()
        self.shapes, self.sharpness, hidden = shapes, settings.sharpness, settings.hidden
        self.places = nn.Parameter(torch.zeros(shapes.sites, settings.places))
        self.sites = tanh_layers(SITE_COLUMNS + ROLE_KINDS + settings.places, hidden, hidden)
        self.models = tanh_layers(MODEL_COLUMNS, hidden)
        self.context = tanh_layers(GLOBALS + 4 * hidden, hidden)
        self.of_site = nn.Linear(2 * hidden, KINDS * hidden)
        self.of_model = nn.Linear(2 * hidden, PAIR_KINDS * hidden, bias=False)
        self.of_context = nn.Linear(hidden, KINDS * hidden, bias=False)
        self.of_flags = nn.Linear(PAIR_KINDS, PAIR_KINDS * hidden, bias=False)
        self.score = nn.Parameter(torch.empty(KINDS, hidden))
        self.bias = nn.Parameter(torch.zeros(KINDS))
        self.nothing = nn.Linear(hidden, 1)
        self.value = tanh_layers(GLOBALS + 2 * MODEL_COLUMNS, VALUE_WIDTH)
        self.latent_dim_pi, self.latent_dim_vf = shapes.operations, VALUE_WIDTH
        nn.init.normal_(self.score, std=0.01 / math.sqrt(hidden))
        nn.init.zeros_(self.nothing.weight)
        nn.init.constant_(self.nothing.bias, settings.nothing)

    def _parts(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Globals [B, columns], models [B, M, columns], sites [B, N, columns] and what is possible of each kind.

        The latter are flags [B, 3, M, N] of operations on models and [B, 6, N] of those on roles.
        """
        models, sites = self.shapes
        plain, model_rows, site_rows, possible = features.split(list(self.shapes.widths), 1)
        pairs, roles = possible[:, 1:].split([PAIR_KINDS * models * sites, ROLE_KINDS * sites], 1)
        return (
            plain,
            model_rows.unflatten(1, (models, MODEL_COLUMNS)),
            site_rows.unflatten(1, (sites, SITE_COLUMNS)),
            pairs.unflatten(1, (PAIR_KINDS, models, sites)),
            roles.unflatten(1, (ROLE_KINDS, sites)),
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, V] and features of the value [B, 16]."""
        return self.forward_actor(features), self.forward_critic(features)

    def _encoded(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The parts of scores, the flags [B, 3, M, N] of operations on models, and the context [B, H].

        The parts are of sites [B, N, 9, H], of models [B, M, 3, H] and of the context [B, 9, H], by kind of operation.
        """
        plain, model_rows, site_rows, pairs, roles = self._parts(features)
        valid = site_rows[..., VALID : VALID + 1]
        places = self.places.expand(len(features), -1, -1)
        sites = self.sites(torch.cat([site_rows, roles.transpose(1, 2), places], 2))
        models = self.models(model_rows)
        mean = (sites * valid).sum(1) / valid.sum(1).clamp(min=1)
        most = sites.masked_fill(valid == 0, -1.0).amax(1)
        context = self.context(torch.cat([plain, mean, most, models.mean(1), models.amax(1)], 1))
        held = pairs[:, VERBS.index("retire")]
        holders = held @ sites / held.sum(2, keepdim=True).clamp(min=1)
        guests = held.transpose(1, 2) @ models / held.sum(1).unsqueeze(2).clamp(min=1)
        of_site = self.of_site(torch.cat([sites, guests], 2)).unflatten(2, (KINDS, -1))
        of_model = self.of_model(torch.cat([models, holders], 2)).unflatten(2, (PAIR_KINDS, -1))
        return of_site, of_model, self.of_context(context).unflatten(1, (KINDS, -1)), pairs, context

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, V], those of impossible operations among them."""
        of_site, of_model, of_context, pairs, context = self._encoded(features)
        of_site = of_site + of_context.unsqueeze(1)
        flags = self.of_flags(pairs.permute(0, 2, 3, 1)).unflatten(3, (PAIR_KINDS, -1))
        mixed = torch.tanh(of_site[:, None, :, :PAIR_KINDS] + of_model.unsqueeze(2) + flags)
        on_models = (mixed * self.score[:PAIR_KINDS]).sum(4) + self.bias[:PAIR_KINDS]
        on_roles = (torch.tanh(of_site[:, :, PAIR_KINDS:]) * self.score[PAIR_KINDS:]).sum(3) + self.bias[PAIR_KINDS:]
        scores = [self.nothing(context), on_models.permute(0, 3, 1, 2).flatten(1), on_roles.transpose(1, 2).flatten(1)]
        return self.sharpness * torch.cat(scores, 1)

    def logits_of(self, features: torch.Tensor, operations: torch.Tensor) -> torch.Tensor:
        """Logits [B, n] of some operations [B, n]: those of `forward_actor`, without all the others."""
        models, sites = self.shapes
        of_site, of_model, of_context, pairs, context = self._encoded(features)
        place, row = (operations - 1).clamp(min=0), torch.arange(len(features), device=features.device).unsqueeze(1)
        site, on_model = place % sites, place < PAIR_KINDS * models * sites
        verb, model = place // (models * sites), place // sites % models
        kind = torch.where(on_model, verb, PAIR_KINDS + place // sites - PAIR_KINDS * models)
        verb, model = torch.where(on_model, verb, 0), torch.where(on_model, model, 0)
        flags = pairs.permute(0, 2, 3, 1)[row, model, site]
        by_verb = self.of_flags.weight.unflatten(0, (PAIR_KINDS, -1))[verb]
        of_model = of_model[row, model, verb] + (by_verb @ flags.unsqueeze(3)).squeeze(3)
        mixed = torch.tanh(of_site[row, site, kind] + of_context[row, kind] + of_model * on_model.unsqueeze(2))
        scores = (mixed * self.score[kind]).sum(2) + self.bias[kind]
        return self.sharpness * torch.where(operations == 0, self.nothing(context), scores)

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the value [B, 16]."""
        plain, models, *_ = self._parts(features)
        return self.value(torch.cat([plain, models.mean(1), models.amax(1)], 1))


class OperationScorerPolicy(ChoosesAmong):
    """MaskablePPO's policy for Placement with interface "operations", on flat observations with flags behind them.

    The fields of OperationScorerSettings may stand among the keyword arguments; `models` has to. Several operations of a
    state are evaluated at once: actions [B n] of observations [B, O + V], state by state.
    """

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], lr_schedule: Any, **kwargs: Any
    ) -> None:
        names = OperationScorerSettings._fields
        self.scorer = OperationScorerSettings(**{name: kwargs.pop(name) for name in names if name in kwargs})
        self.shapes = operation_shapes(observation_space, action_space, self.scorer.models)
        kwargs["features_extractor_class"] = FlattenExtractor
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | self.scorer._asdict()

    def _build(self, lr_schedule: Any) -> None:
        self.mlp_extractor = cast(Any, OperationScorer(self.shapes, self.scorer))
        self.action_net = nn.Identity()
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        self.value_net.apply(partial(self.init_weights, gain=0.01))
        optimizer: Any = self.optimizer_class
        self.optimizer = optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor, action_masks: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As ChoosesAmong does; without masks a single action is one of those that the flags allow."""
        if len(actions) != len(obs):
            return super().evaluate_actions(obs, actions, action_masks)
        values = self.value_net(self.mlp_extractor.forward_critic(obs))
        logits = self.mlp_extractor.forward_actor(obs)
        possible = (
            obs[:, -logits.shape[1] :] if action_masks is None else torch.as_tensor(action_masks, device=obs.device)
        )
        logs = torch.log_softmax(logits.masked_fill(possible == 0, IMPOSSIBLE), 1)
        return values, logs.gather(1, actions.long().unsqueeze(1)).squeeze(1), -(logs.exp() * logs).sum(1)

    def logits_of(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n] of operations [B, n], without all the others."""
        return self.mlp_extractor.logits_of(observations, actions)
