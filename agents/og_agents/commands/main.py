"""The command line `og-env COMMAND ...`: what there is, and which module runs it. A module is imported when it runs."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: threads cost more than they bring here

import og_env
from og_env.errors import guarded, missing_extra, report_error, shielded


class Command(NamedTuple):
    """A command: who runs it, and what it needs."""

    line: str
    """of the help"""
    module: str
    """has `main(arguments)`"""
    needs: tuple[str, ...] = ()
    """modules without which it does nothing, from an extra of the package"""
    words: tuple[str, ...] = ()
    """arguments that come before the user's"""


HERE = "og_agents.commands"
WORLDS = "og_env.__main__"
COMMANDS: Mapping[str, Command] = {
    "demo": Command("play a policy against rules on a shipped scenario, and write the pages", f"{HERE}.demo"),
    "scenarios": Command("list the shipped scenarios", WORLDS, words=("scenarios",)),
    "show": Command("print the world of a scenario", WORLDS, words=("show",)),
    "schema": Command("print the JSON schema of a scenario file", WORLDS, words=("schema",)),
    "incidents": Command("list the recorded outages that can be replayed", WORLDS, words=("incidents",)),
    "make-scenario": Command("write a scenario from a CSV of nodes", f"{HERE}.make_scenario"),
    "audit": Command("audit a fleet: how many independent nodes, and what each adds", f"{HERE}.audit"),
    "ask": Command("answer a question about a fleet in sentences", f"{HERE}.ask"),
    "decide": Command("advise a live fleet: what to do next, and why", f"{HERE}.decide"),
    "benchmark": Command("compare policies on held-out episodes", f"{HERE}.benchmark"),
    "replay": Command("replay an incident, outages of your own or a plain day", f"{HERE}.replay"),
    "leaderboard": Command("put benchmarks on one page", f"{HERE}.leaderboard"),
    "dimensions": Command("which dimensions of a scenario decide", f"{HERE}.dimensions"),
    "train": Command("train a policy", f"{HERE}.train", ("torch", "stable_baselines3", "sb3_contrib", "safetensors")),
    "tune": Command("tune the constants of rules and planners", f"{HERE}.tune"),
    "export": Command("export a trained policy to ONNX", f"{HERE}.export", ("torch", "onnx", "onnxruntime")),
    "dataset": Command("write episodes as a Minari dataset", f"{HERE}.make_dataset", ("minari",)),
    "gallery": Command("draw scenarios at their worst moment", f"{HERE}.gallery", ("matplotlib", "PIL")),
    "calibrate": Command("fit the network or the demand to measurements", f"{HERE}.calibrate"),
    "validate": Command("how wrong the simulator is", f"{HERE}.validate"),
    "warm-up": Command("compile all kernels now, once for this installation", f"{HERE}.warm_up"),
}
"""in the order of the help: look, ask, compare, learn, write, check"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    shielded()
    if not words or words[0] in ("-h", "--help"):
        print(help_text())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"og-env {og_env.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        return report_error(f"unknown command {name!r}{nearest_command(name)}; og-env --help lists all")
    return guarded(lambda: run(COMMANDS[name], rest))


def run(command: Command, arguments: Sequence[str]) -> int:
    """Import a command's module and run it; ValueError in one line for a package that it needs."""
    if not {"-h", "--help"} & set(arguments):
        for module in command.needs:
            if importlib.util.find_spec(module) is None:
                raise ValueError(missing_extra(ModuleNotFoundError(name=module)))
    module = importlib.import_module(command.module)
    if simulator := sys.modules.get("og_env.simulator"):  # nothing is compiled by a command that plays nothing
        simulator.compile_also(
            "the router that optimises", lambda: _descent().is_ready(), lambda: _descent().compile_descent()
        )
    return module.main([*command.words, *arguments])


def _descent() -> Any:
    """The one module of this package with compiled code, which Routing meets."""
    return importlib.import_module("og_agents.planners.convex_descent")


def help_text() -> str:
    """All commands, a line each."""
    lines = ["usage: og-env COMMAND [OPTIONS]   og-env COMMAND --help   og-env --version", ""]
    width = max(map(len, COMMANDS)) + 2
    return "\n".join([*lines, *(f"  {name:<{width}}{command.line}" for name, command in COMMANDS.items())])


def nearest_command(wrong: str) -> str:
    """End of a message: the command that a word most resembles, however little."""
    [nearest] = difflib.get_close_matches(wrong.lower(), COMMANDS, n=1, cutoff=0.0)
    return f" (nearest valid: {nearest})"


if __name__ == "__main__":
    sys.exit(main())
