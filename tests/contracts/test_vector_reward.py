"""The named terms as a vector reward: MO-Gymnasium's contract, and the scalar reward by the weights."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from og_env import IDS
from og_env.env import NetworkEnv
from og_env.kernel.arrays import TERMS
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv


def short(name: str = "global-16"):
    return loading.override(loading.load(name), {"episode.steps": 12, "failures.intensity": 20.0})


@pytest.mark.parametrize("task", IDS)
def test_weights_times_the_vector_are_the_scalar_reward(task):
    plain, named = (NetworkEnv(task, short(), reward=reward) for reward in ("scalar", "vector"))
    plain.reset(seed=4)
    named.reset(seed=4)
    plain.action_space.seed(0)
    for _ in range(12):
        action = plain.action_space.sample()
        _, scalar, *_ = plain.step(action)
        _, vector, _, _, info = named.step(action)
        assert named.reward_space.contains(vector) and vector.shape == (named.reward_dim,)
        assert vector @ named.reward_weights == pytest.approx(scalar, rel=1e-5)
        assert (-vector).tolist() == [info[f"term_{term}"] for term in TERMS]
    assert not hasattr(plain, "reward_space"), "a scalar reward has no space"


@pytest.mark.parametrize("scenario", ["global-16", "random-24"])
def test_a_batch_has_the_rewards_of_single_environments(scenario):
    spec = short(scenario)
    batch, single = NetworkVectorEnv(3, scenario=spec, reward="vector"), NetworkEnv(scenario=spec, reward="vector")
    plain = NetworkVectorEnv(3, scenario=spec)
    assert batch.reward_space == single.reward_space
    for env in (batch, plain):
        env.reset(seed=4)
    single.reset(seed=4)
    for step in range(12):
        actions = np.full(3, step % 4)
        _, rewards, *_ = batch.step(actions)
        _, scalars, *_ = plain.step(actions)
        assert np.array_equal(rewards[0], single.step(step % 4)[1])
        assert rewards @ batch.reward_weights == pytest.approx(scalars, rel=1e-5)
        assert rewards.shape == (3, 6) and all(batch.reward_space.contains(row) for row in rewards)
        kept = rewards.copy()
    batch.step(actions)
    assert np.array_equal(rewards, kept), "a reward once returned does not change"


def test_only_two_kinds_of_reward():
    for make in (NetworkEnv, NetworkVectorEnv):
        with pytest.raises(ValueError, match="reward is 'vektor'; valid are scalar, vector"):
            make(scenario="toy-3", reward="vektor")  # type: ignore[arg-type]


def test_stable_baselines_refuses_a_vector():
    adapter = pytest.importorskip("og_agents.sb3_adapter", reason="needs the extra train")
    with pytest.raises(ValueError, match="scalar"):
        adapter.make_sb3("placement", 2, scenario="toy-3", reward="vector")


def test_the_wrappers_of_mo_gymnasium():
    mo = pytest.importorskip("mo_gymnasium", reason="needs the extra mo")
    wrappers = pytest.importorskip("mo_gymnasium.wrappers")
    vectors = pytest.importorskip("mo_gymnasium.wrappers.vector")
    env_id, spec = IDS["placement"], short("toy-3")
    env = mo.make(env_id, scenario=spec, reward="vector")
    plain = gym.make(env_id, scenario=spec)
    linear = wrappers.LinearReward(env, weight=env.unwrapped.reward_weights)
    linear.reset(seed=1)
    plain.reset(seed=1)
    for _ in range(12):
        _, reward, _, ended, info = linear.step(1)
        assert reward == pytest.approx(plain.step(1)[1], rel=1e-5) and info["vector_reward"].shape == (6,)
    assert ended

    normal = wrappers.MONormalizeReward(mo.make(env_id, scenario=spec, reward="vector"), idx=1)
    counted = wrappers.MORecordEpisodeStatistics(wrappers.MOClipReward(normal, idx=0, min_r=-0.1, max_r=0.0))
    counted.reset(seed=1)
    for _ in range(12):
        _, vector, *_, info = counted.step(0)
        assert vector.shape == (6,) and vector[0] >= -0.1
    assert info["episode"]["r"].shape == (6,)

    batch = vectors.MORecordEpisodeStatistics(NetworkVectorEnv(2, scenario=spec, reward="vector"))
    batch.reset(seed=1)
    for _ in range(12):
        *_, infos = batch.step(np.zeros(2, np.int64))
    assert infos["episode"]["r"].shape == (2, 6)
    many = vectors.MOSyncVectorEnv([lambda: mo.make(env_id, scenario=spec, reward="vector")] * 2)
    many.reset(seed=1)
    assert many.step(np.zeros(2, np.int64))[1].shape == (2, 6)
