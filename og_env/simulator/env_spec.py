"""The specification that Gymnasium keeps of an environment, with a scenario that JSON can hold: `plain_spec`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

Spec = TypeVar("Spec")


def plain_spec(spec: Spec) -> Spec:
    """The EnvSpec with its arguments as JSON has them, so that `to_json` works and `make` takes them back."""
    if spec is None or not dataclasses.is_dataclass(spec) or isinstance(spec, type):
        return spec
    kwargs: dict[str, Any] = getattr(spec, "kwargs", {})
    return dataclasses.replace(spec, kwargs={name: plain(value) for name, value in kwargs.items()})


def plain(value: Any) -> Any:
    """A value in the kinds of JSON, as far as it has one there."""
    match value:
        case BaseModel():
            return {key: plain(part) for key, part in value if part is not None}
        case Mapping():
            return {key: plain(part) for key, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case Path():
            return str(value)
        case np.generic():
            return value.item()
        case Enum():
            return value.name
    return value
