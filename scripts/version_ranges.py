"""Constraints for pip from the ranges in pyproject.toml: each dependency at its lowest, or none at its highest.

python scripts/version_ranges.py lowest > constraints.txt

`lowest` pins what og_env and its training need to the lower ends. `highest` leaves the choice to pip, within the upper
ends. `pinned` prints constraints.txt without Gymnasium, whose version `make test-compat` chooses. It needs Python alone.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("lowest", "highest", "pinned")
LOWEST = re.compile(r"([A-Za-z0-9_-]+)(?:\[[^]]*\])?>=([\w.]+)")


def lowest() -> list[str]:
    """NAME==VERSION of the lower end of each dependency, of the package and of its training."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = map(LOWEST.match, [*project["dependencies"], *project["optional-dependencies"]["train"]])
    return [f"{match[1]}=={match[2]}" for match in found if match]


def constraints(kind: str) -> list[str]:
    """The lines for one kind of environment."""
    if kind == "lowest":
        return lowest()
    if kind == "highest":
        return []
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in pinned if not line.startswith("gymnasium==")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) != 1 or words[0] not in KINDS:
        print(f"error: one word is needed: {', '.join(KINDS)}", file=sys.stderr)
        return 2
    print("\n".join(constraints(words[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
