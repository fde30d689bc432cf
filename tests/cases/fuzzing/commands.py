"""Fuzzed command lines of the scripts that answer quickly."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from og_agents.commands import audit, decide, leaderboard, make_scenario, replay
from og_env import __main__ as og_env_main
from tests.cases.fuzzing.fleets import table
from tests.cases.fuzzing.harness import run_command
from tests.cases.fuzzing.text import ODD_WORDS

COMMANDS: dict[str, tuple[Callable[[list[str]], int], tuple[str, ...]]] = {
    "audit": (
        audit.main,
        (
            "{csv}",
            "--scenario",
            "--candidates",
            "--weight",
            "--kinds",
            "--map",
            "--top",
            "--seed",
            "--json",
            "--out",
            "provider",
        ),
    ),
    "make_scenario": (
        make_scenario.main,
        (
            *(
                "{csv}",
                "--out",
                "{out}.toml",
                "--name",
                "--sample",
                "--seed",
                "--models",
                "--regions",
                "--gpu",
                "--gpus",
            ),
            *("--requests-per-s", "--shocks-per-day", "--force", "H100", "a=provider"),
        ),
    ),
    "og_env": (og_env_main.main, ("scenarios", "show", "schema", "incidents", "--fleet-seed", "toy-3", "random-24")),
    "replay": (
        replay.main,
        (
            "--scenario",
            "toy-3",
            "--policy",
            "static",
            "--episodes",
            "1",
            "--outage",
            "provider:P@1+1",
            "--seed",
            "--json",
        ),
    ),
    "decide": (decide.main, ("--policy", "greedy", "--state", "{csv}", "--example", "toy-3", "--json", "--env")),
    "leaderboard": (leaderboard.main, ("{csv}", "{folder}", "--out", "{out}.md")),
}
VALUES = (
    "0",
    "1",
    "2",
    "-1",
    "1e9",
    "9" * 40,
    "nan",
    "inf",
    "/dev/zero",
    "/dev/null",
    "{fifo}",
    "{folder}",
    "toy-3",
    "{nowhere}",
)
USUAL = {
    "audit": ["{csv}"],
    "make_scenario": ["{csv}", "--out", "{out}.toml"],
    "og_env": ["show", "toy-3"],
    "replay": ["--scenario", "toy-3", "--policy", "static", "--episodes", "1"],
    "decide": ["--policy", "greedy"],
    "leaderboard": ["{folder}", "--out", "{out}.md"],
}


def case(seed: int) -> None:
    """Run a command with a fuzzed command line."""
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        (folder / "fleet.csv").write_bytes(table(rng, float(rng.choice([0.0, 0.2])), 12))
        os.mkfifo(folder / "fifo")
        places = {"csv": "fleet.csv", "fifo": "fifo", "folder": "", "out": "made/out", "nowhere": "no/where"}
        name = list(COMMANDS)[rng.integers(len(COMMANDS))]
        main, words = COMMANDS[name]
        pool = (*words, *words, *VALUES, *ODD_WORDS)
        drawn = [pool[rng.integers(len(pool))] for _ in range(rng.integers(0, 6))]
        arguments = (USUAL[name] if rng.random() < 0.6 or name == "replay" else []) + drawn
        for place, path in places.items():
            arguments = [word.replace(f"{{{place}}}", str(folder / path)) for word in arguments]
        os.chdir(folder)
        run_command(main, arguments)
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


def warm() -> None:
    """Compile what the cases call."""
    run_command(replay.main, USUAL["replay"])
    run_command(decide.main, ["--example", "toy-3"])
