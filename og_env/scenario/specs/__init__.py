"""Frozen, strict values: facts of the catalogue, and what a scenario is made of."""

from __future__ import annotations

from og_env.scenario.specs.catalog_entries import (
    Effect,
    FailureKind,
    GpuSpec,
    HostClass,
    IncidentSpec,
    Kind,
    ModelSpec,
    RegionSpec,
    Role,
    SiteSpec,
    SloClock,
    Spec,
    TeeVendor,
    Verification,
)
from og_env.scenario.specs.condition import ConditionSpec
from og_env.scenario.specs.limits import LimitsSpec
from og_env.scenario.specs.quantities import (
    ClockSeconds,
    Count,
    Gigabytes,
    Milliseconds,
    NonNegative,
    Penalty,
    Positive,
    RequestSeconds,
    RequestsPerS,
    Share,
)
from og_env.scenario.specs.scenario import (
    DemandSpec,
    DistanceSpec,
    DomainSpec,
    EpisodeSpec,
    FailureSpec,
    ModelEntry,
    NetworkSpec,
    OpponentSpec,
    OriginSpec,
    OutageSpec,
    RewardWeights,
    RouterSpec,
    SampledRegions,
    SampledSites,
    ScenarioSpec,
    SiteEntry,
    StartSpec,
)
from og_env.scenario.specs.serving import PaymentSpec, PricesSpec
