"""Compile all kernels now, once for this installation, so that no other command has to.

og-env warm-up
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from og_env.errors import Parser, guarded
from og_env.simulator import Compiled, cold_parts, warm_up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env warm-up")
    parser.add_argument("--check", action="store_true", help="compile nothing: code 1 where something is left to do")
    options = parser.parse_args(arguments)
    return guarded(_check if options.check else _run)


def _check() -> int:
    cold = cold_parts()
    print(f"to compile: {', '.join(cold)}" if cold else "all kernels are compiled")
    return 1 if cold else 0


def _run() -> None:
    seconds = warm_up(_tell)
    print(f"compiled in {seconds:.0f} s; later commands start at once" if seconds else "all kernels are compiled")


def _tell(compiled: Compiled) -> None:
    line = f"{compiled.number} of {compiled.parts}: {compiled.part}, {compiled.seconds:.0f} s"
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
