"""The one object that a command prints with --json; all else that it tells goes to standard error then."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]


class Ended(NamedTuple):
    """A command that has come to its end."""

    figures: Json
    """what was written and where, and the figures that the command tells"""
    code: int = 0
    """exit code"""


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def answered(run: Callable[[], Ended], as_json: bool) -> int:
    """Run a command and return its exit code; with `as_json` standard output has its figures as one object, and no line."""
    if not as_json:
        return run().code
    with contextlib.redirect_stdout(sys.stderr):
        ended = run()
    if ended.figures:
        print(json.dumps(ended.figures, indent=1, allow_nan=False))
    return ended.code


def asked(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> Ended:
    """The object that another command prints with --json, and its exit code; no figures where it prints none."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = command([*words, "--json"])
    return Ended(json.loads(printed.getvalue() or "{}"), code)
