"""Rollout policy iteration on a cluster: the weights of the local run, also where workers are killed or runs go on."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from og_agents.cluster import ray_branches, ray_cluster
from og_agents.commands import train as script
from og_agents.learning import resume_file, rollout_policy_iteration
from og_agents.learning.rollout_policy_iteration import Slices
from tests.cases import killed_training
from tests.cases.ray_nodes import nodes_used, two_nodes
from tests.cases.short_training import short_files, short_world, small_settings

WORLD = short_world()
N_ENVS = 34
"""three slices, the last one smaller"""
ROUND = 2 * N_ENVS
"""states of a round"""
WARNINGS = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")


def trained(out: Path, spread: Any = Slices, *, rounds: int = 3, **named: Any) -> str:
    """Train for some rounds; a digest of the policy and of all of the run's last state."""
    settings = small_settings(n_envs=N_ENVS, branch_states=rounds * ROUND, evaluation_episodes=1)
    rollout_policy_iteration.train(WORLD, settings, seed=5, out=out, quiet=True, spread=spread, **named)
    return killed_training.digest(out)


def deadly(folder: Path) -> Any:
    """`play_turn`, which notes its node, and kills the first worker before a round and another one after one."""

    def play_turn(text: Any, weights: Any, state: Any, turn: Any) -> Any:
        import os
        import signal

        import ray  # pyright: ignore[reportMissingImports]

        from og_agents.cluster import ray_branches

        def die_once(name: str) -> None:
            if not (folder / name).exists():
                (folder / name).touch()
                os.kill(os.getpid(), signal.SIGKILL)

        (folder / f"node-{os.getpid()}").write_text(ray.get_runtime_context().get_node_id(), encoding="utf-8")
        if (turn.round, turn.number) == (0, 1):
            die_once("killed-before")
        done = ray_branches.play_turn(text, weights, state, turn)
        if (turn.round, turn.number) == (2, 2):
            die_once("killed-after")
        return done

    return play_turn


def test_tasks_give_the_rounds_of_threads(tmp_path, monkeypatch):
    """Tasks run here, with the arguments that travel: no worker keeps anything that a round depends on."""

    def remote(**_options: Any) -> Any:
        return lambda task: SimpleNamespace(remote=lambda *given: task(*pickle.loads(pickle.dumps(given))))

    errors = SimpleNamespace(RayTaskError=EOFError, RayError=EOFError)
    tasks = SimpleNamespace(remote=remote, put=lambda value: value, get=list, exceptions=errors)
    monkeypatch.setattr(ray_cluster, "module", lambda: tasks)
    assert trained(tmp_path / "tasks", ray_branches.RaySlices) == trained(tmp_path / "threads")


@pytest.mark.slow
@WARNINGS
def test_one_worker_gives_the_weights_of_the_local_run(tmp_path):
    pytest.importorskip("ray", reason="needs the extra rllib, in a venv of its own")
    ray = ray_cluster.module()
    expected = trained(tmp_path / "local")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with ray_cluster.connected():
            assert trained(tmp_path / "ray", ray_branches.RaySlices) == expected
            half = trained(tmp_path / "here", rounds=1)
            assert trained(tmp_path / "there", ray_branches.RaySlices, rounds=1) == half
            on_ray = trained(tmp_path / "here", ray_branches.RaySlices, resume=True)
    finally:
        ray.shutdown()
    assert half != expected and on_ray == trained(tmp_path / "there", resume=True), (
        "engines go on with one another's runs"
    )


@pytest.mark.slow
@WARNINGS
def test_killed_workers_change_no_weight(tmp_path, monkeypatch):
    expected = trained(tmp_path / "local")
    with two_nodes() as cluster, ray_cluster.connected(cluster.address):
        monkeypatch.setattr(ray_branches, "play_turn", deadly(tmp_path))
        assert trained(tmp_path / "ray", ray_branches.RaySlices) == expected
    assert {path.name for path in tmp_path.glob("killed-*")} == {"killed-before", "killed-after"}
    assert len(nodes_used(tmp_path)) == 2, "both nodes took part"


@pytest.mark.slow
@WARNINGS
def test_the_command(tmp_path, capsys):
    world, settings = short_files(tmp_path)
    common = [
        "--scenario",
        world,
        "--config",
        settings,
        "--algorithm",
        "rpi",
        "--timesteps",
        "16",
        "--compare",
        "0",
        "-q",
    ]
    assert script.main([*common, "--out", str(tmp_path / "local")]) == 0
    with two_nodes() as cluster:
        where = ["--engine", "ray", "--ray-address", cluster.address]
        assert script.main([*common, *where, "--out", str(tmp_path / "ray")]) == 0
        assert (
            script.main(["--resume", str(tmp_path / "ray"), "--timesteps", "32", "--compare", "0", "-q", *where]) == 0
        )
    capsys.readouterr()
    assert script.main(["--resume", str(tmp_path / "local"), "--timesteps", "32", "--compare", "0", "-q"]) == 0
    assert killed_training.digest(tmp_path / "local") == killed_training.digest(tmp_path / "ray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "ray"], "--engine ray needs --algorithm rpi"),
        (["--engine", "ray", "--algorithm", "ppo"], "--engine ray needs --algorithm rpi"),
        (["--engine", "ray", "--algorithm", "rpi", "--num-env-runners", "2"], "--num-env-runners needs --engine rllib"),
        (["--algorithm", "rpi", "--ray-address", "127.0.0.1:1"], "--ray-address needs --engine rllib or ray"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1


def test_a_run_of_ppo_does_not_go_on_there(tmp_path, capsys):
    meta = {"algorithm": "MaskablePPO", "settings": small_settings().model_dump(mode="json")}
    resume_file.save(tmp_path, resume_file.Progress(0, 0.0, 0.0, 0.0, 0, meta), {})
    assert script.main(["--resume", str(tmp_path), "--engine", "ray"]) == 2
    error = capsys.readouterr().err
    assert "--engine ray goes on with runs of rpi alone" in error and error.count("\n") == 1


def test_without_the_extra_it_says_which(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["--scenario", "toy-3", "--algorithm", "rpi", "--engine", "ray", "--out", str(tmp_path)]
    assert script.main(words) == 2
    error = capsys.readouterr().err
    assert "extra rllib" in error and error.count("\n") == 1


def test_nobody_imports_ray_unasked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert trained(tmp_path, rounds=1)
