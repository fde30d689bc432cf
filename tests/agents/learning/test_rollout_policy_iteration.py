"""Branches run on the tape, leave the episode alone, and teach a network which offer brings most."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from og_agents import planners
from og_agents.commands import train as train_script
from og_agents.evaluation import playing
from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning import checkpoint, ppo, resume_file, rollout_policy_iteration
from og_agents.learning.counterfactual_branches import Ahead, branches
from og_agents.planners.tuned_greedy import TunedGreedy
from og_agents.pretrained.recipes import recipe_of
from og_env.observation.fields import column
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import STEPS, short_world, small_settings

WORLD = short_world()
TINY = {"branch_states": 16, "branch_horizon": 4, "branch_spacing": 3}


def made(batch: int = 3, **kwargs) -> NetworkVectorEnv:
    return NetworkVectorEnv(batch, "placement", WORLD, split="train", flatten=True, **kwargs)


def test_what_is_seen_ahead_is_what_the_planner_then_earns():
    env = made()
    env.reset(seed=4)
    ahead = Ahead(env, 1, horizon=6, threads=2)
    simulator = env.simulator
    before = [values.copy() for values in (*simulator.state, *simulator.output)]
    seen = ahead.rewards()[:, 0]
    blind = Ahead(env, 1, horizon=6, truth=False).rewards()[:, 0]
    assert not np.allclose(blind, seen), "the forecast is not the tape"
    after = (*simulator.state, *simulator.output)
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    planner = TunedGreedy(
        constants_of(WORLD.name, "greedy_tuned"), simulator.world, simulator.tape, simulator.state, 10
    )
    earned = []
    for _ in range(6):
        _, reward, *_ = env.step(planner.choose(simulator.output.offer, simulator.output.offer_gain))
        earned.append(reward)
    assert np.allclose(seen, np.stack(earned, axis=1), atol=1e-5)
    env.step(np.zeros(3, np.int64))
    left = STEPS - 7
    assert (ahead.rewards()[:, 0, left:] == 0).all() and (ahead.rewards()[:, 0, :left] != 0).all()
    ahead.close()


def test_branches_try_every_action_and_leave_the_episode_alone():
    env, other = made(), made()

    def nothing(observations, masks):
        return np.zeros(len(observations), np.int64)

    tried = branches(env, nothing, 7, spacing=2, horizon=4)
    first, second = next(tried), next(tried)
    observation, info = other.reset(seed=7)
    assert (first.observations == observation).all() and (first.masks == info["action_mask"]).all()
    for _ in range(2):
        observation, *_ = other.step(np.zeros(3, np.int64))
    assert (second.observations == observation).all()
    possible = np.where(first.masks, first.returns, np.nan)
    assert (np.nanmax(possible, axis=1) > np.nanmin(possible, axis=1)).all()
    assert (
        first.returns[~first.masks] == np.broadcast_to(first.returns[:, :1], first.returns.shape)[~first.masks]
    ).all()
    tried.close()
    with pytest.raises(ValueError, match="placement"):
        next(branches(NetworkVectorEnv(2, "joint", WORLD), nothing, 0, spacing=1, horizon=2))
    with pytest.raises(ValueError, match="proposals"):
        Ahead(NetworkVectorEnv(2, "placement", WORLD, interface="operations"), 1, horizon=2)


def test_a_policy_acts_in_the_copies_as_it_would_in_the_environment():
    env = made()
    observation, info = env.reset(seed=4)

    def last(observations, masks):
        """The last offer, where the episode is more than half to come."""
        index = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
        return np.where(observations[:, column("globals", "episode_left")] > 0.5, index, 0)

    ahead = Ahead(env, 1, horizon=STEPS, threads=2, act=last)
    first = last(observation, info["action_mask"].astype(np.bool_))
    seen, planner = ahead.rewards(first[:, None])[:, 0], Ahead(env, 1, horizon=STEPS).rewards(first[:, None])[:, 0]
    earned, acted = [], 0
    for _ in range(STEPS):
        chosen = last(observation, info["action_mask"].astype(np.bool_))
        acted += (chosen > 0).sum()
        observation, reward, *_, info = env.step(chosen)
        earned.append(reward)
    assert acted > 3 and np.allclose(seen, np.stack(earned, axis=1), atol=1e-5)
    assert not np.allclose(planner, seen), "the planner does the same"
    ahead.close()


def test_the_learner_finds_the_action_that_brings_most():
    settings = small_settings(learning_rate=0.01, batch_size=32)
    env = made(8)
    observation, info = env.reset(seed=0)
    masks = info["action_mask"].astype(np.bool_)
    policy = rollout_policy_iteration.untrained(env, settings.model_copy(update={"beta": 0.0}), WORLD)
    learner = rollout_policy_iteration.Learner(policy, settings, 0)
    last = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
    returns = np.where(np.arange(masks.shape[1]) == last[:, None], 1.0, 0.0).astype(np.float32)
    learner.add(rollout_policy_iteration.Branches(np.array(observation), masks, returns))
    for _ in range(60):
        learner.update(1.0)
    assert learner.losses[-1] < 0.2 * learner.losses[0]
    with torch.no_grad():
        found = learner.policy_so_far().predict(observation, deterministic=True, action_masks=masks)[0]
    assert (found == last).mean() > 0.7


def test_large_losses_stay_larger_than_small_ones():
    settings = small_settings()
    env = made(1)
    observation, _ = env.reset(seed=0)
    learner = rollout_policy_iteration.Learner(rollout_policy_iteration.untrained(env, settings, WORLD), settings, 0)
    masks = np.ones((1, 11), np.bool_)
    returns = np.array([[0.0] * 8 + [-1.0, -10.0, -20.0]], np.float32)
    learner.add(rollout_policy_iteration.Branches(np.array(observation), masks, returns))
    none, one, ten, twenty = learner.targets[0][0, 7:].tolist()
    assert none > one > ten > twenty and none - one < 25 and ten - twenty > 0.05 * 25


def test_the_prior_alone_is_the_tuned_planner():
    settings = small_settings()
    env = NetworkVectorEnv(4, "placement", WORLD, flatten=True)
    learner = rollout_policy_iteration.Learner(rollout_policy_iteration.untrained(env, settings, WORLD), settings, 0)
    meta = rollout_policy_iteration.described(settings, WORLD, 0, None)
    ours = playing.run(checkpoint.LearnedPolicy(learner.policy_so_far(), meta, "rpi"), WORLD, episodes=4).returns
    theirs = playing.run(planners.make("greedy_tuned", WORLD), WORLD, episodes=4).returns
    assert np.allclose(ours, theirs, atol=0.05)


def test_branches_go_on_with_the_policy_so_far():
    settings = small_settings()
    env = made(8)
    observation, info = env.reset(seed=0)
    masks = info["action_mask"].astype(np.bool_)
    learner = rollout_policy_iteration.Learner(rollout_policy_iteration.untrained(env, settings, WORLD), settings, 0)
    played = learner.policy_so_far().predict(observation, deterministic=True, action_masks=masks)[0]
    assert (learner.follow(np.array(observation), masks) == played).all()
    with torch.no_grad():
        learner.average.mlp_extractor.nothing.bias += 100.0
    assert (learner.follow(np.array(observation), masks) == 0).all()


def test_a_run_is_written_repeated_and_gone_on_from(tmp_path):
    settings = small_settings(**TINY)
    for name in ("one", "two"):
        rollout_policy_iteration.train(WORLD, settings, seed=1, out=tmp_path / name, quiet=True)
    one, two = (checkpoint.read_tensors(tmp_path / name / checkpoint.WEIGHTS)[0] for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    policy = checkpoint.load(tmp_path / "one", scenario=WORLD)
    assert policy.meta["algorithm"] == "rpi"
    assert "validation/return" in (tmp_path / "one" / "metrics.csv").read_text(encoding="utf-8")
    rollout_policy_iteration.train(WORLD, settings, seed=2, out=tmp_path / "on", quiet=True, begin=tmp_path / "one")
    assert checkpoint.read_meta(tmp_path / "on")["seed"] == 2


def test_ppo_goes_on_gently_from_it_and_says_so(tmp_path):
    begin = rollout_policy_iteration.train(WORLD, small_settings(**TINY), seed=1, out=tmp_path / "rpi", quiet=True)
    words = ["--scenario", "toy-3", "--start", str(begin)]
    run = train_script.fresh(train_script.parse(words))
    assert run.settings.learning_rate == 1e-4 and run.settings.timesteps == 100_000
    assert train_script.fresh(train_script.parse([*words, "--algorithm", "rpi"])).settings.learning_rate == 3e-3
    mine = tmp_path / "mine.toml"
    mine.write_text("learning_rate = 0.002\n", encoding="utf-8")
    assert train_script.fresh(train_script.parse([*words, "--config", str(mine)])).settings.learning_rate == 0.002
    settings = small_settings(timesteps=32)
    out = ppo.train(WORLD, "placement", settings, seed=0, out=tmp_path / "ppo", quiet=True, begin=begin)
    assert recipe_of(checkpoint.read_meta(out)) == "ppo_from_rpi"
    more = settings.model_copy(update={"timesteps": 64})
    ppo.train(WORLD, "placement", more, seed=0, out=out, quiet=True, resume=True)
    assert resume_file.read(out)[1].meta["begun_from"] == "rpi"
