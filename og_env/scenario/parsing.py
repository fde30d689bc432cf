"""A ScenarioSpec from the plain tables of a file: `parse`. Each mistake is one line `FILE: KEY.PATH: what is wrong`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from og_env.scenario.key_errors import KeyPath, raise_at_key, raise_first_complaint, shown
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
MAX_DEPTH = 16
"""deepest nesting of tables and lists in a scenario"""

SpecT = TypeVar("SpecT", bound=BaseModel)


def parse(tables: Mapping[str, Any], where: str) -> ScenarioSpec:
    """A ScenarioSpec from plain tables; `where` names their file in messages."""
    data = _frozen(tables, where, ())
    _check_keys(data, ScenarioSpec, where)
    built = dict(data)
    for key, one in (("sites", _site), ("models", _model), ("regions", _region)):
        if key not in data:
            raise_at_key(where, key, "is missing")
        built[key] = _parts(data[key], key, where, one)
    return _build(ScenarioSpec, built, where, ())


def parse_part(model: type[SpecT], value: Any, where: str, path: KeyPath) -> SpecT:
    """One part of a scenario from a plain table or from a spec, with messages as in a file; `path` is its place."""
    table = _frozen(value, where, path)
    if not isinstance(table, dict):
        raise_at_key(where, path, f"must be a table, not {shown(value)}")
    return _build(model, table, where, path)


def _parts(value: Any, key: str, where: str, one: Any) -> Any:
    """The value of `sites`, `models` or `regions`: a table that samples, or a list of names and tables."""
    samplers: dict[str, type[BaseModel]] = {"sites": SampledSites, "regions": SampledRegions}
    if isinstance(value, dict) and key in samplers:
        return _build(samplers[key], value, where, (key,))
    if not isinstance(value, tuple):
        table = " or a table such as {count = 8}" if key in samplers else ""
        raise_at_key(where, key, f"must be a list of names and tables{table}, not {shown(value)}")
    if not value:
        raise_at_key(where, key, "is empty: at least one is needed")
    parts = []
    for index, part in enumerate(value):
        path = (key, index)
        if not isinstance(part, str | dict):
            raise_at_key(where, path, f"must be a name or a table, not {shown(part)}")
        parts.append(part if isinstance(part, str) else _build(one(part), part, where, path))
    return tuple(parts)


def _site(table: dict[str, Any]) -> type[BaseModel]:
    return _full_or_entry(table, SiteSpec, SiteEntry)


def _model(table: dict[str, Any]) -> type[BaseModel]:
    return _full_or_entry(table, ModelSpec, ModelEntry)


def _region(_: dict[str, Any]) -> type[BaseModel]:
    return RegionSpec


def _full_or_entry(table: dict[str, Any], full: type[BaseModel], entry: type[BaseModel]) -> type[BaseModel]:
    """The spec of a table: the full one where the table has a key of it alone, else the change of a catalogue entry."""
    only_full = set(full.model_fields) - set(entry.model_fields)
    return full if only_full & set(table) else entry


def _build(model: type[Any], table: dict[str, Any], where: str, path: KeyPath) -> Any:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise_first_complaint(error, model, where, path)


def _frozen(value: Any, where: str, path: KeyPath) -> Any:
    """The value with tuples in place of lists, all the way down; ValueError for a value that no field can hold."""
    if len(path) > MAX_DEPTH:
        raise_at_key(where, path[:4], "is nested too deeply")
    if isinstance(value, BaseModel):
        value = value.model_dump(warnings=False)
    if isinstance(value, Mapping):
        _check_words(value, where, path)
        return {key: _frozen(part, where, (*path, key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > MAX_ENTRIES:
            raise_at_key(where, path, f"has {len(value):,} entries (at most {MAX_ENTRIES:,})")
        return tuple(_frozen(part, where, (*path, index)) for index, part in enumerate(value))
    return _one(value.item() if isinstance(value, np.generic) else value, where, path)


def _check_words(table: Mapping[Any, Any], where: str, path: KeyPath) -> None:
    """The keys of a table are words that can be shown."""
    for key in table:
        if not isinstance(key, str):
            raise_at_key(where, path, f"has the key {shown(key)}, which is not a string")
        if not key.isprintable():
            raise_at_key(where, path, f"has the key {shown(key)}, which holds a control character")


def _one(value: Any, where: str, path: KeyPath) -> Any:
    """A value that holds no others; ValueError where no field can hold it."""
    if isinstance(value, str) and not "".join(value.split()).isprintable():
        raise_at_key(where, path, f"{shown(value)} holds a control character")
    if isinstance(value, float) and not math.isfinite(value):
        raise_at_key(where, path, f"must be a finite number, not {value}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise_at_key(where, path, "is too large a number")
    return value


def _check_keys(table: dict[str, Any], model: type[BaseModel], where: str) -> None:
    for key in table:
        if key not in model.model_fields:
            raise_at_key(where, key, "unknown key", key, model.model_fields)
