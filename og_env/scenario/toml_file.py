"""Read a TOML file: `read_toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from og_env.scenario.text_files import read_text

MAX_FILE_BYTES = 4_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ValueError in one line where it cannot be read, with the line of a syntax error."""
    text = read_text(path, MAX_FILE_BYTES, "a scenario file")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: TOML syntax: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: TOML is nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: TOML value: {error}") from None
