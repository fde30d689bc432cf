"""Levels tried in copies earn what the environment then pays, training learns from them, and a run goes on bit for bit."""

from __future__ import annotations

import copy
import signal
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.learning import checkpoint, ppo, resume_file
from og_agents.learning.paired_levels import PairedBuffer, PairedPPO, SitesAhead
from og_agents.learning.run_folder import Interrupted
from og_agents.learning.training_progress import Clock
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()


@pytest.mark.parametrize("scenario", ["toy-3", "grey-failures"])
def test_levels_earn_in_copies_what_the_environment_then_pays(scenario):
    env = NetworkVectorEnv(6, "routing", short_world(scenario), split="train", interface="sites", flatten=True)
    env.reset(seed=2)
    rng, sites = np.random.default_rng(0), int(np.prod(env.single_action_space.shape or ()))
    ahead = SitesAhead(env, 3, horizon=4)
    for _ in range(2):
        levels = rng.uniform(-1, 1, (6, 3, sites)).astype(np.float32)
        seen = ahead.returns(levels)
        assert seen.std(axis=1).max() > 0
        earned = sum(env.step(levels[:, 1])[1] for _ in range(4))
        assert np.allclose(seen[:, 1], earned, atol=1e-5)
    ahead.close()


def test_levels_are_tried_in_routing_by_sites_alone():
    env = NetworkVectorEnv(2, "routing", WORLD, interface="knobs")
    with pytest.raises(ValueError, match='interface="sites"'):
        SitesAhead(env, 2, horizon=1)


def test_an_advantage_is_what_a_draw_earns_above_its_pair():
    env = NetworkVectorEnv(1, "routing", WORLD, interface="sites", flatten=True)
    buffer = PairedBuffer(1, env.single_observation_space, env.single_action_space, 1, 4)
    width = int(np.prod(env.single_observation_space.shape or ()))
    earned = np.array([[1.0, 5.0, 3.0, 1.0]])
    buffer.put(np.zeros((1, width)), np.zeros((1, 4, 3)), np.zeros((1, 4)), earned)
    (batch,) = buffer.get(None)
    assert buffer.full and batch.actions.shape == (1, 12)
    assert batch.advantages.tolist() == [[-1.0, 2.0, 1.0, -2.0]]


def settings_of(**changes):
    return small_settings(interface="sites", level_tries=4, level_horizon=2, **changes)


def test_training_raises_what_levels_earn_in_the_states_of_the_start():
    world = short_world("grey-failures")
    changes = {"n_envs": 16, "learning_rate": 2e-3, "n_epochs": 4, "batch_size": 128, "target_kl": 0.1}
    settings = small_settings(interface="sites", router="site_prices", level_tries=8, level_horizon=1, **changes)
    meta = ppo.make_meta(settings, "routing", world, seed=0)
    env = ppo.training_env(world, meta, settings)
    model = ppo.build(env, meta, settings, Clock(None, None), 0)
    env.seed(0)
    start: Any = copy.deepcopy(model.policy)
    learned: Any = model.policy
    model.learn(30 * 16 * 8)
    test = NetworkVectorEnv(
        48, "routing", loading.override(world, meta["overrides"]), split="validation", interface="sites", flatten=True
    )
    ahead, seen = SitesAhead(test, 2, horizon=1), test.reset(seed=9)[0]
    gains = []
    for _ in range(10):
        with torch.no_grad():
            both = [policy.mean_levels(torch.as_tensor(seen)).clamp(-1, 1) for policy in (learned, start)]
        returns = ahead.returns(torch.stack(both, 1).numpy())
        gains.append((returns[:, 0] - returns[:, 1]).mean())
        seen = test.step(both[1].numpy())[0]
    assert np.mean(gains) > 2 * np.std(gains) / len(gains) ** 0.5, gains


@pytest.mark.parametrize("router", ["convex", "site_prices"])
def test_a_stopped_run_goes_on_bit_for_bit(router, tmp_path, monkeypatch):
    settings = settings_of(router=router)
    train = partial(ppo.train, WORLD, "routing", settings, seed=3, quiet=True)
    whole, stopped = train(out=tmp_path / "whole"), tmp_path / "stopped"
    calls, original = [], PairedPPO.train

    def interrupted(self):
        original(self)
        calls.append(0)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(PairedPPO, "train", interrupted)
        with pytest.raises(Interrupted, match="and saved"):
            train(out=stopped)
    train(out=stopped, resume=True)
    (first, progress), (second, other) = (resume_file.read(folder) for folder in (whole, stopped))
    learned = [name for name in first if name.startswith(("policy.", "optimizer."))]
    assert len(learned) > 20 and all(torch.equal(first[name], second[name]) for name in learned)
    assert np.array_equal(first["environments.returns"], second["environments.returns"])
    assert progress.timesteps == other.timesteps == 96 and progress.best == other.best
    card = checkpoint.read_meta(stopped)
    assert (card["policy"], card["algorithm"]) == ("sites", "PairedPPO")
