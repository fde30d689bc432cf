"""Copies of environments are copies: nothing that is done to one is seen in the other, wherever they are."""

from __future__ import annotations

import ast
import copy
import functools
import gc
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.simulator import BelievedOffers, Copies, CopiesOnTape, idle
from og_env.vector_env import NetworkVectorEnv
from tests.cases.played_episodes import AFTER, MAKE, SINGLE, begun, play, play_both, send, short, threaded

ROOT = Path(__file__).resolve().parents[2]


def cloudpickled(env: Any) -> Any:
    cloudpickle = pytest.importorskip("cloudpickle", reason="comes with Stable-Baselines3")
    return cloudpickle.loads(cloudpickle.dumps(env))


def pickled(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


HOW: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "pickle 2": lambda env: pickle.loads(pickle.dumps(env, protocol=2)),
    "cloudpickle": cloudpickled,
}


def copied(how: str, env: Any) -> Any:
    if how == "copy" and isinstance(env, gym.Wrapper | gym.vector.VectorWrapper):
        pytest.skip("a shallow copy of Gymnasium's wrapper is Gymnasium's: it wraps the same environment")
    return HOW[how](env)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", MAKE)
def test_copy_and_original_go_on_alone(kind: str, how: str) -> None:
    if kind == "sb3":
        pytest.importorskip("stable_baselines3", reason="needs the extra train")
    env, alone = begun(kind), [begun(kind), begun(kind)]
    twin = copied(how, env)
    expected = [play_both(each, begun(kind), AFTER, (seed, 0))[0] for each, seed in zip(alone, (1, 2), strict=True)]
    assert play_both(env, twin, AFTER, (1, 2)) == expected
    again = copied(how, twin)
    del env, twin
    gc.collect()
    assert play(again, AFTER, 5) == play(alone[1], AFTER, 5)


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
@pytest.mark.parametrize("kind", SINGLE)
def test_the_generators_are_copied(kind: str, how: str) -> None:
    env = begun(kind)
    env.action_space.seed(4)
    twin = HOW[how](env)
    assert np.array_equal(env.action_space.sample(), twin.action_space.sample())
    observations = [each.reset()[0] for each in (env, twin)]
    assert play(env, 3, 1) == play(twin, 3, 1)
    tables = [each.values() if isinstance(each, dict) else [each] for each in observations]
    assert all(np.array_equal(a, b) for a, b in zip(*tables, strict=True))


@pytest.mark.parametrize("how", HOW)
def test_a_copy_shares_no_memory(how: str) -> None:
    env = begun("placement").simulator
    twin = HOW[how](env)
    for group in ("world", "tape", "state", "output", "memo"):
        for ours, theirs in zip(getattr(env, group), getattr(twin, group), strict=True):
            assert np.array_equal(ours, theirs) and not np.shares_memory(ours, theirs)
    assert not np.shares_memory(env.observation, twin.observation) and not np.shares_memory(env.mask, twin.mask)


def test_threads_are_of_the_copy_and_stay_stopped() -> None:
    env = threaded()
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    assert twin.simulator.pool is not None and twin.simulator.pool is not env.simulator.pool
    env.close()
    assert copy.deepcopy(env).simulator.pool is None
    assert play(twin, AFTER, 1)
    twin.close()


def test_observations_that_were_handed_out_stay_what_they_were() -> None:
    env = begun("operations")
    kept = env.step(0)[0]
    before = kept.copy()
    twin = copy.deepcopy(env)
    play(twin, AFTER, 1)
    assert np.array_equal(kept, before)


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_what_runs_ahead_can_be_copied(how: str) -> None:
    env = NetworkVectorEnv(2, scenario=short("toy-3"))
    env.reset(seed=1)
    first = np.array([1, 0])
    copies, believed, ahead = Copies(env.simulator, 2, 1, 4), BelievedOffers(env.simulator), CopiesOnTape(env.simulator)
    copies.load(np.arange(2), truth=True)
    ahead.continue_from(copies, np.arange(2))
    twins = [HOW[how](each) for each in (copies, believed, ahead)]
    assert np.array_equal(copies.run(first, idle), twins[0].run(first, idle))
    assert np.array_equal(believed.look()["proposals"], twins[1].look()["proposals"])
    assert np.array_equal(believed.offer, twins[1].offer) and not np.shares_memory(believed.offer, twins[1].offer)
    ours, theirs = (each.step(slice(0, 2), first).copy() for each in (ahead, twins[2]))
    assert np.array_equal(ours, theirs) and all(twin.simulator is not env.simulator for twin in twins)


@pytest.mark.parametrize(
    "method",
    ["fork", pytest.param("forkserver", marks=pytest.mark.slow), pytest.param("spawn", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", ["placement", "random", "vector", "sb3"])
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_copy_goes_on_in_another_process(kind: str, method: str) -> None:
    if kind == "sb3":
        pytest.importorskip("stable_baselines3", reason="needs the extra train")
    env = begun(kind)
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process: Any = context.Process(target=send, args=(there, env))  # type: ignore[attr-defined]
    process.start()
    assert here.poll(200) and here.recv() == play(env, AFTER, 1)
    process.join(20)
    assert process.exitcode == 0


@pytest.mark.slow
def test_factories_that_copy_a_prototype_serve_gymnasium_and_stable_baselines() -> None:
    subproc = pytest.importorskip("stable_baselines3.common.vec_env", reason="needs the extra train").SubprocVecEnv
    prototype = begun("operations")
    factories = [functools.partial(copy.deepcopy, prototype)] * 2
    batch = gym.vector.AsyncVectorEnv(factories, context="spawn")
    expected, _ = copy.deepcopy(prototype).reset(seed=8)
    observation, _ = batch.reset(seed=[8, 8])
    assert np.array_equal(observation, [expected, expected])
    batch.close()
    learned = subproc(factories, start_method="forkserver")
    learned.seed(8)
    assert np.array_equal(learned.reset()[0], expected)
    learned.step(np.zeros(2, np.int64))
    learned.close()
    assert isinstance(prototype, NetworkEnv)


def test_tables_are_kept_with_their_arrays() -> None:
    """Only `Table` binds: an object that kept the bare addresses would step its original when it is copied."""
    for folder in ("og_env", "agents", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)}
            assert "bind" not in names or path.name == "memory.py", path
