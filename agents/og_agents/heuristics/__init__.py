"""Rules of thumb: those of `place_rules` choose among all operations by their own trigger, the others among offers.

A rule over offers sees what a trained policy sees. It gives every offer a score [B, P]; the offer with the highest score
above 0 is taken, on ties the one with the larger planner gain (offers come in that order). Which offers there are is the
environment's doing, so such a rule says when to add or remove something, and where among the few places that the planner
found.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents.heuristics import place_rules, tuned_constants
from og_agents.heuristics.tuned_constants import Constants
from og_agents.policy import LEVELS, MIDDLE_LEVEL, Asked, as_batch, as_predict, parts_in
from og_env.errors import nearest_valid
from og_env.fields import column
from og_env.simulator import KNOBS, Simulator, count_operations

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

NEVER = -np.inf
BUSIEST = 9.0
"""expected utilisation of a model without any replica, and the largest value of any other"""
RANDOM_RATE = 0.05
"""share of the steps in which `random` does anything"""
OPERATIONS: Mapping[str, Any] = MappingProxyType({"interface": "operations"})
"""what a rule that chooses among all operations asks of its environment"""
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

    def supply(self, name: str) -> Floats:
        """A column of the offers' supply [B, P]; 0 where the scenario has no scarcity."""
        if "offer_supply" not in self.tables:
            return np.zeros(self.offers("valid").shape)
        return self.tables["offer_supply"][..., column("offer_supply", name)]

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


def by_gain(sight: Sight) -> Floats:
    """The planner's gain of the offer [B, P], moved into [0, 1]."""
    return (1 + sight.offers("gain")) / 2


def nothing(sight: Sight, constants: Constants) -> Floats:
    """No offer is ever taken."""
    return np.full(sight.offers("valid").shape, NEVER)


def offer_autoscaler(sight: Sight, constants: Constants) -> Floats:
    """Threshold scaling that prefers the planner's best place."""
    return scale(by_gain, sight, constants)


def n1_reserve(sight: Sight, constants: Constants) -> Floats:
    """The autoscaler among offers with a reserve for the loss of any one domain.

    While that would take too much along, it takes what hedges best; it retires nothing that is a hedge, and it keeps
    more live verifiers than the quorum by a margin.
    """
    scores = offer_autoscaler(sight, constants)
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
    """The rule of a heuristic over offers (None: over operations), its sentence, constants, router and environment."""

    def __init__(
        self,
        rule: Rule | None,
        doc: str,
        constants: str | None = None,
        router: Mapping[str, float] | None = None,
        **env_kwargs: Any,
    ) -> None:
        self.rule, self.doc, self.constants, self.env_kwargs = rule, doc, constants, env_kwargs
        self.overrides = {f"router.{knob}": value for knob, value in (router or {}).items()}


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "random": Recipe(None, "now and then any possible operation, all alike", **OPERATIONS),
        "static": Recipe(nothing, "never changes the starting fleet"),
        "opengradient": Recipe(
            nothing,
            "the starting fleet, a node picked uniformly at random",
            router={"spread": 1.0, "risk_aversion": 0.0},
        ),
        "nearest": Recipe(
            None,
            "launches where most of the way is saved for users that no free replica is near to",
            "nearest",
            **OPERATIONS,
        ),
        "cheapest": Recipe(None, "launches where a request costs least in rent and use", "cheapest", **OPERATIONS),
        "warm_first": Recipe(None, "launches where a replica is warm soonest", "warm_first", **OPERATIONS),
        "least_loaded": Recipe(None, "launches at the least loaded site", "least_loaded", **OPERATIONS),
        "spread": Recipe(
            None, "launches where fewest visible fault domains are shared with the model", "spread", **OPERATIONS
        ),
        "offer_autoscaler": Recipe(
            offer_autoscaler, "thresholds on utilisation, the planner's best offer", "offer_autoscaler"
        ),
        "n1_reserve": Recipe(n1_reserve, "offer_autoscaler with spare for the loss of any one domain", "n1_reserve"),
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
            masks = masks[None] if single and masks is not None else masks
            choose = self._place if RECIPES[self.name].rule is not None else self._operate
            actions = choose(batch, masks, rng)
            if self.task == "joint":
                parts = parts_in(masks, self._choices(batch))
                actions = np.concatenate([actions[:, None], self._levels(rows, parts, rng)], axis=1)
        return (actions[0] if single else actions), state

    def attach(self, env: Any) -> None:
        """Let a rule over operations see this environment, single or vector; the others need nothing but observations."""
        object.__setattr__(self, "_simulator", env.simulator)

    def _choices(self, batch: Mapping[str, Floats]) -> int:
        """Number of choices that place: offers, or all operations."""
        if "proposals" in batch:
            return 1 + batch["proposals"].shape[1]
        return count_operations(batch["sites"].shape[1], batch["models"].shape[1])

    def _place(self, batch: Mapping[str, Floats], masks: Any, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
        """An offer for each environment."""
        rule = RECIPES[self.name].rule
        if rule is nothing:
            return np.zeros(len(batch["globals"]), np.int64)
        if rule is None or "proposals" not in batch:
            raise ValueError(f'{self.name} chooses among offers: make the environment with interface="proposals"')
        sight = Sight(batch)
        valid = sight.offers("valid") > 0
        if masks is not None:
            valid = np.asarray(masks, np.bool_)[:, 1 : 1 + valid.shape[1]]
        scores = np.where(valid, rule(sight, self.constants), NEVER)
        return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1) + 1, 0)

    def _operate(
        self, batch: Mapping[str, Floats], masks: Any, rng: np.random.Generator | None
    ) -> npt.NDArray[np.int64]:
        """An operation for each environment."""
        rows, choices = len(batch["globals"]), self._choices(batch)
        if "proposals" in batch or masks is None or np.shape(masks)[1] < choices:
            raise ValueError(
                f"{self.name} chooses among all operations: make the environment with "
                'interface="operations", and hand in its action masks'
            )
        possible = np.asarray(masks, np.bool_)[:, :choices]
        if rng is not None:
            chosen = np.where(possible, rng.random(possible.shape), -1).argmax(axis=1)
            return np.where(rng.random(rows) < RANDOM_RATE, chosen, 0)
        simulator: Simulator | None = getattr(self, "_simulator", None)
        if simulator is None or simulator.batch != rows:
            raise ValueError(f"{self.name} measures the environment that it plays in: attach(env) first")
        return np.array(
            [
                place_rules.operation(
                    self.name,
                    place_rules.Scene(simulator, b),
                    place_rules.possible_of(possible[b], batch["models"].shape[1], batch["sites"].shape[1]),
                    self.constants,
                )
                for b in range(rows)
            ],
            np.int64,
        )

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
