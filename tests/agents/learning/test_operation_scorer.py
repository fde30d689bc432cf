"""The operation scorer: it begins with doing nothing, reads any number of sites in any order, and returns from a folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo, train_settings
from og_agents.learning.operation_scorer import (
    PAIR_KINDS,
    ROLE_KINDS,
    SITE_COLUMNS,
    OperationScorerPolicy,
    operation_shapes,
)
from og_agents.learning.possible_behind import behind, widened
from og_agents.learning.training_progress import Clock
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
OTHER = short_world("flash-crowd")
FEW = small_settings(interface="operations", credit="branches", branch_tries=6)


def made(world=WORLD) -> tuple[Any, dict[str, Any]]:
    """An untrained model with a random policy, and its description."""
    meta = ppo.make_meta(FEW, "placement", world, seed=1)
    model = ppo.build(ppo.training_env(world, meta, FEW), meta, FEW, Clock(1, None), 1)
    scorer: Any = model.policy.mlp_extractor
    torch.nn.init.normal_(scorer.score)
    torch.nn.init.normal_(scorer.places)
    return model, meta


def policy_for(world, **named: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """An untrained policy, with observations [4, O + V] and masks [4, V] of some hours of idling."""
    env = NetworkVectorEnv(4, "placement", world, interface="operations", flatten=True)
    spaces = (env.single_observation_space, env.single_action_space)
    models = env.simulator.sizes["M"]
    policy = OperationScorerPolicy(widened(*spaces), spaces[1], lambda _: 1e-3, models=models, **named)
    env.reset(seed=2)
    for _ in range(5):
        observation, *_ = env.step(np.zeros(4, np.int64))
    masks = env.action_masks()
    return policy, behind(observation, masks), masks


@pytest.mark.parametrize("world", [WORLD, OTHER], ids=["3 sites", "16 sites"])
def test_an_untrained_policy_does_nothing_and_may_do_everything(world):
    policy, seen, masks = policy_for(world)
    actions, _ = policy.predict(seen, action_masks=masks, deterministic=True)
    assert (actions == 0).all()
    chances = policy.get_distribution(torch.as_tensor(seen), masks).distribution.probs.detach().numpy()
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5) and (chances[~masks] < 1e-6).all()
    assert chances[masks].min() > 0.05 * chances.max()


def test_scores_follow_the_sites():
    order = (4, 2, 0, 1, 3, *range(5, 16))
    policy, seen, _ = policy_for(OTHER)
    scorer, moved = policy.mlp_extractor, torch.as_tensor(seen)
    torch.nn.init.normal_(scorer.score)
    models, sites = policy.shapes
    kinds = PAIR_KINDS * models + ROLE_KINDS
    rows = 1 + np.arange(kinds)[:, None] * sites + np.array(order)
    places = torch.as_tensor(np.concatenate([[0], rows.ravel()]))
    plain, table, rows_of_sites, possible = moved.split(list(policy.shapes.widths), 1)
    sites_moved = rows_of_sites.unflatten(1, (sites, SITE_COLUMNS))[:, list(order)].flatten(1)
    with torch.no_grad():
        before = scorer.forward_actor(moved)
        after = scorer.forward_actor(torch.cat([plain, table, sites_moved, possible[:, places]], 1))
    assert before.std() > 0.01 and torch.allclose(before[:, places], after, atol=1e-5)


def test_what_is_possible_at_a_place_changes_its_scores():
    policy, seen, masks = policy_for(OTHER)
    torch.nn.init.normal_(policy.mlp_extractor.score)
    models, sites = policy.shapes
    retire = 1 + models * sites
    without = torch.as_tensor(seen).clone()
    held = int(np.flatnonzero(masks[0, retire : retire + models * sites])[0])
    without[0, -masks.shape[1] + retire + held] = 0
    with torch.no_grad():
        scores = [policy.mlp_extractor.forward_actor(each)[0] for each in (torch.as_tensor(seen), without)]
    changed = (scores[0] - scores[1]).abs() > 1e-4
    assert changed[1 + held] and changed[retire + held]


def test_logits_of_some_operations_are_those_among_all():
    policy, seen, masks = policy_for(OTHER)
    torch.nn.init.normal_(policy.mlp_extractor.score)
    torch.nn.init.normal_(policy.mlp_extractor.bias)
    every = torch.arange(masks.shape[1]).repeat(4, 1)
    with torch.no_grad():
        logits = policy.mlp_extractor.forward_actor(torch.as_tensor(seen))
        assert torch.allclose(policy.mlp_extractor.logits_of(torch.as_tensor(seen), every), logits, atol=1e-5)
        some = torch.tensor([[0, 7, 200, 0]]).repeat(4, 1)
        _, logs, entropy = policy.evaluate_actions(torch.as_tensor(seen), some.flatten())
        expected = torch.log_softmax(logits[:, [0, 7, 200]], 1)
        assert torch.allclose(logs[:, :3], expected, atol=1e-5) and (logs[:, 3] < -1e6).all()
        assert torch.allclose(entropy, -(expected.exp() * expected).sum(1), atol=1e-5)
        _, one, _ = policy.evaluate_actions(torch.as_tensor(seen), every[:, 5], masks)
        assert torch.allclose(
            one[masks[:, 5]], torch.log_softmax(logits.masked_fill(~torch.as_tensor(masks), -1e8), 1)[masks[:, 5], 5]
        )


def test_a_saved_policy_plays_the_same_on_both_kinds_of_observation(tmp_path):
    model, meta = made()
    policy = checkpoint.load(checkpoint.save(model, tmp_path / "policy", meta), scenario=WORLD)
    envs = [NetworkVectorEnv(3, "placement", WORLD, interface="operations", flatten=flat) for flat in (True, False)]
    played = []
    for env in envs:
        observation, info = env.reset(seed=5)
        played.append(policy.predict(observation, action_masks=info["action_mask"])[0])
        assert info["action_mask"][np.arange(3), played[-1]].all()
    masks = envs[0].action_masks()
    flat = behind(envs[0].reset(seed=5)[0], masks)
    assert np.array_equal(*played) and np.array_equal(
        played[0], model.predict(flat, action_masks=masks, deterministic=True)[0]
    )
    with pytest.raises(ValueError, match="hand in action_masks"):
        policy.predict(observation)
    assert checkpoint.load(tmp_path / "policy", env=envs[0]).meta["policy"] == "operations"


def test_a_policy_plays_in_another_fleet_without_what_it_learned_of_places(tmp_path):
    model, meta = made()
    folder = checkpoint.save(model, tmp_path / "policy", meta)
    with pytest.raises(ValueError, match="trained on scenario 'toy-3', not on 'flash-crowd': other sites"):
        checkpoint.load(folder, scenario=OTHER)
    policy = checkpoint.load(folder, scenario=OTHER, transfer=True)
    assert policy.network.shapes == (4, 16)
    places = policy.network.mlp_extractor.places
    assert len(places) == 16 and not places.any()
    assert np.isfinite(playing.run(policy, OTHER, "placement", 2, split="validation").returns).all()
    again = checkpoint.load(folder, scenario=WORLD)
    assert torch.equal(again.network.mlp_extractor.places, model.policy.mlp_extractor.places)


def test_fleets_of_one_size_of_spaces_are_told_apart_by_the_models():
    twenty, five = (loading.load("near-but-cold"), 6), (None, 30)
    env = NetworkEnv("placement", twenty[0], interface="operations", flatten=True)
    spaces = (widened(env.observation_space, env.action_space), env.action_space)
    assert operation_shapes(*spaces, twenty[1]) == (6, 20)
    assert operation_shapes(*spaces, five[1]).widths != operation_shapes(*spaces, 6).widths
    with pytest.raises(ValueError, match="of 7 models"):
        operation_shapes(*spaces, 7)


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"interface": "proposals"}, "placement"),
        ({"interface": "operations"}, "joint"),
        ({"interface": "operations", "credit": "reward"}, "placement"),
    ],
)
def test_a_policy_of_operations_is_refused_elsewhere(changes, task):
    settings = train_settings.load(None, {"policy": "operations", **changes})
    with pytest.raises(ValueError, match="scores all operations and learns from branches"):
        settings.policy_kind(task)
    assert train_settings.load(None, changes).policy_kind(task) != "operations"


def test_it_is_the_usual_policy_where_all_operations_are_chosen_from():
    settings = train_settings.load(train_settings.shipped_file("operations"))
    assert settings.policy_kind("placement") == "operations" and settings.branched("placement")
    assert settings.softened("placement").sharpness == settings.branch_sharpness
