"""Random values of a spec's fields by their annotations: mostly inside the bounds, often at them, at times beyond or wrong."""

from __future__ import annotations

import math
import types
import typing
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

WRONG: tuple[Any, ...] = ("", "x", "../../a", "\x1b[2J", "é" * 300, True, [], {}, [[]], {"a": 1}, -1, 0.5)
HUGE: tuple[Any, ...] = (1e300, -1e300, 10**30, 2**63, 2**31, -(2**40), 1e10, 5e-324, math.inf, -math.inf, math.nan)


def value_of(rng: np.random.Generator, field: FieldInfo, bad: float) -> Any:
    """A value for a field; `bad` is the probability of one that it should not take."""
    if rng.random() < bad:
        pool = WRONG if rng.random() < 0.4 else HUGE
        return pool[rng.integers(len(pool))]
    return _of(rng, field.annotation, list(field.metadata), bad)


def table_of(rng: np.random.Generator, spec: type[BaseModel], count: int, bad: float) -> dict[str, Any]:
    """Values for some of the fields of a spec."""
    names = list(spec.model_fields)
    chosen = rng.permutation(len(names))[:count]
    return {names[at]: value_of(rng, spec.model_fields[names[at]], bad) for at in chosen}


def _of(rng: np.random.Generator, kind: Any, bounds: list[Any], bad: float) -> Any:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _of(rng, inside[0], [*bounds, *kind.__metadata__], bad)
    if origin in (typing.Union, types.UnionType):
        return _of(rng, next(part for part in inside if part is not types.NoneType), bounds, bad)
    if origin is typing.Literal:
        return inside[rng.integers(len(inside))]
    if origin is tuple:
        parts = inside[:1] * int(rng.integers(3)) if Ellipsis in inside else inside
        return [_of(rng, part, [], bad) for part in parts]
    if origin is dict:
        return {str(_of(rng, inside[0], [], bad)): _of(rng, inside[1], [], bad) for _ in range(rng.integers(3))}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return table_of(rng, kind, int(rng.integers(4)), bad)
    if kind is bool:
        return bool(rng.integers(2))
    if kind in (int, float):
        return _number(rng, kind, bounds)
    if any(getattr(bound, "pattern", None) for bound in _flat(bounds)):
        return ("US", "DE", "JP")[rng.integers(3)]
    return ("H100", "A100-80GB", "L40S")[rng.integers(3)]


def _number(rng: np.random.Generator, kind: type, bounds: list[Any]) -> float | int:
    low: Any = 1 if kind is int else 1e-9
    high: Any = 10**6 if kind is int else 1e9
    for bound in _flat(bounds):
        given: dict[str, Any] = {name: getattr(bound, name, None) for name in ("ge", "gt", "le", "lt")}
        low = given["ge"] if given["ge"] is not None else low
        low = given["gt"] + (1 if kind is int else 1e-9) if given["gt"] is not None else low
        high = given["le"] if given["le"] is not None else high
        high = given["lt"] - (1 if kind is int else 1e-6) if given["lt"] is not None else high
    draw = rng.random()
    if draw < 0.12:
        value = low
    elif draw < 0.24:
        value = high
    elif draw < 0.34:
        value = (0.5 * low + 0.5 * high) if kind is float else low + 1
    else:
        least = max(low, 1e-9) if low > 0 else max(high * 1e-9, 1e-9)
        value = math.exp(rng.uniform(math.log(least), math.log(max(high, least)))) if high > 0 else low
    return int(min(max(round(value), low), high)) if kind is int else float(min(max(value, low), high))


def _flat(bounds: list[Any]) -> list[Any]:
    """The bounds themselves, which a FieldInfo may hold in its metadata."""
    return [part for bound in bounds for part in (bound.metadata if isinstance(bound, FieldInfo) else [bound])]
