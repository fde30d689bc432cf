"""PPO on branches: advantages of all actions, weighted by the policy and centred on it; the likeliest action improves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from og_agents.learning import branch_ppo, checkpoint, ppo
from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.counterfactual_branches import Branches
from og_agents.learning.networks import masked_logits
from og_agents.learning.training_progress import Clock
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
SETTINGS = small_settings(
    branch_horizon=4, branch_spacing=2, branch_moments=2, prior="gain", beta=0.0, credit="branches"
)


def learner(seed: int = 0) -> BranchPPO:
    meta = ppo.make_meta(SETTINGS, "placement", WORLD, seed)
    env = ppo.training_env(WORLD, meta, SETTINGS)
    env.seed(seed)
    model = ppo.build(env, meta, SETTINGS, Clock(None, None), seed)
    assert isinstance(model, BranchPPO)
    return model


def environments(model: BranchPPO) -> Any:
    assert model.env is not None
    return model.env.venv.env  # type: ignore[attr-defined]


def possible(model: BranchPPO) -> np.ndarray:
    return environments(model).action_masks().astype(np.bool_)


def test_advantages_are_what_branches_bring_over_the_policys_mean():
    model = learner()
    observation, masks = np.array(environments(model).reset(seed=1)[0]), possible(model)
    best = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
    returns = np.where(np.arange(masks.shape[1]) == best[:, None], 0.1, 0.0).astype(np.float32)
    tried = Branches(np.tile(observation, (2, 1)), np.tile(masks, (2, 1)), np.tile(returns, (2, 1)))
    model._fill(model.rollout_buffer, tried)
    buffer, actions = model.rollout_buffer, masks.shape[1]
    advantages = buffer.advantages.reshape(-1, actions, len(masks))
    taken = buffer.actions.reshape(-1, actions, len(masks)).astype(int)
    logits = masked_logits(model.policy, torch.as_tensor(observation), torch.as_tensor(masks))
    chance = torch.softmax(logits, dim=1).detach().numpy()[np.arange(len(masks)), best]
    for moment in range(2):
        hit = taken[moment] == best
        assert np.allclose(advantages[moment][hit], np.log1p(0.1) * chance * (1 - chance), rtol=1e-4)
        assert (advantages[moment][~hit] <= 0).all() and np.allclose(advantages[moment].sum(axis=0), 0, atol=1e-6)
        assert masks[np.arange(len(masks))[None], taken[moment]].all(), "only what is possible is learned from"


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
