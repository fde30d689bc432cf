"""The blindness table: play with the true beliefs is the planner's own, and what a scenario poses costs who is blind to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import blind_routers, playing
from og_agents.evaluation.beliefs import BELIEFS, UNCHANGED
from og_agents.evaluation.blind_routers import AdaptiveRouter, FixedKnobs, best_knobs, best_of, training_returns
from og_agents.evaluation.blindness import DIMENSIONS, BlindPlanner, blindness, cost, gain, planner_of
from og_agents.evaluation.blindness_table import GAINS, keep, read_record, text
from og_agents.policy import Policy
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import KNOBS
from og_env.vector_env import NetworkVectorEnv
from tests.cases.planner_worlds import short


def dear_neighbour() -> ScenarioSpec:
    """toy-3 with 12 requests/s, for which one replica is too few; the nearer site for another one costs 20 times as much."""
    tables = loading.load("toy-3").model_dump()
    tables["sites"] = tuple(
        site | ({"usd_per_gpu_hour": 20.0} if site["name"] == "b" else {}) for site in tables["sites"]
    )
    return loading.override(loading.load(tables), {"demand.requests_per_s": 12.0})


@pytest.mark.parametrize("several", [1, 3])
@pytest.mark.parametrize("scenario", ["global-24", "random-24"])
@pytest.mark.parametrize("name", ["greedy", "greedy_tuned"])
def test_with_nothing_changed_the_play_is_the_planners_own(scenario: str, name: str, several: int) -> None:
    spec = short(scenario, **{"episode.operations_per_step": several})
    planner: Policy = heuristics.make(name) if name == "greedy" else planners.make(name, spec)
    own = playing.run(planner, spec, episodes=3)
    believed = playing.run(BlindPlanner(planner, UNCHANGED), spec, episodes=3)
    assert np.array_equal(own.returns, believed.returns) and np.array_equal(own.metrics, believed.metrics)
    assert own.metric("operations").any()


def test_price_costs_who_does_not_see_it_and_nothing_else_does() -> None:
    spec, planner = dear_neighbour(), heuristics.make("greedy")
    sees = playing.run(planner, spec, episodes=2)
    losses = {
        name: cost(playing.run(BlindPlanner(planner, belief), spec, episodes=2), sees)["cost_pct"]
        for name, belief in BELIEFS.items()
    }
    assert losses.pop("price") > 20
    assert set(losses.values()) == {0.0}


def test_offers_that_the_true_world_forbids_are_not_taken() -> None:
    """Who thinks all prices equal sees room under a limit of the rent where there is none."""
    spec = loading.override(dear_neighbour(), {"limits.rent_usd_per_hour": 4.0})
    run = playing.run(BlindPlanner(heuristics.make("greedy"), BELIEFS["price"]), spec, episodes=1)
    assert run.metric("operations").any() and not run.metric("impossible_operations").any()


def test_a_blind_planner_asks_for_an_environment() -> None:
    with pytest.raises(ValueError, match=r"attach\(env\) first"):
        BlindPlanner(heuristics.make("greedy"), UNCHANGED).predict({})


def test_knobs_are_the_settings_that_they_stand_for() -> None:
    spec = loading.load("global-24")
    usual, other = FixedKnobs(np.zeros(5, np.float32)), FixedKnobs(np.array([1, -1, 0.5, -0.5, 0.25], np.float32))
    assert usual.settings(spec) == {f"router.{knob}": getattr(spec.router, knob) for knob in KNOBS}
    for knobs in (other, FixedKnobs(-other.levels)):
        env = NetworkVectorEnv(1, task="routing", scenario=spec)
        env.reset(seed=0)
        env.step(knobs.levels[None])
        set_anew = loading.override(spec, knobs.settings(spec)).router
        expected = [getattr(set_anew, knob) for knob in KNOBS]
        assert env.simulator.state.knobs[0] == pytest.approx(expected, rel=1e-5)


def test_the_best_knobs_are_best_on_training_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind_routers, "CANDIDATES", 5)
    monkeypatch.setattr(blind_routers, "TRAINING_EPISODES", 3)
    spec = short("global-24")
    found = best_knobs(spec)
    levels = np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)
    levels[0] = 0
    returns = [playing.run(FixedKnobs(each), spec, "routing", 3, 0, split="train").returns.mean() for each in levels]
    assert np.array_equal(found.levels, levels[int(np.argmax(returns))])
    trained = training_returns(spec, found)
    names = {name.removesuffix(" on the best knobs") for name in trained}
    assert names == set(planners.ROUTERS) and len(trained) == 2 * len(names)
    assert trained[best_of(trained)] == max(value for name, value in trained.items() if "true" not in name)


def test_the_best_of_a_kind_is_the_best_on_whichever_knobs() -> None:
    trained = {"convex": -1.0, "site_prices": -3.0, "site_prices on the best knobs": -2.0}
    trained |= {"convex_true": -0.9, "convex_true on the best knobs": -0.8}
    assert best_of(trained) == "convex" and best_of(trained, "site_prices") == "site_prices on the best knobs"
    assert best_of(trained, "convex") == "convex" and best_of(trained, "convex_true") == "convex_true on the best knobs"


def test_a_blind_router_is_shown_nominal_speeds_alone() -> None:
    env = NetworkVectorEnv(2, task="routing", scenario="global-24", interface="sites")
    env.reset(seed=0)
    state = env.simulator.state
    state.shown_slowness_log2[:, ::2], state.shown_load[:], state.shown_refused[:] = 2.0, 0.9, 0.1
    seen, blind = (
        AdaptiveRouter(planners.make("site_prices", "global-24", "routing"), "r", blind=b) for b in (False, True)
    )
    plain = planners.make("site_prices", "global-24", "routing")
    for router in (seen, blind, plain):
        router.attach(env)  # type: ignore[attr-defined]
    observation = {"globals": np.zeros((2, 1))}
    actions = [router.predict(observation)[0] for router in (seen, blind, plain)]
    assert np.array_equal(actions[0], actions[2]) and not np.array_equal(actions[0], actions[1])
    state.shown_slowness_log2[:] = 0
    assert np.array_equal(blind.predict(observation)[0], seen.predict(observation)[0])


def test_the_planner_has_constants_of_the_scenario_or_none() -> None:
    assert planner_of(loading.load("global-24")).name == "greedy_tuned"  # type: ignore[attr-defined]
    assert planner_of(loading.load("random-24")).name == "greedy"  # type: ignore[attr-defined]
    assert planner_of(loading.load("global-24"), "greedy").name == "greedy"  # type: ignore[attr-defined]


def test_the_table_has_all_dimensions_and_the_span_of_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind_routers, "CANDIDATES", 2)
    monkeypatch.setattr(blind_routers, "TRAINING_EPISODES", 2)
    spec, told = short("global-24"), []
    policies: dict[str, Policy] = {name: heuristics.make(name) for name in ("static", "greedy")}
    table = blindness(spec, planner_of(spec), policies, episodes=3, played=told.append)
    assert tuple(table["dimensions"]) == DIMENSIONS
    for found in table["dimensions"].values():
        assert found["ci_low"] <= found["cost_pct"] <= found["ci_high"]
    runs = [playing.run(policy, spec, episodes=3, split="validation") for policy in policies.values()]
    spending = [run.metric("usd_per_hour").mean() for run in runs]
    assert table["span"]["usd_per_hour"] == pytest.approx([min(spending), max(spending)])
    assert table["return"] == playing.run(planner_of(spec), spec, episodes=3, split="validation").returns.mean()
    assert len(told) - len(DIMENSIONS) in (5, 6)  # one run fewer where the integral controller is the best router
    lines = text(table).splitlines()
    assert [line.split()[0] for line in lines[3 : 3 + len(DIMENSIONS)]] == list(DIMENSIONS)
    assert set(table["routers"]) == set(GAINS) and sum(line.startswith(tuple(GAINS.values())) for line in lines) == 2
    assert table["returns"] == {run.policy: run.returns.mean() for run in runs}
    assert max(map(len, lines)) <= 120


def test_only_the_dimensions_that_are_asked_for_are_played() -> None:
    spec, told = short("global-24"), []
    policies: dict[str, Policy] = {"static": heuristics.make("static")}
    table = blindness(spec, planner_of(spec), policies, episodes=2, dimensions=("price", "stores"), played=told.append)
    assert tuple(table["dimensions"]) == ("price", "stores") and table["routers"] == {} and len(told) == 4
    assert "routers" not in text(table) and "Policies: static." in text(table)
    with pytest.raises(ValueError, match=r"no dimension 'prize' \(nearest valid: price\)"):
        blindness(spec, planner_of(spec), policies, episodes=2, dimensions=("prize",))


def test_gains_are_in_percent_of_who_is_surpassed() -> None:
    spec = short("global-24")
    nothing, planned = (playing.run(heuristics.make(name), spec, episodes=3) for name in ("static", "greedy"))
    expected = 100 * (planned.returns.mean() - nothing.returns.mean()) / -nothing.returns.mean()
    found = gain(planned, nothing)
    assert found["gain_pct"] == pytest.approx(expected) and found["ci_low"] <= expected <= found["ci_high"]


def test_a_record_keeps_the_last_table_of_every_scenario(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    entry = {"cost_pct": 1.23456, "ci_low": 0.0, "ci_high": 2.0}
    table = dict.fromkeys(("split", "episodes", "seed", "planner", "router", "return", "routers", "returns", "span"), 0)
    table |= {"scenario": "b", "dimensions": dict.fromkeys(DIMENSIONS, entry)}
    keep(table, path)
    keep({**table, "scenario": "a", "seed": 1, "dimensions": {"price": entry}}, path)
    keep({**table, "seed": 2}, path)
    record = read_record(path)
    assert list(record) == ["a", "b"] and record["b"]["seed"] == 2
    assert record["a"]["dimensions"]["price"]["cost_pct"] == 1.2346
    for wrong in ({"seed": 1}, {**table, "dimensions": {"prize": entry}}):
        path.write_text(json.dumps({"a": wrong}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"no record of og-env dimensions: a is not complete"):
            read_record(path)


def test_a_record_takes_over_what_the_same_play_had_before(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    old, new = ({"cost_pct": cost, "ci_low": 0.0, "ci_high": 2.0} for cost in (1.0, 2.0))
    table = dict.fromkeys(("split", "episodes", "seed", "planner", "routers", "returns", "span"), 0) | {"scenario": "a"}
    planners = {"return": -1.23456, "router": None, "return_routing": None, "routers": {}}
    keep({**table, **planners, "dimensions": {"stores": old, "price": old}}, path)
    routers = {"return": -1.23457, "router": "convex", "return_routing": -1.0, "routers": {"gain": 1}}
    keep({**table, **routers, "dimensions": {"routing": new, "price": new}}, path)
    both = read_record(path)["a"]
    assert both["dimensions"] == {"price": new, "stores": old, "routing": new}
    assert list(both["dimensions"]) == ["price", "stores", "routing"] and both["router"] == "convex"
    keep({**table, **planners, "return": -1.23458, "dimensions": {"stores": new}}, path)
    both = read_record(path)["a"]
    assert both["dimensions"]["stores"] == new and (both["router"], both["return_routing"]) == ("convex", -1.0)
    keep({**table, **planners, "return": -2.0, "dimensions": {"stores": new}}, path)
    assert list(read_record(path)["a"]["dimensions"]) == ["stores"]  # another play
