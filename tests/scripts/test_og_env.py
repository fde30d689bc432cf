"""The command `og-env`: its table, its help, mistyped commands, extras that are missing, and what it imports."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from og_agents.commands import main as og_env_command
from og_agents.commands.main import COMMANDS, main
from og_env.simulator import all_kernels

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: og-env {name} ")


def test_the_help_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(COMMANDS)
    assert max(map(len, lines)) <= 100
    assert main([]) == 2 and capsys.readouterr().out.splitlines() == lines


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"og-env {importlib.metadata.version('og_env')}\n"


@pytest.mark.parametrize(("wrong", "nearest"), [("trian", "train"), ("make_scenario", "make-scenario"), ("zzz", "")])
def test_a_mistyped_command_gives_the_nearest(wrong: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([wrong, "--episodes", "3"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: unknown command {wrong!r} (nearest valid: {nearest}") and error.count("\n") == 1


def test_arguments_go_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "toy-3"]) == 0 and capsys.readouterr().out.startswith("toy-3: ")
    assert main(["show", "toy-4"]) == 2 and "nearest valid: toy-3" in capsys.readouterr().err


def without(*modules: str) -> str:
    """Code that takes modules away, as if their extra were not installed."""
    return (
        "import importlib.util, sys\n"
        f"gone = {modules!r}\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name.split('.')[0] in gone else find(name, *a)\n"
        "sys.modules.update(dict.fromkeys(gone))\n"
    )


TRAIN = ("torch", "stable_baselines3", "sb3_contrib", "safetensors", "matplotlib", "PIL", "tensorboard", "tqdm")


def bare(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in an installation without the extra `train`."""
    code = f"{without(*TRAIN)}from og_agents.commands.main import main\nsys.exit(main({list(words)!r}))"
    command = [sys.executable, "-c", code]
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'agents'}", "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    "words",
    [
        ("scenarios",),
        ("show", "toy-3"),
        ("incidents",),
        ("audit", "--scenario", "toy-3"),
        ("make-scenario", "--example", "fleet.csv"),
        ("benchmark", "--scenario", "toy-3", "--policies", "static,greedy", "--episodes", "2", "--out", "here"),
    ],
    ids=lambda words: words[0],
)
def test_without_the_extra_what_needs_none_works(words: tuple[str, ...], tmp_path: Path) -> None:
    done = bare(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("words", [("train", "--scenario", "toy-3"), ("export", "--policy", "runs/ppo"), ("gallery",)])
def test_without_the_extra_the_others_say_which(words: tuple[str, ...], tmp_path: Path) -> None:
    done = bare(tmp_path, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "run `pip install 'og_env[train]'`" in done.stderr
    assert bare(tmp_path, words[0], "--help").returncode == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from og_agents.commands.main import main; main(['--help'])\n"
        "assert not {'torch', 'numba', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'agents'}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_command_that_plays_has_all_compiled_code_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_kernels, "ALSO", [])
    for _ in range(2):
        og_env_command.run(COMMANDS["warm-up"], ["--check"])
    [router] = all_kernels.ALSO
    router.compile()
    assert router.is_ready()
    descent = importlib.import_module("og_agents.planners.convex_descent")
    assert len(descent._descend.signatures) == 1


def test_the_warm_up_says_what_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = importlib.import_module("og_agents.commands.warm_up")
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all kernels are compiled"
    monkeypatch.setattr(command, "cold_parts", lambda: ["episodes"])
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().out == "to compile: episodes\n"
