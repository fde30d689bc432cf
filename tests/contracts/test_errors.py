"""Missing packages, extras and environments, and wrong ids and imports, are said in one line each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium as gym
import pytest

import og_env  # noqa: F401 (registers the ids)
from og_env import errors
from og_env.errors import guarded, nearest_valid

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = {"PIL": "matplotlib", "tensordict": "torchrl", "sb3_contrib": "sb3-contrib"}
"""what brings a module that is called otherwise"""


def fresh(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run this Python as a new user does, without PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_what_is_needed_is_what_the_project_declares() -> None:
    declared = {re.split(r"[<>=]", line)[0].replace("-", "_"): line for line in PROJECT["dependencies"]}
    assert set(declared) == set(errors.NEEDED)
    assert declared["gymnasium"] == f"gymnasium>={'.'.join(map(str, errors.LEAST_GYMNASIUM))},<2"


def test_extras_are_those_of_the_project() -> None:
    for module, extra in errors.EXTRAS.items():
        lines = PROJECT["optional-dependencies"][extra]
        package = PACKAGES.get(module, module).replace("_", "-")
        assert any(re.match(rf"{package}\b", line) for line in lines), (module, extra)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("numba", "pydantic") else find(name))
    with pytest.raises(ImportError, match=r"^og_env needs numba, pydantic: run `pip install og_env` .* activate"):
        errors.check_requirements()


@pytest.mark.parametrize(("version", "old"), [("0.29.1", True), ("1.2.1", True), ("1.2.2", False), ("1.10.0a1", False)])
def test_an_old_gymnasium_is_named(monkeypatch: pytest.MonkeyPatch, version: str, old: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if not old:
        return errors.check_requirements()
    with pytest.raises(ImportError, match=rf"needs gymnasium 1\.2\.2 or newer, not {version}: run `pip install -U"):
        errors.check_requirements()


def test_a_message_shows_the_beginning_of_a_long_valid_word():
    assert nearest_valid("asn", ["x" * 5000, "node"]) == f" (valid: {'x' * 80}..., node)"


def test_the_nearest_valid_word_is_a_slip_of_two_neighbours_or_the_closest():
    incidents = ["aws-2020-11-25", "aws-2025-10-20", "gcp-2025-06-12"]
    assert nearest_valid("aws-2025-10-21", incidents) == " (nearest valid: aws-2025-10-20)"
    assert nearest_valid("gird", ["girl", "grid"]) == " (nearest valid: grid)"


def test_a_command_without_its_extra_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    def needs(module: str) -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert guarded(lambda: needs("torch.nn")) == 2
    error = capsys.readouterr().err
    assert error == "error: torch is not installed: run `pip install 'og_env[train]'`\n"
    with pytest.raises(ModuleNotFoundError):
        guarded(lambda: needs("og_env.nowhere"))


def test_the_adapter_without_its_extra_says_which() -> None:
    code = "import sys; sys.modules['stable_baselines3'] = None\nimport og_agents.sb3_adapter"
    last = fresh("-c", code, cwd=ROOT).stderr.splitlines()[-1]
    assert "stable_baselines3 is not installed: run `pip install 'og_env[train]'`" in last


@pytest.mark.parametrize("module", ["og_env", "og_env.__main__", "og_agents.commands.main"])
def test_a_python_without_the_packages_says_what_to_do(module: str, tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'agents')!r}]\nimport {module}"
    done = fresh("-S", "-c", code, cwd=tmp_path)  # -S: without site-packages
    assert done.returncode == 1
    assert re.match(r"ImportError: og_env needs .*activate the environment", done.stderr.splitlines()[-1])


def test_scripts_run_from_another_folder(tmp_path: Path) -> None:
    done = fresh(str(ROOT / "scripts" / "audit.py"), "--scenario", "toy-3", "--json", cwd=tmp_path)
    assert done.returncode == 0 and '"nodes": 3' in done.stdout


def test_the_id_may_bring_its_own_import() -> None:
    code = "import gymnasium as gym; print(gym.make('og_env:og_env/Placement-v1', scenario='toy-3').spec.id)"
    assert fresh("-c", code, cwd=ROOT).stdout.strip() == "og_env/Placement-v1"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("og_env/Placment-v0", "Did you mean: `Placement`?"),
        ("og_env/Placement-v9", r"versioned environments: \[ `v1` \]"),
        ("og-env/Placement-v1", "Did you mean: `og_env`?"),
    ],
)
def test_a_wrong_id_names_the_right_one(wrong: str, message: str) -> None:
    with pytest.raises(gym.error.UnregisteredEnv, match=message):
        gym.make(wrong)
