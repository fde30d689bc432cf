"""Environments that are stepped for long: what memory and open descriptors they gain after they are warm.

`python -m tests.cases.soak --steps 10000000` prints both for every kind of environment.
"""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from og_env.vector_env import NetworkVectorEnv

PROCESS = Path("/proc/self")
KINDS = {
    "operations": ("placement", "global-24", {"interface": "operations"}, 0.6),
    "offers": ("placement", "toy-3", {}, 0.2),
    "knobs": ("routing", "grey-failures", {}, 0.1),
    "fleets": ("placement", "random-24", {"interface": "operations"}, 0.1),
}
"""task, scenario and arguments of a kind of environment, and its share of the steps"""
BATCH, WARM = 64, 4
"""environments side by side, and episodes of each that are played before anything is measured"""


class Growth(NamedTuple):
    """Growth of a process while a kind of environment is stepped."""

    kind: str
    steps: int
    """of all environments together, after the warm ones"""
    mebibytes: float
    """of resident memory"""
    descriptors: int


def resident_mebibytes() -> float:
    """Resident memory of this process."""
    pages = int((PROCESS / "statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list((PROCESS / "fd").iterdir()))


def soaked(kind: str, steps: int, seed: int = 0) -> Growth:
    """Play random episodes, made anew and closed every few, until about `steps` steps were taken."""
    task, scenario, arguments, _ = KINDS[kind]
    rng = np.random.default_rng(seed)

    def episode() -> int:
        env = NetworkVectorEnv(BATCH, task, scenario, **arguments)  # type: ignore[arg-type]
        _, info = env.reset(seed=int(rng.integers(2**31)))
        length, taken = env.simulator.spec.episode.steps, 0
        while taken < length:
            if task == "placement":
                masks = info["action_mask"]
                actions = np.where(masks, rng.random(masks.shape), -1.0).argmax(axis=1)
            else:
                actions = rng.uniform(-1, 1, env.action_space.shape)
            _, _, _, _, info = env.step(actions)
            taken += 1
        env.close()
        return taken * BATCH

    for _ in range(WARM):
        episode()
    gc.collect()
    before, opened, done = resident_mebibytes(), descriptors(), 0
    while done < steps:
        done += episode()
    gc.collect()
    return Growth(kind, done, resident_mebibytes() - before, descriptors() - opened)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000_000, metavar="N", help="of all kinds together")
    options = parser.parse_args()
    for kind in tqdm(KINDS):
        growth = soaked(kind, round(options.steps * KINDS[kind][3]))
        tqdm.write(
            f"{growth.kind}: {growth.steps:,} steps, {growth.mebibytes:+.1f} MiB, {growth.descriptors:+d} descriptors"
        )


if __name__ == "__main__":
    main()
