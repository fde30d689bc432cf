"""Read a JSON file: `read_json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from og_env.scenario.key_errors import shown

MAX_JSON_BYTES = 16_000_000


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; ValueError in one line where it is missing, too long, or holds something else."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path}: larger than {MAX_JSON_BYTES:,} bytes")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must be a table of fields, not {shown(value)}")
    return value
