"""Facts of the catalogue as frozen, strict values. Units are in the names; every field is followed by its sentence."""

from __future__ import annotations

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

HostClass = Literal["hyperscale", "gpu_cloud", "bare_metal", "home"]
TeeVendor = Literal["nitro", "sev-snp", "tdx", "sgx", "none"]
Verification = Literal["none", "tee", "zkml"]
Effect = Literal["DOWN", "FROZEN", "UNTRUSTED", "SLOW"]
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
]
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
    usd_per_vm_hour: Usd = 0.2
    """a machine without GPU, for a verifier, a store or a gateway"""
    link_gbps: Gbps = 10.0
    disk_gb_per_s: Gbps = 5.0
    egress_usd_per_gb: Usd = 0.05
    facility: str = ""
    """building; empty means not shared with anyone"""
    image: str = "default"
    """software image"""
    facilitator: str = ""
    """payment and registry service; empty means none"""
    upstream: str = ""
    """API vendor behind a proxy node; empty means none"""


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

    @model_validator(mode="after")
    def _effects_sum_to_one(self) -> FailureKind:
        if abs(sum(self.effects.values()) - 1) > 1e-9:
            raise ValueError(f"effects of {self.kind} sum to {sum(self.effects.values()):g}, not 1")
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
