"""The tutorial does what it says: its blocks run, one after another, as a reader would run them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from og_agents.commands.main import COMMANDS

pytest.importorskip("torch", reason="needs the train extra: pip install 'og_env[train]'")
ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / ".github" / "docs" / "tutorial.md"
SHARED_OPTIONS = "".join(
    (ROOT / "agents" / "og_agents" / path).read_text(encoding="utf-8")
    for path in ("evaluation/command_options.py", "commands/table_options.py")
)
TEXT = TUTORIAL.read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not run by the test -->\n)?```(sh|python)\n(.*?)```", TEXT, re.DOTALL)
SHORTER = {
    "--episodes 50": "--episodes 2",
    "episodes=50": "episodes=2",
    "--episodes 4": "--episodes 1",
    "--minutes 2": "--timesteps 4096 --n-envs 16",
}
LEFT_BEHIND = (
    *("fleet.csv", "fleet.toml", "fleet.png", "heuristics/report.html", "ppo/benchmark/summary.json", "leaderboard.md"),
    *("outage.html", "audit/audit.png"),
)


def shorter(code: str) -> str:
    """With less training and fewer episodes."""
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty place, where `og-env` is that of this source tree."""
    command = tmp_path / "bin" / "og-env"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m og_agents.commands.main "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def run(kind: str, code: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'agents'}",
        "OMP_NUM_THREADS": "1",
    }
    command = ["sh", "-e", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_every_block_runs(folder: Path) -> None:
    printed = [run(kind, shorter(code), folder) for skipped, kind, code in BLOCKS if not skipped]
    assert all(printed), "a block prints nothing"
    for name in LEFT_BEHIND:
        assert (folder / "runs" / "tutorial" / name).stat().st_size > 0, name
    text = "\n".join(printed)
    assert "14 nodes of 9 providers" in text and "provider:bigcloud" in text
    assert re.search(r"PPO (wins|loses|cannot)", text)
    recovery = re.search(r"^static .* (\d+) min", text, re.MULTILINE)
    assert recovery is not None and int(recovery[1]) >= 240, "the fleet as it is comes back while its cloud is dark"
    assert re.search(r"new-2[\s\S]*new-1", printed[-1]), "the node of another provider is not ranked first"


def test_what_is_shortened_is_there() -> None:
    code = "".join(code for _, _, code in BLOCKS)
    for long in SHORTER:
        assert long in code, long


def test_there_are_blocks_for_every_step_and_no_other() -> None:
    assert len(BLOCKS) >= 10 and sum(bool(skipped) for skipped, _, _ in BLOCKS) == 1
    assert [heading[0] for heading in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)] == list("123456")
    assert TEXT.count("```") == 2 * len(BLOCKS), "a block of another language is not run"


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)", TEXT):
        assert (TUTORIAL.parent / target).exists(), target


def test_words_in_the_text_are_options_of_the_commands() -> None:
    for name, words in re.findall(r"og-env ([a-z-]+)([^\n`]*)", TEXT):
        found = importlib.util.find_spec(COMMANDS[name].module)
        assert found is not None and found.origin is not None
        known = Path(found.origin).read_text(encoding="utf-8") + SHARED_OPTIONS
        for option in re.findall(r"--[a-z0-9-]+", words):
            assert f'"{option}"' in known, f"{name} {option}"
