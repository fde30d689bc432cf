"""PPO on branches of operations: advantages among those tried, several rounds of them, and a clear case that is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.learning import branch_ppo, checkpoint, ppo
from og_agents.learning.counterfactual_branches import Branches, Round, Trials, every_offer
from og_agents.learning.networks import masked_logits
from og_agents.learning.operation_ppo import OperationPPO
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings, untrained

WORLD = short_world()
TRIES = 8
SETTINGS = small_settings(
    interface="operations",
    credit="branches",
    branch_tries=TRIES,
    branch_rounds=2,
    branch_divergence=0.0,
    branch_horizon=4,
    branch_spacing=2,
)


def learner(seed: int = 0, **changes: Any) -> OperationPPO:
    settings = SETTINGS.model_copy(update=changes)
    model = untrained(settings, WORLD, seed)
    assert isinstance(model, OperationPPO)
    return model


def rounds_of(model: OperationPPO, count: int) -> None:
    """Collect some rounds without an update."""
    _, callback = model._setup_learn(1, None)
    for _ in range(count):
        assert model.env is not None
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 2)


def test_advantages_are_among_what_was_tried_and_weighted_by_probability():
    model = learner()
    torch.nn.init.normal_(model.policy.mlp_extractor.score)  # type: ignore[arg-type]
    rounds_of(model, 1)
    states, logs, advantages = model.rollout_buffer.held
    assert states.actions.shape == (8, TRIES) and states.tried.any(axis=1).all()
    logits = masked_logits(model.policy, torch.as_tensor(states.observations), torch.ones(1, dtype=torch.bool))
    for row in range(8):
        tried = states.tried[row]
        chances = torch.softmax(logits[row, states.actions[row][tried]], 0).detach().numpy()
        assert np.allclose(logs.exp().numpy()[row, tried], chances, rtol=1e-4)
        middle = states.returns[row, tried] - np.median(states.returns[row, tried])
        worth = np.sign(middle) * model.bend * np.log1p(np.abs(middle) / model.bend)
        expected = chances * (worth - (chances * worth).sum())
        assert np.allclose(advantages[row, tried], expected, atol=1e-5)
        assert (advantages[row, ~tried] == 0).all()
    assert np.abs(advantages.numpy()).max() > 0


def test_the_branch_of_an_operation_is_that_of_the_offer_which_it_is():
    returns, tried = [], None
    for interface in ("proposals", "operations"):
        batch = NetworkVectorEnv(4, "placement", WORLD, interface=interface, flatten=True)
        observation, _ = batch.reset(seed=7)
        played = Round(batch, spacing=1, horizon=4, moments=1)
        tried = every_offer(batch, batch.action_masks()) if tried is None else tried
        while not played.complete:
            played.before(observation, tried if played.due else None, np.zeros(4, np.int64))
            observation, _, _, _, info = batch.step(np.zeros(4, np.int64))
            played.after(info["moved"])
        returns.append(played.branches(Trials(batch, 4, actions=tried.masks.shape[1])).returns)
    assert tried is not None and (tried.operations[tried.masks] > 0).any()
    assert np.array_equal(*returns) and np.ptp(returns[0], axis=1).max() > 0
    with pytest.raises(ValueError, match="take the task placement"):
        Round(NetworkVectorEnv(1, "routing", WORLD), spacing=1, horizon=1, moments=1)


def test_an_update_learns_from_the_last_rounds_with_probabilities_of_now():
    model = learner()
    rounds_of(model, 3)
    states = model.rollout_buffer.held[0]
    assert len(states.returns) == 16 and len(model.kept) == 2
    assert np.array_equal(states.returns[8:], model.kept[-1].returns)
    seen = []
    for batch in model.rollout_buffer.get(6):
        _, now, _ = model.policy.evaluate_actions(batch.observations, batch.actions.flatten())
        assert torch.allclose(now, batch.old_log_prob, atol=1e-5)
        seen.append(len(now))
    assert seen == [6, 6, 4]
    state = model.kept_state()
    again = learner(1)
    again.put_kept(state, Path())
    assert all(np.array_equal(*pair) for pair in zip(again.kept[1], model.kept[1], strict=True))


def test_a_training_is_repeatable_and_finds_the_operation_that_pays(monkeypatch):
    def favour(self, trials: Trials) -> Branches:
        """Retiring pays, and all else costs."""
        operations = np.concatenate([moment.operations for moment in self.moments])
        masks = np.concatenate([moment.masks for moment in self.moments])
        models, sites = self.env.simulator.sizes["M"], self.env.simulator.sizes["N"]
        retires = (operations > models * sites) & (operations <= 2 * models * sites)
        returns = np.where(retires, 1.0, np.where(operations > 0, -1.0, 0.0)).astype(np.float32)
        return Branches(np.concatenate([moment.observations for moment in self.moments]), masks, returns)

    monkeypatch.setattr(branch_ppo.Round, "branches", favour)

    def trained() -> tuple[np.ndarray, float]:
        model = learner(3, learning_rate=0.01)
        model.learn(1500)
        assert model.env is not None and model._last_obs is not None
        batch = model.env.venv.env  # type: ignore[attr-defined]
        masks = batch.action_masks()
        models, sites = model.policy.shapes  # type: ignore[misc]
        possible = masks[:, 1 + models * sites : 1 + 2 * models * sites].any(axis=1)
        found = model.policy.predict(np.array(model._last_obs), deterministic=True, action_masks=masks)[0]
        right = np.where(possible, (found > models * sites) & (found <= 2 * models * sites), found == 0)
        parameters = np.concatenate([values.detach().numpy().ravel() for values in model.policy.parameters()])
        return parameters, float(right.mean())

    (first, share), (second, _) = trained(), trained()
    assert np.array_equal(first, second) and share == 1.0


def test_a_run_keeps_a_policy_that_plays_as_its_card_says(tmp_path):
    settings = SETTINGS.model_copy(update={"timesteps": 64, "evaluations": 1, "blind": "price"})
    folder = ppo.train(WORLD, "placement", settings, seed=0, out=tmp_path / "run", quiet=True)
    card = checkpoint.read_meta(folder)
    assert (card["policy"], card["algorithm"]) == ("operations", "MaskablePPO")
    assert card["env_kwargs"]["interface"] == "operations" and card["policy_kwargs"]["sharpness"] == 0.5
    more = SETTINGS.model_copy(update={"timesteps": 16, "evaluations": 1})
    begun = ppo.train(WORLD, "placement", more, seed=1, out=tmp_path / "more", quiet=True, begin=folder)
    assert checkpoint.read_meta(begun)["begun_from"] == "MaskablePPO"
