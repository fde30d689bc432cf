"""The blindness table: what a planner, and a router, lose that are blind to one dimension of the world.

A blind planner's offers are priced in the world that it believes in (`beliefs`) and carried out in the true one, on the
tapes of the planner that sees. Planners take every site to work at its nominal speed, so blindness to the condition is
a router's: the best router that adapts to what is measured, shown no measured slowness, beside the same router that sees
it. Blindness to routing is the best fixed knobs beside that router. All three stand on the built-in planner's placement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from og_agents import heuristics, planners
from og_agents.evaluation import playing, statistics
from og_agents.evaluation.beliefs import BELIEFS, Belief
from og_agents.evaluation.blind_routers import adaptive_routers, best_knobs, best_of, training_returns
from og_agents.evaluation.episode_results import Episodes
from og_agents.heuristics import tuned_constants
from og_agents.policy import Asked, Policy, as_predict
from og_env.errors import nearest_valid
from og_env.fields import column
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import TERM, BelievedOffers

Json = dict[str, Any]
Played = Callable[[str], None]
"""is told what has been played"""

VALID = column("proposals", "valid")
PLANNERS = ("greedy", "greedy_tuned")
"""planners that can be made blind"""
INTEGRAL, TRUE_SPEED = "site_prices", "convex_true"
"""the integral controller, and the optimiser that is told the true speed of the coming step"""
ROUTED = 5
"""plays of routers for the last two dimensions, at most"""
DIMENSIONS = (*BELIEFS, "condition", "routing")
"""what one can be blind to, in the order of the table"""


@dataclass
class BlindPlanner:
    """A planner that chooses among the offers of the world that it believes in; actions are operations of the true one.

    Call `attach` before the first prediction. Offers that the true world does not permit are left out.
    """

    planner: Policy
    belief: Belief
    name: str = "blind"
    env_kwargs: Mapping[str, Any] = field(default_factory=lambda: {"interface": "operations"})

    def __post_init__(self) -> None:
        self._offers: BelievedOffers | None = None

    def attach(self, env: Any) -> None:
        """Plan for this environment, a vector one with interface="operations"."""
        self._offers = BelievedOffers(env.simulator)
        self._believe()

    def _believe(self) -> None:
        assert self._offers is not None
        self._offers.take_worlds()
        self.belief.change_worlds(self._offers.world)

    @as_predict
    def predict(self, asked: Asked) -> tuple[npt.NDArray[np.int64], Any]:
        """Operations [B] for the environments as they are now; the observation is not read."""
        offers = self._offers
        if offers is None or asked.action_masks is None:
            raise ValueError(f"{self.name} needs an environment with masks of operations: attach(env) first")
        if asked.episode_start is not None and np.any(asked.episode_start):
            self._believe()  # a new episode may have a new fleet
        tables = offers.look(self.belief.change_states)
        possible = np.take_along_axis(np.asarray(asked.action_masks, np.bool_), offers.offer.astype(np.int64), axis=1)
        tables["proposals"][..., VALID] *= possible
        chosen, _ = self.planner.predict(tables)
        operations = np.take_along_axis(offers.offer, np.maximum(chosen - 1, 0)[:, None], axis=1)[:, 0]
        return np.where(chosen > 0, operations, 0).astype(np.int64), asked.state


def planner_of(spec: ScenarioSpec, name: str | None = None) -> Policy:
    """A planner of PLANNERS; by default the tuned one where the scenario has constants for it, else the plain one."""
    tuned = spec.name in tuned_constants.of_planner("greedy_tuned").tuned if name is None else name == "greedy_tuned"
    return planners.make("greedy_tuned", spec) if tuned else heuristics.make("greedy")


def blindness(
    spec: ScenarioSpec,
    planner: Policy,
    policies: Mapping[str, Policy],
    *,
    episodes: int,
    seed: int = 0,
    split: str = "validation",
    dimensions: Sequence[str] = DIMENSIONS,
    played: Played = lambda name: None,
    playing_on: Callable[[float, str], None] = lambda done, name: None,
) -> Json:
    """The table of a scenario: the planner's return, the cost of blindness by dimension, what routers gain, and spans.

    Spans are those over `policies`. `played` is called with a line about who has played, and `playing_on` with how many
    of the `plays` are done and who plays. All play the same episodes. Costs are in percent of the |return| of who sees, above
    0 where the blind one does worse; gains are in percent of the |return| of the one that is surpassed; both with 95 %
    intervals of a paired bootstrap. Without condition and routing among the `dimensions` no router plays. Raises
    ValueError for an unknown dimension.
    """
    for name in dimensions:
        if name not in DIMENSIONS:
            raise ValueError(f"no dimension {name!r}{nearest_valid(name, DIMENSIONS)}")

    done = 0

    def play(policy: Policy, task: str, name: str) -> Episodes:
        nonlocal done
        run = playing.run(
            policy, spec, task, episodes, seed, split=split, name=name,
            progress=lambda count: playing_on(done + count / episodes, name),
        )  # fmt: skip
        done += 1
        played(f"{name}: {run.returns.mean():.2f}")
        return run

    sees = play(planner, "placement", getattr(planner, "name", "planner"))
    costs = {
        name: cost(play(BlindPlanner(planner, belief), "placement", f"blind to {name}"), sees)
        for name, belief in BELIEFS.items()
        if name in dimensions
    }
    routed: Json = {"router": None, "return_routing": None, "routers": {}}
    if {"condition", "routing"} & set(dimensions):
        routed, blind = _routing(spec, play, seed)
        costs |= {name: entry for name, entry in blind.items() if name in dimensions}
    runs = [sees if policy is planner else play(policy, "placement", name) for name, policy in policies.items()]
    return {
        "scenario": spec.name,
        "split": split,
        "episodes": episodes,
        "seed": seed,
        "planner": sees.policy,
        "return": float(sees.returns.mean()),
        **routed,
        "dimensions": costs,
        "returns": {run.policy: float(run.returns.mean()) for run in runs},
        "span": span(runs),
    }


def plays(policies: Mapping[str, Policy], dimensions: Sequence[str]) -> int:
    """How many times `blindness` plays its episodes, at most."""
    routed = ROUTED if {"condition", "routing"} & set(dimensions) else 0
    return 1 + sum(name in dimensions for name in BELIEFS) + routed + len(policies)


def _routing(spec: ScenarioSpec, play: Callable[[Policy, str, str], Episodes], seed: int) -> tuple[Json, Json]:
    """The routers that play and their gains, and the cost of blindness to condition and to routing."""
    knobs = best_knobs(spec, seed)
    trained = training_returns(spec, knobs, seed)
    router, controller = best_of(trained), best_of(trained, INTEGRAL)
    adaptive = adaptive_routers(spec, knobs)
    adapts = play(adaptive[router], "routing", router)
    nominal = play(adaptive_routers(spec, knobs, blind=True)[router], "routing", "blind to condition")
    fixed = play(knobs, "routing", "blind to routing")
    integral = adapts if controller == router else play(adaptive[controller], "routing", controller)
    told = best_of(trained, TRUE_SPEED)
    truth = play(adaptive[told], "routing", told)
    gains = {"integral_over_knobs": gain(integral, fixed), "true_speed_over_integral": gain(truth, integral)}
    routed = {"router": router, "return_routing": float(adapts.returns.mean()), "routers": gains}
    return routed, {"condition": cost(nominal, adapts), "routing": cost(fixed, adapts)}


def cost(blind: Episodes, sees: Episodes) -> Json:
    """Loss of the blind one in percent of the |return| of who sees, with its interval."""
    change = statistics.relative_change_percent(blind.returns, sees.returns)
    return {"cost_pct": 0.0 - change.value, "ci_low": 0.0 - change.high, "ci_high": 0.0 - change.low}


def gain(better: Episodes, base: Episodes) -> Json:
    """Gain of one run on another in percent of the other's |return|, with its interval."""
    change = statistics.relative_change_percent(better.returns, base.returns)
    return {"gain_pct": change.value, "ci_low": change.low, "ci_high": change.high}


def span(runs: Sequence[Episodes]) -> Json:
    """Lowest and highest mean over policies of exposure, effective nodes, the latency term and spending."""
    figures = {
        "exposure": [run.metric("exposure").mean() for run in runs],
        "n_eff": [run.metric("n_eff").mean() for run in runs],
        "latency_miss": [run.terms[:, TERM.latency].mean() for run in runs],
        "usd_per_hour": [run.metric("usd_per_hour").mean() for run in runs],
    }
    return {name: [float(min(values)), float(max(values))] for name, values in figures.items()}
