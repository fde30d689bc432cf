"""Policies by name, and rules of one's own by `module:Class` from the working folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import og_agents
import og_env
from og_agents.commands import benchmark, replay
from og_agents.load_policies import load_policies, load_policy
from og_env.scenario import loading

RULES = """
import numpy as np

class Patient:
    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        return np.zeros(len(observation["globals"]), np.int64), state

class greedy(Patient):
    pass

def quick():
    return Patient()

class Mute:
    pass

class Choosy(Patient):
    def __init__(self, bound):
        self.bound = bound

LIMIT = 3
"""
TOY = loading.load("toy-3")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with rules in it."""
    (tmp_path / "own_rules.py").write_text(RULES, encoding="utf-8")
    (tmp_path / "own_broken.py").write_text("import numpy\ndef half(:\n", encoding="utf-8")
    (tmp_path / "own_lacking.py").write_text("import nowhere_to_be_found\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_a_rule_of_ones_own_is_judged_under_its_name() -> None:
    words = ["static", "own_rules:Patient", "own_rules:quick", "own_rules:greedy"]
    policies, judged = load_policies(words, TOY, "placement")
    assert list(policies) == ["static", "Patient", "quick", "own_rules:greedy"]
    assert judged == ["Patient", "quick", "own_rules:greedy"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("own_rule:Patient", "there is no module 'own_rule' in .* (nearest valid: own_rules)"),
        ("own_rules:Pateint", "own_rules has no class 'Pateint' (nearest valid: Patient)"),
        ("own_rules:Mute", "own_rules:Mute makes a Mute, which has no predict"),
        ("own_rules:Choosy", "own_rules:Choosy() fails: TypeError: "),
        ("own_rules:LIMIT", "own_rules:LIMIT is neither a class nor a function"),
        ("own_broken:half", "own_broken cannot be imported: SyntaxError: "),
        (
            "own_lacking:half",
            "own_lacking cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
    ],
)
def test_what_is_wrong_with_it_is_one_line(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^--policy: ") as raised:
        load_policies([word], TOY, "placement", option="--policy")
    text = str(raised.value)
    begin, _, end = message.partition(".*")
    assert text.startswith(f"--policy: {begin}") and end in text and "\n" not in text


def test_it_stands_in_table_report_and_replay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--scenario", "toy-3", "--policies", "nearest,own_rules:Patient,own_rules:quick", "--episodes", "2"]
    assert benchmark.main([*words, "--out", "here"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("Patient ")] == ["Patient", "Patient"]
    assert "quick cannot be told apart from" in out or "quick wins" in out or "quick loses" in out
    report = (folder / "here" / "report.html").read_text(encoding="utf-8")
    assert report.count('class="verdict') == 2 and "Patient" in report
    assert replay.main(["--scenario", "toy-3", "--policy", "own_rules:Patient", "--episodes", "1"]) == 0
    assert "Patient" in capsys.readouterr().out
    assert benchmark.main(["--scenario", "toy-3", "--policies", "own_rules:Nobody"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_one_policy_by_name_decides() -> None:
    env = gym.make("og_env/Placement-v1", scenario="toy-3")
    observation, _ = env.reset(seed=0)
    for word in ("greedy", "greedy_tuned", "own_rules:Patient"):
        policy = og_agents.load_policy(word, "toy-3")
        if word != "own_rules:Patient":
            assert isinstance(policy, og_agents.Policy)
        batch = {name: table[None] for name, table in observation.items()}
        actions, _ = policy.predict(batch, action_masks=np.asarray(env.unwrapped.action_masks())[None])  # type: ignore[attr-defined]
        assert np.shape(actions) == (1,)
    for task in ("routing", "og_env/Routing-v1"):
        assert load_policy("nearest", TOY, task).predict is not None


def test_a_word_for_several_or_for_none_is_an_error() -> None:
    for word, message in (("all", "stands for several"), ("static,greedy", "stands for several"), ("greedi", "greedy")):
        with pytest.raises(ValueError, match=message):
            load_policy(word, "toy-3")
    with pytest.raises(ValueError, match="no trained policy comes with the scenario 'toy-3'"):
        load_policy("ppo", "toy-3")
    with pytest.raises(ValueError, match="nearest valid: og_env/Joint-v1"):
        load_policy("greedy", "toy-3", "og_env/Jiont-v1")


def test_the_packages_offer_what_they_say() -> None:
    for package in (og_env, og_agents):
        assert all(hasattr(package, name) for name in package.__all__)
        assert package.__version__ == og_env.__version__
        assert (Path(str(package.__file__)).parent / "py.typed").is_file()
    assert og_agents.make_sb3.__module__ == "og_agents.sb3_adapter"
    with pytest.raises(AttributeError, match="make_sb4"):
        _ = og_agents.make_sb4  # type: ignore[attr-defined]
