"""Facts of the catalogue as frozen, strict values. Units are in the names; every field is followed by its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from og_env.scenario.specs.quantities import (
    Gbps,
    Gigabytes,
    NonNegative,
    Positive,
    RequestSeconds,
    Share,
    Tokens,
    TokensPerS,
    Usd,
)

DiskTier = Literal["network", "sata", "nvme", "nvme-raid"]
DISK_GB_PER_S: Mapping[str, float] = MappingProxyType({"network": 0.3, "sata": 1.0, "nvme": 2.0, "nvme-raid": 4.0})
"""tiers of disks in GB/s, as reads of weights get them: a volume over the network, and local disks of three kinds"""
SNAPSHOT_SHARE = 0.18
"""start from a snapshot over a plain one: vLLM 96 to 14 s, SGLang 84 to 17.5 s (Modal, 2026-05)"""
HostClass = Literal["hyperscale", "gpu_cloud", "bare_metal", "home"]
TeeVendor = Literal["nitro", "sev-snp", "tdx", "sgx", "none"]
Verification = Literal["none", "tee", "zkml"]
Effect = Literal["DOWN", "FROZEN", "UNTRUSTED", "SLOW"]
PartEffect = Literal["NO_LAUNCHES", "IMPAIRED", "GATEWAY_OFF", "STORE_OFF", "SCARCE", "WITHDRAWN"]
AnyEffect = Literal[Effect, PartEffect]
"""one Literal, not a union of two: a wrong word is one mistake, which is compared with all of them"""
"""effects on a part of a site: nothing can be launched or added; what loads or starts does so at half speed; its gateway
or its store is of no use; launches are refused; what runs there is withdrawn"""
Market = Literal["on_demand", "spot"]
Role = Literal["verifier", "store", "gateway"]
"""roles that are no replica, in the order of the simulator's arrays"""
Kind = Literal[
    "site",
    "facility",
    "region",
    "metro",
    "provider",
    "grid",
    "transit",
    "country",
    "tee_vendor",
    "image",
    "facilitator",
    "upstream",
    "edge",
    "llm_vendor",
]
RegimePart = Literal["factor", "share", "dwell_h", "aftershock"]
SloClock = Literal["first_token", "answer"]


class Spec(BaseModel):
    """A value: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GpuSpec(Spec):
    """A kind of GPU."""

    name: str
    memory_gb: NonNegative
    bandwidth_gb_per_s: NonNegative
    """memory bandwidth; decode speed follows from it"""
    tflops: Positive | None = None
    """peak of dense matrices in 16 bits, without sparsity; prefill speed follows from it; None: 0.2 x bandwidth"""
    prefill_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """share of the peak that prefill reaches"""
    usd_per_hour: dict[HostClass, Usd]
    """rent of one GPU by host class"""


class SiteSpec(Spec):
    """One place where a node can run."""

    name: str
    """unique in a scenario; catalogue names are provider/region"""
    provider: str
    region: str
    city: str
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    """ISO 3166-1 alpha-2"""
    lat_deg: Annotated[float, Field(ge=-90, le=90)]
    lon_deg: Annotated[float, Field(ge=-180, le=180)]
    grid: str
    """synchronous power grid"""
    transit: str
    """upstream carrier or own backbone"""
    tee_vendor: TeeVendor
    host_class: HostClass
    gpu: str
    """GPU kind, a name of the GPU table"""
    gpu_count: Annotated[int, Field(ge=0, le=64)]
    usd_per_gpu_hour: Usd
    """on-demand price; `[prices]` of the scenario says what is paid of it, for holding a GPU and for using it"""
    use_usd_per_gpu_hour: Usd | None = None
    """price of use of a GPU for an hour, beside the rent; None: `prices.use_share` of the on-demand price"""
    market: Market = "on_demand"
    """spot: a share of the on-demand price is paid, and what runs there can be withdrawn, see `[scarcity]`"""
    spot_usd_per_gpu_hour: Usd | None = None
    """spot price; None: `scarcity.spot_share` of the on-demand price"""
    usd_per_vm_hour: Usd = 0.2
    """a machine without GPU, for a verifier, a store or a gateway"""
    link_gbps: Gbps = 10.0
    disk_gb_per_s: Gbps = 5.0
    disk: DiskTier | None = None
    """speed of the disk by a word, in place of disk_gb_per_s, see DISK_GB_PER_S"""
    snapshots: bool = False
    """whether an engine starts from a snapshot of its memory, which takes seconds, see `snapshot_start_s` of a model"""
    egress_usd_per_gb: Usd = 0.05
    facility: str = ""
    """building; empty means not shared with anyone"""
    image: str = "default"
    """software image"""
    facilitator: str = ""
    """payment and registry service; empty means none"""
    upstream: str = ""
    """API vendor behind a proxy node; empty means none"""
    edge: str = ""
    """CDN or edge network that requests come through; empty means none"""
    llm_vendor: str = ""
    """vendor whose models a proxy node passes on, with incidents as its status page has them; empty means none"""


class ModelSpec(Spec):
    """One model that users ask for."""

    name: str
    weights_gb: Gigabytes
    active_weights_gb: Gigabytes | None = None
    """weights read per token: below weights_gb for mixture-of-experts; None means all"""
    active_parameters_b: Gigabytes | None = None
    """billions of parameters that a token goes through; None: half of the active weights in GB, as of 16 bits each"""
    memory_gb: Gigabytes
    """GPU memory with an 8k context"""
    input_tokens: Tokens = 1020.0
    """mean length of what is read before the first token; the default is the median of Azure's chat trace"""
    output_tokens: Annotated[Tokens, Field(gt=0)] = 129.0
    """mean answer length"""
    engine_start_s: RequestSeconds = 15.0
    snapshot_start_s: RequestSeconds | None = None
    """start of the engine from a snapshot, at sites that have them; None: SNAPSHOT_SHARE of engine_start_s"""
    verification: Verification = "tee"
    proof_multiplier: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    """time with proof over time without, for zkml"""
    slo_s: Annotated[RequestSeconds, Field(gt=0)] = 1.0
    """objective of the time of a request, by the clock of `slo_clock`"""
    slo_clock: SloClock = "first_token"
    """the event that the objective is about"""
    streamed: bool = True
    """false where an answer comes as a whole, as an image does: then its first token is its last"""
    streams: Annotated[int, Field(ge=1, le=4096)] = 16
    """requests that one replica answers at once (continuous batching)"""
    parallel_prefills: Annotated[int, Field(ge=1, le=4096)] = 1
    """inputs that one replica reads at a time at full speed: 1 where it computes, more where others do"""
    tokens_per_s: dict[str, TokensPerS] = {}
    """decode speed of one stream by GPU kind; a missing kind is derived as 0.77 x bandwidth / active weights"""
    prefill_tokens_per_s: dict[str, TokensPerS] = {}
    """speed of reading the input by GPU kind, for a whole replica; a missing kind is derived as
    GPUs x prefill_share x tflops / (2 x active parameters)"""
    request_gb: NonNegative = 1e-5
    """bytes that leave the site with one answer"""
    share: NonNegative = 1.0
    """popularity weight among the scenario's models"""


class RegionSpec(Spec):
    """Users of one metropolitan area."""

    name: str
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    lat_deg: Annotated[float, Field(ge=-90, le=90)]
    lon_deg: Annotated[float, Field(ge=-180, le=180)]
    population_m: Positive
    """population in millions: the weight of its demand"""
    utc_offset_h: Annotated[float, Field(ge=-12, le=14)]


class FailureKind(Spec):
    """How a kind of shared dependency breaks (facts: og_env/scenario/catalog/data/failures.csv)."""

    kind: Kind
    rate_per_year: NonNegative
    """shocks of one domain in a year"""
    hit_probability: Share
    """probability that a member site is struck by a shock of its domain"""
    hit_by_host_class: dict[HostClass, Share] = {}
    """hit probability of the host classes where it differs from hit_probability"""
    duration_h: Positive
    """median duration of an ordinary outage, lognormal"""
    duration_sigma: NonNegative
    heavy_duration_h: Positive
    heavy_duration_sigma: NonNegative
    heavy_weight: Share = 0.15
    effects: dict[Effect, Share]
    """probability of each effect; sums to 1"""
    regime: dict[RegimePart, NonNegative] = {}
    """fragile_factor, fragile_share, fragile_dwell_h and aftershock of this kind, where they are not the scenario's"""

    @model_validator(mode="after")
    def _effects_sum_to_one(self) -> FailureKind:
        if abs(sum(self.effects.values()) - 1) > 1e-9:
            raise ValueError(f"effects of {self.kind} sum to {sum(self.effects.values()):g}, not 1")
        return self


class IncidentPhase(Spec):
    """A timed effect of a recorded outage on a part of what it hit."""

    incident: str
    """id of the incident"""
    name: str
    """what failed, in a few words"""
    start_utc_h: NonNegative
    """hours since the midnight, UTC, before the incident began"""
    stop_utc_h: Positive
    """hours since that midnight; above 24 on a later day"""
    effect: AnyEffect
    match: tuple[str, ...] = ()
    """as in IncidentSpec, where the phase hits only some of the incident's sites; empty: all of them"""
    source: str

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> IncidentPhase:
        if self.stop_utc_h <= self.start_utc_h:
            raise ValueError(f"phase {self.name!r} ends at {self.stop_utc_h:g} h, not after {self.start_utc_h:g} h")
        return self


class IncidentSpec(Spec):
    """A recorded outage (facts: og_env/scenario/catalog/data/incidents.csv)."""

    id: str
    date: str
    """ISO date"""
    start_utc_h: Annotated[float, Field(ge=0, lt=24)] | None
    """hour of the day when it began; None where the record has no hour"""
    duration_h: Positive
    provider: str
    scope: str
    """regions that were hit, in the record's words"""
    record_kind: str
    """the record's own word for what broke"""
    kind: Kind
    """kind of fault domain that broke"""
    match: tuple[str, ...]
    """alternatives, each with patterns FIELD=GLOB joined by &: a site is hit where all patterns of one fit its fields"""
    effect: Effect
    summary: str
    source: str
    phases: tuple[IncidentPhase, ...] = ()
    """timed effects on parts, where a report tells them; empty: `effect` from start to end"""
