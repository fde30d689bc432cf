"""The shared site scorer: one small network reads the row of every site and corrects what a router does there.

It has two starts, to which it adds a learned correction that begins at 0:

- The level of the integral controller `site_prices`, computed here from observed columns.
- A belief of how slow the site will be, which the router `convex` then solves with (`believed_speeds`). It is a share of
  what a filter of the measurements expects, and some of its standard deviation as caution, since a site that turns out
  slow costs more than one that turns out fast brings.

The correction reads the site's row, the start, a learned vector of the place (0 in a fleet that it was not trained in),
and a context: the globals, and the mean and the maximum over the encodings of all models and sites. So the policy depends
neither on the order of sites nor on their number. Sites without a warm replica keep the start, and the corrections of
the others' levels have a mean of 0: levels elsewhere send no request anywhere, but the built-in autoscaler places by
them. Around the mean lies a Gaussian with one learned width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import gymnasium as gym
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from og_agents.learning.believed_speeds import RANGE
from og_agents.learning.networks import tanh_layers
from og_agents.learning.speed_filter import COLUMNS as MEASURED
from og_agents.learning.speed_filter import SpeedFilter
from og_env.fields import TABLES, column

READ = ("globals", "models", "sites")
"""tables that the policy reads, in the order of the flat observation"""
GLOBALS, MODEL_COLUMNS, COLUMNS = (len(TABLES[name]) for name in READ)
VALID, FREE, GPUS, DOWN, WARM, SHARE, SLOWNESS, REFUSED, LOAD, STEER = (
    column("sites", name)
    for name in ("valid", "free", "gpus", "down", "warm", "share", "slowness", "refused", "load", "steer")
)
OCTAVES = 2.0
"""doublings of the time of service that show as 1 in the column `slowness`"""
DERIVED = 4
"""features of a site beside its row: its load as the controller sees it, that above the mean, and the router's level with
its change from the present one, or the belief with its standard deviation"""
VALUE_WIDTH = 64
"""features of the value"""
PLACES = "mlp_extractor.places"
"""name of the learned vectors of places among the weights"""
USUAL = {"target": 0.6, "rate": 0.2, "refusal": 0.5, "decay": 0.02}
"""constants of the controller where none are given: those that its search begins at"""


class SiteScorerSettings(NamedTuple):
    """Settings of the shared site scorer, which are also those of its policy's `policy_kwargs`."""

    hidden: int = 32
    """width of its layers"""
    places: int = 8
    """length of the learned vector of a place"""
    deviation: float = 0.1
    """first standard deviation of a level"""
    controller: Mapping[str, float] | None = None
    """constants of the controller `site_prices`; None takes those its search begins at"""
    beliefs: Mapping[str, float] | None = None
    """where the actions are beliefs: `share` of what the filter expects and `caution`, how many deviations are added; the
    other constants are those of the router. What was measured [N, COLUMNS] stands behind the tables then"""


class SiteShapes(NamedTuple):
    """Sizes of a policy's observation and action."""

    models: int
    """M"""
    sites: int
    """N"""
    measured: bool = False
    """whether columns of what was measured [N, speed_filter.COLUMNS] stand behind the tables"""

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers in each of the three tables of the flat observation, and in the columns behind them."""
        tables = (GLOBALS, self.models * MODEL_COLUMNS, self.sites * COLUMNS)
        return (*tables, self.sites * MEASURED) if self.measured else tables


def site_shapes(observation_space: gym.Space[Any], action_space: gym.Space[Any], measured: bool = False) -> SiteShapes:
    """Shapes of Routing with interface "sites"; ValueError for other spaces."""
    if not isinstance(action_space, gym.spaces.Box) or len(action_space.shape) != 1:
        raise ValueError(f"the site scorer gives a level to every site, not {action_space}")
    sites = action_space.shape[0]
    if isinstance(observation_space, gym.spaces.Dict):
        wrong = next((name for name in READ if name not in observation_space.spaces), None)
        if wrong is not None:
            raise ValueError(f"the site scorer reads {wrong!r}, which the observation does not have")
        width = sum(math.prod(observation_space.spaces[name].shape or ()) for name in READ)
    else:
        width = math.prod(observation_space.shape or ())
    models, rest = divmod(width - GLOBALS - sites * (COLUMNS + measured * MEASURED), MODEL_COLUMNS)
    if models <= 0 or rest:
        raise ValueError(f"the site scorer needs {sites} sites in the observation: Routing with interface 'sites'")
    return SiteShapes(models, sites, measured)


class SiteReading(BaseFeaturesExtractor):
    """The tables that the policy reads, side by side [B, width]; a flat observation consists of them already."""

    def forward(self, observations: torch.Tensor | dict[str, torch.Tensor]) -> torch.Tensor:
        """Features [B, width] of flat observations [B, width] or of tables by name, each [B, rows, columns]."""
        if isinstance(observations, torch.Tensor):
            return observations
        return torch.cat([observations[name].flatten(1) for name in READ], 1)


class SiteScorer(nn.Module):
    """The network from features [B, width] to mean levels [B, N] and, apart from it, the value's features [B, 64]."""

    def __init__(self, shapes: SiteShapes, settings: SiteScorerSettings) -> None:
        super().__init__()
        self.shapes, self.constants = shapes, dict(settings.controller or USUAL)
        self.beliefs = settings.beliefs
        self.filter = SpeedFilter().requires_grad_(False) if shapes.measured else None
        hidden, width = settings.hidden, COLUMNS + DERIVED + settings.places
        self.places = nn.Parameter(torch.zeros(shapes.sites, settings.places))
        self.encoder = tanh_layers(width, hidden)
        self.models = tanh_layers(MODEL_COLUMNS, hidden)
        self.context = tanh_layers(GLOBALS + 5 * hidden, hidden)
        self.from_encoding = nn.Linear(hidden, hidden)
        self.from_context = nn.Linear(hidden, hidden, bias=False)
        self.correction = nn.Linear(hidden, 1)
        self.value = tanh_layers(GLOBALS + 2 * MODEL_COLUMNS + 2 * COLUMNS, VALUE_WIDTH)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.latent_dim_pi, self.latent_dim_vf = shapes.sites, VALUE_WIDTH

    def _parts(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Globals [B, columns], models [B, M, columns], sites [B, N, columns] and what was measured [B, N, MEASURED]."""
        plain, models, rows, *measured = features.split(list(self.shapes.widths), 1)
        models = models.unflatten(1, (self.shapes.models, MODEL_COLUMNS))
        behind = measured[0].unflatten(1, (self.shapes.sites, MEASURED)) if measured else None
        return plain, models, rows.unflatten(1, (self.shapes.sites, COLUMNS)), behind

    def start(self, rows: torch.Tensor, measured: torch.Tensor | None) -> torch.Tensor:
        """Features [B, N, 4]: load, load above the mean, and the router's level and its change, or the belief and its doubt.

        Levels and beliefs are in units of an action, [-1, 1]. GPUs of warm replicas are not observed: those in use, at
        sites with any, take their place.
        """
        constants = self.constants
        warm = rows[..., WARM] > 0
        held = (1 - rows[..., FREE]) * rows[..., GPUS] * warm
        used = rows[..., LOAD] * torch.exp2(OCTAVES * rows[..., SLOWNESS])
        load = (used + constants["refusal"] * rows[..., REFUSED]) * warm
        mean = (load * held).sum(1, keepdim=True) / held.sum(1, keepdim=True).clamp(min=1e-6)
        if measured is not None:
            assert self.filter is not None and self.beliefs is not None
            belief, deviation = self.filter.believed(measured, self.beliefs)
            return torch.stack([load, load - mean, belief / RANGE, deviation / RANGE], 2)
        change = constants["rate"] * (load - mean.clamp(min=constants["target"]))
        levels = -((1 - constants["decay"]) * -rows[..., STEER] + change).clamp(0, 1)
        return torch.stack([load, load - mean, levels, levels - rows[..., STEER]], 2)

    @staticmethod
    def hosts(rows: torch.Tensor) -> torch.Tensor:
        """1 [B, N] where a site is up and has a warm replica, else 0."""
        return ((rows[..., WARM] > 0) & (rows[..., DOWN] == 0)).to(rows.dtype)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean levels or beliefs [B, N] and features of the value [B, 64]."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        """Mean levels or beliefs [B, N], which may lie beyond -1 and 1; 0 for a row that pads a smaller fleet."""
        plain, models, rows, measured = self._parts(features)
        start = self.start(rows, measured)
        valid = rows[..., VALID : VALID + 1]
        places = self.places.expand(len(rows), -1, -1)
        encoded, all_models = self.encoder(torch.cat([rows, start, places], 2)), self.models(models)
        count = valid.sum(1).clamp(min=1)
        served = (encoded * rows[..., SHARE : SHARE + 1]).sum(1)
        most = encoded.masked_fill(valid == 0, -1.0).amax(1)
        pooled = [all_models.mean(1), all_models.amax(1), (encoded * valid).sum(1) / count, most, served]
        context = self.context(torch.cat([plain, *pooled], 1))
        mixed = torch.tanh(self.from_encoding(encoded) + self.from_context(context).unsqueeze(1))
        hosts = self.hosts(rows)
        more = self.correction(mixed).squeeze(2) * hosts
        if measured is None:
            more = more - hosts * more.sum(1, keepdim=True) / hosts.sum(1, keepdim=True).clamp(min=1)
        return (start[..., 2] + more) * valid[..., 0]

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the value [B, 64]."""
        plain, models, rows, _ = self._parts(features)
        return self.value(torch.cat([plain, models.mean(1), models.amax(1), rows.mean(1), rows.amax(1)], 1))


class SiteScorerPolicy(ActorCriticPolicy):
    """PPO's policy for Routing with interface "sites", on Dict and on flat observations.

    `PPO(SiteScorerPolicy, env, policy_kwargs={"hidden": 32})`: the fields of SiteScorerSettings may stand among the
    keyword arguments. Several actions of a state are evaluated at once where they stand side by side, [B, n N].
    """

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], lr_schedule: Any, **kwargs: Any
    ) -> None:
        names = SiteScorerSettings._fields
        self.scorer = SiteScorerSettings(**{name: kwargs.pop(name) for name in names if name in kwargs})
        self.shapes = site_shapes(observation_space, action_space, self.scorer.beliefs is not None)
        self.believes = self.scorer.beliefs is not None
        width = sum(self.shapes.widths)
        kwargs |= {"features_extractor_class": SiteReading, "features_extractor_kwargs": {"features_dim": width}}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | self.scorer._asdict()

    def _build(self, lr_schedule: Any) -> None:
        self.mlp_extractor = cast(Any, SiteScorer(self.shapes, self.scorer))
        self.action_net = nn.Identity()
        self.log_std = nn.Parameter(torch.full((1,), math.log(self.scorer.deviation)))
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        self.value_net.apply(partial(self.init_weights, gain=0.01))
        optimizer: Any = self.optimizer_class
        self.optimizer = optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def mean_levels(self, observations: torch.Tensor) -> torch.Tensor:
        """Mean levels or beliefs [B, N], which may lie beyond what the environment takes."""
        return self.mlp_extractor.forward_actor(cast(Any, self.extract_features(cast(Any, observations))))

    def log_probs(self, mean: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Logarithms [B, n] of the density of levels [B, n, N] around means [B, N]."""
        return torch.distributions.Normal(mean.unsqueeze(1), self.log_std.exp()).log_prob(levels).sum(2)

    def evaluate_actions(self, obs: Any, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values [B, 1], log densities [B, n] of n actions side by side [B, n N], and entropies [B]."""
        latent, value = self.mlp_extractor(self.extract_features(obs))
        log_prob = self.log_probs(latent, actions.unflatten(1, (-1, self.shapes.sites)))
        entropy = torch.distributions.Normal(latent, self.log_std.exp()).entropy().sum(1)
        return self.value_net(value), log_prob.squeeze(1), entropy
