"""Branches run on the tape, leave the episode alone, and teach a network which offer brings most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from og_agents import planners
from og_agents.commands import train as train_script
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo, resume_file, rollout_policy_iteration
from og_agents.learning.counterfactual_branches import Round, Trials, every_offer, play_round
from og_agents.learning.rollout_policy_iteration import SCALE
from og_agents.pretrained.recipes import recipe_of
from og_env.scenario import loading
from og_env.simulator import operations_of
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
TINY = {"branch_states": 16, "branch_horizon": 4, "branch_spacing": 3}


def made(batch: int = 3, **kwargs) -> NetworkVectorEnv:
    return NetworkVectorEnv(batch, "placement", WORLD, split="train", flatten=True, **kwargs)


def made_learner(env: NetworkVectorEnv, settings) -> rollout_policy_iteration.Learner:
    meta = rollout_policy_iteration.described(settings, WORLD, 0, None)
    return rollout_policy_iteration.Learner(rollout_policy_iteration.untrained(env, meta), settings, 0)


def sampled(rng: np.random.Generator):
    """A policy that takes a possible action at random."""

    def act(observations, masks):
        return np.where(masks, rng.random(masks.shape), -1.0).argmax(axis=1)

    return act


@pytest.mark.parametrize("operations", [1, 3])
def test_the_branch_of_the_action_that_was_taken_is_what_was_earned(operations):
    horizon, batch = 5, 6
    world = loading.override(short_world(), {"episode.operations_per_step": operations})
    env = NetworkVectorEnv(batch, "placement", world, split="train", flatten=True)
    observation, info = env.reset(seed=3)
    played = Round(env, spacing=4, horizon=horizon, moments=2)
    act, taken, rewards, moved = sampled(np.random.default_rng(0)), [], [], []
    while not played.complete:
        masks = info["action_mask"].astype(np.bool_)
        actions = act(observation, masks)
        offered = every_offer(env, masks) if played.due else None
        played.before(observation, offered, operations_of(env.simulator.output.offer, actions))
        observation, reward, _, _, info = env.step(actions)
        played.after(info["moved"])
        taken.append(actions)
        rewards.append(np.where(info["moved"], reward, 0.0))
        moved.append(info["moved"])
    simulator = env.simulator
    before = [values.copy() for values in (*simulator.state, *simulator.output)]
    trials = Trials(env, horizon)
    tried = played.branches(trials)
    after = (*simulator.state, *simulator.output)
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)), "the episode is left alone"
    assert tried.returns.shape == (2 * batch, 11) and np.ptp(tried.returns, axis=1).max() > 1e-3
    for number, begin in enumerate((0, 4)):
        steps = np.cumsum(moved[begin:], axis=0) - moved[begin:]
        ends = 12 - np.cumsum(moved[:begin], axis=0)[-1] if begin else np.full(batch, 12)
        inside = (steps < horizon) & (steps < ends)
        earned = (np.array(rewards[begin:]) * inside).sum(axis=0)
        rows = slice(number * batch, (number + 1) * batch)
        assert np.allclose(tried.returns[rows][np.arange(batch), taken[begin]], earned, atol=1e-5)
    trials.close()


def replayed(world, seed: int, steps: list[list[int]]) -> float:
    """Sum of rewards of an episode in whose steps these operations are carried out, one by one."""
    env = NetworkVectorEnv(1, "placement", world, split="train", interface="operations")
    env.reset(seed=seed)
    total, most = 0.0, world.episode.operations_per_step
    for operations in steps:
        carried = [number for number in operations if number]
        for number in [*carried, 0][:most]:  # 0 ends a step, and so does the last one that it has room for
            _, reward, _, _, info = env.step(np.array([number]))
        assert info["moved"][0]
        total += float(reward[0])
    env.close()
    return total


def test_an_offer_is_tried_on_top_of_those_already_taken_in_its_step():
    horizon, seed = 3, 4
    world = short_world("near-but-cold", **{"episode.operations_per_step": 4})
    env = NetworkVectorEnv(1, "placement", world, split="train", flatten=True)
    observation, info = env.reset(seed=seed)
    played = Round(env, spacing=1, horizon=horizon, moments=3)
    steps: list[list[int]] = [[]]
    offers = iter([1, 2, 3, 0, 4, 0, 0])  # three offers in the first step, of which the second and third are tried
    while not played.complete:
        masks = info["action_mask"].astype(np.bool_)
        actions = np.array([next(offers)])
        assert masks[0, actions[0]]
        operations = operations_of(env.simulator.output.offer, actions)
        played.before(observation, every_offer(env, masks) if played.due else None, operations)
        observation, _, _, _, info = env.step(actions)
        played.after(info["moved"])
        steps[-1].append(int(operations[0]))
        steps += [[]] if info["moved"][0] else []
    assert [len(each) for each in steps[:horizon]] == [4, 2, 1]
    trials = Trials(env, horizon)
    tried = played.branches(trials).returns
    for place, moment in enumerate(played.moments):
        for action in np.flatnonzero(moment.masks[0]):
            first = [*steps[0][:place], int(moment.operations[0, action]), *steps[0][place + 1 :]]
            expected = replayed(world, seed, [first, *steps[1:horizon]])
            assert tried[place, action] == pytest.approx(expected, abs=1e-5)
    without = replayed(world, seed, [steps[0][1:], *steps[1:horizon]])
    assert tried[1, 2] != pytest.approx(without, abs=1e-5), "the first offer of the step matters"
    trials.close()
    env.close()


def test_rounds_follow_one_another_and_only_offers_are_branched():
    env, other = made(), made()

    def nothing(observations, masks):
        return np.zeros(len(observations), np.int64)

    lengths: dict[str, Any] = {"spacing": 2, "horizon": 4, "moments": 2}
    trials = Trials(env, 4)
    first, seen = play_round(env, nothing, env.reset(seed=7), trials, **lengths)
    observation, info = other.reset(seed=7)
    assert (first.observations[:3] == observation).all() and (first.masks[:3] == info["action_mask"]).all()
    for _ in range(2):
        observation, *_ = other.step(np.zeros(3, np.int64))
    assert (first.observations[3:] == observation).all()
    for _ in range(4):
        observation, *_ = other.step(np.zeros(3, np.int64))
    second, _ = play_round(env, nothing, seen, trials, **lengths)
    assert (second.observations[:3] == observation).all(), "the next round begins where this one ended"
    nothing_done = np.broadcast_to(first.returns[:, :1], first.returns.shape)
    assert (first.returns[~first.masks] == nothing_done[~first.masks]).all()
    trials.close()
    for wrong in (NetworkVectorEnv(2, "joint", WORLD), NetworkVectorEnv(2, "placement", WORLD, interface="operations")):
        with pytest.raises(ValueError, match="placement"):
            play_round(wrong, nothing, wrong.reset(seed=0), trials, **lengths)


def test_the_learner_finds_the_action_that_brings_most():
    settings = small_settings(learning_rate=0.01, batch_size=32)
    env = made(8)
    observation, info = env.reset(seed=0)
    masks = info["action_mask"].astype(np.bool_)
    meta = rollout_policy_iteration.described(settings.model_copy(update={"beta": 0.0}), WORLD, 0, None)
    policy = rollout_policy_iteration.untrained(env, meta)
    learner = rollout_policy_iteration.Learner(policy, settings, 0)
    last = masks.shape[1] - 1 - np.argmax(masks[:, ::-1], axis=1)
    returns = np.where(np.arange(masks.shape[1]) == last[:, None], 1.0, 0.0).astype(np.float32)
    learner.add(rollout_policy_iteration.Branches(np.array(observation), masks, returns))
    for _ in range(600):
        learner.update(1.0)
    assert learner.losses[-1] < 0.2 * learner.losses[0]
    with torch.no_grad():
        found = learner.policy_so_far().predict(observation, deterministic=True, action_masks=masks)[0]
    assert (found == last).mean() > 0.7


def test_large_losses_stay_larger_than_small_ones():
    settings = small_settings()
    env = made(1)
    observation, _ = env.reset(seed=0)
    learner = made_learner(env, settings)
    masks = np.ones((1, 11), np.bool_)
    returns = np.array([[0.0] * 8 + [-1.0, -10.0, -20.0]], np.float32)
    learner.add(rollout_policy_iteration.Branches(np.array(observation), masks, returns))
    none, one, ten, twenty = learner.targets[0][0, 7:].tolist()
    assert none > one > ten > twenty and none - one < SCALE and ten - twenty > 0.05 * SCALE


def test_the_prior_alone_is_the_tuned_planner():
    settings = small_settings()
    env = NetworkVectorEnv(4, "placement", WORLD, flatten=True)
    meta = rollout_policy_iteration.described(settings, WORLD, 0, None)
    learner = made_learner(env, settings)
    ours = playing.run(checkpoint.LearnedPolicy(learner.policy_so_far(), meta, "rpi"), WORLD, episodes=4).returns
    theirs = playing.run(planners.make("greedy_tuned", WORLD), WORLD, episodes=4).returns
    assert np.allclose(ours, theirs, atol=0.05)


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
    assert train_script.fresh(train_script.parse([*words, "--algorithm", "rpi"])).settings.learning_rate == 1e-3
    mine = tmp_path / "mine.toml"
    mine.write_text("learning_rate = 0.002\n", encoding="utf-8")
    assert train_script.fresh(train_script.parse([*words, "--config", str(mine)])).settings.learning_rate == 0.002
    settings = small_settings(timesteps=32)
    out = ppo.train(WORLD, "placement", settings, seed=0, out=tmp_path / "ppo", quiet=True, begin=begin)
    assert recipe_of(checkpoint.read_meta(out)) == "ppo_from_rpi"
    more = settings.model_copy(update={"timesteps": 64})
    ppo.train(WORLD, "placement", more, seed=0, out=out, quiet=True, resume=True)
    assert resume_file.read(out)[1].meta["begun_from"] == "rpi"
