"""From the text of a scenario file to a ScenarioSpec: every mistake is one line `FILE: KEY.PATH: what is wrong`."""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from og_env.errors import nearest_valid
from og_env.scenario.specs import (
    ModelEntry,
    ModelSpec,
    RegionSpec,
    SampledRegions,
    SampledSites,
    ScenarioSpec,
    SiteEntry,
    SiteSpec,
)

MAX_ENTRIES = 4096
"""longest list that a scenario may hold; also the most sites"""
MAX_FILE_BYTES = 4_000_000
MAX_JSON_BYTES = 16_000_000
MAX_DEPTH = 16

Path_ = tuple[str | int, ...]
SpecT = TypeVar("SpecT", bound=BaseModel)

_KINDS_OF_TYPE_ERROR = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}
_COMPARISONS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def fail(where: str, path: Path_ | str, problem: str, wrong: str = "", valid: Iterable[str] = ()) -> NoReturn:
    """Raise the one-line ValueError, with the valid word nearest to `wrong` where one is close."""
    key = path if isinstance(path, str) else dotted(path)
    message = ": ".join(_printable(part, longest) for part, longest in ((where, 4096), (key, 120)) if part)
    raise ValueError(f"{message}: {_printable(problem + nearest_valid(wrong, valid), 240)}")


def _printable(text: str, longest: int) -> str:
    """The text in one line of at most `longest` characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def dotted(path: Path_) -> str:
    """`("sites", 0, "gpu")` as `sites[0].gpu`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


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
        raise ValueError(f"{path}: must be a table of fields, not {_shown(value)}")
    return value


def changes_of(words: Iterable[str]) -> dict[str, Any]:
    """Changes of a scenario by dotted key from words KEY=VALUE, e.g. "failures.process=independent".

    A value is TOML, or a plain word. Raises ValueError for a word without "=".
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


def parse(tables: Mapping[str, Any], where: str) -> ScenarioSpec:
    """A ScenarioSpec from plain tables; `where` names their file in messages."""
    data = _frozen(tables, where, ())
    _check_keys(data, ScenarioSpec, where)
    built = dict(data)
    for key, one in (("sites", _site), ("models", _model), ("regions", _region)):
        if key not in data:
            fail(where, key, "is missing")
        built[key] = _parts(data[key], key, where, one)
    return _build(ScenarioSpec, built, where, ())


def parse_part(model: type[SpecT], value: Any, where: str, path: Path_) -> SpecT:
    """One part of a scenario from a plain table or from a spec, with messages as in a file; `path` is its place."""
    table = _frozen(value, where, path)
    if not isinstance(table, dict):
        fail(where, path, f"must be a table, not {_shown(value)}")
    return _build(model, table, where, path)


def _parts(value: Any, key: str, where: str, one: Any) -> Any:
    """The value of `sites`, `models` or `regions`: a table that samples, or a list of names and tables."""
    samplers: dict[str, type[BaseModel]] = {"sites": SampledSites, "regions": SampledRegions}
    if isinstance(value, dict) and key in samplers:
        return _build(samplers[key], value, where, (key,))
    if not isinstance(value, tuple):
        table = " or a table such as {count = 8}" if key in samplers else ""
        fail(where, key, f"must be a list of names and tables{table}, not {_shown(value)}")
    if not value:
        fail(where, key, "is empty: at least one is needed")
    parts = []
    for index, part in enumerate(value):
        path = (key, index)
        if not isinstance(part, str | dict):
            fail(where, path, f"must be a name or a table, not {_shown(part)}")
        parts.append(part if isinstance(part, str) else _build(one(part), part, where, path))
    return tuple(parts)


def _site(table: dict[str, Any]) -> type[BaseModel]:
    return _full_or_entry(table, SiteSpec, SiteEntry)


def _model(table: dict[str, Any]) -> type[BaseModel]:
    return _full_or_entry(table, ModelSpec, ModelEntry)


def _region(_: dict[str, Any]) -> type[BaseModel]:
    return RegionSpec


def _full_or_entry(table: dict[str, Any], full: type[BaseModel], entry: type[BaseModel]) -> type[BaseModel]:
    """A table with a key that only the full spec has is a full spec; any other changes a catalogue entry."""
    only_full = set(full.model_fields) - set(entry.model_fields)
    return full if only_full & set(table) else entry


def _build(model: type[Any], table: dict[str, Any], where: str, path: Path_) -> Any:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        _fail_like(error, model, where, path)


def _frozen(value: Any, where: str, path: Path_) -> Any:
    """Lists as tuples all the way down; rejects what no field can hold before it is copied or compared."""
    if len(path) > MAX_DEPTH:
        fail(where, path[:4], "is nested too deeply")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                fail(where, path, f"has the key {_shown(key)}, which is not a string")
        return {key: _frozen(part, where, (*path, key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > MAX_ENTRIES:
            fail(where, path, f"has {len(value):,} entries (at most {MAX_ENTRIES:,})")
        return tuple(_frozen(part, where, (*path, index)) for index, part in enumerate(value))
    if isinstance(value, BaseModel):
        return _frozen(value.model_dump(warnings=False), where, path)
    if isinstance(value, float) and not math.isfinite(value):
        fail(where, path, f"must be a finite number, not {value}")
    if isinstance(value, int) and abs(value) >= 2**63:
        fail(where, path, "is too large a number")
    return value


def _check_keys(table: dict[str, Any], model: type[BaseModel], where: str) -> None:
    for key in table:
        if key not in model.model_fields:
            fail(where, key, "unknown key", key, model.model_fields)


def _fail_like(error: ValidationError, model: type[BaseModel], where: str, path: Path_) -> NoReturn:
    """The first of pydantic's complaints, in one line; a misspelt key comes before the key that it leaves missing."""
    complaints = error.errors(include_url=False)
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    loc = tuple(part for part in first["loc"] if part != "[key]")
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    full = (*path, *loc)
    if kind == "extra_forbidden":
        fail(where, full, "unknown key", str(loc[-1]), _fields_at(model, loc[:-1]))
    if kind == "missing":
        fail(where, full, "is missing")
    if kind == "literal_error":
        valid = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        fail(where, full, f"{_shown(value)} is not valid", str(value), valid)
    if kind in _COMPARISONS:
        bound = _COMPARISONS[kind]
        fail(where, full, f"must be {_SIGNS[bound]} {context[bound]:g}, not {_shown(value)}")
    if kind == "string_pattern_mismatch":
        fail(where, full, f"{_shown(value)} does not match {context['pattern']}")
    if kind in _KINDS_OF_TYPE_ERROR:
        fail(where, full, f"{_KINDS_OF_TYPE_ERROR[kind]}, not {_shown(value)}")
    if kind == "value_error":
        fail(where, full, str(context["error"]))
    fail(where, full, first["msg"].splitlines()[0])


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Valid keys of the table at `loc` inside `model`."""
    found: Any = model
    for part in loc:
        if isinstance(part, int):
            found = typing.get_args(found)[0]
        elif isinstance(found, type) and issubclass(found, BaseModel) and part in found.model_fields:
            found = found.model_fields[part].annotation
        else:
            return []
        if typing.get_origin(found) in (typing.Union, types.UnionType):
            found = next((arg for arg in typing.get_args(found) if arg is not types.NoneType), found)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def _shown(value: Any) -> str:
    """A value as a short, single-line word of a message."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
