"""Training by RLlib: the same networks and files, and the same weights whether workers die or not."""

from __future__ import annotations

import csv
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from og_agents.cluster import ray_cluster
from og_agents.commands import benchmark
from og_agents.commands import train as script
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo, resume_file
from og_agents.learning.run_folder import Interrupted
from og_agents.learning.time_discount import targets_of
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.ray_nodes import two_nodes
from tests.cases.short_training import SMALL, short_world, small_settings

WORLD = short_world()
TIMESTEPS = 5 * SMALL["n_envs"] * SMALL["n_steps"]
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning"
)


def rllib():
    """The module, where Ray is."""
    pytest.importorskip("ray", reason="needs the extra rllib, in a venv of its own")
    ray_cluster.module()
    from og_agents.cluster import rllib_train

    return rllib_train


@pytest.fixture(scope="module")
def alone():
    """Ray on this machine."""
    rllib()
    with ray_cluster.connected(None, 2) as ray:
        yield ray


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its times."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{name: cell for name, cell in row.items() if "elapsed" not in name} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "changes"),
    [("placement", {}), ("joint", {}), ("routing", {}), ("placement", {"policy": "mlp", "interface": "operations"})],
)
def test_the_network_is_that_of_the_other_engine(task, changes, alone):
    from og_agents.cluster.rllib_module import PolicyModule, packed_space

    settings = small_settings(**changes)
    meta = ppo.make_meta(settings, task, WORLD, 0)
    env = NetworkVectorEnv(4, task, WORLD, **meta["env_kwargs"])
    seen, info = env.reset(seed=0)
    masked = task != "routing"
    model = {"kind": meta["policy"], "masked": masked, "kwargs": meta["policy_kwargs"], "seed": 0}
    model["observation_space"] = env.single_observation_space
    packed = packed_space(env.single_observation_space, env.single_action_space, masked)
    module = PolicyModule(observation_space=packed, action_space=env.single_action_space, model_config=model)
    masks = {"action_masks": info["action_mask"]} if masked else {}
    rows = np.concatenate([seen, info["action_mask"].astype(np.float32)], axis=1) if masked else seen
    with torch.no_grad():
        scores = module.forward_exploration({"obs": torch.from_numpy(rows)})["action_dist_inputs"]
        ours = module.get_exploration_action_dist_cls().from_logits(scores)
        actions = ours.to_deterministic().sample().numpy() if task != "routing" else scores[:, :5].clamp(-1, 1).numpy()
        values = module.compute_values({"obs": torch.from_numpy(rows)})
        chosen = torch.as_tensor(actions)
        expected, log_prob, entropy = module.policy.evaluate_actions(torch.from_numpy(seen), chosen, **masks)
    predicted, _ = module.policy.predict(seen, deterministic=True, **masks)
    assert np.array_equal(actions, predicted)
    assert torch.equal(values, expected.squeeze(1))
    assert torch.allclose(ours.logp(chosen), log_prob, atol=1e-6)
    assert torch.allclose(ours.entropy(), entropy, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "changes"),
    [("placement", {}), ("joint", {}), ("routing", {}), ("placement", {"policy": "mlp", "interface": "operations"})],
)
def test_every_task_trains_and_can_be_benchmarked(task, changes, alone, tmp_path, capsys):
    settings = small_settings(timesteps=TIMESTEPS, **changes)
    out = rllib().train("toy-3", task, settings, seed=3, out=tmp_path / "run", runners=0, quiet=True)
    learned = checkpoint.load(out, scenario="toy-3")
    assert (learned.meta["task"], learned.meta["algorithm"]) == (task, "PPO" if task == "routing" else "MaskablePPO")
    found = rows(out)
    assert [row["timesteps"] for row in found if row["terms/cost"]] == [str(32 * i) for i in range(1, 6)]
    assert max(float(row["validation/return"]) for row in found if row["validation/return"]) == pytest.approx(
        learned.meta["validation_return"]
    )
    again = playing.run(learned, "toy-3", task, settings.evaluation_episodes, 0, split="validation")
    assert again.returns.mean() == learned.meta["validation_return"]
    arguments = ["--scenario", "toy-3", "--env", f"og_env/{task.capitalize()}-v1", "--episodes", "2"]
    assert benchmark.main([*arguments, "--policies", f"static,{out}", "--out", str(tmp_path / "bench")]) == 0
    assert "run" in capsys.readouterr().out


@pytest.mark.slow
def test_several_decisions_in_a_step_are_discounted_by_the_clock(alone, tmp_path, monkeypatch):
    module = rllib()
    from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets  # pyright: ignore[reportMissingImports]

    from og_agents.cluster import rllib_advantages

    seen, discounts = [], {"gamma": 0.9, "gae_lambda": 0.8}

    def watched(*columns, **named):
        seen.append(columns)
        return targets_of(*columns, **named)

    monkeypatch.setattr(rllib_advantages, "targets_of", watched)
    settings = small_settings(timesteps=TIMESTEPS, credit="reward")
    several = loading.override(WORLD, {"episode.operations_per_step": 3})
    module.train(several, "placement", settings, seed=3, out=tmp_path / "several", runners=0, quiet=True)
    assert len(seen) == TIMESTEPS // (SMALL["n_envs"] * SMALL["n_steps"])
    for values, rewards, cut, elapsed in seen:
        assert len(values) == len(rewards) == len(cut) == len(elapsed)
        taken = np.flatnonzero(cut == 0)
        usual = compute_value_targets(values, rewards, np.zeros_like(cut), cut, 0.9, 0.8)
        assert np.allclose(targets_of(values, rewards, cut, np.ones_like(elapsed), **discounts), usual)
        assert 0 < elapsed[taken].mean() < 1, "the clock stands now and then"
        assert (rewards[taken][elapsed[taken] == 0] == 0).all(), "and pays nothing meanwhile, the offset included"
    again = playing.run(checkpoint.load(tmp_path / "several"), several, "placement", 2, 0, split="validation")
    assert np.isfinite(again.returns).all()


@pytest.mark.slow
@pytest.mark.parametrize("operations", [1, 3])
def test_a_runner_started_anew_gives_the_same_fragment(operations, alone, tmp_path):
    from og_agents.cluster import rllib_algorithm
    from og_agents.cluster.rllib_runner import FragmentRunner, Position

    settings = small_settings()
    world = loading.override(WORLD, {"episode.operations_per_step": operations})
    meta = ppo.make_meta(settings, "placement", world, 0)
    algo = rllib_algorithm.algorithm(meta, settings, 0, 0)
    weights = algo.weights()
    common = {"weights": weights, "steps": 8, "offset": -1.5, "seed": 0}
    first, second = (FragmentRunner(config=algo.config, worker_index=2, num_workers=2) for _ in range(2))
    assert first.rows == 2
    position = Position(0, [])
    for update in range(4 * operations):
        here = Position(position.round, list(position.actions))
        one = rllib_algorithm.checked(first.fragment(update=update, position=here, **common))
        second.make_env()
        other = rllib_algorithm.checked(second.fragment(update=update, position=here, **common))
        assert one.happened == other.happened and one.position.round == other.position.round
        assert len(one.episodes) == len(other.episodes) and one.runner == 1
        for left, right in zip(one.episodes, other.episodes, strict=True):
            assert (left.id_, left.is_truncated, left.t_started) == (right.id_, right.is_truncated, right.t_started)
            for name in ("observations", "actions", "rewards"):
                assert np.array_equal(getattr(left, name).data, getattr(right, name).data)
        position = one.position
    assert position.round == 2 if operations == 1 else position.round > 0, "episodes of 12 steps have ended"
    algo.stop()


@pytest.mark.slow
def test_killed_runners_change_no_weight(tmp_path, monkeypatch):
    module = rllib()
    from og_agents.cluster import rllib_algorithm

    settings = small_settings(timesteps=TIMESTEPS)
    killed, restarts = [], []
    with two_nodes() as cluster, ray_cluster.connected(cluster.address, 2):
        module.train(WORLD, "placement", settings, seed=1, out=tmp_path / "calm", runners=2, quiet=True)
        plain = rllib_algorithm.FragmentPPO._fragments

        def deadly(self, *arguments):
            if self.update in (1, 3):
                pids = self.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
                victim = pids[self.update // 2]
                killed.append(victim)
                # before the call that asks for experience, and while it runs
                threading.Timer(0.01 * (self.update // 2), os.kill, (victim, signal.SIGKILL)).start()
            fragments = plain(self, *arguments)
            restarts.append(self.env_runner_group.num_remote_worker_restarts())
            return fragments

        monkeypatch.setattr(rllib_algorithm.FragmentPPO, "_fragments", deadly)
        module.train(WORLD, "placement", settings, seed=1, out=tmp_path / "deadly", runners=2, quiet=True)
        monkeypatch.undo()
        module.train(WORLD, "placement", settings, seed=2, out=tmp_path / "other", runners=2, quiet=True)
    assert len(killed) == 2 and restarts[1] == 1 and restarts[-1] == 2
    calm, deadly_rows, other = (rows(tmp_path / name) for name in ("calm", "deadly", "other"))
    assert calm == deadly_rows and calm != other
    tensors = [checkpoint.read_tensors(tmp_path / name / checkpoint.WEIGHTS)[0] for name in ("calm", "deadly")]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.slow
@pytest.mark.parametrize("runners", [0, 2])
def test_a_stopped_run_goes_on_bit_for_bit(runners, alone, tmp_path, monkeypatch):
    module = rllib()
    from og_agents.cluster.rllib_algorithm import FragmentPPO

    settings = small_settings(timesteps=TIMESTEPS, evaluations=5)
    train = partial(module.train, WORLD, "placement", settings, seed=3, runners=runners, quiet=True)
    whole, stopped = train(out=tmp_path / "whole"), tmp_path / "stopped"
    plain = FragmentPPO.step

    def asked_to_end(self):
        happened = plain(self)
        if self.update == 3:
            signal.raise_signal(signal.SIGTERM)
        return happened

    with monkeypatch.context() as patch:
        patch.setattr(FragmentPPO, "step", asked_to_end)
        with pytest.raises(Interrupted, match=r"96 steps and saved; go on with: .* --engine rllib$") as end:
            train(out=stopped)
    assert end.value.code == 143 and len(rows(stopped)) < len(rows(whole))
    train(out=stopped, resume=True)
    assert rows(stopped) == rows(whole)
    (first, progress), (second, other) = (resume_file.read(folder) for folder in (whole, stopped))
    learned = [name for name in first if name.startswith(("policy.", "optimizer.", "actions."))]
    assert len(learned) > 20 and all(np.array_equal(first[name], second[name]) for name in learned)
    assert progress.timesteps == other.timesteps == TIMESTEPS and progress.best == other.best
    with pytest.raises(ValueError, match="the run is complete"):
        train(out=stopped, resume=True)


@pytest.mark.slow
def test_the_command_goes_on_with_the_runners_of_the_run(alone, tmp_path, capsys):
    small = tmp_path / "small.toml"
    small.write_text(tomli_w.dumps(SMALL), encoding="utf-8")
    out, of_sb3 = str(tmp_path / "run"), str(tmp_path / "sb3")
    common = ["--scenario", "toy-3", "--config", str(small), "--timesteps", "32", "--quiet", "--compare", "0"]
    assert script.main([*common, "--engine", "rllib", "--num-env-runners", "1", "--out", out]) == 0
    assert script.main([*common, "--out", of_sb3]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["--resume", out], "RLlib trained this run: it goes on with --engine rllib"),
        (["--resume", of_sb3, "--engine", "rllib"], "RLlib did not train this run: leave --engine rllib out"),
        (["--resume", out, "--engine", "rllib", "--num-env-runners", "2"], "--num-env-runners is 2, and the run has 1"),
        (["--resume", out, "--engine", "rllib"], "the run is complete"),
    ):
        assert script.main([*arguments, "--quiet"]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    words = ["--resume", out, "--engine", "rllib", "--timesteps", "64", "--quiet", "--compare", "0"]
    assert script.main(words) == 0
    assert resume_file.read(tmp_path / "run")[1].timesteps == 64


@pytest.mark.slow
def test_the_command(alone, tmp_path, capsys):
    small = tmp_path / "small.toml"
    small.write_text(tomli_w.dumps(SMALL), encoding="utf-8")
    common = ["--scenario", "toy-3", "--config", str(small), "--timesteps", "64", "--engine", "rllib"]
    assert script.main([*common, "--num-env-runners", "1", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert "og-env benchmark" in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "run").meta["scenario"]["name"] == "toy-3"
    assert script.main([*common, "--num-env-runners", "5"]) == 2
    error = capsys.readouterr().err
    assert "5 env runners for 4 environments" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-env-runners", "2"], "--num-env-runners needs --engine rllib"),
        (["--ray-address", "127.0.0.1:1"], "--ray-address needs --engine rllib or ray"),
        (["--engine", "rlib"], "invalid choice: 'rlib'"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1


def test_without_the_extra_it_says_which(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert script.main(["--scenario", "toy-3", "--engine", "rllib", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "extra rllib" in error and error.count("\n") == 1
