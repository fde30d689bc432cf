"""Training without a dimension of the world: the episodes have nothing of it, and validation is in the true world."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from og_agents.commands import train
from og_agents.evaluation import playing
from og_agents.evaluation.beliefs import BELIEFS
from og_agents.learning import checkpoint, ppo, rollout_policy_iteration
from og_agents.learning.blind_world import training_worlds
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import CALM_SPEED, TERM, UNTRUSTED
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

HARD = {"failures.intensity": 1000.0, "episode.steps": 24}


def made(spec: ScenarioSpec, blind: str) -> NetworkVectorEnv:
    meta: dict[str, Any] = {"task": "placement", "env_kwargs": {"interface": "proposals"}}
    env = training_worlds(spec, meta, small_settings(blind=blind))
    env.reset(seed=3)
    return env


def spread(values: np.ndarray, valid: np.ndarray) -> list[float]:
    """Range of a price over the sites of every environment."""
    return [float(np.ptp(row[there == 1])) for row, there in zip(values, valid, strict=True)]


def test_dimensions_are_those_of_blind_planners_and_the_condition():
    words = get_args(TrainSettings.model_fields["blind"].annotation)
    assert words == ("none", *BELIEFS, "condition")


@pytest.mark.parametrize("name", ["global-24", "random-24"])
def test_fleets_have_one_price_also_those_that_are_drawn(name):
    spec = loading.override(loading.load(name), {"episode.steps": 12})
    seen, blind = (made(spec, dimension).simulator.world for dimension in ("none", "price"))
    assert min(spread(seen.usd_per_gpu_hour, seen.site_valid)) > 0.1
    assert max(spread(blind.usd_per_gpu_hour, blind.site_valid)) < 1e-5
    assert np.array_equal(seen.rtt_ms, blind.rtt_ms), "the same fleets, and all else as it is"


def test_tapes_have_nothing_of_the_dimension():
    spec = loading.override(loading.load("tee-break"), {"episode.steps": 96})  # the vendor is broken at step 72

    def untrusted(env: NetworkVectorEnv) -> int:
        tape = env.simulator.tape
        rows = np.arange(tape.attack.shape[1])
        return sum(int((tape.status_at(b, rows) & UNTRUSTED).any()) for b in range(env.num_envs))

    assert untrusted(made(spec, "none")) > 0 and untrusted(made(spec, "verification")) == 0
    spec = loading.override(loading.load("global-24"), HARD)
    assert (made(spec, "none").simulator.tape.condition != CALM_SPEED).any()
    assert (made(spec, "condition").simulator.tape.condition == CALM_SPEED).all()


def test_sites_fail_alone_and_exposure_is_not_paid():
    spec = loading.override(loading.load("global-24"), HARD)
    env = made(spec, "dependencies")
    assert env.simulator.spec.failures.process == "independent"
    assert (env.simulator.world.weights[:, TERM.exposure] == 0).all()
    assert (made(spec, "none").simulator.world.weights[:, TERM.exposure] > 0).all()


def test_rewards_are_those_of_the_blind_world():
    spec = loading.override(loading.load("global-24"), {"episode.steps": 12})
    rewards = [made(spec, dimension).step(np.zeros(4, np.int64))[1] for dimension in ("none", "price", "geography")]
    assert not np.allclose(rewards[0], rewards[1]) and not np.allclose(rewards[0], rewards[2])


@pytest.mark.parametrize("learner", ["ppo", "rpi"])
def test_a_blind_policy_is_validated_in_the_true_world(learner, tmp_path):
    world = short_world()
    settings = small_settings(policy="shared" if learner == "rpi" else "mlp", blind="geography", branch_states=16)
    if learner == "ppo":
        ppo.train(world, "placement", settings, seed=0, out=tmp_path / "run", quiet=True)
    else:
        rollout_policy_iteration.train(world, settings, seed=0, out=tmp_path / "run", quiet=True)
    meta = checkpoint.read_meta(tmp_path / "run")
    assert meta["settings"]["blind"] == "geography" and loading.load(meta["scenario"]) == world
    result = playing.run(checkpoint.load(tmp_path / "run", scenario=world), world, episodes=2, split="validation")
    assert meta["validation_return"] == pytest.approx(float(result.returns.mean()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--blind", "price", "--engine", "rllib"], "--blind needs the engine sb3"),
        (["--blind", "prices"], "invalid choice: 'prices'"),
    ],
)
def test_bad_dimensions_are_one_line(words, message, capsys):
    with pytest.raises(SystemExit):
        train.parse(words)
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_command_makes_settings_that_are_blind():
    run = train.fresh(train.parse(["--scenario", "toy-3", "--blind", "stores"]))
    assert run.settings.blind == "stores"
