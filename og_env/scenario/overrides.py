"""Changes of a scenario from words KEY=VALUE of a command line; `loading.override` applies them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any


def changes_of(words: Iterable[str]) -> dict[str, Any]:
    """Changes of a scenario by dotted key from words KEY=VALUE, e.g. "failures.process=independent".

    A value is TOML, or a plain word. ValueError for a word without "=".
    """
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise ValueError(f"{word!r} changes nothing: write KEY=VALUE, such as failures.process=independent")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value.strip()
    return changes
