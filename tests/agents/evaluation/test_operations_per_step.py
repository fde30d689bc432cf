"""Episodes whose steps have several operations: evaluation, recording, datasets, adapter and training count by the clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.advice.decide import example
from og_agents.evaluation import comparison, playing, results_table
from og_agents.evaluation.recording import events, record
from og_agents.export import recorded_episodes
from og_agents.learning import rollout_policy_iteration
from og_agents.learning.planner_return import Continuation
from og_agents.learning.shaped_reward import TrainingReward
from og_agents.planners import make as make_planner
from og_agents.sb3_adapter import SB3VecEnv
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import small_settings

STEPS, SEVERAL = 8, 3
SPEC = loading.override(loading.load("global-24"), {"episode.steps": STEPS, "episode.operations_per_step": SEVERAL})


def test_evaluation_and_recording_play_until_nothing_is_done() -> None:
    policy = heuristics.make("greedy")
    played = playing.run(policy, SPEC, episodes=3, seed=4)
    assert played.steps == STEPS and played.metric("operations").max() > 1
    recording = record(policy, playing.stage(policy, SPEC, "placement", 3), 4)
    assert recording.operations.shape == (3, STEPS, SEVERAL)
    again = recording.episodes()
    assert again.returns == pytest.approx(played.returns, rel=1e-9)
    assert again.metrics == pytest.approx(played.metrics, rel=1e-6)
    assert (recording.operations > 0).sum(axis=2) == pytest.approx(recording.metric("operations"))
    assert sum(event.kind == "operation" for event in events(recording)) == (recording.operations[0] > 0).sum()


def test_an_episode_is_the_one_that_a_single_environment_plays() -> None:
    policy, total, ended = heuristics.make("greedy"), 0.0, False
    env = NetworkEnv(scenario=SPEC, split="test")
    observation, info = env.reset(seed=4)
    while not ended:
        action, _ = policy.predict(observation, action_masks=info["action_mask"].astype(bool))
        observation, reward, _, ended, info = env.step(int(action))
        total += reward
    assert playing.run(policy, SPEC, episodes=2, seed=4).returns[0] == pytest.approx(total, rel=1e-12)


def test_the_table_has_the_operations_of_a_day() -> None:
    run = playing.run(heuristics.make("greedy"), SPEC, episodes=2)
    daily = run.metric("operations").mean() * 288
    rows = results_table.table_rows(comparison.compare([run]))
    assert dict(zip(results_table.TABLE_HEADER, rows[0], strict=True))["operations a day"] == f"{daily:,.1f}"


def test_a_dataset_has_every_decision_and_where_the_clock_moved() -> None:
    policy = heuristics.make("greedy")
    stage = recorded_episodes.stage_of({"greedy": policy}, SPEC, "placement", "test")
    returns = playing.run(policy, SPEC, episodes=2, seed=4).returns
    for episode, total in zip(recorded_episodes.play(policy, "greedy", stage, 2, 4), returns, strict=True):
        moved = episode.infos["moved"][1:]
        assert len(episode.rewards) == len(episode.actions) == len(moved) == len(episode.observations) - 1
        assert moved.sum() == STEPS < len(moved) and moved[-1]
        assert episode.rewards.sum() == pytest.approx(total)
        assert (episode.rewards[~moved] == 0).all() and (episode.actions[~moved] > 0).all()


def test_the_adapter_has_the_numbers_of_the_batch() -> None:
    plain = NetworkVectorEnv(3, scenario=SPEC, flatten=True)
    adapted = SB3VecEnv(NetworkVectorEnv(3, scenario=SPEC, flatten=True))
    adapted.seed(2)
    (observation, infos), seen = plain.reset(seed=2), np.asarray(adapted.reset())
    lengths = []
    for _ in range(SEVERAL * STEPS):
        assert np.array_equal(np.asarray(seen), observation)
        actions = infos["action_mask"][:, :4].cumsum(axis=1).argmax(axis=1)
        observation, rewards, _, truncated, infos = plain.step(actions)
        after, got, dones, records = adapted.step(actions)
        seen = np.asarray(after)
        assert np.array_equal(got, rewards.astype(np.float32)) and np.array_equal(dones, truncated)
        assert np.array_equal(adapted.moved, infos["moved"])
        lengths += [record["episode"]["l"] for record in records if "episode" in record]
    assert lengths == [STEPS] * 3


def test_shaped_rewards_of_a_step_add_up_to_those_of_its_end() -> None:
    """While the clock stands the horizon stands too: the planner's return from here takes the place of that before."""
    env = NetworkVectorEnv(2, scenario=SPEC, flatten=True)
    shaped = TrainingReward(SB3VecEnv(env), 1.0, Continuation(env, horizon=4), 1e6, together=True)
    shaped.seed(3)
    shaped.reset()
    before = shaped._phi.copy()
    _, rewards, _, _ = shaped.step(np.ones(2, np.int64))
    assert not shaped.moved.any()
    assert rewards == pytest.approx(shaped._phi - before, abs=1e-4)
    shaped.close()


def test_an_offset_is_paid_by_steps_of_the_clock() -> None:
    env = TrainingReward(SB3VecEnv(NetworkVectorEnv(2, scenario=SPEC, flatten=True)))
    env.seed(3)
    env.reset()
    assert len(set(env.venv.env.simulator.state.step.tolist())) == 2, "episodes are staggered by the clock"
    env.offset = -7.0
    _, rewards, _, _ = env.step(np.ones(2, np.int64))
    assert rewards.tolist() == [0, 0]
    env.close()


@pytest.mark.parametrize("name", ["rollout", "clairvoyant"])
def test_planners_that_look_ahead_play_several_operations(name: str) -> None:
    short = loading.override(SPEC, {"episode.steps": 3})
    played = playing.run(make_planner(name, scenario="global-24"), short, episodes=1)
    assert np.isfinite(played.returns).all() and played.metric("operations").max() > 0


def test_rollout_policy_iteration_learns_from_several_operations(tmp_path: Path) -> None:
    settings = small_settings(branch_states=16, branch_horizon=3, branch_spacing=1, n_envs=2)
    rollout_policy_iteration.train(SPEC, settings, seed=0, out=tmp_path, quiet=True)
    assert (tmp_path / "policy.json").is_file()


def test_an_example_is_so_many_steps_into_an_episode() -> None:
    assert example(SPEC, steps=5)["steps_done"] == 5
