"""Read a JSON file: `read_json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from og_env.scenario.key_errors import shown
from og_env.scenario.text_files import read_text

MAX_JSON_BYTES = 16_000_000


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; ValueError in one line where it is missing, too long, or holds something else."""
    text = read_text(path, MAX_JSON_BYTES, "a JSON file")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must be a table of fields, not {shown(value)}")
    return value


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
