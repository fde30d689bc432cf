"""The shared scorer: order of proposals, prior, masks, both kinds of observation, both tasks."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from og_agents.learning.networks import (
    ADDS,
    CHANGES,
    COLUMNS,
    GAIN,
    KINDS,
    ROLES,
    VALID,
    ProposalScorer,
    ScorerSettings,
    SharedScorerPolicy,
    shapes_of,
)
from og_agents.sb3_adapter import make_sb3
from og_env.env import NetworkEnv
from tests.cases.short_training import short_world

WORLD = short_world()
PROPOSALS = 10


@pytest.fixture
def scorer():
    torch.manual_seed(0)
    env = NetworkEnv("placement", WORLD, flatten=True)
    return ProposalScorer(shapes_of(env.observation_space, env.action_space))


def made_up(shapes, rows: int = 6, offers: int = 7) -> torch.Tensor:
    """Features with the first `offers` proposals valid, of the kinds of offers in turn."""
    features = torch.rand(rows, shapes.width) * 2 - 1
    table = features[:, -shapes.widths[2] :].view(rows, shapes.proposals, COLUMNS)
    table[..., VALID] = 0
    table[:, :offers, VALID] = 1
    table[..., [*CHANGES, *ROLES]] = 0
    for offer in range(offers):
        kind = offer % KINDS
        table[:, offer, [*CHANGES, *np.repeat(ROLES, 2)][kind]] = 1
        table[:, offer, ADDS] = float(kind % 2)
    return features


def reordered(shapes, features: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    table = features[:, -shapes.widths[2] :].view(len(features), shapes.proposals, COLUMNS)[:, order]
    return torch.cat([features[:, : -shapes.widths[2]], table.flatten(1)], 1)


def test_logits_follow_the_proposals_and_the_value_does_not_see_their_order(scorer):
    shapes = scorer.shapes
    torch.nn.init.normal_(scorer.score.weight)
    features, order = made_up(shapes), torch.randperm(shapes.proposals)
    logits, other = scorer.forward_actor(features), scorer.forward_actor(reordered(shapes, features, order))
    assert torch.allclose(logits[:, 0], other[:, 0], atol=1e-5)
    assert torch.allclose(logits[:, 1:][:, order], other[:, 1:], atol=1e-5)
    assert logits[:, 1:].std() > 0.1
    values = scorer.forward_critic(features)
    assert torch.allclose(values, scorer.forward_critic(reordered(shapes, features, order)), atol=1e-5)


def test_models_may_come_in_any_order_and_number(scorer):
    shapes, features = scorer.shapes, made_up(scorer.shapes)
    head, models, offers = features.split(list(shapes.widths), 1)
    models = models.view(6, shapes.models, -1)
    logits = scorer.forward_actor(features)
    turned = torch.cat([head, models.flip(1).flatten(1), offers], 1)
    assert torch.allclose(scorer.forward_actor(turned), logits, atol=1e-5)
    other = ProposalScorer(shapes._replace(models=2 * shapes.models))
    other.load_state_dict(scorer.state_dict())
    twice = torch.cat([head, models.repeat(1, 2, 1).flatten(1), offers], 1)
    assert torch.allclose(other.forward_actor(twice), logits, atol=1e-5)
    changed = torch.cat([head, (models * 0.5).flatten(1), offers], 1)
    assert not torch.allclose(scorer.forward_actor(changed), logits, atol=1e-4)


def test_rows_without_an_offer_change_nothing(scorer):
    features = made_up(scorer.shapes, offers=4)
    other = features.clone()
    other[:, -scorer.shapes.widths[2] :].view(6, PROPOSALS, COLUMNS)[:, 4:, GAIN + 1 :] = 0.77
    assert torch.allclose(scorer.forward_actor(features)[:, :5], scorer.forward_actor(other)[:, :5], atol=1e-6)
    assert torch.allclose(scorer.forward_critic(features), scorer.forward_critic(other), atol=1e-6)
    nothing = made_up(scorer.shapes, offers=0)
    assert torch.isfinite(scorer.forward_actor(nothing)).all() and torch.isfinite(scorer.forward_critic(nothing)).all()


def test_it_starts_as_the_planner(scorer):
    features = made_up(scorer.shapes)
    gains = features[:, -scorer.shapes.widths[2] :].view(6, PROPOSALS, COLUMNS)[..., GAIN]
    logits = scorer.forward_actor(features)
    assert torch.allclose(logits[:, 1:8], ScorerSettings().beta * gains[:, :7], atol=0.05)
    assert logits[:, 0].abs().max() < 0.05
    assert scorer.beta.requires_grad


def test_each_kind_of_offer_has_last_weights_of_its_own(scorer):
    features = made_up(scorer.shapes, offers=KINDS)
    before = scorer.forward_actor(features)
    for kind in range(KINDS):
        with torch.no_grad():
            scorer.score.bias[kind] += 1
            change = scorer.forward_actor(features) - before
            scorer.score.bias[kind] -= 1
        expected = torch.zeros(1 + PROPOSALS)
        expected[1 + kind] = 1
        assert torch.allclose(change, expected.expand_as(change), atol=1e-5)


def test_weights_of_an_earlier_version_are_those_of_every_kind(scorer):
    earlier = scorer.state_dict()
    earlier["beta"] = torch.tensor(3.0)
    earlier["score.weight"], earlier["score.bias"] = torch.rand(1, 32), torch.rand(1)
    now = ProposalScorer(scorer.shapes)
    now.load_state_dict(earlier)
    assert torch.equal(now.beta, torch.full((KINDS,), 3.0))
    assert torch.equal(now.score.weight, earlier["score.weight"].repeat(KINDS, 1))
    assert torch.equal(now.score.bias, earlier["score.bias"].repeat(KINDS))
    earlier["score.bias"] = torch.rand(2)
    with pytest.raises(RuntimeError, match="size mismatch"):
        now.load_state_dict(earlier)


def test_actor_and_critic_share_no_parameter(scorer):
    features = made_up(scorer.shapes)
    scorer.forward_critic(features).sum().backward()
    touched = {name for name, value in scorer.named_parameters() if value.grad is not None}
    assert touched and all(name.startswith("value.") for name in touched)
    scorer.zero_grad(set_to_none=True)
    scorer.forward_actor(features).sum().backward()
    missed = {name for name, value in scorer.named_parameters() if value.grad is None}
    assert missed == touched


def test_knobs_start_at_the_scenarios_own_setting():
    env = NetworkEnv("joint", WORLD, flatten=True)
    shapes = shapes_of(env.observation_space, env.action_space)
    assert shapes.levels == (5,) * 5
    logits = ProposalScorer(shapes).forward_actor(made_up(shapes))
    assert logits.shape == (6, 1 + PROPOSALS + 25)
    assert (logits[:, 1 + PROPOSALS :].view(6, 5, 5).argmax(2) == 2).all()


@pytest.mark.parametrize("task", ["placement", "joint"])
@pytest.mark.parametrize("flatten", [False, True])
def test_it_is_a_policy_of_maskable_ppo(task, flatten):
    env = make_sb3(task, 2, scenario=WORLD, flatten=flatten)
    model = MaskablePPO(SharedScorerPolicy, env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    before = model.policy.state_dict()["mlp_extractor.encoder.0.weight"].clone()
    model.learn(32)
    assert not torch.equal(before, model.policy.state_dict()["mlp_extractor.encoder.0.weight"])
    observation = env.reset()
    masks = np.stack(env.env_method("action_masks"))
    for deterministic in (True, False):
        actions, _ = model.predict(observation, deterministic=deterministic, action_masks=masks)
        chosen = actions if task == "placement" else actions[:, 0]
        assert all(masks[row, action] for row, action in enumerate(chosen))
        assert actions.shape == (2, *(env.action_space.shape or ()))


def test_dict_and_flat_observations_give_the_same_logits():
    policies = {}
    tables, flat = (NetworkEnv("placement", WORLD, flatten=flatten) for flatten in (False, True))
    for env in (tables, flat):
        torch.manual_seed(1)
        policies[env] = SharedScorerPolicy(env.observation_space, env.action_space, lambda _: 1e-3)
    seen = {env: policies[env].obs_to_tensor(env.reset(seed=2)[0])[0] for env in policies}
    logits = [policies[env].get_distribution(seen[env]).distribution.logits for env in policies]  # type: ignore[attr-defined]
    assert torch.equal(*logits)


def test_a_copy_of_the_policy_has_its_arguments():
    env = NetworkEnv("placement", WORLD, flatten=True)
    policy = SharedScorerPolicy(env.observation_space, env.action_space, lambda _: 1e-3, hidden=8, beta=3.0)
    arguments = policy._get_constructor_parameters()
    assert (arguments["hidden"], arguments["beta"]) == (8, 3.0)
    assert policy.mlp_extractor.encoder[0].out_features == 8


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"task": "routing"}, "chooses among proposals"),
        ({"task": "placement", "interface": "operations", "flatten": True}, "interface 'proposals'"),
        ({"task": "placement", "interface": "operations"}, "reads 'proposals'"),
    ],
)
def test_other_spaces_are_refused_in_one_line(kwargs, message):
    env = NetworkEnv(scenario=WORLD, **kwargs)
    with pytest.raises(ValueError, match=message) as error:
        shapes_of(env.observation_space, env.action_space)
    assert "\n" not in str(error.value)
    assert isinstance(env.action_space, gym.Space)


def test_the_value_says_nothing_before_it_learned():
    torch.manual_seed(1)
    env = NetworkEnv("placement", WORLD, flatten=True)
    policy = SharedScorerPolicy(env.observation_space, env.action_space, lambda _: 1e-3)
    features = made_up(policy.shapes, rows=50)
    with torch.no_grad():
        assert policy.predict_values(features).abs().max() < 0.05


def test_sharpness_multiplies_the_logits_of_offers_and_nothing_else():
    env = NetworkEnv("joint", WORLD, flatten=True)
    shapes = shapes_of(env.observation_space, env.action_space)
    torch.manual_seed(2)
    plain = ProposalScorer(shapes)
    torch.manual_seed(2)
    sharp = ProposalScorer(shapes, ScorerSettings(sharpness=20.0))
    features, offers = made_up(shapes), 1 + shapes.proposals
    ones, others = plain.forward_actor(features), sharp.forward_actor(features)
    assert torch.allclose(20 * ones[:, :offers], others[:, :offers], rtol=1e-4, atol=1e-4)
    assert torch.equal(ones[:, offers:], others[:, offers:])
    sharp.scale_logits(0.5)
    assert torch.allclose(10 * ones[:, :offers], sharp.forward_actor(features)[:, :offers], rtol=1e-4, atol=1e-3)


def test_a_mixture_explores_and_likes_best_what_the_sharp_one_does(scorer):
    shapes = scorer.shapes
    torch.manual_seed(0)
    sharp = ProposalScorer(shapes, ScorerSettings(sharpness=20.0))
    mixed = ProposalScorer(shapes, ScorerSettings(sharpness=20.0, exploration=0.25, exploration_sharpness=0.01))
    mixed.load_state_dict(sharp.state_dict())
    features, count = made_up(shapes, offers=7), 1 + shapes.proposals
    possible = list(range(8))
    logits, mixture = (scorer.forward_actor(features)[:, :count] for scorer in (sharp, mixed))
    assert torch.equal(logits[:, possible].argmax(1), mixture[:, possible].argmax(1))
    likely, explored = torch.softmax(logits[:, possible], 1), mixture.exp()
    assert torch.allclose(explored.sum(1), torch.ones(len(features))), "the logits are log-probabilities"
    assert (explored[:, 8:] == 0).all(), "what is no offer is never explored"
    least = explored[:, possible].amin(1)
    assert (least > 0.25 / 8 / 50).all() and (likely.amin(1) < 1e-4).all()
    explored[:, 3].log().sum().backward()
    assert mixed.score.weight.grad is not None and mixed.score.weight.grad.abs().sum() > 0
