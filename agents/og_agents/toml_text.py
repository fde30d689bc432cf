"""Tables as the text of a TOML file, which Python reads but does not write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def written(tables: Mapping[str, Any], head: str) -> str:
    """A scenario's tables as TOML: a section for every table and every listed site."""
    sections = [(f"[{key}]", value) for key, value in tables.items() if isinstance(value, dict)]
    sections += [("[[sites]]", site) for site in tables["sites"]]
    whole = {key: value for key, value in tables.items() if key != "sites" and not isinstance(value, dict)}
    return "\n\n".join([head, lines(whole), *(f"{title}\n{lines(table)}" for title, table in sections)]) + "\n"


def lines(table: Mapping[str, Any]) -> str:
    """One table as TOML."""
    return "\n".join(f"{key_text(key)} = {value_text(value)}" for key, value in table.items())


def key_text(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def value_text(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key_text(key)} = {value_text(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"    {value_text(part)},\n" for part in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(value_text(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
