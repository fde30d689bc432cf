"""Training runs that are killed at random moments and gone on with: at the end they are the run that was left alone.

`python -m tests.cases.killed_training --kills 300` prints how many ended alike; `--seed` repeats the moments.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from og_agents.learning import checkpoint, ppo, resume_file, rollout_policy_iteration, run_folder
from og_env.scenario import loading
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
SEVERAL = loading.override(WORLD, {"episode.operations_per_step": 2})
FLEETS = short_world("random-24")
STEERED = short_world("near-but-cold")
KINDS = ("ppo", "branches", "operations", "lstm", "routing", "joint", "several", "fleets", "rpi", "beside")
"""kinds of runs"""
TIMED = ("ended",)
"""parts of a state with seconds in them"""


class Outcome(NamedTuple):
    """Kills of runs of a kind."""

    kind: str
    kills: int
    runs: int
    other: list[int]
    """numbers of the runs that ended otherwise than the one that was left alone"""


def train(kind: str, out: Path, *, evaluations: int = 3) -> None:
    """Go on with a tiny run of a kind where `out` has one, and else begin it."""
    if is_complete(out):
        return
    resume = (out / resume_file.RESUME).is_file()
    common: dict[str, Any] = {"seed": 5, "out": out, "quiet": True, "resume": resume}
    shared = {"n_envs": 2, "evaluations": evaluations, "evaluation_episodes": 1}
    if kind in ("rpi", "beside"):  # beside a router in Joint
        settings = small_settings(**shared, branch_states=64, branch_horizon=3, branch_spacing=3)
        world, placed = (WORLD, "placement") if kind == "rpi" else (STEERED, "joint")
        rollout_policy_iteration.train(world, settings, task=placed, **common)
        return
    task: Any = kind if kind in ("routing", "joint") else "placement"
    world = {"several": SEVERAL, "fleets": FLEETS}.get(kind, WORLD)
    given = {
        "branches": {"credit": "branches"},
        "operations": {"credit": "branches", "interface": "operations", "branch_tries": 6, "branch_rounds": 2},
        "lstm": {"policy": "lstm"},
    }
    settings = small_settings(**shared, timesteps=96, **given.get(kind, {}))
    ppo.train(world, task, settings, **common)


def is_complete(out: Path) -> bool:
    """Whether the run that a folder holds has come to its end."""
    try:
        _, done = resume_file.read(out)
    except ValueError:
        return False
    settings = done.meta["settings"]
    return done.timesteps >= settings["branch_states" if done.meta["algorithm"] == "rpi" else "timesteps"]


def digest(out: Path) -> str:
    """Of the policy that a run kept and of all of its last state, but for what the clock says."""
    state, done = resume_file.read(out)
    total = hashlib.sha256((out / checkpoint.WEIGHTS).read_bytes())
    card = checkpoint.read_meta(out)
    total.update(repr((done.timesteps, done.best, done.due, done.rows, card["validation_return"])).encode())
    for name in sorted(set(state) - set(TIMED)):
        value = state[name]
        total.update(name.encode())
        total.update(
            value.numpy().tobytes() if hasattr(value, "numpy") else getattr(value, "tobytes", repr(value).encode)()
        )
    return total.hexdigest()


def child(work: Callable[[], None], after_s: float | None) -> tuple[bool, float]:
    """Do work in a process of its own and kill it after a time; whether it came to its end, and its seconds."""
    began_s = time.monotonic()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    if after_s is not None:
        while time.monotonic() < began_s + after_s:
            time.sleep(0.001)
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                break
        else:
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
    else:
        _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run ended with code {code}")
    return code == 0, time.monotonic() - began_s


def kill_runs(kind: str, kills: int, seed: int, folder: Path) -> Outcome:
    """Kill runs of a kind at random moments, as often as asked for, and go on with each until its end.

    Call it in a process that has no other threads.
    """
    # a lock that processes share stays locked when one of them is killed, and a thread does not survive a fork
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0
    run_folder.SAVE_EVERY_S = 0.0
    for module in ("training_progress", "rollout_policy_iteration"):
        sys.modules[f"og_agents.learning.{module}"].SAVE_EVERY_S = 0.0  # type: ignore[attr-defined]
    alone = folder / f"{kind}-alone"
    train(kind, alone)  # here, so that all the others find the kernels in memory
    _, whole_s = child(lambda: train(kind, folder / f"{kind}-again"), None)
    expected, draw = digest(alone), random.Random(seed)
    done, run, other = 0, 0, []
    if digest(folder / f"{kind}-again") != expected:
        other.append(-1)
    while done < kills:
        out = folder / f"{kind}-{run}"
        ended = False
        while not ended:
            after_s = draw.uniform(0.1, 1.1) * whole_s if done < kills else None
            ended, _ = child(lambda out=out: train(kind, out), after_s)  # type: ignore[misc]
            done += not ended
        if digest(out) != expected:
            other.append(run)
        run += 1
    return Outcome(kind, done, run, other)


def main() -> int:
    """Print a line for each kind of run; the exit code is 1 where one ended otherwise."""
    parser = argparse.ArgumentParser(description="Kill training runs at random moments and go on with them.")
    parser.add_argument("--kills", type=int, default=10, help="of each kind (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)} (default: all)")
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds.split(","):
            outcome = kill_runs(kind, options.kills, options.seed, Path(folder))
            failures += len(outcome.other)
            print(
                f"{kind}: {outcome.kills} kills, {outcome.runs} runs, {len(outcome.other)} ended otherwise", flush=True
            )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
