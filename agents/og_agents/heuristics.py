"""Rules of thumb that see what a trained policy sees: each looks at the offers of a step and takes at most one.

A rule gives every offer a score [B, P]; the offer with the highest score above 0 is taken, on ties the one with the
larger planner gain (offers come in that order). Which offers there are is the environment's doing, so a rule says
when to add or remove something, and where among the few places that the planner found.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents import tuned_constants
from og_agents.policy import LEVELS, MIDDLE_LEVEL, Asked, as_batch, as_predict, parts_in
from og_agents.tuned_constants import Constants
from og_env.errors import nearest_valid
from og_env.fields import column
from og_env.simulator import KNOBS

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

NEVER = -np.inf
BUSIEST = 9.0
"""expected utilisation of a model without any replica, and the largest value of any other"""
SCALING = "threshold_scaling"
"""table of constants that all threshold scalers but n1_reserve share"""
LEAST_SERVED = 0.2
"""served share of demand below which unserved demand raises a model's load no further: at most fivefold"""
ROLE_SCORE = 1000.0
"""base score of changes of roles, which come before all launches: their scores stay below 400"""
VERIFIER_SCORE = 900.0
"""score of a verifier that the quorum's margin lacks, behind the roles that gain"""
LAUNCH_SCORE = 10.0
"""base score of launches, and the score of each quarter of utilisation: within one, the preferred place decides"""
HEDGE_SCORE = 5.0
"""base score of hedges, which come after launches and before retirements"""
RETIRE_SCORE = 3.0
"""base score of retirements, less the preference for the place, which is at most 2"""


class Sight:
    """A batch of observations by table and column."""

    def __init__(self, observation: Mapping[str, Floats]) -> None:
        self.tables = observation

    def offers(self, name: str) -> Floats:
        """A column of the proposals [B, P]."""
        return self.tables["proposals"][..., column("proposals", name)]

    def models(self, name: str) -> Floats:
        """A column of the models [B, M]."""
        return self.tables["models"][..., column("models", name)]

    def overall(self, name: str) -> Floats:
        """A column of the globals, to be compared with offers [B, 1]."""
        return self.tables["globals"][..., column("globals", name), None]

    @property
    def sites(self) -> int:
        """Number of sites N, padding included: the unit of replica counts."""
        return self.tables["sites"].shape[-2]

    def of_model(self, values: Floats) -> Floats:
        """Values of the models [B, M] at each offer's model [B, P]; offers name their model by its demand share."""
        gap = np.abs(self.offers("model_share")[..., :, None] - self.models("share")[..., None, :])
        return np.take_along_axis(values, gap.argmin(axis=-1), axis=-1)


Preference = Callable[[Sight], Floats]
"""[B, P] within [0, 1]: how much a place is wanted; what is wanted least is removed first"""
Rule = Callable[[Sight, Constants], Floats]


def pressure(sight: Sight, constants: Constants) -> tuple[Floats, Floats]:
    """Expected utilisation of each model when what loads has arrived, and its number of replicas by then, each [B, M].

    Demand that is not served counts as load, and so does the rise that is expected within the look-ahead.
    """
    count = sight.models("replicas") * sight.sites
    coming = count + constants["arriving"] * sight.models("loading") * sight.sites
    load = sight.models("utilisation") * count / np.maximum(sight.models("served"), LEAST_SERVED)
    load = load * (1 + constants["ahead"] * np.maximum(sight.models("forecast"), 0))
    return np.where(coming > 0, np.minimum(load / np.maximum(coming, 1e-6), BUSIEST), BUSIEST), coming


def scale(prefer: Preference, sight: Sight, constants: Constants) -> Floats:
    """Threshold autoscaling with hysteresis: roles that gain first, then launches for the busiest, then retirements.

    A model above `high` gets a replica at the preferred place; one that would stay below `low` without a replica
    loses the least preferred. Sites that cannot attest come last where the model's work must be attested.
    """
    per_model, count = pressure(sight, constants)
    busy, replicas = sight.of_model(per_model), sight.of_model(count)
    remaining = np.maximum(replicas - 1, 1e-6)
    wanted = prefer(sight) + (sight.offers("tee") >= sight.of_model(sight.models("tee")))
    launch = (sight.offers("is_launch") > 0) & (busy > constants["high"])
    retire = (sight.offers("is_retire") > 0) & (replicas > 1) & (busy * replicas / remaining < constants["low"])
    least = np.where(sight.offers("is_add") > 0, constants["role"], constants["drop"])
    role = is_role(sight) & (sight.offers("gain") > least)
    scores = np.where(launch, LAUNCH_SCORE * (1 + np.floor(4 * busy)) + wanted, NEVER)
    scores = np.where(retire, RETIRE_SCORE - wanted, scores)
    return np.where(role, ROLE_SCORE + sight.offers("gain"), scores)


def is_role(sight: Sight) -> Bools:
    """Offers that add or remove a verifier, a store or a gateway [B, P]."""
    return (sight.offers("is_verifier") + sight.offers("is_store") + sight.offers("is_gateway")) > 0


def by_distance(sight: Sight) -> Floats:
    """Nearness to the users [B, P]."""
    return 1 - sight.offers("distance")


def by_price(sight: Sight) -> Floats:
    """Cheapness of a replica there [B, P]."""
    return 1 - sight.offers("price")


def by_warmth(sight: Sight) -> Floats:
    """Readiness [B, P]: 1 where a replica would serve at once."""
    return 1 - sight.offers("ready")


def by_load(sight: Sight) -> Floats:
    """Idleness of the site [B, P]: mean of its free GPUs and of the share of traffic that it does not carry."""
    return (sight.offers("site_free") + 1 - sight.offers("site_share")) / 2


def by_domain(sight: Sight) -> Floats:
    """Share of the traffic [B, P] outside the place's fault domain."""
    return 1 - sight.offers("domain_share")


def by_gain(sight: Sight) -> Floats:
    """The planner's gain of the offer [B, P], moved into [0, 1]."""
    return (1 + sight.offers("gain")) / 2


def nothing(sight: Sight, constants: Constants) -> Floats:
    """No offer is ever taken."""
    return np.full(sight.offers("valid").shape, NEVER)


def nearest(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers places near the users."""
    return scale(by_distance, sight, constants)


def cheapest(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers cheap places."""
    return scale(by_price, sight, constants)


def warm_first(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers places where a replica is ready soon."""
    return scale(by_warmth, sight, constants)


def least_loaded(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers idle sites."""
    return scale(by_load, sight, constants)


def spread(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers fault domains with little traffic."""
    return scale(by_domain, sight, constants)


def autoscaler(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers the planner's best place."""
    return scale(by_gain, sight, constants)


def n1_reserve(sight: Sight, constants: Constants) -> Floats:
    """The autoscaler with a reserve for the loss of any one domain.

    While that would take too much along, it takes what hedges best; it retires nothing that is a hedge, and it keeps
    more live verifiers than the quorum by a margin.
    """
    scores = autoscaler(sight, constants)
    adds, hedge = sight.offers("is_add") > 0, sight.offers("gain_resilience")
    exposed = sight.overall("exposure") > constants["exposure"]
    thin = sight.overall("verifiers_margin") < constants["margin"]
    scores = np.where(exposed & adds & (hedge > constants["hedge"]), np.maximum(scores, HEDGE_SCORE + hedge), scores)
    scores = np.where(thin & adds & (sight.offers("is_verifier") > 0), VERIFIER_SCORE, scores)
    return np.where(~adds & (hedge < -constants["hedge"]), NEVER, scores)


def greedy(sight: Sight, constants: Constants) -> Floats:
    """The offer with the largest nominal gain, if it is worth the while."""
    return sight.offers("gain") - constants["threshold"]


class Recipe:
    """The rule of a heuristic, its sentence, its table of constants, its router and its environment's arguments."""

    def __init__(
        self,
        rule: Rule,
        doc: str,
        constants: str | None = None,
        router: Mapping[str, float] | None = None,
        **env_kwargs: Any,
    ) -> None:
        self.rule, self.doc, self.constants, self.env_kwargs = rule, doc, constants, env_kwargs
        self.overrides = {f"router.{knob}": value for knob, value in (router or {}).items()}


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "random": Recipe(nothing, "any possible action, all alike"),
        "static": Recipe(nothing, "never changes the starting fleet"),
        "opengradient": Recipe(
            nothing,
            "the starting fleet, a node picked uniformly at random",
            router={"spread": 1.0, "risk_aversion": 0.0},
        ),
        "nearest": Recipe(nearest, "launches and routes close to users", SCALING, {"latency_temperature_ms": 10.0}),
        "cheapest": Recipe(cheapest, "launches where a replica costs least", SCALING),
        "warm_first": Recipe(
            warm_first, "launches what is ready first, routes away from cold", SCALING, {"cold_penalty": 0.4}
        ),
        "least_loaded": Recipe(least_loaded, "launches at and routes to idle sites", SCALING, {"load_penalty": 6.0}),
        "spread": Recipe(spread, "launches in the provider or domain with the least traffic", SCALING, {"spread": 0.3}),
        "autoscaler": Recipe(autoscaler, "thresholds on utilisation, the planner's best place", SCALING),
        "n1_reserve": Recipe(n1_reserve, "autoscaler with spare for the loss of any one domain", "n1_reserve"),
        "greedy_blind": Recipe(
            greedy, "largest nominal gain without the terms for shared failures", "greedy_blind", risk_weight=0.0
        ),
        "greedy": Recipe(greedy, "largest nominal gain", "greedy"),
    }
)
NAMES = tuple(RECIPES)
TUNABLE = tuple(name for name, recipe in RECIPES.items() if recipe.constants is not None)
"""heuristics with constants"""
TASKS = ("placement", "routing", "joint")


@dataclass(frozen=True)
class Heuristic:
    """A policy made of a rule and its constants; the router stays as the scenario sets it.

    In Joint the masks say how many levels an action has: five knobs', or those of the sites or providers that it steers.
    """

    name: str
    task: str
    constants: Constants
    seed: int = 0
    levels: bool = False
    """Routing with knobs="levels" """
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[Any], Any]:
        """Actions [B, ...] for a batch of Dict observations, or one action for one observation."""
        observation, state, masks = asked.observation, asked.state, asked.action_masks
        if not isinstance(observation, Mapping):
            raise ValueError(
                f"{self.name} reads the tables of a Dict observation: make the environment without flatten"
            )
        batch, single = as_batch(observation)
        rows = len(batch["globals"])
        if self.name == "random":
            state = _generator(self.seed, batch) if state is None else state
        rng = state if self.name == "random" else None
        if self.task == "routing":
            actions = self._knobs(rows, rng)
        else:
            actions = self._place(batch, masks[None] if single and masks is not None else masks, rng)
            if self.task == "joint":
                parts = parts_in(masks, 1 + batch["proposals"].shape[1])
                actions = np.concatenate([actions[:, None], self._levels(rows, parts, rng)], axis=1)
        return (actions[0] if single else actions), state

    def _place(self, batch: Mapping[str, Floats], masks: Any, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
        if "proposals" not in batch:
            raise ValueError(f'{self.name} chooses among offers: make the environment with interface="proposals"')
        sight = Sight(batch)
        valid = sight.offers("valid") > 0
        if masks is not None:
            valid = np.asarray(masks, np.bool_)[:, 1 : 1 + valid.shape[1]]
        if rng is not None:
            open_ = np.concatenate([np.ones((len(valid), 1), np.bool_), valid], axis=1)
            return np.where(open_, rng.random(open_.shape), -1).argmax(axis=1)
        scores = np.where(valid, RECIPES[self.name].rule(sight, self.constants), NEVER)
        return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1) + 1, 0)

    def _levels(self, rows: int, parts: int, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
        middle = np.full((rows, parts), MIDDLE_LEVEL, np.int64)
        return middle if rng is None else rng.integers(LEVELS, size=middle.shape)

    def _knobs(self, rows: int, rng: np.random.Generator | None) -> npt.NDArray[Any]:
        if self.levels:
            return self._levels(rows, len(KNOBS), rng)
        box = np.zeros((rows, len(KNOBS)), np.float32)
        return box if rng is None else rng.uniform(-1, 1, box.shape).astype(np.float32)


def make(
    name: str, task: str = "placement", *, seed: int = 0, levels: bool = False, constants: Constants | None = None
) -> Heuristic:
    """A heuristic by name; `constants` replace some of the tuned ones, `seed` is of random's choices.

    Raises ValueError for an unknown name, task or constant.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown heuristic {name!r}{nearest_valid(name, NAMES)}")
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}{nearest_valid(task, TASKS)}")
    recipe = RECIPES[name]
    tuned = {} if recipe.constants is None else tuned_constants.of_heuristics()[recipe.constants]
    for key in constants or {}:
        if key not in tuned:
            raise ValueError(f"{name} has no constant {key!r}{nearest_valid(key, tuned)}")
    return Heuristic(
        name=name,
        task=task,
        constants=MappingProxyType({**tuned, **(constants or {})}),
        seed=seed,
        levels=levels,
        overrides=recipe.overrides,
        env_kwargs=recipe.env_kwargs,
    )


def _generator(seed: int, batch: Mapping[str, Floats]) -> np.random.Generator:
    """Random choices that repeat with the seed and the episodes, and differ between batches of episodes."""
    return np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(batch["globals"]).tobytes())])
