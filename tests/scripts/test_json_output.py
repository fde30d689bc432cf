"""With --json a command prints one object on standard output; -q and -v say how much it tells beside that."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from og_agents.commands import audit, demo, gallery, make_scenario, replay, train
from og_agents.commands.json_output import Ended, answered, asked
from og_agents.commands.main import COMMANDS
from og_agents.evaluation import progress
from og_env.scenario import loading
from tests.cases.short_training import short_files

FLEET = Path(__file__).parents[2] / "scripts" / "examples" / "fleet.csv"
TELL_NOTHING = {
    "scenarios",
    "show",
    "incidents",
    "make-scenario",
    "audit",
    "ask",
    "decide",
    "leaderboard",
    "export",
    "calibrate",
}
"""commands that end soon, and have no progress to tell"""


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, Any], str]]:
    """Run a command that ends well, and read the one object on standard output; what is told beside it comes second."""

    def run(command: Callable[[Sequence[str]], int], *words: str, code: int = 0) -> tuple[dict[str, Any], str]:
        capsys.readouterr()
        assert command([*words, "--json"]) == code
        out, error = capsys.readouterr()
        return json.loads(out), error

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A short scenario and small settings as files."""
    return short_files(tmp_path_factory.mktemp("files"))


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    command = COMMANDS[name]
    with pytest.raises(SystemExit):
        importlib.import_module(command.module).main([*command.words, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("schema", "ask")])  # one is JSON, one asks
def test_every_command_has_the_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(name, capsys)
    assert "--json" in text
    assert all((option in text) == (name not in TELL_NOTHING) for option in ("-q, --quiet", "-v, --verbose"))


def test_lines_go_to_standard_error_beside_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> Ended:
        print("a line")
        return Ended({"figure": 1}, 3)

    assert answered(run, as_json=False) == 3
    assert capsys.readouterr() == ("a line\n", "")
    assert answered(run, as_json=True) == 3
    out, error = capsys.readouterr()
    assert (json.loads(out), error) == ({"figure": 1}, "a line\n")
    assert answered(lambda: Ended({}, 2), as_json=True) == 2 and capsys.readouterr().out == ""


def test_a_command_asks_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(lambda words: print(json.dumps(words)) or 4, ["a"]) == Ended(["a", "--json"], 4)  # type: ignore[arg-type]
    assert asked(lambda words: 2, []) == Ended({}, 2)
    assert capsys.readouterr().out == ""


def test_demo(printed, tmp_path: Path) -> None:
    found, error = printed(demo.main, "--scenario", "toy-3", "--episodes", "2", "--out", str(tmp_path), "-q")
    assert found["pages"] == [str(tmp_path / "report.html"), str(tmp_path / "outage.html")]
    assert found["policy"] in found["benchmark"]["policies"] and found["benchmark"]["episodes"] == 2
    [replayed] = found["replay"]["replays"].values()
    assert set(replayed["policies"]) == {found["policy"], demo.RULES[0]} and found["seconds"] > 0
    assert "look at: " in error and "%" not in error


def test_demo_passes_on_how_much_to_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Sequence[str]] = []
    for command in (demo.benchmark, demo.replay):
        monkeypatch.setattr(command, "main", lambda words: told.append(words) or 0)
    for option in ("-q", "-v"):
        assert demo.main([option, "--out", str(tmp_path)]) == 0
        assert all(option in words for words in told) and len(told) == 2
        told.clear()
    monkeypatch.setattr(demo.benchmark, "main", lambda words: 2)
    assert demo.main(["--json", "--out", str(tmp_path)]) == 2 and told == []


def test_gallery(printed, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    found, error = printed(gallery.main, "toy-3", "--out", str(tmp_path), "-q")
    [(name, one)] = found["pictures"].items()
    assert (name, found["page"], one["file"]) == ("toy-3", None, str(tmp_path / "toy-3.png"))
    assert one["caption"] in error and error.count("\n") == 1
    assert (one["sites"], one["struck"]) == (3, 0) and one["latency_p95_ms"] > 0


def test_make_scenario(printed, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    found, error = printed(make_scenario.main, str(FLEET), "--out", str(path))
    spec = loading.load(path)
    assert (found["file"], found["name"], found["nodes"]) == (str(path), "fleet", 14)
    assert (found["providers"], found["countries"]) == (9, 13)
    assert found["requests_per_s"] == spec.demand.requests_per_s and 0 < found["gpu_share"] < 1
    assert all(f"{what} ({count})" in error for what, count in found["filled"].items())
    found, error = printed(make_scenario.main, "--example", str(tmp_path / "new.csv"))
    assert found == {"file": str(tmp_path / "new.csv")} and "written: " in error


@pytest.mark.parametrize("command", [make_scenario.main, audit.main])
def test_what_a_column_can_mean(printed, command) -> None:
    found, _ = printed(command, "--map")
    assert "hoster" in " ".join(found["meanings"]["provider"]["names"]) or found["meanings"]["provider"]["hint"]
    assert {"country", "node"} <= set(found["meanings"])


@pytest.mark.parametrize("algorithm", ["ppo", "rpi"])
def test_train(printed, files: tuple[str, str], tmp_path: Path, algorithm: str) -> None:
    words = ["--scenario", files[0], "--config", files[1], "--timesteps", "128", "--algorithm", algorithm, "-q"]
    found, error = printed(train.main, *words, "--out", str(tmp_path), "--compare", "2")
    card = json.loads((tmp_path / "policy.json").read_text(encoding="utf-8"))
    assert found["out"] == str(tmp_path) and not found["stopped"]
    assert found["validation_return"] == card["validation_return"]
    assert found["against_baselines"] == card["against_baselines"]
    assert found["verdict"].split()[0] == card["against_baselines"]["verdict"]
    assert f"verdict: {found['verdict']}" in error and found["compare"].endswith(f"--policies all,{tmp_path}")


def test_a_training_that_is_stopped_says_how_to_go_on(
    printed, files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from og_agents.learning import ppo
    from og_agents.learning.run_folder import Interrupted

    def stopped(*given: Any, **options: Any) -> Path:
        raise Interrupted("stopped")

    monkeypatch.setattr(ppo, "train", stopped)
    found, error = printed(train.main, "--scenario", files[0], "--out", str(tmp_path), code=130)
    assert found["stopped"] and found["go_on"] == f"og-env train --resume {tmp_path}" and "stopped" in error


@pytest.mark.parametrize(("algorithm", "line"), [("ppo", "updates in"), ("rpi", "states, best validation")])
def test_training_tells_more_or_nothing(
    files: tuple[str, str], tmp_path: Path, algorithm: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--scenario", files[0], "--config", files[1], "--timesteps", "128", "--algorithm", algorithm]
    words += ["--compare", "0", "--out", str(tmp_path)]
    told = {}
    for option in ("", "-v", "-q"):
        assert train.main([*words, *filter(None, [option])]) == 0
        out, told[option] = capsys.readouterr()
        assert out.startswith("trained: ") and out.count("\n") == 2, "progress is on standard error alone"
    assert "validation" in told[""] and line not in told[""] and line in told["-v"] and told["-q"] == ""


def test_a_replay_tells_its_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    words = ["--scenario", "toy-3", "--policy", "static", "--policy", "greedy", "--outage", "provider:P@0.2+0.2"]
    told = {}
    for option in ("", "-v", "-q"):
        assert replay.main([*words, "--episodes", "1", *filter(None, [option])]) == 0
        out, told[option] = capsys.readouterr()
        assert "static" in out and "%, 1 of 2 policies" not in out
    assert "0%, 0 of 2 policies: static" in told[""] and "50%, 1 of 2 policies: greedy" in told[""]
    assert "greedy: 1 replays of 1 episodes" in told["-v"] and told["-q"] == ""


def test_the_warm_up(printed, monkeypatch: pytest.MonkeyPatch) -> None:
    command = importlib.import_module("og_agents.commands.warm_up")
    compiled = importlib.import_module("og_env.simulator").Compiled

    def warm_up(told: Callable[[Any], None]) -> float:
        told(compiled("episodes", 1, 1, 2.0))
        return 2.5

    monkeypatch.setattr(command, "warm_up", warm_up)
    found, error = printed(command.main)
    assert found == {"seconds": 2.5, "compiled": {"episodes": 2.0}} and "1 of 1: episodes, 2 s" in error
    assert "1 of 1" not in printed(command.main, "-q")[1]
    monkeypatch.setattr(command, "cold_parts", lambda: ["episodes"])
    assert printed(command.main, "--check", code=1)[0] == {"to_compile": ["episodes"]}
