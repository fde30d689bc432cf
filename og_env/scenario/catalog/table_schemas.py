"""The tables of the catalogue: their columns, how cells convert, and the spec that a row becomes."""

from __future__ import annotations

import functools
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from og_env.errors import nearest_valid
from og_env.scenario.catalog.countries import countries
from og_env.scenario.catalog.site_offer import SiteOffer
from og_env.scenario.catalog.table_reading import (
    Table,
    number,
    one_of,
    optional,
    pairs,
    read_table,
    text,
    whole,
    yes_or_no,
)
from og_env.scenario.specs import (
    FailureKind,
    GpuSpec,
    HostClass,
    IncidentPhase,
    IncidentSpec,
    ModelSpec,
    RegionSpec,
    SiteSpec,
)


@functools.cache
def gpus() -> dict[str, GpuSpec]:
    """GPU kinds by name. `cpu-host` is a machine without one: it can hold a proxy, a tiny model, or nothing larger."""
    return read_table(data_file("gpus.csv"), GPUS)


def data_file(name: str) -> Path:
    """Path of a shipped table."""
    return Path(str(resources.files("og_env.scenario.catalog").joinpath(f"data/{name}")))


def conditions(alternative: str) -> list[tuple[str, str]]:
    """The patterns (FIELD, GLOB) of an alternative `FIELD=GLOB&FIELD=GLOB`."""
    return [(field, glob) for field, _, glob in (part.partition("=") for part in alternative.split("&"))]


def _alternatives(cell: str) -> tuple[str, ...]:
    """The alternatives of a cell `FIELD=GLOB&FIELD=GLOB;...`: ';' separates them, '&' joins what must hold together."""
    alternatives = tuple(text(cell).split(";"))
    for alternative in alternatives:
        for field, glob in conditions(alternative):
            if field not in MATCHABLE:
                raise ValueError(f"unknown site field {field!r}{nearest_valid(field, MATCHABLE)}")
            if not glob:
                raise ValueError(f"{alternative!r} is not FIELD=GLOB")
    return alternatives


def _maybe_alternatives(cell: str) -> tuple[str, ...]:
    """The alternatives of a cell that may be empty."""
    return _alternatives(cell) if cell else ()


def _date(cell: str) -> str:
    """The cell, which must be an ISO date."""
    try:
        return date.fromisoformat(cell).isoformat()
    except ValueError:
        raise ValueError(f"{cell!r} is not a date YYYY-MM-DD") from None


def _clock(cell: str) -> float:
    """Hours of a clock time HH:MM; above 24:00 on a later day."""
    hours, colon, minutes = cell.partition(":")
    if not colon or not (hours + minutes).isdecimal() or len(minutes) != 2 or int(minutes) > 59:
        raise ValueError(f"{cell!r} is not a time HH:MM")
    return int(hours) + int(minutes) / 60


def _speeds(cell: str) -> dict[str, float]:
    """Speed by GPU kind of a cell `GPU:tokens_per_s;...`; `*` is every kind of the GPU table."""
    speeds = pairs(lambda name: name if name == "*" else _gpu(name))(cell)
    if "*" in speeds:
        everywhere = speeds.pop("*")
        return {gpu: speeds.get(gpu, everywhere) for gpu in gpus()}
    return speeds


def _host_prices(values: dict[str, Any]) -> dict[str, Any]:
    prices = {host: values.pop(f"usd_per_hour_{host}") for host in get_args(HostClass)}
    return {**values, "usd_per_hour": {host: price for host, price in prices.items() if price is not None}}


def _named_offer(values: dict[str, Any]) -> dict[str, Any]:
    offers = tuple(values.pop("gpus").items())
    return {**values, "name": f"{values['provider']}/{values['region']}", "offers": offers}


def _phase(values: dict[str, Any]) -> dict[str, Any]:
    return {key + "_h" if key in ("start_utc", "stop_utc") else key: value for key, value in values.items()}


def _without_name(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "name"}


_country = one_of(countries, "country")
_gpu = one_of(gpus, "GPU")

MATCHABLE = tuple(name for name in SiteSpec.model_fields if name in SiteOffer.model_fields)
"""site fields that an incident may name"""
SITES = Table(
    spec=SiteOffer,
    columns={
        "provider": text,
        "region": text,
        "city": text,
        "country": _country,
        "lat_deg": number,
        "lon_deg": number,
        "grid": text,
        "transit": text,
        "tee_vendor": text,
        "host_class": text,
        "gpus": pairs(_gpu),
        "usd_per_vm_hour": number,
        "link_gbps": number,
        "disk_gb_per_s": number,
        "egress_usd_per_gb": number,
        "facility": str,
        "image": text,
        "upstream": str,
    },
    fields=_named_offer,
    key=lambda values: f"{values['provider']}/{values['region']}",
    renamed={"offers": "gpus"},
)
GPUS = Table(
    spec=GpuSpec,
    columns={
        "name": text,
        "memory_gb": number,
        "bandwidth_gb_per_s": number,
        "tflops": number,
        "prefill_share": number,
        **{f"usd_per_hour_{host}": optional(number) for host in get_args(HostClass)},
    },
    fields=_host_prices,
    key=lambda values: values["name"],
)
MODELS = Table(
    spec=ModelSpec,
    columns={
        "name": text,
        "weights_gb": number,
        "active_weights_gb": optional(number),
        "active_parameters_b": optional(number),
        "memory_gb": number,
        "input_tokens": number,
        "output_tokens": number,
        "engine_start_s": number,
        "verification": text,
        "proof_multiplier": number,
        "slo_s": number,
        "slo_clock": text,
        "streamed": yes_or_no,
        "streams": whole,
        "parallel_prefills": whole,
        "request_gb": number,
        "tokens_per_s": _speeds,
        "prefill_tokens_per_s": _speeds,
    },
    fields=dict,
    key=lambda values: values["name"],
)
REGIONS = Table(
    spec=RegionSpec,
    columns={
        "name": text,
        "country": _country,
        "lat_deg": number,
        "lon_deg": number,
        "population_m": number,
        "utc_offset_h": number,
    },
    fields=dict,
    key=lambda values: values["name"],
)
FAILURES = Table(
    spec=FailureKind,
    columns={
        "kind": text,
        "name": str,
        "rate_per_year": number,
        "hit_probability": number,
        "hit_by_host_class": pairs(),
        "duration_h": number,
        "duration_sigma": number,
        "heavy_duration_h": number,
        "heavy_duration_sigma": number,
        "heavy_weight": number,
        "effects": pairs(),
        "regime": pairs(),
    },
    fields=_without_name,
    key=lambda values: ":".join(filter(None, (values["kind"], values["name"]))),
)
INCIDENTS = Table(
    spec=IncidentSpec,
    columns={
        "id": text,
        "date": _date,
        "start_utc_h": optional(number),
        "duration_h": number,
        "provider": text,
        "scope": text,
        "record_kind": text,
        "kind": text,
        "match": _alternatives,
        "effect": text,
        "summary": text,
        "source": text,
    },
    fields=dict,
    key=lambda values: values["id"],
)
PHASES = Table(
    spec=IncidentPhase,
    columns={
        "incident": text,
        "name": text,
        "start_utc": _clock,
        "stop_utc": _clock,
        "effect": text,
        "match": _maybe_alternatives,
        "source": text,
    },
    fields=_phase,
    key=lambda values: f"{values['incident']}: {values['name']}",
    renamed={"start_utc_h": "start_utc", "stop_utc_h": "stop_utc"},
)
