"""Read a TOML file: `read_toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 4_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ValueError in one line where it cannot be read, with the line of a syntax error."""
    try:
        if path.is_dir():
            raise ValueError(f"{path}: is a directory, not a scenario file")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ValueError(f"{path}: {size_bytes:,} bytes are too many for a scenario (at most {MAX_FILE_BYTES:,})")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: too long for a scenario (at most {MAX_FILE_BYTES:,} bytes)")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: TOML syntax: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: TOML is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: TOML value: {error}") from None
