"""PPO on branches: advantages of all actions, weighted by the policy and centred on it; the likeliest action improves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from og_agents.learning import branch_ppo, checkpoint, ppo
from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.counterfactual_branches import Branches
from og_agents.learning.networks import GAIN, masked_logits
from og_agents.learning.tried_states import TriedStates
from tests.cases.short_training import short_world, small_settings, untrained

WORLD = short_world()
SETTINGS = small_settings(
    branch_horizon=4,
    branch_spacing=2,
    branch_moments=2,
    prior="gain",
    beta=0.0,
    credit="branches",
    branch_rounds=3,
    branch_divergence=0.0,
)


def learner(seed: int = 0) -> BranchPPO:
    model = untrained(SETTINGS, WORLD, seed)
    assert isinstance(model, BranchPPO)
    return model


def environments(model: BranchPPO) -> Any:
    assert model.env is not None
    return model.env.venv.env  # type: ignore[attr-defined]


def possible(model: BranchPPO) -> np.ndarray:
    return environments(model).action_masks().astype(np.bool_)


def states(model: BranchPPO, worth: float) -> tuple[TriedStates, np.ndarray, np.ndarray]:
    """First states, where the last possible action of each brings `worth` and all others nothing; masks and those actions."""
    observation, masks = np.array(environments(model).reset(seed=1)[0]), possible(model)
    best = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
    every = np.arange(masks.shape[1])
    returns = np.where(every == best[:, None], worth, 0.0).astype(np.float32)
    return TriedStates(observation, np.where(masks, every, 0), masks, returns), masks, best


def test_advantages_are_what_branches_bring_over_the_policys_mean():
    model = learner()
    tried, masks, best = states(model, 0.1)
    logs, advantages = model._weighed(tried)
    logits = masked_logits(model.policy, torch.as_tensor(tried.observations), torch.as_tensor(masks))
    likely = torch.log_softmax(logits, dim=1).detach().numpy()
    assert np.allclose(logs[masks], likely[masks], atol=1e-5)
    rows = np.arange(len(masks))
    chance = np.exp(likely[rows, best])
    assert np.allclose(advantages[rows, best], np.log1p(0.1) * chance * (1 - chance), rtol=1e-4)
    advantages[rows, best] *= -1
    assert (advantages <= 0).all() and (advantages[~masks] == 0).all()


def test_what_pays_nothing_goes_back_to_the_planners_choice():
    model = learner()
    model.divergence = 0.5
    scorer: Any = model.policy.mlp_extractor
    torch.nn.init.zeros_(scorer.score.weight)
    torch.nn.init.zeros_(scorer.nothing.weight)
    tried, masks, _ = states(model, 0.0)
    assert np.allclose(model._weighed(tried)[1], 0, atol=1e-7)
    with torch.no_grad():
        scorer.nothing.bias += 1
    advantages = model._weighed(tried)[1]
    assert (advantages[:, 0] < -0.01).all() and (advantages[:, 1:][masks[:, 1:]] > 0).all()
    assert np.allclose(advantages.sum(axis=1), 0, atol=1e-6)


def test_the_planners_choice_is_that_of_its_values():
    model = learner()
    tried, masks, _ = states(model, 0.0)
    policy: Any = model.policy
    policy.mlp_extractor.settings = policy.mlp_extractor.settings._replace(beta=3.0, exploration=0.0)
    proposals = policy.shapes.widths[-1]
    rows = tried.observations[:, -proposals:].reshape(len(masks), -1, proposals // (masks.shape[1] - 1))
    logits = np.where(masks, 3.0 * policy.scorer.sharpness * np.pad(rows[..., GAIN], ((0, 0), (1, 0))), -np.inf)
    expected = torch.log_softmax(torch.as_tensor(logits), 1).numpy()
    with torch.no_grad():
        found = policy.start_among(torch.as_tensor(tried.observations), torch.as_tensor(tried.actions)).numpy()
    assert np.allclose(found[masks], expected[masks], atol=1e-5) and np.ptp(expected[masks]) > 0.01


def test_an_update_learns_from_the_rounds_that_are_kept_and_no_others():
    model = learner()
    assert model.kept.maxlen == SETTINGS.branch_rounds == 3
    seen = []

    def put(tried, *_):
        seen.append(len(tried.returns))

    buffer: Any = SimpleNamespace(put=put)
    for worth in range(5):
        tried, *_ = states(model, float(worth))
        branches = Branches(tried.observations, tried.tried, tried.returns)
        played: Any = SimpleNamespace(branches=lambda _, all_of_it=branches: all_of_it, moments=[tried_at(tried)])
        model._trials = played
        model._take(buffer, played)
    assert seen == [4, 8, 12, 12, 12]
    assert [each.returns.max() for each in model.kept] == [2, 3, 4]
    back = learner(1)
    back.put_kept(model.kept_state(), Path())
    assert all(
        np.array_equal(*pair)
        for mine, theirs in zip(model.kept, back.kept, strict=True)
        for pair in zip(mine, theirs, strict=True)
    )


def test_what_is_kept_is_a_share_of_the_averaged_weights_after_updates():
    model = learner()
    model.average = 0.75
    scorer: Any = model.policy.mlp_extractor
    tried, *_ = states(model, 1.0)
    seen = [scorer.score.weight.detach().clone()]
    assert list(model.candidates()) == [0.5]
    for _ in range(3):
        model.rollout_buffer.put(tried, *model._weighed(tried))
        model._logger = SimpleNamespace(record=lambda *_, **__: None)  # type: ignore[assignment]
        model.train()
        seen.append(scorer.score.weight.detach().clone())
    expected = seen[0]
    for weights in seen[1:]:
        expected = 0.75 * expected + 0.25 * weights
    assert not torch.allclose(seen[-1], expected)
    found = model.candidates()
    assert list(found) == [0.25, 0.5, 1.0]
    for share, policy in found.items():
        assert torch.allclose(policy.mlp_extractor.score.weight, torch.lerp(seen[0], expected, share), atol=1e-6)
    half: Any = model.part.player
    assert torch.allclose(half.mlp_extractor.score.weight, torch.lerp(seen[0], seen[-1], 0.5), atol=1e-6)
    model.part.play(model.policy, 0.25)
    back = learner(1)
    back.policy.load_state_dict(model.policy.state_dict())
    back.put_kept(model.kept_state(), Path())
    assert torch.equal(back.part.player.mlp_extractor.score.weight, model.part.player.mlp_extractor.score.weight)
    assert torch.equal(
        back.part.kept().mlp_extractor.encoder[0].weight, model.part.kept().mlp_extractor.encoder[0].weight
    )


def tried_at(tried: TriedStates) -> Any:
    return SimpleNamespace(masks=tried.tried)


def test_several_actions_of_a_state_are_a_choice_among_these():
    model = learner()
    tried, masks, _ = states(model, 0.1)
    observations, some = torch.as_tensor(tried.observations), torch.as_tensor(tried.actions)
    policy: Any = model.policy
    with torch.no_grad():
        _, logs, entropy = policy.evaluate_actions(observations, some.flatten())
        _, one, _ = policy.evaluate_actions(observations, some[:, 1], torch.as_tensor(masks))
    assert torch.allclose(logs.exp().sum(1), torch.ones(len(masks)), atol=1e-5)
    assert (logs.exp().numpy()[~masks] == 0).all()
    assert torch.allclose(logs[:, 1][torch.as_tensor(masks[:, 1])], one[torch.as_tensor(masks[:, 1])], atol=1e-5)
    assert entropy.shape == (len(masks),)


def test_a_training_is_repeatable_and_finds_the_action_that_pays(monkeypatch):
    def favour(self, trials):
        masks = np.concatenate([moment.masks for moment in self.moments])
        best = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
        returns = (np.arange(masks.shape[1]) == best[:, None]).astype(np.float32)
        return Branches(np.concatenate([moment.observations for moment in self.moments]), masks, returns)

    monkeypatch.setattr(branch_ppo.Round, "branches", favour)

    def weights() -> tuple[np.ndarray, float]:
        model = learner(3)
        model.learn(1500)
        masks = possible(model)
        found = model.policy.predict(np.array(model._last_obs), deterministic=True, action_masks=masks)[0]
        best = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
        parameters = np.concatenate([values.detach().numpy().ravel() for values in model.policy.parameters()])
        return parameters, float((found == best).mean())

    (first, share), (second, _) = weights(), weights()
    assert np.array_equal(first, second) and share > 0.7


def test_a_run_on_branches_weighs_more_than_the_likeliest_action(tmp_path):
    settings = SETTINGS.model_copy(update={"timesteps": 8, "evaluations": 1, "evaluation_episodes": 1})
    kept = checkpoint.read_meta(ppo.train(WORLD, "placement", settings, seed=0, out=tmp_path / "run", quiet=True))
    assert kept["policy_kwargs"]["sharpness"] == settings.branch_sharpness < settings.sharpness
    assert kept["policy_kwargs"]["exploration"] == 0
