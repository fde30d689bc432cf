"""Sources of shocks: every fault domain with the rate, members, durations and effects that a scenario gives it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.kernel.arrays import DOWN, FROZEN, SLOW, UNTRUSTED
from og_env.scenario import catalog
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.specs import Effect, FailureKind, FailureSpec, SiteSpec
from og_env.trust.failure_correlation import HOURS_PER_YEAR, mixture_mean_h
from og_env.trust.scenario_fleet import scenario_kind, with_present_kinds
from og_env.world.fault_domains import Domain

EFFECTS: tuple[Effect, ...] = ("DOWN", "FROZEN", "UNTRUSTED", "SLOW")
EFFECT_BITS = (DOWN, FROZEN, UNTRUSTED, SLOW)
"""status bit of each of EFFECTS"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Source(NamedTuple):
    """One Poisson clock of shocks."""

    kind: str
    """kind of the domain"""
    name: str
    """name of the domain"""
    rate_per_h: float
    """shocks per hour, averaged over the regimes"""
    members: tuple[int, ...]
    """indices of the sites that a shock can hit"""
    hit: tuple[float, ...]
    """probability that a shock hits each member"""
    median_h: float
    """median of the ordinary lognormal of durations, hours"""
    sigma: float
    """standard deviation of the logarithm of ordinary durations"""
    heavy_median_h: float
    """median of the heavy lognormal of durations, hours"""
    heavy_sigma: float
    """standard deviation of the logarithm of heavy durations"""
    heavy_weight: float
    """share of shocks with a heavy duration"""
    effects: tuple[float, ...]
    """probability of each of EFFECTS"""
    shared: int
    """index of the shared domain whose signal shows its shocks; -1 none"""
    calm_rate_per_h: float
    """shocks per hour in the calm regime; the average where there are no regimes"""
    fragile_rate_per_h: float
    """shocks per hour in the fragile regime; the average where there are no regimes"""
    fragile_share: float
    """share of time that the domain is fragile"""
    fragile_dwell_h: float
    """mean length of a fragile span, hours"""
    aftershock: float
    """probability that the end of a shock begins another fragile span"""

    @property
    def mean_h(self) -> float:
        """Mean duration, hours."""
        return self.mean_until_h(math.inf)

    def mean_until_h(self, until_h: float) -> float:
        """Mean of durations in hours, where one beyond `until_h` counts as `until_h`."""
        heavy = (self.heavy_median_h, self.heavy_sigma, self.heavy_weight)
        return mixture_mean_h(self.median_h, self.sigma, *heavy, until_h)


class SourceArrays(NamedTuple):
    """R sources as flat arrays [R], with the fields of Source.

    The members of source r are the entries member_start[r] to member_start[r + 1] - 1 of `member_site`.
    """

    kind: Ints
    """[R] index in KINDS"""
    rate_per_h: Floats
    calm_rate_per_h: Floats
    fragile_rate_per_h: Floats
    fragile_share: Floats
    fragile_dwell_h: Floats
    aftershock: Floats
    median_h: Floats
    sigma: Floats
    heavy_median_h: Floats
    heavy_sigma: Floats
    heavy_weight: Floats
    effects: Floats
    """[R, 4] probability of each of EFFECTS"""
    shared: Ints
    """[R] index of the shared domain, -1 none"""
    member_start: Ints
    """[R + 1] first entry of each source's members, and the end of the last one's"""
    member_site: Ints
    """[members of all sources] indices of sites"""
    member_hit: Floats
    """[members of all sources] probability that a shock hits the member"""


class Risk(NamedTuple):
    """Failure parameters of one domain, without its members."""

    usual: FailureKind
    """the catalogue's parameters, which say hit probabilities and the likeliest effect"""
    scenario: FailureKind | None
    """the parameters with the scenario's rates, effects and durations; None where nothing fails"""


def domain_risks(domains: Sequence[Domain], failures: FailureSpec) -> list[Risk]:
    """The parameters of every domain. All domains of the fleet are needed, because they share `shocks_per_day`."""
    count = Counter(domain.kind for domain in domains)
    failures = with_present_kinds(failures, count)
    known: dict[int, Risk] = {}
    result = []
    for domain in domains:
        usual = catalog.failure_kind(domain.kind, domain.name)
        if id(usual) not in known:
            known[id(usual)] = Risk(usual, scenario_kind(usual, failures, count[domain.kind]))
        result.append(known[id(usual)])
    return result


def hit_probabilities(domain: Domain, risk: Risk, sites: Sequence[SiteSpec]) -> tuple[float, ...]:
    """Probability that a shock of the domain hits each of its members."""
    usual, by_class = risk.usual.hit_probability, risk.usual.hit_by_host_class
    if not by_class:
        return (usual,) * len(domain.members)
    return tuple(by_class.get(sites[index].host_class, usual) for index in domain.members)


def effect_bit(risk: Risk) -> int:
    """Status bit of the domain's likeliest effect."""
    effects = (risk.scenario or risk.usual).effects
    return EFFECT_BITS[max(range(len(EFFECTS)), key=lambda index: effects.get(EFFECTS[index], 0.0))]


def make_sources(
    domains: Sequence[Domain],
    risks: Sequence[Risk],
    shared: dict[Domain, int],
    *,
    sites: Sequence[SiteSpec],
    failures: FailureSpec,
) -> tuple[Source, ...]:
    """Every source that can send a shock; `shared` maps the domains that have an index to it.

    Where the failure process is independent, each member of a domain has a clock of its own with the same rate. The
    same holds for the members of a domain that has no index although it has several members.
    """
    result: list[Source] = []
    for domain, risk in zip(domains, risks, strict=True):
        kind = risk.scenario
        if kind is None or kind.rate_per_year <= 0:
            continue
        rate = kind.rate_per_year / HOURS_PER_YEAR
        index = shared.get(domain, -1)
        regime = with_regime(failures, kind)
        calm, fragile = regime_rates(rate, regime) if index >= 0 else (rate, rate)
        whole = Source(
            kind=domain.kind,
            name=domain.name,
            rate_per_h=rate,
            members=domain.members,
            hit=hit_probabilities(domain, risk, sites),
            median_h=kind.duration_h,
            sigma=kind.duration_sigma,
            heavy_median_h=kind.heavy_duration_h,
            heavy_sigma=kind.heavy_duration_sigma,
            heavy_weight=kind.heavy_weight,
            effects=tuple(kind.effects.get(effect, 0.0) for effect in EFFECTS),
            shared=index,
            calm_rate_per_h=calm,
            fragile_rate_per_h=fragile,
            fragile_share=regime.fragile_share,
            fragile_dwell_h=regime.fragile_dwell_h,
            aftershock=regime.aftershock,
        )
        if len(domain.members) > 1 and (index < 0 or failures.process == "independent"):
            pairs = zip(whole.members, whole.hit, strict=True)
            result.extend(whole._replace(members=(member,), hit=(hit,)) for member, hit in pairs)
        else:
            result.append(whole)
    return tuple(result)


def with_regime(failures: FailureSpec, kind: FailureKind) -> FailureSpec:
    """The failure process as it is for a kind, which may have a regime of its own."""
    names = {"factor": "fragile_factor", "share": "fragile_share", "dwell_h": "fragile_dwell_h"}
    return failures.model_copy(update={names.get(part, part): value for part, value in kind.regime.items()})


def regime_rates(rate_per_h: float, failures: FailureSpec) -> tuple[float, float]:
    """Shocks per hour in the calm and in the fragile regime, which average to `rate_per_h` over time."""
    factor, share = failures.fragile_factor, failures.fragile_share
    calm = rate_per_h / (1 - share + share * factor)
    return calm, factor * calm


def drawn_fragile_rate(source: Source) -> float:
    """Shocks per hour of a fragile span as they are drawn.

    All rates are lowered by what aftershocks add to them, see og_env/tape/failures.py.
    """
    excess = source.fragile_rate_per_h - source.calm_rate_per_h
    return source.fragile_rate_per_h / (1 + source.aftershock * excess * source.fragile_dwell_h)


def flatten_sources(sources: Sequence[Source]) -> SourceArrays:
    """The sources as arrays."""

    def floats(name: str) -> Floats:
        return np.array([getattr(source, name) for source in sources], np.float64)

    return SourceArrays(
        kind=np.array([KINDS.index(source.kind) for source in sources], np.int64),
        rate_per_h=floats("rate_per_h"),
        calm_rate_per_h=floats("calm_rate_per_h"),
        fragile_rate_per_h=floats("fragile_rate_per_h"),
        fragile_share=floats("fragile_share"),
        fragile_dwell_h=floats("fragile_dwell_h"),
        aftershock=floats("aftershock"),
        median_h=floats("median_h"),
        sigma=floats("sigma"),
        heavy_median_h=floats("heavy_median_h"),
        heavy_sigma=floats("heavy_sigma"),
        heavy_weight=floats("heavy_weight"),
        effects=floats("effects").reshape(-1, len(EFFECTS)),
        shared=np.array([source.shared for source in sources], np.int64),
        member_start=np.cumsum([0, *(len(source.members) for source in sources)], dtype=np.int64),
        member_site=np.array([member for source in sources for member in source.members], np.int64),
        member_hit=np.array([hit for source in sources for hit in source.hit], np.float64),
    )
