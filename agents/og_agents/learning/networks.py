"""The shared-scorer policy: one small network reads every proposal, and a planner's value of it is the prior.

The logit of a proposal is scorer(its encoding, context) + beta x its value to the planner. That value is the nominal gain
or, with `prior`, the tuned greedy planner's. Each kind of offer, such as launches or removals of a store, has last weights
and a beta of its own, with which far more is learned than with the same for all (configs/training/RESULTS.md). Doing
nothing has a logit of its own, as an offer of value 0 would have. The context is the globals, and the mean and the maximum
over the encodings of all models and of all proposals. So the policy depends neither on their order nor on their number, and
can be used with another fleet. The value has a network of its own.

A policy that samples from sharp logits never tries what the planner thinks poor; one that samples from flat logits loses
reward in every step. So the policy is a mixture: sharp logits, and with a probability `exploration` the same logits made
flat. Both learn, and both have the same likeliest action.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import gymnasium as gym
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from og_agents.learning.planner_prior import PlannerPrior
from og_env.fields import TABLES, column

MIDDLE_LOGIT = 2.0
"""first logit of the middle level of a knob, the scenario's own setting: seven times as likely as each other level"""
IMPOSSIBLE = -1e8
"""logit of an action that a mask forbids, the number of sb3-contrib"""
GAIN, VALID, ADDS = (column("proposals", name) for name in ("gain", "valid", "is_add"))
GLOBALS, MODEL_COLUMNS, COLUMNS = (len(TABLES[name]) for name in ("globals", "models", "proposals"))
CHANGES = tuple(column("proposals", name) for name in ("is_launch", "is_retire", "is_stage"))
ROLES = tuple(column("proposals", name) for name in ("is_verifier", "is_store", "is_gateway"))
"""columns that say what an offer is; a role is added or removed"""
KINDS = len(CHANGES) + 2 * len(ROLES)
"""number of kinds of offers"""
READ = ("globals", "models", "proposals")
"""tables that the policy reads, in the order of the flat observation"""


class ScorerSettings(NamedTuple):
    """Settings of the shared scorer, which are also those of its policy's `policy_kwargs`."""

    hidden: int = 32
    """width of its layers"""
    beta: float = 40.0
    """first weight of the planner's value in a logit; it is learned, for each kind of offer"""
    sharpness: float = 1.0
    """factor of the logits"""
    exploration: float = 0.0
    """probability of the flat logits, in [0, 1)"""
    exploration_sharpness: float = 1.0
    """factor of the flat logits in place of `sharpness`"""
    prior: Mapping[str, float] | None = None
    """constants of the tuned greedy planner whose value of an offer is the prior; None is the nominal gain"""


class Shapes(NamedTuple):
    """Sizes of a policy's observation and action."""

    models: int
    """M"""
    proposals: int
    """P"""
    levels: tuple[int, ...]
    """number of levels of each routing knob; empty where there is none"""

    @property
    def widths(self) -> tuple[int, int, int]:
        """Numbers in each of the three tables of the flat observation."""
        return GLOBALS, self.models * MODEL_COLUMNS, self.proposals * COLUMNS

    @property
    def width(self) -> int:
        """Numbers in the flat observation."""
        return sum(self.widths)


def shapes_of(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Shapes:
    """Shapes of a task with interface "proposals"; ValueError for other spaces."""
    if isinstance(action_space, gym.spaces.Discrete):
        choices, levels = int(action_space.n), ()
    elif isinstance(action_space, gym.spaces.MultiDiscrete) and len(action_space.nvec) > 1:
        choices, *rest = (int(count) for count in action_space.nvec)
        levels = tuple(rest)
    else:
        raise ValueError(f"the shared scorer chooses among proposals, not in {action_space}")
    if isinstance(observation_space, gym.spaces.Dict):
        tables = observation_space.spaces
        wrong = next((name for name in READ if name not in tables), None)
        if wrong is not None:
            raise ValueError(f"the shared scorer reads {wrong!r}, which the observation does not have")
        width = sum(math.prod(tables[name].shape or ()) for name in READ)
    else:
        width = math.prod(observation_space.shape or ())
    models, rest = divmod(width - GLOBALS - (choices - 1) * COLUMNS, MODEL_COLUMNS)
    if models <= 0 or rest:
        raise ValueError(f"the shared scorer needs {choices - 1} proposals in the observation: interface 'proposals'")
    return Shapes(models, choices - 1, levels)


class Reading(BaseFeaturesExtractor):
    """The tables that the policy reads, side by side [B, width]; a flat observation consists of them already."""

    def __init__(self, observation_space: gym.Space[Any], width: int) -> None:
        super().__init__(observation_space, width)

    def forward(self, observations: torch.Tensor | dict[str, torch.Tensor]) -> torch.Tensor:
        """Features [B, width] of flat observations [B, width] or of tables by name, each [B, rows, columns]."""
        if isinstance(observations, torch.Tensor):
            return observations
        return torch.cat([observations[name].flatten(1) for name in READ], 1)


def tanh_layers(*widths: int) -> nn.Sequential:
    """Linear layers of these widths, each followed by tanh."""
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(layer for pair in pairs for layer in (nn.Linear(*pair), nn.Tanh())))


def kinds_of(rows: torch.Tensor) -> torch.Tensor:
    """Which kind each offer is, flags [B, P, 9] of proposals [B, P, columns]; none for an empty place."""
    adds = rows[..., ADDS]
    roles = [rows[..., role] * change for role in ROLES for change in (adds, 1 - adds)]
    return torch.stack([*(rows[..., change] for change in CHANGES), *roles], -1)


def _same_for_all_kinds(scorer: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give each kind of offer the last weights of an earlier version, which had one row of them."""
    for name, own in scorer.named_parameters():
        given = weights.get(prefix + name)
        if name.startswith(("beta", "score.")) and given is not None and KINDS * given.numel() == own.numel():
            weights[prefix + name] = given.expand_as(own)


class ProposalScorer(nn.Module):
    """The network from features [B, width] to logits [B, 1 + P + levels] and, apart from it, the value's features [B, 64]."""

    def __init__(self, shapes: Shapes, settings: ScorerSettings | None = None) -> None:
        super().__init__()
        settings = settings or ScorerSettings()
        self.shapes, self.settings, hidden = shapes, settings, settings.hidden
        self.prior = None if settings.prior is None else PlannerPrior(settings.prior)
        self.encoder = tanh_layers(COLUMNS, hidden, hidden)
        self.models = tanh_layers(MODEL_COLUMNS, hidden)
        self.context = tanh_layers(GLOBALS + 4 * hidden, hidden)
        self.from_encoding, self.from_context = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, KINDS)
        self.nothing = nn.Linear(hidden, 1)
        self.levels = nn.Linear(hidden, sum(shapes.levels)) if shapes.levels else None
        self.beta = nn.Parameter(torch.full((KINDS,), float(settings.beta)))
        self.value = tanh_layers(GLOBALS + 3 * MODEL_COLUMNS + 2 * COLUMNS, 64, 64)
        self.latent_dim_pi, self.latent_dim_vf = 1 + shapes.proposals + sum(shapes.levels), 64
        self._start_at_the_prior()
        self.register_load_state_dict_pre_hook(_same_for_all_kinds)

    def _start_at_the_prior(self) -> None:
        """Set the last layers near zero, and make the middle level of every knob the likeliest."""
        for layer in (self.score, self.nothing, self.levels):
            if layer is not None:
                nn.init.orthogonal_(layer.weight, 0.01)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.score.weight[1:] = self.score.weight[:1].clone()
            if self.levels is not None:
                for bias in self.levels.bias.split(list(self.shapes.levels)):
                    bias[len(bias) // 2] = MIDDLE_LOGIT

    def heads(self) -> list[nn.Parameter]:
        """The parameters in which the logits of doing nothing and of the offers are linear."""
        return [self.beta, *self.score.parameters(), *self.nothing.parameters()]

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits of doing nothing and of the offers."""
        with torch.no_grad():
            for values in self.heads():
                values *= factor

    def forget(self) -> None:
        """Play as the planner of the prior, without what was learned."""
        with torch.no_grad():
            for values in self.heads():
                values.zero_()
            self.beta.fill_(self.settings.beta)

    def _parts(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Globals [B, columns], models [B, M, columns], proposals [B, P, columns] and whether each is an offer [B, P, 1]."""
        plain, models, rows = features.split(list(self.shapes.widths), 1)
        models = models.unflatten(1, (self.shapes.models, MODEL_COLUMNS))
        rows = rows.unflatten(1, (self.shapes.proposals, COLUMNS))
        return plain, models, rows, rows[..., VALID : VALID + 1] > 0

    @staticmethod
    def _pooled(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Mean and maximum [B, 2 H] over the offers of values [B, P, H] in [-1, 1]; 0 and -1 where there is no offer."""
        mean = (values * valid).sum(1) / valid.sum(1).clamp(min=1)
        return torch.cat([mean, values.masked_fill(~valid, -1.0).amax(1)], 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, 1 + P + levels] and features of the value [B, 64]."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1 + P + levels]."""
        plain, models, rows, valid = self._parts(features)
        encoded, all_models = self.encoder(rows), self.models(models)
        pooled = [all_models.mean(1), all_models.amax(1), self._pooled(encoded, valid)]
        context = self.context(torch.cat([plain, *pooled], 1))
        mixed = torch.tanh(self.from_encoding(encoded) + self.from_context(context).unsqueeze(1))
        values = rows[..., GAIN] if self.prior is None else self.prior(plain, rows)
        kinds = kinds_of(rows)
        scores = (mixed * (kinds @ self.score.weight)).sum(2) + kinds @ self.score.bias + kinds @ self.beta * values
        logits = [self._mixture(torch.cat([self.nothing(context), scores], 1), valid)]
        if self.levels is not None:
            logits.append(self.levels(context))
        return torch.cat(logits, 1)

    def planner_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1 + P] of the planner that the network begins as, without what was learned; doing nothing has 0."""
        plain, _, rows, valid = self._parts(features)
        values = rows[..., GAIN] if self.prior is None else self.prior(plain, rows)
        return self._mixture(nn.functional.pad(self.settings.beta * values, (1, 0)), valid)

    def _mixture(self, scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1 + P] of a mixture: sharp scores and, with the probability `exploration`, flat ones."""
        settings = self.settings
        if settings.exploration == 0:
            return settings.sharpness * scores
        possible = nn.functional.pad(valid[..., 0], (1, 0), value=True)
        scores = scores.masked_fill(~possible, IMPOSSIBLE)
        sharp = torch.log_softmax(settings.sharpness * scores, 1) + math.log1p(-settings.exploration)
        flat = torch.log_softmax(settings.exploration_sharpness * scores, 1) + math.log(settings.exploration)
        return torch.logaddexp(sharp, flat)

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the value [B, 64]."""
        plain, models, rows, valid = self._parts(features)
        pooled = [models.mean(1), models.amin(1), models.amax(1), self._pooled(rows, valid)]
        return self.value(torch.cat([plain, *pooled], 1))


class ChoosesAmong(MaskableActorCriticPolicy):
    """A masked policy with one choice that also evaluates several actions of a state at once, as a choice among these.

    Those are actions [B n] of observations [B, O], state by state. It is the plain network on flat observations, too.
    """

    def evaluate_actions(self, obs: Any, actions: torch.Tensor, action_masks: Any = None) -> tuple[Any, Any, Any]:
        """Values, log probabilities and entropies as MaskablePPO asks for them, of one or of n actions of each state.

        For n actions they are log probabilities [B, n] among these alone; a 0 that is not the first one counts as none.
        """
        states = len(obs if isinstance(obs, torch.Tensor) else next(iter(obs.values())))
        if len(actions) == states:
            return super().evaluate_actions(obs, actions, action_masks)
        logs = self.logs_among(obs, actions.long().reshape(states, -1))
        return self.predict_values(obs), logs, -(logs.exp() * logs).sum(1)

    def logits_of(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n] of actions [B, n]."""
        latent = self.mlp_extractor.forward_actor(cast(Any, self.extract_features(cast(Any, observations))))
        return self.action_net(latent).gather(1, actions)

    def logs_among(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log probabilities [B, n] of a choice among actions [B, n]; a 0 that is not the first one counts as none."""
        return among(self.logits_of(observations, actions), actions)

    def start_among(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The same of the policy that training begins as, where the network knows it: of equal chances elsewhere."""
        return among(torch.zeros(actions.shape, device=actions.device), actions)


def among(logits: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Log probabilities [B, n] for logits [B, n] of actions [B, n]; a 0 that is not the first one counts as none."""
    fills = actions == 0
    fills[:, 0] = False
    return torch.log_softmax(logits.masked_fill(fills, IMPOSSIBLE), 1)


class SharedScorerPolicy(ChoosesAmong):
    """MaskablePPO's policy for Placement and Joint, on Dict and on flat observations.

    `MaskablePPO(SharedScorerPolicy, env, policy_kwargs={"hidden": 32, "beta": 40.0})`: the fields of ScorerSettings may
    stand among the keyword arguments.
    """

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], lr_schedule: Any, **kwargs: Any
    ) -> None:
        self.shapes = shapes_of(observation_space, action_space)
        self.scorer = ScorerSettings(**{name: kwargs.pop(name) for name in ScorerSettings._fields if name in kwargs})
        kwargs |= {"features_extractor_class": Reading, "features_extractor_kwargs": {"width": self.shapes.width}}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | self.scorer._asdict()

    def forget(self) -> None:
        """Play as the planner of the prior, without what was learned."""
        cast(ProposalScorer, self.mlp_extractor).forget()

    def start_among(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log probabilities [B, n] of the planner's choice among actions [B, n]."""
        features = self.extract_features(cast(Any, observations))
        return among(cast(Any, self.mlp_extractor).planner_logits(features).gather(1, actions), actions)

    def _build(self, lr_schedule: Any) -> None:
        self.mlp_extractor = cast(Any, ProposalScorer(self.shapes, self.scorer))
        self.action_net = nn.Identity()
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        # the value begins near 0, since a random one would hide everything else in the first advantages
        self.value_net.apply(partial(self.init_weights, gain=0.01))
        optimizer: Any = self.optimizer_class
        self.optimizer = optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


def policy_class(kind: str, masked: bool) -> type[MaskableActorCriticPolicy] | type[ActorCriticPolicy]:
    """The policy class of a PolicyKind; "mlp" comes without a mask, too, for routing."""
    if kind == "operations":
        from og_agents.learning.operation_scorer import OperationScorerPolicy  # which builds on this module

        return OperationScorerPolicy
    if kind == "sites":
        from og_agents.learning.site_scorer import SiteScorerPolicy  # which builds on this module

        return SiteScorerPolicy
    if kind == "shared":
        return SharedScorerPolicy
    if kind == "lstm":
        return RecurrentActorCriticPolicy
    return ChoosesAmong if masked else ActorCriticPolicy


def masked_logits(policy: Any, observations: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Logits [B, A] of a masked policy with one choice on flat observations [B, O]; IMPOSSIBLE where a mask [B, A] is False.

    SB3's own way to the likeliest action builds distributions and takes 1.5 to 1.9 times as long.
    """
    latent = policy.mlp_extractor.forward_actor(policy.extract_features(observations))
    return policy.action_net(latent).masked_fill(~masks, IMPOSSIBLE)
