"""The site scorer: it begins as a router, reads any number of sites in any order, and comes back from a folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo
from og_agents.learning.site_scorer import COLUMNS, PLACES, SiteScorerPolicy, site_shapes
from og_agents.learning.training_progress import Clock
from og_agents.planners.routers import ROUTERS
from og_agents.policy import wishes
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
FREE = {"router.load_penalty": 0.0}


def made(router: str = "site_prices", world=WORLD):
    """An untrained model and its description."""
    settings = small_settings(interface="sites", router=router)
    meta = ppo.make_meta(settings, "routing", world, seed=1)
    env = ppo.training_env(world, meta, settings)
    return ppo.build(env, meta, settings, Clock(1, None), 1), meta


@pytest.fixture
def alone() -> SiteScorerPolicy:
    torch.manual_seed(0)
    env = NetworkEnv("routing", WORLD, interface="sites", flatten=True)
    policy = SiteScorerPolicy(env.observation_space, env.action_space, lambda _: 1e-3)
    torch.nn.init.normal_(policy.mlp_extractor.correction.weight)
    torch.nn.init.normal_(policy.mlp_extractor.places)
    return policy


def test_an_untrained_policy_plays_as_the_controller_that_it_begins_as():
    spec = loading.override(loading.load("grey-failures"), {**FREE, "episode.steps": 40})
    env = NetworkVectorEnv(16, "routing", spec, split="train", interface="sites", flatten=True)
    router: Any = planners.make("site_prices", spec, "routing")
    router.attach(env)
    policy = SiteScorerPolicy(
        env.single_observation_space, env.single_action_space, lambda _: 1e-3, controller=dict(router.constants)
    )
    observation, _ = env.reset(seed=3)
    state, start, differences, size = None, np.ones(16, np.bool_), [], 0.0
    for _ in range(39):
        levels, state = router.predict(observation, state, start)
        mean, _ = policy.predict(observation, deterministic=True)
        differences.append(np.abs(mean - levels))
        size = max(size, np.abs(levels).max())
        observation, _, _, start, _ = env.step(levels)
    # a load beyond 1 shows as 1, and GPUs of replicas that still load count as those of warm ones
    assert size > 0.5 and np.quantile(differences, 0.8) < 1e-6 and np.mean(differences) < 2e-3


@pytest.mark.parametrize("router", ["convex", "site_prices"])
def test_an_untrained_checkpoint_earns_about_what_its_router_does(router, tmp_path):
    model, meta = made(router)
    policy = checkpoint.load(checkpoint.save(model, tmp_path / "policy", meta), scenario=WORLD)
    assert wishes(policy).overrides == ROUTERS[router].overrides
    rule = planners.make(router, WORLD, "routing")
    earned, expected = (playing.run(each, WORLD, "routing", 8, split="validation") for each in (policy, rule))
    assert np.allclose(earned.returns, expected.returns, rtol=0.02, atol=1e-6)


def test_levels_follow_the_sites_and_idle_sites_keep_the_routers(alone):
    env = NetworkVectorEnv(4, "routing", WORLD, interface="sites", flatten=True)
    seen = torch.as_tensor(np.array(env.reset(seed=1)[0]))
    sites = alone.shapes.sites
    order = torch.tensor([2, 0, 1])
    levels = alone.mean_levels(seen)
    rows = seen[:, -sites * COLUMNS :].unflatten(1, (sites, COLUMNS))
    moved = torch.cat([seen[:, : -sites * COLUMNS], rows[:, order].flatten(1)], 1)
    with torch.no_grad():
        alone.mlp_extractor.places.copy_(alone.mlp_extractor.places[order])
    assert torch.allclose(levels[:, order], alone.mean_levels(moved), atol=1e-5)
    scorer = alone.mlp_extractor
    correction = levels - scorer.start(rows, None)[..., 2]
    hosts = scorer.hosts(rows) > 0
    assert hosts.any() and not hosts.all()
    assert (correction[~hosts] == 0).all()
    assert torch.allclose((correction * hosts).sum(1), torch.zeros(4), atol=1e-5)


def test_a_trained_policy_plays_in_another_fleet_without_what_it_learned_of_places(tmp_path):
    model, meta = made()
    scorer: Any = model.policy.mlp_extractor
    torch.nn.init.normal_(scorer.places)
    torch.nn.init.normal_(scorer.correction.weight)
    folder = checkpoint.save(model, tmp_path / "policy", meta)
    other = short_world("grey-failures")
    with pytest.raises(ValueError, match="other"):
        checkpoint.load(folder, scenario=other)
    policy = checkpoint.load(folder, scenario=other, transfer=True)
    places = policy.network.state_dict()[PLACES]
    assert len(places) == 16 and not places.any()
    assert np.isfinite(playing.run(policy, other, "routing", 2, split="validation").returns).all()
    again = checkpoint.load(folder, scenario=WORLD)
    assert torch.equal(again.network.state_dict()[PLACES], model.policy.state_dict()[PLACES])


def test_both_kinds_of_observation_give_the_same_levels(tmp_path):
    model, meta = made()
    policy = checkpoint.load(checkpoint.save(model, tmp_path / "policy", meta))
    envs = [NetworkVectorEnv(3, "routing", WORLD, interface="sites", flatten=flat) for flat in (True, False)]
    levels = [policy.predict(env.reset(seed=5)[0])[0] for env in envs]
    assert np.array_equal(*levels) and np.shape(levels[0]) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [({"task": "placement"}, "a level to every site"), ({"task": "routing", "interface": "knobs"}, "needs 5 sites")],
)
def test_other_spaces_are_refused(arguments, complaint):
    env = NetworkEnv(scenario=WORLD, flatten=True, **arguments)
    with pytest.raises(ValueError, match=complaint):
        site_shapes(env.observation_space, env.action_space)
