"""Arguments of the environments: wrong kinds are one line with what is valid, and specifications go through JSON."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.simulator import room
from og_env.vector_env import NetworkVectorEnv

TOY = loading.load("toy-3")


@pytest.mark.parametrize("num_envs", [10**9, 0, -1, 2.5, True, "3", None])
def test_another_number_of_environments_is_refused(num_envs: Any) -> None:
    with pytest.raises(ValueError, match=r"num_envs is .*; valid are 1 to 1,000,000, whole numbers"):
        NetworkVectorEnv(num_envs, scenario="toy-3")


def test_a_batch_beyond_the_memory_is_refused_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: 10_000_000)
    with pytest.raises(
        ValueError, match=r"num_envs is 100,000: that takes .* GB, and 0\.0 GB are free; take \d.* fewer"
    ):
        NetworkVectorEnv(100_000, scenario="toy-3")
    two: Any = np.int64(2)
    NetworkVectorEnv(two, scenario="toy-3").close()


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("threads", "x", "1 to 1,024"),
        ("flatten", "no", "True and False"),
        ("proposals", 2.0, "2 to 256"),
        ("proposals", True, "2 to 256"),
        ("split", 3, "train, validation, test"),
        ("task", None, "placement, routing, joint"),
        ("reward", np.zeros(3), "scalar, vector"),
    ],
)
def test_a_wrong_kind_is_told_what_is_valid(name: str, value: Any, valid: str) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} is .*; valid are {valid}"):
        NetworkVectorEnv(2, scenario="toy-3", **arguments)


@pytest.mark.parametrize("seed", [-1, 2.5, "a", True, [1]])
def test_a_wrong_seed_is_one_line(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed is .*; valid are None and whole numbers from 0 on"):
        NetworkEnv(scenario="toy-3").reset(seed=seed)
    with pytest.raises(ValueError, match=r"seed is .*; valid are None and whole numbers from 0 on"):
        NetworkVectorEnv(1, scenario="toy-3").reset(seed=[seed])


def test_a_numpy_number_is_a_seed() -> None:
    three: Any = np.int64(3)
    seen, same = (NetworkEnv(scenario="toy-3", flatten=True).reset(seed=seed)[0] for seed in (three, 3))
    assert np.array_equal(seen, same)


def test_options_and_horizons_of_a_wrong_kind_are_one_line() -> None:
    env = NetworkEnv(scenario="toy-3")
    for options in (3, "a", [1]):
        with pytest.raises(ValueError, match="options is"):
            env.reset(options=options)  # pyright: ignore[reportArgumentType]
    env.reset(options={"start_hour_utc": np.float32(3), "background": np.True_})
    for horizon in ("a", 0, 10**9, 2.0):
        with pytest.raises(ValueError, match=r"horizon is .*; valid are"):
            env.simulate([0], horizon)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="valid is a batch"):
        env.simulate(0)


@pytest.mark.parametrize("scenario", ["toy-3", loading.scenarios_folder() / "toy-3.toml", TOY, TOY.model_dump()])
def test_a_specification_goes_through_json_whatever_the_scenario_is(scenario: Any) -> None:
    env = gym.make("og_env/Placement-v1", scenario=scenario, proposals=np.int64(4))
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.simulator.spec == env.unwrapped.simulator.spec == TOY  # pyright: ignore
    batch = gym.make_vec("og_env/Placement-v1", 2, "vector_entry_point", scenario=scenario)
    assert batch.spec is not None
    assert EnvSpec.from_json(batch.spec.to_json())
