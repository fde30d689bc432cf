"""The wheel in an empty folder: every `og-env` command that README and the pages name runs there, in a quick form."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from og_env.scenario import catalog

pytest.importorskip("torch", reason="needs the train extra: pip install 'og_env[train]'")
ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = ROOT / "tests" / "cases" / "clusters"
PAGES = (ROOT / "README.md", *sorted((ROOT / ".github" / "docs").rglob("*.md")))
QUICK = {
    "benchmark": "--episodes 1",
    "dataset": "--episodes 1 --out runs/datasets",
    "demo": "--episodes 1",
    "dimensions": "--episodes 2",
    "export": "--check 2",
    "replay": "--episodes 1",
    "train": "--timesteps 32 --compare 0 --quiet --config quick.toml",
    "tune": "--episodes 1 --population 3 --rounds 1",
    "validate": "--quick",
}
"""options at the end of a command that make it short: the last one counts"""
INSTEAD = {
    "--resume runs/ppo": "--resume runs/ppo --timesteps 700",
    "--scenario S ": "--scenario toy-3 ",
    "--data DIR": "--data .",
    "ask fleet.csv": "ask runs/fleet.csv",
    "ask scripts/examples/fleet.csv": "ask runs/fleet.csv",
    "show NAME": "show one-cloud",
    "--scenario fleet.toml --kubectl": "--scenario toy-3 --kubectl",
}
"""words of a page that stand for the user's own, or need others in the quick form"""
LEFT_OUT = ("HOST:6379", "--engine ray", "--record configs")
"""words of commands that need a cluster, or a checkout"""
FRAGMENTS = ("og-env train", "og-env gallery", "og-env dimensions", "og-env benchmark", "og-env calibrate demand")
"""commands that a sentence names, without what they need or in their long form: only their help is asked for"""
SETTINGS = """
n_envs = 2
n_steps = 8
batch_size = 8
n_epochs = 1
evaluations = 1
evaluation_episodes = 2
branch_horizon = 2
"""
NEEDS = {"export": ("onnx", "onnxruntime"), "dataset": ("minari",)}
"""modules of extras, without which a command has to say so"""
RULE = """
import numpy as np

class Patient:
    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        return np.zeros(len(observation["globals"]), np.int64), state
"""


def commands() -> list[str]:
    """All commands of the pages, those that others build on first."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines() if line.startswith("og-env ")]
        lines += [line for line in re.findall(r"`(og-env [^`\n]+)`", text) if line not in lines]
        found |= dict.fromkeys(
            line.split(" #")[0].strip() for line in lines if not any(word in line for word in LEFT_OUT)
        )
    first = ("make-scenario --example", "make-scenario", "train")
    return sorted(found, key=lambda line: next((at for at, word in enumerate(first) if word in line), len(first)))


def quick(line: str) -> str:
    """A command in its quick form."""
    if line in FRAGMENTS:
        return f"{line} --help"
    for word, other in INSTEAD.items():
        line = line.replace(word, other)
    command, redirect, target = line.partition(" > ")
    name = command.split()[1]
    own = "--compare 0 --quiet" if "--resume" in command else QUICK.get(name, "")
    return f"{command} {own}".rstrip() + redirect + target


def round_trips() -> list[str]:
    """Rows of a matrix between ten metros, a little slower than light in glass."""
    metros = list(catalog.regions().values())[:10]
    return [
        f"{one.name},{other.name},{5 + (abs(one.lat_deg - other.lat_deg) + abs(one.lon_deg - other.lon_deg)):.1f}\n"
        for one, other in itertools.combinations(metros, 2)
    ]


def python(*words: str, **settings: object) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel; what else it needs is taken from the present environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0 and re.search("Could not find a version|No matching distribution", built.stderr):
        pytest.skip("the build needs hatchling, and no package index can be reached")
    assert built.returncode == 0, built.stderr
    [wheel] = folder.glob("*.whl")
    venv = folder / "venv"
    python("-m", "venv", "--without-pip", str(venv))
    program = venv / "bin" / "python"
    python("-m", "pip", "--python", str(program), "install", "--no-deps", "--quiet", str(wheel))
    site = next(venv.glob("lib/*/site-packages"))
    (site / "present.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    for path in (ROOT / "og_env").rglob("__pycache__/*.nb[ic]"):  # the sources are the same: so is what was compiled
        target = site / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return venv


def run(venv: Path, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    environ |= {"PATH": f"{venv / 'bin'}{os.pathsep}{environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = ["sh", "-e", "-c", line]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=900)


def failures(venv: Path, lines: Sequence[str], folder: Path) -> list[str]:
    """Messages of the commands that do not end as they should."""
    wrong = []
    for line in lines:
        done, name = run(venv, line, folder), line.split()[1]
        missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
        if missing and "--help" not in line:
            fine = done.returncode == 2 and "pip install 'og_env[" in done.stderr and done.stderr.count("\n") == 1
        else:
            fine = done.returncode == 0 and "Traceback" not in done.stderr
        if not fine:
            wrong.append(f"{line}: code {done.returncode}: {done.stderr[-600:]}")
        if "--out runs/ppo " in f"{line} ":
            shutil.copytree(folder / "runs" / "ppo", folder / "runs" / "mine")
    return wrong


@pytest.mark.slow
def test_every_command_of_the_pages_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "python -c 'import og_env, og_agents; print(og_env.__file__, og_agents.__file__)'", tmp_path)
    assert all(str(installed) in path for path in where.stdout.split()), where
    (tmp_path / "mine.py").write_text(RULE, encoding="utf-8")
    (tmp_path / "quick.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "matrix.csv").write_text("src,dst,rtt_ms\n" + "".join(round_trips()))
    (tmp_path / "trace.csv").write_text(
        "timestamp_s,requests_per_s\n" + "".join(f"{hour * 3600},{10 + hour % 24}\n" for hour in range(72))
    )
    (tmp_path / "requests.csv").write_text(
        "when,asked,said\n"
        + "".join(f"{9 * number},{200 + number % 300},{50 + number % 90}\n" for number in range(29000))
    )
    shutil.copytree(CLUSTERS, tmp_path, dirs_exist_ok=True)
    for name in ("nodes.csv", "ethereum_cl_2025-11.csv"):
        assert run(installed, f"og-env make-scenario --example {name}", tmp_path).returncode == 0
    (tmp_path / "runs" / "tutorial").mkdir(parents=True)
    header = (tmp_path / "nodes.csv").read_text(encoding="utf-8").splitlines()[0]
    candidates = f"{header}\nnew-1,ines,,PT,Lisbon,38.7,-9.1,altice,tdx,A100-80GB,4,1.10,\n"
    (tmp_path / "runs" / "tutorial" / "candidates.csv").write_text(candidates)
    wrong = failures(installed, [quick(line) for line in commands()], tmp_path)
    assert not wrong, "\n".join(wrong)
    assert (tmp_path / "demo" / "report.html").is_file() and (tmp_path / "demo" / "outage.html").is_file()


def test_commands_are_found_and_shortened() -> None:
    lines = commands()
    assert len(lines) >= 40 and any(line.startswith("og-env decide --example") for line in lines)
    assert (
        quick("og-env train --resume runs/ppo") == "og-env train --resume runs/ppo --timesteps 700 --compare 0 --quiet"
    )
    assert quick("og-env decide --example toy-3 > a.json") == "og-env decide --example toy-3 > a.json"
    assert quick("og-env benchmark --episodes 200") == "og-env benchmark --episodes 200 --episodes 1"
