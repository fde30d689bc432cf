"""Scenarios whose steps have several operations, in both environments, in copies and in live states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import METRICS
from og_env.observation.fields import column
from og_env.scenario import loading
from og_env.simulator import Copies, Simulator, idle
from og_env.simulator.live_state import LiveState, describe, place
from og_env.vector_env import NetworkVectorEnv

STEPS = 6


def several(count: int = 3, name: str = "global-16") -> Any:
    changes = {"episode.steps": STEPS, "episode.operations_per_step": count, "failures.intensity": 20.0}
    return loading.override(loading.load(name), changes)


def possible(mask: np.ndarray, rng: np.random.Generator) -> int:
    """A random possible action that does something, now and then nothing."""
    choices = np.flatnonzero(mask)
    return int(rng.choice(choices)) if rng.random() < 0.8 else 0


@pytest.mark.parametrize("interface", ["proposals", "operations"])
def test_a_batch_has_the_numbers_of_single_environments(interface: Any) -> None:
    batch = NetworkVectorEnv(3, scenario=several(), interface=interface)
    singles = [NetworkEnv(scenario=several(), interface=interface) for _ in range(3)]
    observed, infos = batch.reset(seed=5)
    for i, env in enumerate(singles):
        seen, _ = env.reset(seed=5 + i)
        assert all(np.array_equal(observed[name][i], table) for name, table in seen.items())
    rng, stood = np.random.default_rng(0), 0
    for _ in range(STEPS):
        actions = np.array([possible(infos["action_mask"][i], rng) for i in range(3)])
        observed, rewards, _, truncated, infos = batch.step(actions)
        for i, env in enumerate(singles):
            seen, reward, _, ended, info = env.step(int(actions[i]))
            assert reward == rewards[i] and ended == truncated[i] and info["moved"] == infos["moved"][i]
            assert all(np.array_equal(observed[name][i], table) for name, table in seen.items())
            assert np.array_equal(info["action_mask"], infos["action_mask"][i])
            assert all(info[name] == infos[name][i] for name in METRICS)
            stood += not info["moved"]
            if not info["moved"]:
                assert reward == 0 and all(info[f"term_{name}"] == 0 for name in ("latency", "cost", "churn"))
    assert stood > 3


def test_episodes_are_counted_by_the_clock() -> None:
    env = NetworkEnv(scenario=several(3))
    _, info = env.reset(seed=1)
    calls, moves, churn, ended = 0, 0, [], False
    while not ended:
        mask = info["action_mask"]
        action = int(np.flatnonzero(mask)[-1]) if mask[1:].any() else 0
        _, _, _, ended, info = env.step(action)
        calls, moves = calls + 1, moves + info["moved"]
        churn += [info["term_churn"]] if info["moved"] else []
        assert info["operations"] <= 3
    assert moves == STEPS and calls == 3 * STEPS and max(churn) == 3


def test_figures_are_those_of_the_last_step_while_the_clock_stands() -> None:
    env = NetworkEnv(scenario=several(3, "global-24"))
    env.reset(seed=1)
    seen, _, _, _, before = env.step(0)
    after, _, _, _, info = env.step(1)
    assert not info["moved"] and info["operations"] == 1 and before["cold_starts"] == info["cold_starts"]
    kept = [name for name in METRICS if name not in ("operations", "impossible_operations")]
    assert {name: info[name] for name in kept} == {name: before[name] for name in kept}
    for name in ("served", "unverified", "exposure", "cost", "latency", "utilisation"):
        assert after["globals"][column("globals", name)] == seen["globals"][column("globals", name)], name
    assert not np.array_equal(after["sites"], seen["sites"])


def test_the_observation_shows_the_operations_that_are_left() -> None:
    env = NetworkEnv(scenario=several(4, "global-24"))
    seen, _ = env.reset(seed=1)
    shown = [seen["globals"][-1]]
    for action in (1, 1, 0):
        seen, *_ = env.step(action)
        shown.append(seen["globals"][-1])
    assert shown == [1, 0.75, 0.5, 1]


def test_one_operation_a_step_moves_always() -> None:
    env = NetworkEnv(scenario=several(1))
    _, info = env.reset(seed=1)
    for step in range(STEPS):
        _, _, _, ended, info = env.step(int(np.flatnonzero(info["action_mask"])[-1]))
        assert info["moved"] and ended == (step == STEPS - 1)


def test_the_autoscaler_takes_several_operations_in_a_step() -> None:
    most = {}
    for count in (1, 3):
        env = NetworkEnv("routing", several(count, "global-24"))
        env.reset(seed=3)
        infos = [env.step(np.zeros(5, np.float32))[-1] for _ in range(STEPS)]
        assert all(info["moved"] for info in infos)
        assert all(info["term_churn"] == info["operations"] for info in infos)
        most[count] = max(info["operations"] for info in infos)
    assert most[1] == 1 and 1 < most[3] <= 3


def test_knobs_are_put_into_effect_while_the_clock_stands() -> None:
    env = NetworkEnv("joint", several())
    _, info = env.reset(seed=1)
    before = env.simulator.state.knobs.copy()
    _, _, _, _, info = env.step(np.array([np.flatnonzero(info["action_mask"][1:11])[0] + 1, 4, 4, 4, 4, 4]))
    assert not info["moved"] and (env.simulator.state.knobs > before).all()


def test_the_churn_of_a_step_has_room_in_the_reward_space() -> None:
    env = NetworkEnv(scenario=several(4), reward="vector")
    assert env.reward_space.low[-1] == -4


def test_copies_go_on_from_the_middle_of_a_step() -> None:
    """The step under way costs what was decided on in it, and a copy that chooses has as many operations a step."""
    env = NetworkVectorEnv(1, scenario=several(3), threads=1)
    _, info = env.reset(seed=2)
    action = int(np.flatnonzero(info["action_mask"][0])[-1])
    env.step(np.array([action]))
    copies = Copies(env.simulator, 1, 2, 3)
    copies.load(np.array([0]), truth=True)
    seen = []
    copies.run(np.zeros(2, np.int64), idle, after_step=lambda _: seen.append(copies.output.terms[:, -1].copy()))
    assert np.array(seen).tolist() == [[1, 1], [0, 0], [0, 0]]

    def eager(offer: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """The first copy takes an offer whenever it is asked, the second one nothing."""
        return np.array([int(offer[0].any()) * (1 + int(np.flatnonzero(offer[0])[-1])), 0])

    copies.load(np.array([0]), truth=True)
    seen.clear()
    copies.run(np.zeros(2, np.int64), eager, after_step=lambda _: seen.append(copies.output.terms[:, -1].copy()))
    assert np.array(seen).tolist() == [[1, 1], [3, 0], [3, 0]]
    assert copies.state.step.tolist() == [3, 3]

    copies.load(np.array([0]), truth=True)
    seen.clear()
    first = np.array([eager(copies.output.offer, copies.output.offer_gain)[0], 0])
    copies.run(first, eager, after_step=lambda _: seen.append(copies.output.terms[:, -1].copy()))
    assert np.array(seen).tolist() == [[3, 1], [3, 0], [3, 0]], "the step under way has room for two more"


def test_copies_play_what_the_environment_then_plays() -> None:
    env = NetworkVectorEnv(1, scenario=several(3, "global-24"), threads=1)
    env.reset(seed=2)
    copies = Copies(env.simulator, 1, 1, STEPS)
    copies.load(np.array([0]), truth=True)
    rewards = copies.run(np.zeros(1, np.int64), copies.greedy)[0]
    played, operations = [], 0
    _, reward, _, _, infos = env.step(np.zeros(1, np.int64))
    while True:
        played += [float(reward[0])] if infos["moved"][0] else []
        if len(played) == STEPS:
            break
        output = env.simulator.output
        action = copies.greedy(output.offer, output.offer_gain)
        operations += int(action[0] > 0)
        _, reward, _, _, infos = env.step(action)
    assert operations > 0
    assert rewards == pytest.approx(played, rel=1e-6)


def test_a_live_state_carries_the_decisions_of_a_step() -> None:
    env = NetworkEnv(scenario=several(3))
    _, info = env.reset(seed=2)
    env.step(int(np.flatnonzero(info["action_mask"])[-1]))
    state = describe(env.simulator)
    assert state["decisions"] == state["changes"] == 1
    other = Simulator(several(3), 1, env.simulator.settings)
    other.load_episode(0, 1)
    place(other, LiveState.parse(state))
    assert other.state.decisions[0] == other.state.changes[0] == 1 and not other.moved[0]
    with pytest.raises(ValueError, match=r"decisions.*is 3, and a step has room for 3"):
        place(other, LiveState.parse(state | {"decisions": 3}))
    with pytest.raises(ValueError, match=r"changes.*is 2, above the 1 decisions"):
        place(other, LiveState.parse(state | {"changes": 2}))


@pytest.mark.parametrize("count", [0, 1001])
def test_a_wrong_number_of_operations_is_one_line(count: int) -> None:
    with pytest.raises(ValueError, match="operations_per_step") as error:
        several(count)
    assert "\n" not in str(error.value)
