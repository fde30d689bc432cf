"""The SB3 adapter renames and changes no number."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning.planner_return import Continuation
from og_agents.learning.shaped_reward import TrainingReward
from og_agents.planners.tuned_greedy import TunedGreedy
from og_agents.sb3_adapter import SB3VecEnv, make_sb3
from og_env import IDS
from og_env.env import INFO_NAMES, NetworkEnv
from og_env.vector_env import NetworkVectorEnv
from tests.cases.ahead import Ahead
from tests.cases.short_training import STEPS, short_world

WORLD = short_world()


def choose(rng: np.random.Generator, space: Any, count: int) -> np.ndarray:
    """Random actions for a batch."""
    if hasattr(space, "n"):
        return rng.integers(0, space.n, count)
    if hasattr(space, "nvec"):
        return rng.integers(0, space.nvec, (count, len(space.nvec)))
    return rng.uniform(-1, 1, (count, *space.shape)).astype(np.float32)


def rows(observation: Any, i: int) -> Any:
    return {name: table[i] for name, table in observation.items()} if isinstance(observation, dict) else observation[i]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return set(left) == set(right) and all(np.array_equal(left[name], right[name]) for name in left)
    return np.array_equal(left, right)


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        *((env_id, {}) for env_id in IDS.values()),
        (IDS["routing"], {"interface": "sites"}),
        (IDS["joint"], {"steering": "sites"}),
        (IDS["joint"], {"steering": "domains", "interface": "operations"}),
    ],
)
def test_numbers_are_those_of_single_environments(env_id, kwargs, flatten):
    task: Any = next(task for task, known in IDS.items() if known == env_id)
    batch = make_sb3(env_id, 3, scenario=WORLD, flatten=flatten, **kwargs)
    singles = [NetworkEnv(task, WORLD, flatten=flatten, **kwargs) for _ in range(3)]
    batch.seed(11)
    observed = batch.reset()
    assert all(same(rows(observed, i), env.reset(seed=11 + i)[0]) for i, env in enumerate(singles))
    rng = np.random.default_rng(0)
    totals = np.zeros(3)
    for step in range(1, 2 * STEPS + 3):
        actions = choose(rng, batch.action_space, 3)
        observed, rewards, dones, infos = batch.step(actions)
        assert rewards.dtype == np.float32
        for i, env in enumerate(singles):
            single, reward, terminated, truncated, info = env.step(actions[i])
            assert rewards[i] == reward and dones[i] == truncated and not terminated
            totals[i] += float(reward)
            assert bool(infos[i]) == truncated, "infos are empty but at the end of an episode"
            if truncated:
                assert same(infos[i]["terminal_observation"], single)
                assert infos[i]["TimeLimit.truncated"] is True
                assert (infos[i]["episode"]["r"], infos[i]["episode"]["l"]) == (totals[i], STEPS)
                assert all(infos[i][name] == np.float32(info[name]) for name in INFO_NAMES)
                totals[i] = 0
                single, _ = env.reset()
            assert same(rows(observed, i), single)
        assert dones.all() == (step % STEPS == 0)


def test_happened_and_infos_of_every_step_are_what_the_single_environment_says():
    batch = make_sb3("placement", 2, scenario=WORLD, infos="step")
    env = NetworkEnv("placement", WORLD)
    batch.seed(4)
    batch.reset()
    _, first = env.reset(seed=4)
    assert {name: batch.reset_infos[0][name] for name in INFO_NAMES} == {name: first[name] for name in INFO_NAMES}
    for _ in range(STEPS):
        _, _, _, infos = batch.step(np.array([0, 1]))
        info = env.step(0)[4]
        assert all(infos[0][name] == info[name] == float(batch.happened[name][0]) for name in INFO_NAMES)
    assert infos[0]["episode"]["l"] == STEPS


def test_masks_are_for_maskable_ppo():
    batch = make_sb3("og_env/Joint-v1", 3, scenario=WORLD)
    batch.seed(0)
    batch.reset()
    assert is_masking_supported(batch)
    masks = get_action_masks(batch)
    assert masks.shape == (3, 11 + 25) and masks.dtype == np.bool_
    assert np.array_equal(masks, batch.env.action_masks())
    assert masks[:, 0].all() and not masks.all()
    assert len(batch.env_method("action_masks", indices=[1])) == 1
    assert not is_masking_supported(make_sb3("routing", 2, scenario=WORLD))


def test_seeds_hold_for_one_reset():
    batch = make_sb3("placement", 2, scenario=WORLD, flatten=True)
    assert list(batch.seed(5)) == [5, 6]
    first, second = batch.reset(), batch.reset()
    assert not np.array_equal(first, second), "the second reset draws a new episode"
    batch.seed(5)
    assert np.array_equal(batch.reset(), first)
    assert np.array_equal(batch.reset(), second)
    batch.seed(6)
    assert np.array_equal(batch.reset()[0], first[1])


def test_options_reach_the_environment_once():
    batch = make_sb3("placement", 2, scenario=WORLD)
    outage = {"domain": "provider:P", "start_h": 0.0, "duration_h": 1.0}
    batch.set_options({"outages": [outage]})
    batch.seed(0)
    batch.reset()
    batch.step(np.zeros(2, np.int64))
    assert (batch.happened["sites_down"] >= 2).all()
    batch.set_options({"outages": [outage | {"domain": "provider:R"}]})
    with pytest.raises(ValueError, match="unknown provider of this fleet 'R'"):
        batch.reset()
    batch.set_options([{}, {"outages": [outage]}])
    with pytest.raises(ValueError, match="same options"):
        batch.reset()


@pytest.mark.parametrize("task", IDS)
def test_stable_baselines_finds_no_fault(task):
    """Its one complaint about Dict observations is that they hold tables, which is what they are for."""
    check_env(NetworkEnv(task, WORLD, flatten=True), warn=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your observation .* has an unconventional shape", UserWarning)
        check_env(NetworkEnv(task, WORLD), warn=True)


def test_algorithms_learn_on_it():
    placement = make_sb3("og_env/Placement-v1", 2, scenario=WORLD)
    MaskablePPO("MultiInputPolicy", placement, n_steps=STEPS, batch_size=8, n_epochs=1, device="cpu").learn(2 * STEPS)
    routing = make_sb3("og_env/Routing-v1", 2, scenario=WORLD, flatten=True)
    model = PPO("MlpPolicy", routing, n_steps=STEPS, batch_size=8, n_epochs=1, device="cpu").learn(2 * STEPS)
    assert model.ep_info_buffer is not None and len(model.ep_info_buffer) == 2
    assert routing.env_is_wrapped(Monitor) == [True, True]
    mean, _ = evaluate_policy(model, routing, n_eval_episodes=2)
    assert -50 < float(np.mean(mean)) < 0


def test_training_reward_is_centred_and_scaled_and_leaves_returns_alone():
    plain, paid = (make_sb3("placement", 2, scenario=WORLD) for _ in range(2))
    learner = TrainingReward(paid, scale=10.0)
    learner.offset = -0.25
    plain.seed(3)
    learner.seed(3)
    plain.reset()
    plain.stagger(lambda: np.zeros(2, np.int64))
    learner.reset()
    for _ in range(STEPS):
        _, rewards, _, infos = plain.step(np.zeros(2, np.int64))
        _, others, _, other_infos = learner.step(np.zeros(2, np.int64))
        assert others == pytest.approx((rewards + 0.25) * 10, rel=1e-5)
    assert infos[0]["episode"]["r"] == other_infos[0]["episode"]["r"]


def test_staggered_episodes_stand_at_evenly_spaced_steps_and_are_counted_in_full():
    env = make_sb3("placement", 4, scenario=WORLD, flatten=True)
    env.seed(8)
    env.reset()
    observation = env.stagger(lambda: np.zeros(4, np.int64))
    phases = np.array([0, 9, 6, 3])
    assert np.array_equal(env.env.simulator.state.step, phases)
    assert np.array_equal(observation, env.env.simulator.observation)
    ended = {}
    for step in range(1, STEPS + 1):
        _, _, dones, infos = env.step(np.zeros(4, np.int64))
        ended |= {int(i): (step, infos[i]["episode"]["l"]) for i in np.flatnonzero(dones)}
    assert ended == {0: (12, 12), 1: (3, 12), 2: (6, 12), 3: (9, 12)}


def test_shaped_rewards_are_nothing_for_the_planner_and_a_difference_for_others():
    env = NetworkVectorEnv(4, "placement", WORLD)
    learner, ahead = (TrainingReward(SB3VecEnv(env), 10.0, Continuation(env, horizon=5)), Ahead(env, 1, horizon=5))
    learner.reset()
    simulator = env.simulator
    planner = TunedGreedy(
        constants_of(WORLD.name, "greedy_tuned"), simulator.world, simulator.tape, simulator.state, 10
    )
    played = []
    for _ in range(2 * STEPS + 1):
        actions = planner.choose(simulator.output.offer, simulator.output.offer_gain)
        played.append(actions)
        _, shaped, _, _ = learner.step(actions)
        assert np.abs(shaped).max() < 1e-4, "who does as the planner gains nothing on it, at an episode's end neither"
    assert np.any(played), "the planner did something"
    simulator, phi = env.simulator, ahead.rewards()[:, 0].sum(axis=1)
    _, shaped, _, _ = learner.step(np.full(4, 2))
    reward, coming = simulator.output.reward, ahead.rewards()[:, 0, :-1].sum(axis=1)
    plain = 10 * (reward + coming - phi)
    assert np.allclose(shaped, np.sign(plain) * np.log1p(np.abs(plain)), atol=1e-4)
    assert np.abs(shaped).max() > 1e-3
    learner.close()
    ahead.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_sb3("og_env/Placment-v0"), "nearest valid: og_env/Placement-v1"),
        (lambda: make_sb3("placement", 0), "num_envs is 0"),
        (lambda: make_sb3("placement", infos="never"), "infos is 'never'"),  # type: ignore[arg-type]
        (lambda: make_sb3("placement", scenario="toy-4"), "toy-3"),
        (lambda: make_sb3("placement", scenario="toy-3").step(np.zeros(1, np.int64)), "step before reset"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_attributes_of_the_batch():
    batch = make_sb3("placement", 2, scenario=WORLD)
    assert isinstance(batch, SB3VecEnv)
    assert batch.get_attr("render_mode") == [None, None]
    batch.set_attr("label", "x")
    assert batch.get_attr("label", indices=[0]) == ["x"]
    with pytest.raises(ValueError, match="shared"):
        batch.set_attr("label", "y", indices=[1])
    with pytest.raises(AttributeError, match="no method"):
        batch.env_method("render")
    assert batch.get_images() == [None, None]


def test_pictures_flat_ids_and_the_mode_that_sb3_needs():
    env = make_sb3("og_env/Placement-flat-v1", 2, scenario=WORLD, render_mode="rgb_array")
    env.reset()
    first, second = env.get_images()
    assert env.render_mode == "rgb_array" and first is not None and second is not None
    assert first.dtype == np.uint8 and first.shape == second.shape and first.shape[2] == 3
    assert env.observation_space == make_sb3("placement", 2, scenario=WORLD, flatten=True).observation_space
    assert make_sb3("placement", 2, scenario=WORLD).get_images() == [None, None]
    with pytest.raises(ValueError, match="same step: leave autoreset_mode=NEXT_STEP out"):
        make_sb3("placement", 2, scenario=WORLD, autoreset_mode="NEXT_STEP")
