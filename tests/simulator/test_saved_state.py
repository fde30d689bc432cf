"""Saved states: an episode goes on bit for bit, through npz and JSON, in another process; others are refused."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.vector_env import NetworkVectorEnv
from tests.cases.played_episodes import AFTER, MAKE, begun, play, send_state, short

KINDS = ["placement", "operations", "routing", "joint", "random", "hidden", "vector", "random vector"]
State = dict[str, Any]


def through_npz(state: State, folder: Path) -> State:
    np.savez(folder / "state.npz", **state)
    with np.load(folder / "state.npz", allow_pickle=False) as file:
        return dict(file)


def through_json(state: State, folder: Path) -> State:
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in state.items()}
    return json.loads(json.dumps(plain))


@pytest.mark.parametrize("through", [lambda state, folder: state, through_npz, through_json])
@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_goes_on_bit_for_bit(kind: str, through: Callable[[State, Path], State], tmp_path: Path) -> None:
    env = begun(kind)
    state = through(env.get_state(), tmp_path)
    played = play(env, AFTER, 1)
    fresh, other = MAKE[kind](), begun(kind, seed=9)
    for each in (env, fresh, other):
        each.set_state(state)
        assert play(each, AFTER, 1) == played
    assert env.get_state()["checksum"] == fresh.get_state()["checksum"] == other.get_state()["checksum"]


@pytest.mark.parametrize("kind", ["placement", "random"])
def test_a_state_goes_on_in_another_process(kind: str) -> None:
    context = multiprocessing.get_context("spawn")
    env = begun(kind)
    here, there = context.Pipe()
    process = context.Process(target=send_state, args=(there, kind, env.get_state()))
    process.start()
    assert here.poll(200) and here.recv() == play(env, AFTER, 1)
    process.join(20)
    assert process.exitcode == 0


def test_what_is_seen_comes_back() -> None:
    env = NetworkEnv(scenario=short("toy-3"))
    env.reset(seed=1)
    observation, _, _, _, info = env.step(2)
    state = env.get_state()
    env.step(1)
    again, facts = env.set_state(state)
    assert all(np.array_equal(observation[name], again[name]) for name in observation)
    assert all(np.array_equal(info[name], facts[name]) for name in info)
    assert np.array_equal(env.action_masks(), info["action_mask"])


def test_a_state_is_not_changed_by_playing_on() -> None:
    env = begun("placement")
    state = env.get_state()
    first = play(env, AFTER, 1)
    env.set_state(state)
    second = play(env, AFTER, 1)
    env.set_state(state)
    assert first == second == play(env, AFTER, 1)


def test_before_the_first_reset_and_after_an_end() -> None:
    env = NetworkEnv(scenario=short("toy-3"))
    unborn = env.get_state()
    env.reset(seed=0)
    while not env.step(0)[3]:
        pass
    ended = env.get_state()
    for state in (unborn, ended):
        env.set_state(state)
        with pytest.raises(ValueError, match="step before reset"):
            env.step(0)


def altered(name: str, value: Any) -> Callable[[State], State]:
    return lambda state: state | {name: value}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (altered("format", 0), r"state has format 0, and this version reads 1"),
        (altered("scenario", "other"), r"state is of scenario 'other', and here it is 'toy-3'"),
        (altered("environments", 4), r"state is of environments 4, and here it is 1"),
        (altered("scenario_sha256", "0"), r"of a scenario 'toy-3' with other values"),
        (altered("settings", "{}"), r"state is of task=None, and here it is 'placement'"),
        (altered("settings", "["), r"no settings that can be read"),
        (altered("state.step", np.zeros(1, np.int32)), r"altered since it was saved"),
        (altered("started", False), r"altered since it was saved"),
        (altered("state.step", np.zeros(2, np.int32)), r"state\.step is int32 \(2,\), and here it is int32 \(1,\)"),
        (altered("state.step", np.zeros(1)), r"state\.step is float64 \(1,\)"),
        (altered("state.step", ["x"]), r"state\.step is no int32 \(1,\)"),
        (altered("tape.noise", [-1]), r"tape\.noise is no uint64"),
        (lambda state: {name: each for name, each in state.items() if name != "state.phase"}, r"no 'state\.phase'"),
        (lambda state: [state], r"state is list, not a dict"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(change: Callable[[State], Any], line: str) -> None:
    env = begun("placement")
    state, played = env.get_state(), play(begun("placement"), AFTER, 1)
    with pytest.raises(ValueError, match=line) as error:
        env.set_state(change(state))
    assert "\n" not in str(error.value)
    assert play(env, AFTER, 1) == played, "the environment is as it was"


def test_states_of_other_environments_are_refused() -> None:
    state = begun("placement").get_state()
    with pytest.raises(ValueError, match="proposals=10, and here it is 4"):
        NetworkEnv(scenario=short("toy-3"), proposals=4).set_state(state)
    with pytest.raises(ValueError, match="environments 1, and here it is 2"):
        NetworkVectorEnv(2, scenario=short("toy-3")).set_state(state)
    with pytest.raises(ValueError, match="scenario 'toy-3' with other values"):
        NetworkEnv(scenario="toy-3").set_state(state)
    with pytest.raises(ValueError, match="scenario 'toy-3', and here it is 'global-16'"):
        NetworkEnv(scenario="global-16").set_state(state)


def test_a_number_of_numpy_is_a_number() -> None:
    four: Any = np.int64(4)
    one: Any = np.float32(1)
    state = NetworkEnv(scenario="toy-3", proposals=four, risk_weight=one).get_state()
    NetworkEnv(scenario="toy-3", proposals=4, risk_weight=1).set_state(state)


def test_another_kind_of_generator_is_refused() -> None:
    env = NetworkEnv(scenario="toy-3")
    env.np_random = np.random.Generator(np.random.Philox(1))
    with pytest.raises(ValueError, match="is a Philox; only a PCG64 can be saved"):
        env.get_state()
