"""Baselines and references: what each does in worlds small enough to know the answer."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.load_policies import make_planner
from og_agents.planners import local_search, p_median
from og_agents.planners.rollout import Rollout
from og_agents.planners.static_placement import StaticPlacement, Target, fits, moves, starting
from og_agents.planners.tuned_greedy import TunedGreedy
from og_agents.policy import Policy, wishes
from og_agents.tuned_constants import of_planner
from og_env.env import NetworkEnv
from og_env.kernel.arrays import GATEWAY, STORE, VERIFIER, WARM
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from og_env.world import compile_world

TOY = loading.load("toy-3")
SHORT = {"episode.steps": 24}


def short(name, **changes):
    return loading.override(loading.load(name), SHORT | changes)


def world_of(spec):
    return compile_world(loading.resolve(spec)).arrays


@pytest.mark.parametrize("name", planners.NAMES)
def test_every_planner_plays_whole_episodes_behind_the_protocol(name):
    if "p_median" in name:
        pytest.importorskip("highspy")
    policy = planners.make(name, TOY)
    assert isinstance(policy, Policy)
    played = playing.run(policy, TOY, episodes=2)
    assert played.policy == name and np.isfinite(played.returns).all()
    assert planners.DOCS[name]


def test_names_tasks_and_constants_are_checked():
    with pytest.raises(ValueError, match="nearest valid: rollout"):
        planners.make("rolout", TOY)
    with pytest.raises(ValueError, match="static_best has no decisions in the task 'joint'"):
        planners.make("static_best", TOY, "joint")
    with pytest.raises(ValueError, match="nearest valid: risk"):
        planners.make("greedy_tuned", TOY, constants={"risc": 1.0})
    with pytest.raises(ValueError, match="rollout has no constants"):
        planners.make("rollout", TOY, constants={"risk": 1.0})
    with pytest.raises(ValueError, match="random-24: a static placement needs a fixed fleet"):
        planners.make("p_median", "random-24")


def test_plain_constants_make_the_tuned_planner_the_greedy_one():
    spec = short("global-24")
    tuned = planners.make("greedy_tuned", spec, constants=of_planner("greedy_tuned").untuned)
    ours = playing.run(tuned, spec, episodes=4, split="validation").returns
    assert ours == pytest.approx(playing.run(heuristics.make("greedy"), spec, episodes=4, split="validation").returns)


def test_a_constant_rank_takes_that_offer_in_every_step():
    env = NetworkVectorEnv(3, "placement", short("global-24"), threads=1)
    observation, _ = env.reset(seed=0)
    for rank in (0, 2):
        actions, _ = planners.make("constant", "global-24", constants={"rank": rank}).predict(observation)
        assert actions.tolist() == [rank] * 3


def test_the_base_of_rollouts_decides_as_the_policy_does():
    constants = {**of_planner("greedy_tuned").untuned, "risk": 1.5, "add": -0.003, "congestion": 0.01, "alarm": 0.02}
    constants |= {"reserve": 0.2, "backlog": 1.0, "arriving": 0.8}
    env = NetworkVectorEnv(8, "placement", "global-24", threads=1)
    observation, _ = env.reset(seed=0)
    policy, simulator = planners.make("greedy_tuned", "global-24", constants=constants), env.simulator
    base = TunedGreedy(constants, simulator.world, simulator.tape, simulator.state, 10)
    same = []
    for _ in range(60):
        actions, _ = policy.predict(observation)
        same.append(actions == base.choose(simulator.output.offer, simulator.output.offer_gain))
        observation, *_ = env.step(actions)
    assert np.mean(same) > 0.98  # observations are clipped and rounded


def test_moves_lead_to_a_target_and_repair_it():
    spec = loading.override(TOY, {"start.replica_sites": {"unit": ("a",)}})
    target = Target(np.array([[False, True, True]]), np.array([[True] * 3, [False, False, True], [True, True, False]]))
    policy = StaticPlacement("there", target)
    env = NetworkEnv("placement", spec, **wishes(policy).env_kwargs)
    observation, _ = env.reset(seed=0, options={"outages": [{"domain": "site:c", "start_h": 0.4, "duration_h": 0.1}]})
    for _ in range(55):
        action, _ = policy.predict(observation, action_masks=env.action_masks())
        observation, *_ = env.step(int(action))
    state = env.simulator.state
    assert ((state.phase[0] == WARM) == target.replicas).all()
    assert ((state.role_ms[0] >= 0) == target.roles).all()
    assert policy.predict(observation, action_masks=env.action_masks())[0] == 0
    with pytest.raises(ValueError, match="needs the masks of operations"):
        policy.predict(observation)


def test_moves_name_every_operation_once():
    target = starting(world_of(loading.load("one-cloud")))
    operations = moves(target)
    models, sites = target.replicas.shape
    assert len(set(operations)) == len(operations) == models * sites + 3 * sites


def test_prices_of_placements_are_returns_of_the_untouched_fleet():
    spec = short("one-cloud")
    pricing = local_search.Pricing(spec, 2, 0)
    start = starting(pricing.world)
    bare = start._replace(replicas=np.zeros_like(start.replicas))
    values = pricing.returns([start, bare])
    simulator, returns = pricing.simulator, np.zeros(2)
    simulator.start(np.arange(2))
    for _ in range(24):
        simulator.advance(np.zeros(2, np.int64))
        returns += simulator.output.reward
    assert values[0] == pytest.approx(returns.mean(), rel=1e-5)
    assert values[1] < values[0]


def test_local_search_finds_a_placement_that_fits_and_earns_more():
    spec = short("one-cloud")
    pricing = local_search.Pricing(spec, 3, 0)
    found = local_search.best_static(spec, rounds=8, episodes=3)
    assert fits(pricing.world, found)
    before, after = pricing.returns([starting(pricing.world), found])
    assert after > before


def test_p_median_serves_near_and_the_robust_one_off_any_single_dependency():
    pytest.importorskip("highspy")
    spec = loading.load("provider-blackout")
    world = world_of(spec)
    plain, robust = p_median.p_median(spec), p_median.p_median(spec, robust=True)
    assert fits(world, plain) and fits(world, robust)
    demand = p_median.demand_slices(world)[0].sum(axis=0)
    room = world.capacity_rps[0] * world.utilisation_limit[0]
    inside = p_median.members(world)[world.domain_size[0] > 0]

    def worst_loss(target):
        left = (target.replicas * room) @ (1 - inside.T)
        return (np.maximum(demand[:, None] - left, 0).sum(axis=0) / demand.sum()).max()

    assert ((plain.replicas * room).sum(axis=1) >= 0.97 * demand).all()
    assert worst_loss(robust) < 0.5 * worst_loss(plain)


def test_roles_are_spread_until_one_loss_is_survived():
    world = world_of(loading.load("store-loss"))
    roles = p_median.hedge_roles(world, starting(world).roles)
    inside = p_median.members(world) > 0
    shared = inside[(world.domain_size[0] > 1) & (inside.sum(axis=1) < inside.shape[1])]
    for role in (STORE, GATEWAY):
        assert (shared @ roles[role]).max() < roles[role].sum()
    held = roles[VERIFIER].sum()
    assert (shared @ roles[VERIFIER]).max() <= held - (2 * held // 3 + 1)


def test_without_highspy_the_programme_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[opt\]'"):
        p_median.p_median(TOY)


def test_a_planner_that_reads_the_tape_prepares_for_what_is_scripted():
    outage = {"domain": "provider:equinix", "start_h": 1.5, "duration_h": 3.0, "effect": "DOWN"}
    spec = loading.override(
        loading.load("provider-blackout"), {"failures.outages": (outage,), "episode.steps": 36, "reward.exposure": 0.0}
    )
    blind, seeing = (Rollout(name, truth=name == "seeing", candidates=6, every=3) for name in ("blind", "seeing"))
    returns = [playing.run(policy, spec, episodes=2).returns for policy in (blind, seeing)]
    greedy = playing.run(planners.make("greedy_tuned", spec), spec, episodes=2).returns
    assert returns[1].mean() > returns[0].mean()
    assert returns[1].mean() > greedy.mean()


def test_rollouts_repeat_and_futures_are_drawn_for_all_candidates_alike():
    spec = short("one-cloud", **{"episode.steps": 6})
    planner = Rollout("sampled", horizon=8, candidates=4, futures=2, seed=3)
    first = playing.run(planner, spec, episodes=2).returns
    assert np.array_equal(first, playing.run(dataclasses.replace(planner), spec, episodes=2).returns)
    env = NetworkVectorEnv(2, "placement", spec, threads=1)
    env.reset(seed=0)
    planner.attach(env)
    copies = planner._copies
    assert copies is not None
    copies.load(np.arange(2))
    copies.add_drawn_outages(planner.futures, np.random.default_rng(3))
    status = copies.tape.status.reshape(2, 4, 2, 9, -1)
    assert (status == status[:, :1]).all()
    assert (status[..., 0, :] == env.simulator.state.status[:, None, None]).all()


def test_joint_decisions_leave_the_router_alone_and_misuse_is_one_sentence():
    env = NetworkEnv("joint", short("one-cloud"))
    observation, _ = env.reset(seed=0)
    planner = planners.make("rollout", "one-cloud", "joint")
    assert isinstance(planner, Rollout)
    with pytest.raises(ValueError, match="attach"):
        planner.predict(observation)
    planner.attach(env)
    action, _ = planner.predict(observation)
    assert env.action_space.contains(action) and action[1:].tolist() == [2] * 5
    with pytest.raises(ValueError, match='interface="proposals"'):
        planner.attach(NetworkEnv("placement", "toy-3", interface="operations"))
    with pytest.raises(ValueError, match="valid are 2, 1 and 0 or more"):
        Rollout("thin", candidates=1)


class FirstOffer:
    """Takes the first offer in every step, and keeps how many environments it chose for."""

    name = "first"
    env_kwargs: ClassVar = {"flatten": True, "interface": "proposals", "proposals": 10}

    def __init__(self) -> None:
        self.asked: set[int] = set()

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> Any:
        assert observation.ndim == 2 and action_masks.shape == (len(observation), 11)
        self.asked.add(len(observation))
        return action_masks[:, 1].astype(np.int64), state


def test_who_knows_the_tape_does_at_least_as_well_as_what_it_goes_on_with():
    spec = short("one-cloud")

    def returns(policy):
        return playing.run(policy, spec, episodes=6, split="validation").returns

    def knowing(margin, base):
        return Rollout("knowing", truth=True, horizon=24, candidates=11, every=1, margin=margin, follow=base)

    alone, base = returns(FirstOffer()), FirstOffer()
    better = returns(knowing(1e-4, base))
    assert base.asked == {6, 6 * 11}  # in the episodes, and in their copies
    assert (better > alone + 0.1).all()
    assert returns(knowing(1e9, FirstOffer())) == pytest.approx(alone), "what it goes on with is the first candidate"


def test_the_clairvoyant_planner_goes_on_with_what_comes_along():
    pytest.importorskip("torch")
    followed: Any = make_planner("clairvoyant", loading.load("one-cloud"))
    assert followed.follow.meta["scenario"]["name"] == "one-cloud"
    other = loading.override(loading.load("one-cloud"), {"sites.count": 19})
    for spec, task in ((TOY, "placement"), (other, "placement"), (loading.load("one-cloud"), "joint")):
        planner: Any = make_planner("clairvoyant", spec, task)
        assert planner.follow is None
