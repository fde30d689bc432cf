"""Error messages of a scenario: each mistake is one line `FILE: KEY.PATH: what is wrong (nearest valid: X)`."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from og_env.errors import nearest_valid, printable

KeyPath = tuple[str | int, ...]
"""place of a value in a scenario's tables, such as ("sites", 0, "gpu")"""

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


def raise_at_key(where: str, path: KeyPath | str, problem: str, wrong: str = "", valid: Iterable[str] = ()) -> NoReturn:
    """Raise ValueError `WHERE: PATH: PROBLEM` in one line, with the word of `valid` that is nearest to `wrong`."""
    key = path if isinstance(path, str) else dotted(path)
    message = ": ".join(_printable(part, longest) for part, longest in ((where, 4096), (key, 120)) if part)
    raise ValueError(f"{message}: {_printable(problem + nearest_valid(wrong, valid), 240)}")


def _printable(text: str, longest: int) -> str:
    """The text in one line of at most `longest` characters."""
    line = printable(text)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def dotted(path: KeyPath) -> str:
    """The path as a file writes it: `("sites", 0, "gpu")` is `sites[0].gpu`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def raise_first_complaint(error: ValidationError, model: type[BaseModel], where: str, path: KeyPath) -> NoReturn:
    """Raise ValueError in one line for pydantic's first complaint; a misspelt key comes before a missing one."""
    complaints = error.errors(include_url=False)
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    loc = tuple(part for part in first["loc"] if part != "[key]")
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    full = (*path, *loc)
    if kind == "extra_forbidden":
        raise_at_key(where, full, "unknown key", str(loc[-1]), _fields_at(model, loc[:-1]))
    if kind == "missing":
        raise_at_key(where, full, "is missing")
    if kind == "literal_error":
        valid = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        raise_at_key(where, full, f"{shown(value)} is not valid", str(value), valid)
    if kind in _COMPARISONS:
        bound = _COMPARISONS[kind]
        raise_at_key(where, full, f"must be {_SIGNS[bound]} {context[bound]:g}, not {shown(value)}")
    if kind == "string_pattern_mismatch":
        raise_at_key(where, full, f"{shown(value)} does not match {context['pattern']}")
    if kind in _KINDS_OF_TYPE_ERROR:
        raise_at_key(where, full, f"{_KINDS_OF_TYPE_ERROR[kind]}, not {shown(value)}")
    if kind == "value_error":
        raise_at_key(where, full, str(context["error"]))
    raise_at_key(where, full, first["msg"].splitlines()[0])


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The valid keys of the table at `loc` inside `model`."""
    found: Any = model
    for part in loc:
        if isinstance(part, int):
            found = typing.get_args(found)[0]
        elif typing.get_origin(found) is dict:
            found = typing.get_args(found)[1]
        elif isinstance(found, type) and issubclass(found, BaseModel) and part in found.model_fields:
            found = found.model_fields[part].annotation
        else:
            return []
        if typing.get_origin(found) in (typing.Union, types.UnionType):
            found = next((arg for arg in typing.get_args(found) if arg is not types.NoneType), found)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def shown(value: Any) -> str:
    """A value as a short, single-line word of a message."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
