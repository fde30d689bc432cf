"""Vector environments begin the next episode by Gymnasium's three modes, and its wrappers and consumers work on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from og_env import FLAT_IDS, IDS
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

STEPS, COUNT, SEED = 12, 3, 8
WORLD = loading.override(loading.load("toy-3"), {"episode.steps": STEPS})
DRAWN = loading.override(loading.load("random-24"), {"episode.steps": STEPS, "episode.operations_per_step": 1})
"""a world that draws a fleet for every episode"""
Episodes = list[tuple[np.ndarray, np.ndarray]]
"""observations [steps + 1, O] and rewards [steps] of each episode of one environment, in order"""


def choose(step: int) -> int:
    """An action by the step of an episode."""
    return step * 5 % 4


def alone(task: Any, world: Any, count: int, **kwargs: Any) -> Episodes:
    """Episodes of the first environment, played by a single one."""
    env, result = NetworkEnv(task, world, flatten=True, **kwargs), []
    for episode in range(count):
        seen, rewards = [env.reset(seed=SEED if episode == 0 else None)[0].copy()], []
        for step in range(STEPS):
            observation, reward, *_ = env.step(action_of(env.action_space, step))
            seen.append(observation.copy())
            rewards.append(reward)
        result.append((np.array(seen), np.array(rewards)))
    return result


def action_of(space: Any, step: int) -> Any:
    if isinstance(space, gym.spaces.Discrete):
        return choose(step)
    return np.full(
        space.shape, choose(step) if np.issubdtype(space.dtype, np.integer) else choose(step) / 4, space.dtype
    )


def consumed(env: Any, calls: int) -> list[Episodes]:
    """Episodes as RLlib's runner collects them: after an episode's end, the next observation is a first one."""
    observation, _ = env.reset(seed=SEED)
    running = [([observation[i].copy()], []) for i in range(env.num_envs)]
    ended = np.zeros(env.num_envs, np.bool_)
    done: list[Episodes] = [[] for _ in range(env.num_envs)]
    for _ in range(calls):
        actions = np.stack([action_of(env.single_action_space, len(rewards)) for _, rewards in running])
        observation, rewards, terminated, truncated, _ = env.step(actions)
        for i in range(env.num_envs):
            if ended[i]:
                assert rewards[i] == 0 and not truncated[i]
                running[i] = ([observation[i].copy()], [])
                continue
            running[i][0].append(observation[i].copy())
            running[i][1].append(rewards[i])
            if truncated[i]:
                done[i].append((np.array(running[i][0]), np.array(running[i][1])))
        ended = terminated | truncated
    return done


@pytest.mark.parametrize(
    ("task", "world", "kwargs"),
    [("placement", WORLD, {}), ("placement", DRAWN, {}), ("routing", WORLD, {}), ("joint", WORLD, {})],
)
def test_next_step_gives_whole_episodes_to_who_expects_it(task: str, world: Any, kwargs: dict[str, Any]) -> None:
    made = gym.make_vec(
        IDS[task], COUNT, "vector_entry_point", scenario=world, flatten=True, autoreset_mode="NEXT_STEP", **kwargs
    )
    episodes = consumed(made, 3 * (STEPS + 1))
    assert [len(rewards) for each in episodes for _, rewards in each] == [STEPS] * (3 * COUNT)
    for (seen, rewards), (expected, returns) in zip(episodes[0], alone(task, world, 3, **kwargs), strict=True):
        assert np.array_equal(seen, expected) and np.array_equal(rewards, returns)


def test_environments_at_different_steps_begin_each_in_its_own() -> None:
    env = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode=AutoresetMode.NEXT_STEP)
    env.reset(seed=SEED)
    for _ in range(4):
        env.step([0, 0])
    env.reset(options={"reset_mask": np.array([False, True])})
    ends: list[list[int]] = [[], []]
    for call in range(4, 40):
        truncated = env.step([0, 0])[3]
        for i in np.flatnonzero(truncated):
            ends[i].append(call)
    assert ends == [[11, 24, 37], [15, 28]]


def test_an_ended_episode_that_is_reset_begins_once() -> None:
    env = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode="NextStep")
    env.reset(seed=SEED)
    for _ in range(STEPS):
        truncated = env.step([0, 0])[3]
    assert truncated.all()
    env.reset(options={"reset_mask": np.array([True, False])})
    _, rewards, *_ = env.step([0, 0])
    assert rewards[0] != 0 and rewards[1] == 0


def test_disabled_waits_for_reset() -> None:
    env = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode="DISABLED")
    env.reset(seed=SEED)
    for _ in range(STEPS):
        last, _, _, truncated, _ = env.step([0, 0])
    with pytest.raises(ValueError, match="environment 0: with autoreset_mode DISABLED call reset"):
        env.step([0, 0])
    twin = NetworkEnv(scenario=WORLD, flatten=True)
    twin.reset(seed=SEED)
    for _ in range(STEPS):
        expected = twin.step(0)[0]
    assert np.array_equal(last[0], expected)
    observation, _ = env.reset(options={"reset_mask": truncated})
    assert np.array_equal(observation[0], twin.reset()[0])
    env.step([0, 0])


def test_the_mode_is_an_attribute_and_a_wrong_one_is_one_line() -> None:
    for mode in AutoresetMode:
        env = NetworkVectorEnv(1, scenario=WORLD, autoreset_mode=mode)
        assert env.autoreset_mode is mode and env.metadata["autoreset_mode"] is mode
    assert NetworkVectorEnv(1, scenario=WORLD).autoreset_mode is AutoresetMode.SAME_STEP
    assert NetworkVectorEnv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    with pytest.raises(ValueError, match="autoreset_mode is 'NEXT'; valid are NEXT_STEP, SAME_STEP, DISABLED"):
        NetworkVectorEnv(1, scenario=WORLD, autoreset_mode="NEXT")
    made = gym.make_vec(IDS["placement"], 1, scenario=WORLD, autoreset_mode=AutoresetMode.NEXT_STEP)
    assert made.spec is not None
    again = gym.make_vec(EnvSpec.from_json(made.spec.to_json()), 1)
    assert again.unwrapped.autoreset_mode is AutoresetMode.NEXT_STEP  # pyright: ignore[reportAttributeAccessIssue]


def test_a_saved_state_of_an_ended_episode_goes_on_in_every_mode() -> None:
    env = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode="NEXT_STEP")
    env.reset(seed=SEED)
    for _ in range(STEPS):
        env.step([0, 0])
    state = env.get_state()
    first = env.step([0, 0])[0]
    other = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode="NEXT_STEP")
    other.set_state(state)
    assert np.array_equal(other.step([0, 0])[0], first)
    same = NetworkVectorEnv(2, scenario=WORLD, flatten=True)
    assert np.array_equal(same.set_state(state)[0], first)


def flat(observation: Any) -> np.ndarray:
    return np.concatenate(
        [observation[name].reshape(len(observation[name]), -1) for name in sorted(observation)], axis=1
    )


WRAPPED: dict[str, tuple[bool, Callable[[Any], Any], Callable[[Any], Any] | None]] = {
    "FlattenObservation": (False, wrappers.FlattenObservation, flat),
    "FilterObservation": (
        False,
        lambda env: wrappers.FilterObservation(env, ["globals"]),
        lambda seen: {"globals": seen["globals"]},
    ),
    "RescaleObservation": (True, lambda env: wrappers.RescaleObservation(env, 0, 1), lambda seen: (seen + 1) / 2),
    "DtypeObservation": (True, lambda env: wrappers.DtypeObservation(env, np.float64), lambda seen: seen.astype("f8")),
    "ReshapeObservation": (
        True,
        lambda env: wrappers.ReshapeObservation(env, (1, env.single_observation_space.shape[0])),
        lambda seen: seen[:, None, :],
    ),
    "TransformObservation": (True, lambda env: wrappers.TransformObservation(env, np.negative), np.negative),
    "VectorizeTransformObservation": (
        True,
        lambda env: wrappers.VectorizeTransformObservation(
            env, gym.wrappers.TransformObservation, func=np.negative, observation_space=env.single_observation_space
        ),
        np.negative,
    ),
    "NormalizeObservation": (True, wrappers.NormalizeObservation, None),
}
"""by wrapper: whether the observation is flat, how it is wrapped, and what it makes of an observation"""


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of a space of float32 as one of float64
@pytest.mark.parametrize("name", WRAPPED)
def test_gymnasiums_observation_wrappers_work(name: str) -> None:
    flatten, wrap, expected = WRAPPED[name]
    plain, inner = (
        gym.make_vec(IDS["placement"], COUNT, scenario=WORLD, flatten=flatten, autoreset_mode="NEXT_STEP")
        for _ in range(2)
    )
    env = wrap(inner)
    seen, _ = env.reset(seed=SEED)
    wanted, _ = plain.reset(seed=SEED)
    for step in range(2 * STEPS + 3):
        assert seen in env.observation_space
        if expected is not None:
            close(seen, expected(wanted))
        seen, rewards, *_ = env.step(np.full(COUNT, choose(step)))
        wanted, same, *_ = plain.step(np.full(COUNT, choose(step)))
        assert np.array_equal(rewards, same)
    if expected is None:
        assert np.isfinite(seen).all() and not np.array_equal(seen, wanted)


def close(seen: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(seen) == set(expected)
        seen, expected = flat(seen), flat(expected)
    assert seen.dtype == expected.dtype and np.allclose(seen, expected, atol=1e-6)


def test_a_wrapper_that_writes_into_what_it_is_given_changes_no_later_observation() -> None:
    env = NetworkVectorEnv(2, scenario=WORLD, flatten=True, autoreset_mode="DISABLED")
    seen, _ = env.reset(seed=SEED)
    before = seen.copy()
    seen *= -1
    after, _ = env.reset(options={"reset_mask": np.array([False, True])})
    assert np.array_equal(after[0], before[0])


@pytest.mark.parametrize("task", IDS)
def test_a_flat_id_has_a_flat_observation(task: str) -> None:
    env = gym.make(FLAT_IDS[task], scenario=WORLD)
    same = gym.make(IDS[task], scenario=WORLD, flatten=True)
    assert env.observation_space == same.observation_space and isinstance(env.observation_space, gym.spaces.Box)
    assert env.action_space == same.action_space
    assert np.array_equal(env.reset(seed=SEED)[0], same.reset(seed=SEED)[0])
    made = gym.make_vec(FLAT_IDS[task], 2, scenario=WORLD)
    assert made.reset(seed=SEED)[0].shape == (2, *env.observation_space.shape)  # type: ignore[misc]


def test_a_batch_draws_its_environments() -> None:
    single = NetworkEnv(scenario=DRAWN, render_mode="rgb_array")
    made = gym.make_vec(IDS["placement"], 2, scenario=DRAWN, render_mode="rgb_array")
    assert made.render_mode == "rgb_array" and made.metadata["render_fps"] == single.metadata["render_fps"]
    single.reset(seed=SEED)
    made.reset(seed=SEED)
    for _ in range(2):
        made.step(np.zeros(2, np.int64))
        single.step(0)
    frames: Any = made.render()
    assert isinstance(frames, tuple) and len(frames) == 2 and frames[0].shape == frames[1].shape
    assert np.array_equal(frames[0], single.render()) and not np.array_equal(frames[0], frames[1])
    texts: Any = NetworkVectorEnv(2, scenario=WORLD, render_mode="ansi")
    texts.reset(seed=SEED)
    assert [type(text) for text in texts.render()] == [str, str]
    assert NetworkVectorEnv(1, scenario=WORLD).render() is None
    with pytest.raises(ValueError, match="render_mode is 'human'; valid are rgb_array, ansi"):
        NetworkVectorEnv(1, scenario=WORLD, render_mode="human")


def test_a_video_of_a_batch_is_recorded(tmp_path: Any) -> None:
    pytest.importorskip("moviepy", reason="needs moviepy: pip install 'gymnasium[other]'")
    made = gym.make_vec(IDS["placement"], 2, scenario=WORLD, render_mode="rgb_array", autoreset_mode="NEXT_STEP")
    env = wrappers.RecordVideo(made, str(tmp_path), step_trigger=lambda step: step == 0, video_length=3)
    env.reset(seed=SEED)
    for _ in range(5):
        env.step(np.zeros(2, np.int64))
    env.close()
    assert list(tmp_path.glob("*.mp4"))
