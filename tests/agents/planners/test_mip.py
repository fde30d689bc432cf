"""The rolling mixed-integer programme: a small one solved by hand, and what the planner does with its plans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.planners import mip, mip_programme
from og_agents.planners.mip_outlook import Outlook, outlook
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.simulator import DOWN, LAUNCH, TERMS
from tests.cases.planner_worlds import TOY

CONSTANTS = {
    "level": 1.0,
    "target": 1.0,
    "crowd": 0.0,
    "risk": 1.0,
    "exposed": 0.0,
    "move": 0.0,
    "agree": 0.0,
    "against": 0.0,
}
EXACT = {"mip_rel_gap": 0.0, "random_seed": 0}


def weights(**terms: float) -> Any:
    result = np.zeros(len(TERMS))
    for term, weight in terms.items():
        result[TERMS.index(term)] = weight
    return result


def facts(**changes: Any) -> Outlook:
    """One period of ten steps, one gateway, one model and three sites of 10 requests/s each, of which a holds a replica.

    All 10 requests/s that are asked for are served by one replica; a and b share a domain that is broken for a fifth
    of the time.
    """
    usual = Outlook(
        steps=np.array([10.0]),
        demand=np.full((1, 1, 1), 10.0),
        serving=np.zeros((1, 1, 3)),
        answer=np.zeros((1, 3)),
        rent=np.array([[0.1, 0.1, 0.12]]),
        fetch=np.zeros((1, 3)),
        room=np.full((1, 3), 10.0),
        up=np.ones((1, 3)),
        held=np.array([[True, False, False]]),
        ready=np.ones((1, 1, 3)),
        missed=np.zeros((1, 1, 1, 3)),
        launches=np.array([[False, True, True]]),
        fixed=np.zeros(3, bool),
        need=np.ones((1, 3)),
        gpus=np.ones(3),
        most=np.full(1, 100.0),
        inside=np.array([[1.0, 1.0, 0.0]]),
        danger=np.array([0.0]),
        weights=weights(unserved=1.0),
        convexity=0.0,
    )
    return usual._replace(**changes)


def wanted(given: Outlook, **constants: float) -> list[bool]:
    found = mip_programme.plan(given, CONSTANTS | constants, EXACT)
    assert found is not None
    return found.now[0].tolist()


def cost_of(given: Outlook, **constants: float) -> float:
    """The least cost of the programme, in reward, with all its integers."""
    highs = mip_programme.highs
    programme = mip_programme.formulate(given, mip_programme.places(given), CONSTANTS | constants)
    values = highs.solve(programme, EXACT)
    assert values is not None
    return float(programme.cost @ values)


def test_plans_solved_by_hand() -> None:
    """Rent is 1 for a and b and 1.2 for c over ten steps; unserved demand would cost 10."""
    pytest.importorskip("highspy")
    assert wanted(facts()) == [True, False, False]
    assert cost_of(facts()) == pytest.approx(1.0)
    assert wanted(facts(demand=np.full((1, 1, 1), 20.0))) == [True, True, False], "b is cheaper than c"
    alarmed = facts(danger=np.array([0.2]))
    assert wanted(alarmed) == [False, False, True], "1.2 at c, or 1 and the loss of a for 0.2 x 10"
    assert cost_of(alarmed) == pytest.approx(1.2)
    assert wanted(alarmed, risk=0.0) == [True, False, False]
    assert wanted(alarmed, move=3.0) == [True, False, False], "a move costs more than the loss: 4.2 against 3"
    assert cost_of(alarmed, move=3.0) == pytest.approx(1.0 + 0.2 * 10)


def test_a_load_that_takes_too_long_or_a_site_out_of_reach_is_no_help() -> None:
    pytest.importorskip("highspy")
    asked = np.full((1, 1, 1), 20.0)
    assert wanted(facts(demand=asked, missed=np.full((1, 1, 1, 3), 1.0))) == [True, False, False]
    assert wanted(facts(demand=asked, up=np.array([[1.0, 0.0, 1.0]]))) == [True, False, True]
    assert wanted(facts(demand=0 * asked)) == [False, False, False], "nobody asks"
    assert wanted(facts(demand=0 * asked, fixed=np.array([True, False, False]))) == [True, False, False]
    assert wanted(facts(demand=asked, most=np.ones(1))) == [True, False, False]


def test_later_periods_have_the_gateways_costs_by_their_shares_of_the_demand() -> None:
    """A quarter of the requests enter where serving costs 0.4, the others where it costs nothing."""
    asked = np.array([[[5.0], [15.0]], [[2.5], [7.5]]])
    serving = np.zeros((2, 1, 3)) + np.array([0.4, 0.0])[:, None, None]
    two = {"steps": np.full(2, 5.0), "rent": np.full((2, 3), 0.1), "fetch": np.zeros((2, 3)), "up": np.ones((2, 3))}
    waits = {"ready": np.ones((2, 1, 3)), "missed": np.zeros((2, 2, 1, 3))}
    given = facts(demand=asked, serving=serving, **two, **waits)
    layout = mip_programme._Layout(given, mip_programme.places(given))  # pyright: ignore[reportPrivateUsage]
    assert layout.serving[1] == pytest.approx(0.1)


def test_crowds_and_the_worst_loss_have_their_prices() -> None:
    """With one replica half of what is asked is crowded: 0.5 x 10 x 0.5 of the late weight; a second one costs 1.2."""
    pytest.importorskip("highspy")
    late = facts(weights=weights(unserved=1.0, latency=1.0), launches=np.array([[False, False, True]]))
    assert cost_of(late, target=0.5, crowd=0.5) == pytest.approx(2.2)
    assert cost_of(late, target=0.5, crowd=0.2) == pytest.approx(1 + 0.2 * 0.5 * 10)
    shown = facts(weights=weights(unserved=1.0, exposure=0.1), danger=np.array([1e-9]))
    assert cost_of(shown, exposed=1.0) == pytest.approx(1.2)
    assert cost_of(shown, exposed=0.1) == pytest.approx(1 + 0.1 * 0.1 * 10)
    assert cost_of(shown._replace(danger=np.zeros(1)), exposed=1.0) == pytest.approx(1.0), "a domain that never breaks"


def begun(**changes: Any) -> NetworkEnv:
    env = NetworkEnv("placement", loading.override(TOY, changes), proposals=mip.OFFERS)
    env.reset(seed=1)
    return env


def test_facts_are_those_that_a_policy_may_know() -> None:
    env = begun()
    simulator = env.simulator
    before = outlook(simulator, 0)
    simulator.tape.regional[:, 1:] *= 5.0
    simulator.tape.signal[:, 1:] = 255
    simulator.tape.write_status(np.full((1, 1, 1), DOWN, np.uint8))
    after = outlook(simulator, 0)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "only row 0 of the tape was read"
    simulator.state.status[0, 0] = DOWN
    assert outlook(simulator, 0).up[0, 0] < 1.0 and outlook(simulator, 0).fixed[0]


def test_an_alarm_makes_a_domain_dangerous() -> None:
    env = NetworkEnv("placement", "one-cloud")
    env.reset(seed=1)
    simulator = env.simulator
    world = simulator.world
    domain = int(np.argmax(world.fragile_rate[0] * world.domain_visible[0, : world.fragile_rate.shape[1]]))
    simulator.tape.signal[0, 0] = 32
    calm = outlook(simulator, 0).danger[domain]
    simulator.tape.signal[0, 0, domain] = 160
    assert outlook(simulator, 0).danger[domain] > 2 * calm


def test_a_plan_makes_its_offers_worth_more() -> None:
    pytest.importorskip("highspy")
    policy: Any = planners.make("mip", TOY, constants={"agree": 0.5, "against": 0.25})
    models, sites = 1, 3
    launch = 1 + LAUNCH * models * sites
    offer = np.array([[launch + 1, launch + 2, 1 + models * sites, 1 + models * sites + 1, 1 + 3 * models * sites, 0]])
    worth = policy.worth(offer, np.array([[[False, True, False]]]))
    assert worth.tolist() == [[0.5, -0.25, 0.5, -0.25, 0.0, 0.0]]


def test_the_planner_beats_doing_nothing_repeats_itself_and_solves_again_when_a_site_breaks() -> None:
    pytest.importorskip("highspy")
    busy = loading.override(TOY, {"demand.requests_per_s": 20.0})
    policy: Any = planners.make("mip", busy)
    returns = playing.run(policy, busy, episodes=3, split="validation").returns
    assert np.array_equal(
        returns, playing.run(planners.make("mip", busy), busy, episodes=3, split="validation").returns
    )
    static = playing.run(heuristics.make("static"), busy, episodes=3, split="validation").returns
    assert returns.mean() > static.mean() + 1.0
    env = begun()
    policy.attach(env)
    observation, _ = env.reset(seed=1)
    action, memory = policy.predict(observation)
    assert env.action_space.contains(action) and memory.step.tolist() == [0]
    observation, *_ = env.step(action)
    assert policy.predict(observation, memory, np.zeros(1, bool))[1].step.tolist() == [0]
    env.simulator.state.status[0, 2] = DOWN
    assert policy.predict(observation, memory, np.zeros(1, bool))[1].step.tolist() == [1]
    assert policy.predict(observation, memory, np.ones(1, bool))[1].step.tolist() == [1]


def test_joint_leaves_the_router_alone_and_misuse_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    env = NetworkEnv("joint", TOY, proposals=mip.OFFERS)
    observation, _ = env.reset(seed=0)
    policy: Any = planners.make("mip", TOY, "joint")
    with pytest.raises(ValueError, match="attach"):
        policy.predict(observation)
    policy.attach(env)
    action = policy.predict(observation)[0]
    assert env.action_space.contains(action) and action[1:].tolist() == [2] * 5
    with pytest.raises(ValueError, match='interface="proposals"'):
        policy.attach(NetworkEnv("placement", TOY, interface="operations"))
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(ValueError, match=r"^highspy is not installed: run `pip install 'og_env\[opt\]'`$"):
        planners.make("mip", TOY)


def test_the_unserved_price_is_the_convex_one_at_its_cuts() -> None:
    """Nobody serves: the whole demand is unserved, at a price of 1 whatever the convexity."""
    pytest.importorskip("highspy")
    given = facts(launches=np.zeros((1, 3), bool), up=np.zeros((1, 3)), convexity=20.0)
    assert cost_of(given) == pytest.approx(10.0)
    half = facts(demand=np.full((1, 1, 1), 12.5), launches=np.zeros((1, 3), bool), convexity=20.0)
    share = 0.2  # 2.5 of 12.5, a cut
    assert cost_of(half) == pytest.approx(1.0 + 10 * share * (1 + 20 * share) / 21)
