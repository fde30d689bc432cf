"""How every command of the project takes bad input: one line on standard error, exit code 2, no traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from og_env import requirements


def fail(message: str) -> int:
    """Print the line; returns the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong with an option in one line; options are not abbreviated."""

    def __init__(self, doc: str | None) -> None:
        super().__init__(description=(doc or "").split("\n")[0], allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(message))


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command; its own exit code (None is 0), or that of what it raised. A reader that closed the pipe is no error."""
    try:
        return run() or 0
    except ValueError as error:
        return fail(str(error))
    except ModuleNotFoundError as error:
        line = requirements.hint(error)
        if line is None:
            raise
        return fail(line)
    except BrokenPipeError:
        return 0
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        print("stopped: nothing was written", file=sys.stderr)
        return 130
