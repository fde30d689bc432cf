"""A share of what was learned: none of it is the planner, all of it is the fit, and a training plays what validates best."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from og_agents.learning import checkpoint, learned_share, ppo, rollout_policy_iteration, training_progress
from og_agents.learning.networks import masked_logits
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
TINY = {"branch_states": 16, "branch_horizon": 4, "branch_spacing": 3}


@pytest.mark.parametrize("policy", ["auto", "mlp"])
def test_logits_are_between_those_of_the_start_and_those_of_the_fit(policy):
    settings = small_settings(policy=policy)
    env = NetworkVectorEnv(3, "placement", WORLD, flatten=True)
    observation, info = env.reset(seed=0)
    seen, masks = torch.as_tensor(observation), torch.as_tensor(info["action_mask"].astype(np.bool_))
    fitted = rollout_policy_iteration.untrained(env, rollout_policy_iteration.described(settings, WORLD, 0, None))
    begun = learned_share.copied(fitted)
    with torch.no_grad():
        for values in learned_share.heads(fitted):
            values += torch.rand_like(values)

    def logits(share: float) -> torch.Tensor:
        with torch.no_grad():
            return masked_logits(learned_share.played(fitted, begun, share), seen, masks)[masks]

    none, half, all_of_it = (logits(share) for share in (0.0, 0.5, 1.0))
    assert not torch.allclose(none, all_of_it, atol=0.1)
    assert torch.allclose(half, (none + all_of_it) / 2, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(all_of_it, masked_logits(fitted, seen, masks)[masks])


def test_neighbours_of_a_share():
    first, last = learned_share.SHARES[0], learned_share.SHARES[-1]
    assert learned_share.around(first) == learned_share.SHARES[:2] and learned_share.around(last) == (0.5, 1.0)
    assert learned_share.around(learned_share.FIRST) == (0.25, 0.5, 1.0)


def test_a_training_keeps_and_plays_the_share_that_validates_best(tmp_path, monkeypatch):
    tried = []

    def validated(policy, meta, spec, settings):
        tried.append(learned_share.copied(policy))
        return {"validation/return": -float(len(tried) != 2)}

    monkeypatch.setattr(training_progress, "VALIDATION_THREADS", 1)
    monkeypatch.setattr(training_progress, "validation", validated)
    settings = small_settings(**TINY, evaluations=1, prior="gain")
    rollout_policy_iteration.train(WORLD, settings, seed=1, out=tmp_path, quiet=True)
    assert len(tried) == 4, "the start, and three shares at the end"
    assert checkpoint.read_meta(tmp_path)["learned_share"] == 0.25
    weights = checkpoint.read_tensors(tmp_path / checkpoint.WEIGHTS)[0]
    assert torch.equal(weights["mlp_extractor.beta"], tried[1][0])


def test_after_a_loss_the_smallest_share_is_validated_as_well(tmp_path, monkeypatch):
    """The start has 0, the first three shares lose; then the smallest of four gains."""
    tried = iter((0.0, -3.0, -2.0, -1.0, 1.0, -1.0, -1.0, -1.0))
    monkeypatch.setattr(training_progress, "VALIDATION_THREADS", 1)
    monkeypatch.setattr(training_progress, "validation", lambda *_: {"validation/return": next(tried)})
    settings = small_settings(**TINY | {"branch_states": 32}, evaluations=2, prior="gain")
    rollout_policy_iteration.train(WORLD, settings, seed=1, out=tmp_path, quiet=True)
    card = checkpoint.read_meta(tmp_path)
    assert card["validation_return"] == 1.0 and card["learned_share"] == learned_share.SHARES[0]


@pytest.mark.parametrize("recipe", ["rpi", "ppo"])
def test_the_card_of_a_start_that_was_kept_names_no_share(tmp_path, monkeypatch, recipe):
    validated = iter((0.0, *[-1.0] * 20))
    monkeypatch.setattr(training_progress, "validation", lambda *_: {"validation/return": next(validated)})
    settings = small_settings(**TINY, evaluations=1, prior="gain", timesteps=64)
    if recipe == "rpi":
        rollout_policy_iteration.train(WORLD, settings, seed=1, out=tmp_path, quiet=True)
    else:
        ppo.train(WORLD, "placement", settings, seed=1, out=tmp_path, quiet=True)
    card = checkpoint.read_meta(tmp_path)
    assert card["validation_return"] == 0.0 and "learned_share" not in card
