"""Compile all kernels now, once for this installation, so that no other command has to.

og-env warm-up
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from og_agents.commands.json_output import Ended, add_json_option, answered
from og_agents.evaluation.progress import add_progress_options
from og_env.errors import Parser, guarded
from og_env.simulator import Compiled, cold_parts, warm_up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env warm-up")
    parser.add_argument("--check", action="store_true", help="compile nothing: code 1 where something is left to do")
    add_json_option(parser)
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    return guarded(lambda: answered(_check if options.check else lambda: _run(options), options.json))


def _check() -> Ended:
    cold = cold_parts()
    print(f"to compile: {', '.join(cold)}" if cold else "all kernels are compiled")
    return Ended({"to_compile": cold}, 1 if cold else 0)


def _run(options: argparse.Namespace) -> Ended:
    parts: dict[str, float] = {}

    def tell(compiled: Compiled) -> None:
        parts[compiled.part] = compiled.seconds
        if not options.quiet:
            line = f"{compiled.number} of {compiled.parts}: {compiled.part}, {compiled.seconds:.0f} s"
            print(line, file=sys.stderr, flush=True)

    seconds = warm_up(tell)
    print(f"compiled in {seconds:.0f} s; later commands start at once" if seconds else "all kernels are compiled")
    return Ended({"seconds": seconds, "compiled": parts})


if __name__ == "__main__":
    sys.exit(main())
