"""Episodes on a cluster: the numbers of the local run, also where a worker or a node is lost."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.cluster import ray_cluster, ray_evaluate
from og_agents.commands import benchmark
from og_agents.evaluation import playing
from og_agents.evaluation.episode_results import Episodes
from og_agents.learning import ppo
from tests.cases.ray_nodes import marked, nodes_used, two_nodes
from tests.cases.short_training import short_world, small_settings

EPISODES = 600
"""three batches of 200"""
WARNINGS = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")


def same(one: Episodes, other: Episodes) -> bool:
    """Whether everything but the time is the same, bit for bit."""
    arrays = ("seeds", "returns", "terms", "metrics")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    return equal and all(np.array_equal(one.traces[name], other.traces[name]) for name in one.traces)


@pytest.mark.slow
@WARNINGS
def test_a_killed_worker_changes_no_number(tmp_path):
    world = short_world()
    policies = {name: heuristics.make(name) for name in ("random", "greedy")}
    local = [playing.run(policy, world, "placement", EPISODES, 7, name=name) for name, policy in policies.items()]
    with two_nodes() as cluster, ray_cluster.connected(cluster.address):
        killing = {name: marked(policy, tmp_path, killed=name) for name, policy in policies.items()}
        spread = ray_evaluate.run_all(killing, world, "placement", EPISODES, 7)
    assert {path.name for path in tmp_path.glob("killed-*")} == {"killed-random", "killed-greedy"}
    assert len(nodes_used(tmp_path)) == 2, "both nodes took part"
    assert all(same(one, other) for one, other in zip(local, spread, strict=True))
    assert [run.policy for run in spread] == list(policies)


@pytest.mark.slow
@WARNINGS
def test_a_lost_node_changes_no_number(tmp_path):
    world = short_world()
    local = playing.run(heuristics.make("greedy"), world, "placement", EPISODES, 7)
    with two_nodes() as cluster:
        (second,) = [node for node in cluster.list_all_nodes() if not node.head]
        slow = {"greedy": marked(heuristics.make("greedy"), tmp_path, pause_s=0.3)}
        with ray_cluster.connected(cluster.address), ThreadPoolExecutor() as pool:
            running = pool.submit(ray_evaluate.run_all, slow, world, "placement", EPISODES, 7)
            while second.node_id not in nodes_used(tmp_path):
                assert not running.done(), "the second node took no part"
                time.sleep(0.1)
            cluster.remove_node(second, allow_graceful=False)
            (spread,) = running.result()
    assert same(local, spread)


@pytest.mark.slow
@WARNINGS
def test_the_benchmark_writes_the_same_files(tmp_path, capsys):
    run = ppo.train("toy-3", "placement", small_settings(), seed=0, out=tmp_path / "ppo", quiet=True)
    common = ["--scenario", "toy-3", "--policies", f"all,{run}", "--episodes", "8", "--headroom"]
    assert benchmark.main([*common, "--out", str(tmp_path / "local")]) == 0
    with two_nodes() as cluster:
        where = ["--engine", "ray", "--ray-address", cluster.address]
        assert benchmark.main([*common, *where, "--out", str(tmp_path / "ray")]) == 0
    capsys.readouterr()
    first, second = ((tmp_path / name / "results.csv").read_bytes() for name in ("local", "ray"))
    assert first == second
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("local", "ray")]
    for summary in summaries:
        for figures in summary["policies"].values():
            figures.pop("decisions_per_s")
    assert summaries[0] == summaries[1]


def test_mistakes_are_one_line(capsys, monkeypatch):
    short = ["--scenario", "toy-3", "--policies", "static", "--episodes", "2", "--engine", "ray"]
    with pytest.raises(SystemExit):
        benchmark.main([*short[:-1], "local", "--ray-address", "127.0.0.1:6379"])
    assert "--ray-address needs --engine ray" in capsys.readouterr().err
    absent = SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setattr(ray_cluster, "module", lambda: absent)
    for address, words in (("127.0.0.1:1", "no Ray cluster answers there"), ("nonsense", "it must be host:port")):
        assert benchmark.main([*short, "--ray-address", address]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", None)
    assert benchmark.main(short) == 2
    error = capsys.readouterr().err
    assert "extra rllib" in error and error.count("\n") == 1
