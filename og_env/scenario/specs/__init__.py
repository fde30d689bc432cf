"""Frozen, strict values: facts of the catalogue, and what a scenario is made of."""

from __future__ import annotations

from og_env.scenario.specs.catalog_entries import (
    AnyEffect,
    Effect,
    FailureKind,
    GpuSpec,
    HostClass,
    IncidentPhase,
    IncidentSpec,
    Kind,
    ModelSpec,
    PartEffect,
    RegionSpec,
    Role,
    SiteSpec,
    SloClock,
    Spec,
    TeeVendor,
    Verification,
)
from og_env.scenario.specs.changed_entries import ModelEntry, SiteEntry
from og_env.scenario.specs.condition import ConditionSpec
from og_env.scenario.specs.distance import BackboneSpec, DistanceSpec
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
from og_env.scenario.specs.scarcity import ScarcitySpec
from og_env.scenario.specs.scenario import (
    DemandSpec,
    DomainSpec,
    EpisodeSpec,
    FailureSpec,
    NetworkSpec,
    OpponentSpec,
    OriginSpec,
    OutageSpec,
    RewardWeights,
    RouterSpec,
    SampledRegions,
    SampledSites,
    ScenarioSpec,
    StartSpec,
)
from og_env.scenario.specs.serving import PaymentSpec, PricesSpec
