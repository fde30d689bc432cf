"""Tables of a small scenario, and the complaint about wrong ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from og_env.scenario import loading

GOOD: dict[str, Any] = {
    "name": "test",
    "description": "two named sites",
    "sites": [
        {"name": "aws/us-east-1", "gpu": "H100", "gpu_count": 2},
        {"name": "equinix/am", "gpu": "L40S", "gpu_count": 4},
    ],
    "models": ["llama-3.1-8b-bf16"],
    "regions": ["london", "tokyo"],
}


SITE = {
    "name": "own", "provider": "me", "region": "r", "city": "Bern", "country": "CH", "lat_deg": 46.9, "lon_deg": 7.4,
    "grid": "g", "transit": "t", "tee_vendor": "none", "host_class": "home", "gpu": "H100", "gpu_count": 1,
    "usd_per_gpu_hour": 2.0,
}  # fmt: skip


SAMPLED = {"sites": {"count": 8, "providers": 3, "gpus": ["H100", "L40S"]}}


def with_(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def complaint(tables: Any) -> str:
    with pytest.raises(ValueError, match=": ") as caught:
        loading.load(tables)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message
