"""The next operation: the decision is the policy's, its reasons are the simulator's, mistakes are one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.advice import decide, short_state
from og_agents.advice.decide import Adviser
from og_agents.commands import decide as command
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo
from og_env.kernel.arrays import KNOBS, TERMS
from og_env.scenario import loading
from og_env.simulator import describe_operation
from og_env.simulator.live_state import describe
from tests.cases.short_training import small_settings

NAME = "global-16"
HOLDING = ("fetching", "loading", "warm")
"""phases of a replica that hold GPUs"""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A policy that has learned for a moment."""
    out = tmp_path_factory.mktemp("runs") / "ppo"
    return ppo.train(NAME, "placement", small_settings(timesteps=64), seed=0, out=out, quiet=True)


@pytest.fixture(scope="module")
def state():
    return decide.example(NAME, seed=4, steps=20)


@pytest.mark.parametrize("kind", ["greedy", "learned"])
def test_the_decision_is_what_the_policy_does_in_the_episode(kind, run):
    """The fleet has room for all: where much is refused, traffic swings, and a state does not say where it is going."""
    calm = limited({"demand.requests_per_s": 10.0})
    policy = heuristics.make("greedy") if kind == "greedy" else checkpoint.load(run, scenario=calm)
    env = playing.stage(policy, calm, "placement", 1, split="validation")
    adviser = Adviser(policy, calm)
    observation, info = env.reset(seed=6)
    same = 0
    for step in range(25):
        action, _ = policy.predict(observation, action_masks=info["action_mask"].astype(np.bool_))
        chosen = int(action[0])
        taken = int(env.simulator.output.offer[0, chosen - 1]) if chosen else 0
        if step > 0:
            same += adviser.decide(describe(env.simulator)).proposed == adviser.words(taken)
        observation, *_, info = env.step(action)
    assert same >= 22


def test_reasons_add_up(state):
    decision = Adviser(heuristics.make("greedy"), NAME).decide(state)
    planned = decision.planned
    parts = planned["service"] + planned["cost"] + planned["resilience"]
    assert planned["gain"] == pytest.approx(parts, abs=1e-6) and planned["gain"] > 0
    assert list(decision.by_term) == list(TERMS) and decision.by_term["churn"] < 0
    assert planned["gain"] >= max(gain for _, gain in decision.others)
    assert all(words != decision.operation for words, _ in decision.others)
    text = decision.text()
    assert text.startswith(decision.operation) and f"{planned['gain']:+.4f}" in text and text.count("\n") <= 5


@pytest.mark.parametrize("policy", ["greedy", "operations"])
def test_no_advice_breaks_a_limit(policy, state):
    """With every model at its cap nothing is launched; greedy would, and so would the loader of numbered operations."""

    def launches(changes):
        adviser = Adviser(heuristics.make("greedy") if policy == "greedy" else Loader(), limited(changes))
        decision = adviser.decide(state)
        return [words for words in (decision.proposed, *(words for words, _ in decision.others)) if "launch" in words]

    held = Counter(replica["model"] for replica in state["replicas"] if replica["phase"] in HOLDING)
    caps = {model.name: held[model.name] for model in loading.resolve(loading.load(NAME)).models}
    assert held and launches({})
    assert not launches({"limits.most_replicas": caps})
    assert not launches({"limits.rent_usd_per_hour": 1.0})


def limited(changes):
    return loading.override(loading.load(NAME), changes)


def test_doing_nothing_has_no_gain(state):
    decision = Adviser(heuristics.make("static"), NAME).decide(state)
    assert decision.operation == "do nothing" and decision.planned == {}
    assert set(decision.by_term.values()) == {0.0} and "no difference" in decision.text()


@pytest.mark.parametrize("task", ["joint", "routing"])
def test_knobs_are_part_of_the_decision(task, state):
    decision = Adviser(heuristics.make("greedy", task=task), NAME, task).decide(state)
    assert tuple(decision.knobs) == KNOBS and "router:" in decision.text()
    assert decision.autoscaled == (task == "routing")


class Loader:
    """Launches the first model at the first place where it is possible, by numbered operations."""

    env_kwargs = {"interface": "operations"}

    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        assert action_masks is not None
        return action_masks[:, 1:].argmax(axis=1) + 1, state


def test_numbered_operations_have_reasons_too(state):
    """Where GPUs cost their rent alone, a launch costs more wherever the traffic goes then."""
    decision = Adviser(Loader(), limited({"prices.use_share": 0.0})).decide(state)
    assert decision.operation.startswith("launch") and decision.planned == {}
    assert decision.by_term["churn"] < 0 and decision.by_term["cost"] < 0


def test_a_planner_that_looks_ahead_is_shown_the_fleet(state):
    planners = pytest.importorskip("og_agents.planners")
    name = next(name for name in planners.NAMES if name not in planners.QUICK and name not in planners.ORACLES)
    decision = Adviser(planners.make(name, NAME), NAME).decide(state)
    assert decision.operation


def test_the_command(run, state, tmp_path, capsys):
    path = tmp_path / "fleet.json"
    assert command.main(["--example", NAME]) == 0
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert command.main(["--policy", str(run), "--state", str(path), str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("decided in") == 2 and shown.count("planned gain") + shown.count("do nothing") >= 2
    assert command.main(["--policy", "greedy", "--state", str(path), "--json"]) == 0
    decision = json.loads(capsys.readouterr().out)
    assert set(decision["by_term"]) == set(TERMS) and decision["decided_in_ms"] > 0

    wrong = json.loads(path.read_text(encoding="utf-8")) | {"status": {"nowhere": ["DOWN"]}}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    other = json.loads(path.read_text(encoding="utf-8")) | {"scenario": "toy-3"}
    (tmp_path / "other.json").write_text(json.dumps(other), encoding="utf-8")
    for arguments, message in (
        (
            ["--policy", "greedy", "--state", str(tmp_path / "wrong.json")],
            "wrong.json: status.nowhere: 'nowhere' is not",
        ),
        (["--policy", "greedy", "--state", str(path), str(tmp_path / "other.json")], "of another scenario than"),
        (["--policy", "gredy", "--state", str(path)], "'gredy' is neither"),
        (["--policy", "greedy", "--env", "og_env/Plac", "--state", str(path)], "unknown environment 'og_env/Plac'"),
        (["--policy", str(run), "--env", "og_env/Joint-v1", "--state", str(path)], "trained for og_env/Placement-v1"),
        (["--policy", "greedy", "--state", str(tmp_path / "none.json")], "no such file"),
    ):
        assert command.main(arguments) == 2
        message_shown = capsys.readouterr().err
        assert message in message_shown and message_shown.count("\n") == 1
    with pytest.raises(SystemExit):
        command.main([])


def test_a_policy_for_another_world_is_refused(run, tmp_path, capsys):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(decide.example("toy-3", steps=2)), encoding="utf-8")
    assert command.main(["--policy", str(run), "--state", str(path)]) == 2
    assert "trained on scenario 'global-16', not on 'toy-3'" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"[1", b"[1]", b"{}", b"\xff\xfe", b"null", b'{"format": 99}'])
def test_files_that_are_no_state_are_refused_in_a_line(content, tmp_path, capsys):
    path = tmp_path / "fleet.json"
    path.write_bytes(content)
    assert command.main(["--policy", "greedy", "--state", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}") and error.count("\n") == 1


def test_the_command_has_torch_on_one_thread():
    code = (
        "import os, runpy, sys; sys.argv = ['decide', '--policy', 'greedy', '--state', 'none.json']\n"
        "try: runpy.run_module('og_agents.commands.decide', run_name='__main__')\n"
        "except SystemExit: print(os.environ['OMP_NUM_THREADS'], 'torch' in sys.modules)"
    )
    unset = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=unset, capture_output=True, text=True)
    assert done.stdout == "1 False\n", done.stderr


class Remover:
    """Removes the gateway of toy-3's only site that has one, by numbered operations."""

    env_kwargs = {"interface": "operations"}

    def attach(self, env):
        self.names = [site.name for site in env.simulator.world_of(0).resolved.sites]

    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        assert action_masks is not None
        words = [describe_operation(number, self.names, ["unit"]) for number in range(action_masks.shape[1])]
        return np.array([words.index("remove gateway at a")]), state


def test_what_the_look_ahead_finds_no_better_is_not_advised():
    """Without its only gateway nobody is served: the policy wants it, and the advice is to do nothing."""
    state = {"format": 1, "scenario": "toy-3", **PLACED}
    decision = Adviser(Remover(), "toy-3").decide(state)
    assert decision.proposed == "remove gateway at a" and decision.operation == "do nothing"
    assert decision.withheld and decision.gain < 0
    text = decision.text()
    assert text.startswith("do nothing: the look-ahead does not find remove gateway at a any better")
    assert "reward a step" in text and "dollars an hour" in text and "a step is 1 min" in text
    trusted = Adviser(Remover(), "toy-3", trusting=True).decide(state)
    assert trusted.operation == "remove gateway at a" and not trusted.withheld


PLACED = {
    "hour_utc": 0.0,
    "demand_rps": {"users": 8.0},
    "replicas": [{"model": "unit", "site": "a", "phase": "warm"}],
    "roles": [{"role": "gateway", "site": "a"}, {"role": "store", "site": "c"}, {"role": "verifier", "site": "c"}],
}


def test_a_state_of_one_line_is_filled_in_and_said(tmp_path, capsys):
    path = tmp_path / "fleet.json"
    path.write_text('{"scenario": "toy-3", "hour_utc": 4.0, "status": {"a": ["DOWN"]}}', encoding="utf-8")
    whole = short_state.read(path)
    assert whole.state.demand_rps == {"users": pytest.approx(8.0)}
    assert [(one.site, one.phase) for one in whole.state.replicas] == [("a", "loading")]
    assert {(one.role, one.site) for one in whole.state.roles} >= {("gateway", "a"), ("store", "c")}
    assert "8 requests/s" in whole.assumed[0] and len(whole.assumed) == 3
    assert command.main(["--policy", "greedy", "--state", str(path)]) == 0
    assert "assumed: users ask for what is usual at this hour" in capsys.readouterr().out


def test_shadow_mode_logs_and_touches_nothing_else(tmp_path, capsys):
    path, log = tmp_path / "fleet.json", tmp_path / "advice.jsonl"
    path.write_text(json.dumps({"scenario": "toy-3", **PLACED}), encoding="utf-8")
    before = path.read_bytes()
    for _ in range(2):
        assert command.main(["--policy", "greedy", "--state", str(path), "--shadow", str(log)]) == 0
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and lines[0]["state_sha256"] == lines[1]["state_sha256"] != ""
    assert lines[0]["time_utc"].endswith("+00:00") and {"operation", "proposed", "gain", "policy"} <= set(lines[0])
    assert path.read_bytes() == before and {one.name for one in tmp_path.iterdir()} == {"fleet.json", "advice.jsonl"}


def test_only_what_takes_time_says_when_it_is_useful(state):
    decision = Adviser(heuristics.make("greedy"), NAME).decide(state)
    assert "useful in 5 min" in decision._replace(planned=decision.planned | {"ready_s": 300.0}).text()
    assert "useful" not in decision._replace(planned=decision.planned | {"ready_s": 0.0}).text()
