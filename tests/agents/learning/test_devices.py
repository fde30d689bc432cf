"""Where a network learns: words that name a device, and networks whose tensors all lie on theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.learning import checkpoint, devices, ppo, rollout_policy_iteration
from og_agents.learning.counterfactual_branches import Branches
from og_agents.learning.learned_share import Part
from og_agents.learning.training_progress import Clock
from og_agents.learning.tried_states import TriedBuffer, TriedStates
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
BRANCHES = {"credit": "branches"}
KINDS = {
    "offers": ("placement", BRANCHES),
    "mlp": ("placement", BRANCHES | {"policy": "mlp"}),
    "operations": ("placement", BRANCHES | {"interface": "operations", "branch_tries": 6}),
    "sites": ("routing", {"interface": "sites", "level_tries": 4, "level_horizon": 2}),
}
"""networks by name: their task and settings"""
ELSEWHERE = "meta"
"""a device of every machine that is not the processor: tensors there have no values"""


def model_of(kind: str) -> Any:
    task, changes = KINDS[kind]
    settings = small_settings(**changes)
    meta = ppo.make_meta(settings, task, WORLD, seed=0)
    return ppo.build(ppo.training_env(WORLD, meta, settings), meta, settings, Clock(1, None), 0)


def test_the_processor_is_what_auto_takes():
    assert devices.chosen("auto") == devices.chosen("cpu") == "cpu"


@pytest.mark.parametrize("algorithm", [ppo, rollout_policy_iteration])
def test_a_gpu_that_is_not_there_is_refused_before_a_folder_is_made(algorithm, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    task = ("placement",) if algorithm is ppo else ()
    with pytest.raises(ValueError, match=r"--device cuda: PyTorch .* finds no GPU of CUDA here; take cpu or auto"):
        algorithm.train(WORLD, *task, small_settings(), seed=0, out=tmp_path / "run", device="cuda", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["offers", "mlp", "operations"])
def test_tensors_of_a_learner_of_branches_lie_on_its_device(kind):
    model = model_of(kind)
    policy, rows, width = model.policy.to(ELSEWHERE), 3, model.observation_space.shape[0]
    seen, actions = np.zeros((rows, width), np.float32), np.zeros((rows, 2), np.int64)
    tried = TriedStates(seen, actions, *both(rows, 2))
    buffer = TriedBuffer(2, model.observation_space, model.action_space, device=ELSEWHERE)
    buffer.put(tried, np.zeros((rows, 2), np.float32), np.zeros((rows, 2), np.float32))
    (batch,) = buffer.get()
    values, logs, entropies = policy.evaluate_actions(batch.observations, batch.actions.flatten())
    start = policy.start_among(batch.observations, batch.actions)
    everything = (*batch, values, logs, entropies, start, logs * batch.advantages)
    assert {value.device.type for value in everything} == {ELSEWHERE}


def test_tensors_of_the_scorer_of_sites_lie_on_its_device(monkeypatch):
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    model = model_of("sites")
    buffer, policy = model.rollout_buffer, model.policy.to(ELSEWHERE)
    buffer.pos, buffer.device = buffer.buffer_size, torch.device(ELSEWHERE)
    batch = next(buffer.get())
    values, log_probs, entropies = policy.evaluate_actions(batch.observations, batch.actions)
    everything = (*batch, values, log_probs * batch.advantages, entropies)
    assert {value.device.type for value in everything} == {ELSEWHERE}


def test_what_a_learner_keeps_lies_on_its_device_and_a_state_takes_it_there():
    model = model_of("offers")
    settings = small_settings(**BRANCHES)
    learner = rollout_policy_iteration.Learner(model.policy, settings, 0)
    rows, offers = 2, model.action_space.n
    learner.add(Branches(np.zeros((rows, model.observation_space.shape[0]), np.float32), *both(rows, offers)))
    state = learner.get_state()
    learner.device = ELSEWHERE
    learner.set_state(state, Path("run"))
    learner.add(Branches(np.zeros((rows, model.observation_space.shape[0]), np.float32), *both(rows, offers)))
    kept = [*learner.observations, *learner.masks, *learner.targets]
    assert len(kept) == 6 and {value.device.type for value in kept} == {ELSEWHERE}


def both(rows: int, offers: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks and returns of branches."""
    return np.ones((rows, offers), np.bool_), np.zeros((rows, offers), np.float32)


def test_what_is_played_and_kept_comes_back_to_the_processor(monkeypatch):
    asked = []
    monkeypatch.setattr(devices, "on_processor", lambda policy: asked.append(policy) or policy)
    policy = model_of("offers").policy
    part = Part(policy)
    part.add(policy, 0.5)
    part.play(policy, 0.25)
    part.kept()
    assert len(asked) == 3 and asked[0] is policy and asked[1] is part.player


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")
@pytest.mark.parametrize("kind", [*KINDS, "rpi"])
def test_a_network_learns_on_a_gpu(kind, tmp_path):
    if kind == "rpi":
        settings = small_settings(branch_states=16)
        out = rollout_policy_iteration.train(WORLD, settings, seed=0, out=tmp_path, device="cuda", quiet=True)
    else:
        task, changes = KINDS[kind]
        out = ppo.train(WORLD, task, small_settings(**changes), seed=0, out=tmp_path, device="cuda", quiet=True)
    network = checkpoint.load(out).network
    assert all(torch.isfinite(value).all() for value in network.parameters())
