"""Entries of the catalogue as a scenario takes them over, with what it changes; every field is followed by its sentence."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from og_env.scenario.specs.catalog_entries import DiskTier, Market, SloClock, Spec, TeeVendor, Verification
from og_env.scenario.specs.quantities import Gbps, NonNegative, RequestSeconds, Tokens, TokensPerS, Usd


class SiteEntry(Spec):
    """A catalogue site with changes."""

    name: str
    called: str | None = None
    """its name in this scenario, for a second site at the same place"""
    gpu: str | None = None
    gpu_count: Annotated[int, Field(ge=0, le=64)] | None = None
    usd_per_gpu_hour: Usd | None = None
    use_usd_per_gpu_hour: Usd | None = None
    market: Market | None = None
    spot_usd_per_gpu_hour: Usd | None = None
    usd_per_vm_hour: Usd | None = None
    link_gbps: Gbps | None = None
    disk_gb_per_s: Gbps | None = None
    disk: DiskTier | None = None
    snapshots: bool | None = None
    egress_usd_per_gb: Usd | None = None
    tee_vendor: TeeVendor | None = None
    facility: str | None = None
    transit: str | None = None
    grid: str | None = None
    image: str | None = None
    facilitator: str | None = None
    upstream: str | None = None
    edge: str | None = None
    llm_vendor: str | None = None


class ModelEntry(Spec):
    """A catalogue model with changes."""

    name: str
    share: NonNegative | None = None
    verification: Verification | None = None
    input_tokens: Tokens | None = None
    output_tokens: Annotated[Tokens, Field(gt=0)] | None = None
    engine_start_s: RequestSeconds | None = None
    snapshot_start_s: RequestSeconds | None = None
    slo_s: Annotated[RequestSeconds, Field(gt=0)] | None = None
    slo_clock: SloClock | None = None
    streamed: bool | None = None
    streams: Annotated[int, Field(ge=1, le=4096)] | None = None
    parallel_prefills: Annotated[int, Field(ge=1, le=4096)] | None = None
    tokens_per_s: dict[str, TokensPerS] | None = None
    prefill_tokens_per_s: dict[str, TokensPerS] | None = None
    proof_multiplier: Annotated[float, Field(ge=1, le=1e6)] | None = None
