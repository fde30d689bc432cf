"""Datasets: what is written is what was played, the same seed gives the same bytes, Minari makes the environment again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from og_agents import heuristics
from og_agents.commands import make_dataset as script
from og_agents.evaluation import playing, progress
from og_agents.export import recorded_episodes
from og_agents.learning import checkpoint, ppo
from og_env.kernel.arrays import TERMS
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()


def minari():
    pytest.importorskip("h5py", reason="needs the extra minari")
    return pytest.importorskip("minari", reason="needs the extra minari")


def played(policy, task="placement", episodes=20, seed=5, **kwargs):
    stage = recorded_episodes.stage_of({"one": policy}, WORLD, task, "validation")
    return list(recorded_episodes.play(policy, "one", stage, episodes, seed, **kwargs))


@pytest.mark.parametrize("task", ["placement", "joint", "routing"])
def test_the_episodes_are_those_of_the_evaluation(task):
    policy = heuristics.make("greedy", task=task)
    expected = playing.run(policy, WORLD, task, 20, 5, split="validation")
    episodes = played(policy, task)
    assert [episode.seed for episode in episodes] == expected.seeds.tolist()
    assert np.array_equal([sum(episode.rewards) for episode in episodes], expected.returns)
    terms = np.stack([[episode.infos[f"term_{term}"][1:].mean() for term in TERMS] for episode in episodes])
    assert np.allclose(terms, expected.terms, atol=1e-6)


@pytest.mark.parametrize("interface", ["proposals", "operations"])
def test_a_trained_policy_is_shown_what_it_learned_on(interface, tmp_path):
    ppo.train(WORLD, "placement", small_settings(interface=interface), seed=0, out=tmp_path, quiet=True)
    policy = checkpoint.load(tmp_path)
    expected = playing.run(policy, WORLD, "placement", 3, 5, split="validation")
    assert np.array_equal([sum(episode.rewards) for episode in played(policy, episodes=3)], expected.returns)
    if interface == "proposals":
        both = {"ppo": policy, "greedy": heuristics.make("greedy")}
        assert recorded_episodes.stage_of(both, WORLD, "placement", "train").kwargs["interface"] == "proposals"


def test_actions_are_possible_and_rewards_follow_from_them():
    for episode in played(heuristics.make("greedy"), episodes=17, noise=0.5):
        steps = np.arange(len(episode.actions))
        assert episode.infos["action_mask"][steps, episode.actions].all()
        env = NetworkVectorEnv(1, "placement", WORLD, split="validation", flatten=True)
        seen, _ = env.reset(seed=episode.seed)
        for step in steps[:-1]:
            assert np.array_equal(episode.observations[step], seen[0])
            seen, reward, *_ = env.step(episode.actions[step : step + 1])
            assert reward[0] == episode.rewards[step]
        _, reward, _, truncated, info = env.step(episode.actions[-1:])
        assert truncated[0] and reward[0] == episode.rewards[-1]
        assert np.array_equal(episode.observations[-1], info["final_obs"][0])


def test_noise_is_random_actions():
    calm, noisy, again = (played(heuristics.make("static"), noise=share) for share in (0.0, 0.5, 0.5))
    assert not any(episode.actions.any() for episode in calm)
    share = np.mean([episode.actions > 0 for episode in noisy])
    assert 0.15 < share <= 0.55
    assert all(np.array_equal(one.actions, other.actions) for one, other in zip(noisy, again, strict=True))


def test_minari_reads_it_and_makes_the_environment_again(tmp_path, capsys, monkeypatch):
    package = minari()
    arguments = ["--scenario", "toy-3", "--policies", "greedy,static", "--episodes", "18", "--seed", "3"]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        assert script.main([*arguments, "--id", "toy/mixed-v0", "--out", str(folder)]) == 0
    assert set(gym.spec("og_env/Placement-v1").kwargs) == {"task"}, "the registered id is as it was"
    assert "greedy: 18 episodes" in capsys.readouterr().out
    names = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert any(name.suffix == ".hdf5" for name in names)
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folders[0]))
    data = package.load_dataset("toy/mixed-v0")
    assert data.total_episodes == 36
    described = list(data.storage.get_episode_metadata(range(36)))
    assert [row["policy"] for row in described] == ["greedy"] * 18 + ["static"] * 18
    assert [row["seed"] for row in described] == [*range(3, 21)] * 2
    env = data.recover_environment()
    for index in (0, 17, 35):
        (episode,) = data.iterate_episodes([index])
        seen, _ = env.reset(seed=described[index]["seed"])
        for step, action in enumerate(episode.actions):
            assert np.array_equal(episode.observations[step], seen)
            assert episode.infos["action_mask"][step][action]
            seen, reward, _, truncated, _ = env.step(action)
            assert reward == episode.rewards[step] and truncated == episode.truncations[step]
        assert np.array_equal(episode.observations[-1], seen)

    assert script.main([*arguments, "--id", "toy/mixed-v0", "--out", str(folders[0])]) == 2
    assert "there is a dataset already" in capsys.readouterr().err


def test_the_figures_are_one_object_and_progress_is_told(tmp_path, capsys, monkeypatch):
    minari()
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    arguments = ["--scenario", "toy-3", "--policies", "greedy,static", "--episodes", "2", "--json"]
    told = {}
    for option in ("-v", "-q"):
        folder = tmp_path / option
        assert script.main([*arguments, "--id", "toy/mixed-v0", "--out", str(folder), option]) == 0
        out, told[option] = capsys.readouterr()
        found = json.loads(out)
        assert (found["id"], found["folder"]) == ("toy/mixed-v0", str(folder / "toy" / "mixed-v0"))
        assert {name: one["episodes"] for name, one in found["policies"].items()} == {"greedy": 2, "static": 2}
        assert f"mean return {found['policies']['static']['mean_return']:.2f}" in told[option]
        assert found["bytes"] == sum(path.stat().st_size for path in Path(found["folder"]).rglob("*") if path.is_file())
    assert "75%, 3 of 4 episodes: static" in told["-v"] and "greedy: 2 episodes played" in told["-v"]
    assert "3 of 4" not in told["-q"]


def test_observations_by_table(tmp_path, monkeypatch):
    package = minari()
    arguments = ["--scenario", "toy-3", "--episodes", "2", "--out", str(tmp_path), "--env", "og_env/Routing-v1"]
    assert script.main([*arguments, "--tables"]) == 0
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = package.load_dataset("og_env/toy-3-routing-v0")
    (episode,) = data.iterate_episodes([1])
    assert set(episode.observations) == set(data.observation_space.spaces)
    assert all(data.observation_space[name].contains(table[0]) for name, table in episode.observations.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--noise", "1.5"], "noise must be from 0 to 1"),
        (["--id", "no version"], "is no id of a dataset"),
        (["--env", "og_env/Plac"], "unknown environment"),
        (["--policies", "gredy"], "is neither a heuristic"),
        (["--policies", "greedy,greedy_blind"], "asks for another environment than"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, capsys):
    minari()
    assert script.main(["--scenario", "toy-3", "--out", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.hdf5"))


def test_without_the_extra_it_says_which(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert script.main(["--scenario", "toy-3", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "'og_env[minari]'" in error and error.count("\n") == 1


def test_nobody_learns_from_sealed_episodes(capsys):
    with pytest.raises(SystemExit):
        script.main(["--scenario", "toy-3", "--split", "sealed"])
    assert "invalid choice: 'sealed'" in capsys.readouterr().err
