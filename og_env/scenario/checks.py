"""Checks of a scenario as a whole: known names, no duplicates, models that fit on a site, outages that can happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from og_env.scenario import catalog
from og_env.scenario.catalog import gpus_per_replica
from og_env.scenario.catalog.countries import countries
from og_env.scenario.domain_kinds import KINDS, domain_of
from og_env.scenario.key_errors import KeyPath, raise_at_key
from og_env.scenario.random_fleet import site_pool
from og_env.scenario.specs import (
    GpuSpec,
    ModelEntry,
    ModelSpec,
    OutageSpec,
    RegionSpec,
    SampledRegions,
    SampledSites,
    ScenarioSpec,
    SiteEntry,
    SiteSpec,
)


def check_names(spec: ScenarioSpec, where: str) -> None:
    """Check that every name that is looked up in the catalogue is there, once; ValueError in one line otherwise."""
    gpus = {**catalog.gpus(), **{gpu.name: gpu for gpu in spec.gpus}}
    _once(("gpus",), [gpu.name for gpu in spec.gpus], where)
    if isinstance(spec.sites, SampledSites):
        _check_sampled(spec.sites, gpus, where)
    else:
        _check_listed_sites(spec.sites, spec, gpus, where)
    for index, model in enumerate(spec.models):
        if not isinstance(model, ModelSpec):
            _known(("models", index), _name_of(model), "model", catalog.models(), where)
            continue
        for key in ("tokens_per_s", "prefill_tokens_per_s"):
            _check_gpus(("models", index, key), getattr(model, key), gpus, where)
    _check_gpus(("scarcity", "refused_by_gpu"), spec.scarcity.refused_by_gpu, gpus, where)
    _known(("payment", "facilitator_country"), spec.payment.facilitator_country, "country", countries(), where)
    _once(("models",), [_name_of(model) for model in spec.models], where)
    if isinstance(spec.regions, SampledRegions):
        if spec.regions.count > len(catalog.regions()):
            raise_at_key(
                where, "regions.count", f"{spec.regions.count}, but the catalogue has {len(catalog.regions())}"
            )
    else:
        for index, region in enumerate(spec.regions):
            if isinstance(region, str):
                _known(("regions", index), region, "user region", catalog.regions(), where)
        _once(("regions",), [_name_of(region) for region in spec.regions], where)


def check_concrete(
    spec: ScenarioSpec,
    sites: Sequence[SiteSpec],
    models: Sequence[ModelSpec],
    regions: Sequence[RegionSpec],
    *,
    gpus: dict[str, GpuSpec],
    where: str,
) -> None:
    """The concrete parts go together; ValueError in one line otherwise."""
    if sum(model.share for model in models) <= 0:
        raise_at_key(where, "models", "every share is 0: nobody asks for anything")
    if sum(region.population_m for region in regions) <= 0:
        raise_at_key(where, "regions", "nobody lives there")
    _check_models_fit(spec, sites, models, gpus, where)
    _check_start(spec, sites, models, gpus, where)
    _check_limits(spec, sites, models, where)
    _check_domains(spec, sites, where)
    prefix = ("failures", "outages")
    check_outages(spec.failures.outages, sites, spec, where, prefix)


def _check_sampled(sampled: SampledSites, gpus: dict[str, GpuSpec], where: str) -> None:
    for index, gpu in enumerate(sampled.gpus):
        _known(("sites", "gpus", index), gpu, "GPU", gpus, where)
    for index, continent in enumerate(sampled.continents):
        valid = sorted({offer.continent for offer in catalog.sites()})
        _known(("sites", "continents", index), continent, "continent", valid, where)
    if not sampled.host_classes:
        raise_at_key(where, "sites.host_classes", "is empty: at least one is needed")
    if sampled.gpu_count[0] > sampled.gpu_count[1]:
        raise_at_key(where, "sites.gpu_count", f"fewest {sampled.gpu_count[0]} is above most {sampled.gpu_count[1]}")
    pool = site_pool(sampled.host_classes, sampled.continents, sampled.gpus)
    if not pool.offers:
        raise_at_key(where, "sites", "no catalogue site has these GPUs, host classes and continents")
    if sampled.providers > len(pool.members):
        problem = f"{sampled.providers}, but only {len(pool.members)} providers have such sites"
        raise_at_key(where, "sites.providers", problem)


def _check_listed_sites(
    sites: Sequence[str | SiteEntry | SiteSpec], spec: ScenarioSpec, gpus: dict[str, GpuSpec], where: str
) -> None:
    if spec.fleet == "random":
        raise_at_key(where, "fleet", "random needs sampled sites, e.g. sites = {count = 24, providers = 6}")
    offers = catalog.site_offers()
    for index, site in enumerate(sites):
        path = ("sites", index)
        if not isinstance(site, SiteSpec):
            _known(path, _name_of(site), "site", offers, where)
        if isinstance(site, str):
            continue
        if site.gpu is not None and not (isinstance(site, SiteSpec) and site.gpu_count == 0):
            _known((*path, "gpu"), site.gpu, "GPU", gpus, where)
        if isinstance(site, SiteEntry) and site.gpu is not None and site.usd_per_gpu_hour is None:
            offer = offers[site.name]
            sold = dict(offer.offers)
            if site.gpu not in sold and offer.host_class not in gpus[site.gpu].usd_per_hour:
                problem = f"{site.gpu} is not offered at {site.name}; give usd_per_gpu_hour or another GPU"
                raise_at_key(where, (*path, "gpu"), problem, site.gpu, sold)
    _once(("sites",), [getattr(site, "called", None) or _name_of(site) for site in sites], where)


def _check_models_fit(
    spec: ScenarioSpec, sites: Sequence[SiteSpec], models: Sequence[ModelSpec], gpus: dict[str, GpuSpec], where: str
) -> None:
    """Check that each model fits on a site; where fleets are random, on one with the most GPUs that can be drawn."""
    most = spec.sites.gpu_count[1] if isinstance(spec.sites, SampledSites) and spec.fleet == "random" else None
    hosts = {(site.gpu, site.gpu_count if most is None else most) for site in sites if site.gpu_count > 0}
    for index, model in enumerate(models):
        if not any(fits(model, gpus[gpu], count) for gpu, count in hosts):
            largest_gb = max((count * gpus[gpu].memory_gb for gpu, count in hosts), default=0.0)
            problem = f"{model.name} needs {model.memory_gb:g} GB of GPU memory, which no site has"
            raise_at_key(where, ("models", index), f"{problem} (largest: {largest_gb:g} GB)")


def fits(model: ModelSpec, gpu: GpuSpec, gpu_count: int) -> bool:
    """Whether so many GPUs of the kind hold one replica."""
    return gpu.memory_gb > 0 and gpus_per_replica(model, gpu) <= gpu_count


def _check_start(
    spec: ScenarioSpec, sites: Sequence[SiteSpec], models: Sequence[ModelSpec], gpus: dict[str, GpuSpec], where: str
) -> None:
    start = spec.start
    lists: dict[KeyPath, Sequence[str]] = {
        ("start", "verifier_sites"): start.verifier_sites,
        ("start", "store_sites"): start.store_sites,
        ("start", "gateway_sites"): start.gateway_sites,
        **{("start", "replica_sites", model): names for model, names in start.replica_sites.items()},
    }
    by_name = {site.name: site for site in sites}
    if start.placement != "named":
        if any(lists.values()):
            key = next(path for path, names in lists.items() if names)
            raise_at_key(where, key, f'counts only with start.placement = "named", not "{start.placement}"')
        return
    if spec.fleet == "random":
        raise_at_key(where, "start.placement", "named needs fleet = fixed")
    for model in start.replica_sites:
        _known(("start", "replica_sites", model), model, "model", [one.name for one in models], where)
    for path, names in lists.items():
        for index, name in enumerate(names):
            _known((*path, index), name, "site", by_name, where)
        _once(path, names, where)
    free = {site.name: site.gpu_count for site in sites}
    for model in models:
        for name in start.replica_sites.get(model.name, ()):
            gpu = gpus.get(by_name[name].gpu)
            if gpu is None or not fits(model, gpu, free[name]):
                raise_at_key(where, ("start", "replica_sites", model.name), f"no room for it at {name}")
            free[name] -= gpus_per_replica(model, gpu)


def _check_limits(spec: ScenarioSpec, sites: Sequence[SiteSpec], models: Sequence[ModelSpec], where: str) -> None:
    """Check the names that limits are set for, and that no floor is above its cap; the start may break any of them."""
    limits, names = spec.limits, [model.name for model in models]
    for key, by_model in (("least_replicas", limits.least_replicas), ("most_replicas", limits.most_replicas)):
        for name in by_model:
            _known(("limits", key, name), name, "model", names, where)
    pairs: tuple[tuple[str, Mapping[Any, int], Mapping[Any, int]], ...] = (
        ("replicas", limits.least_replicas, limits.most_replicas),
        ("roles", limits.least_roles, limits.most_roles),
    )
    for kind, floors, caps in pairs:
        most = {str(name): cap for name, cap in caps.items()}
        for name, least in floors.items():
            if least > most.get(name, least):
                problem = f"{least} is above limits.most_{kind}.{name}, which is {most[name]}"
                raise_at_key(where, ("limits", f"least_{kind}", name), problem)
    valid = {site.name for site in sites}
    if spec.fleet == "random":
        valid |= {offer.name for offer in catalog.sites()}
    for index, name in enumerate(limits.forbidden_sites):
        _known(("limits", "forbidden_sites", index), name, "site", sorted(valid), where)
    _once(("limits", "forbidden_sites"), limits.forbidden_sites, where)


def _check_domains(spec: ScenarioSpec, sites: Sequence[SiteSpec], where: str) -> None:
    if spec.domains and spec.fleet == "random":
        raise_at_key(where, "domains", "added by hand need fleet = fixed")
    known = {site.name for site in sites}
    for index, domain in enumerate(spec.domains):
        path = ("domains", index)
        if not domain.sites:
            raise_at_key(where, (*path, "sites"), "is empty: a domain has at least one site")
        for at, name in enumerate(domain.sites):
            _known((*path, "sites", at), name, "site", known, where)
        _once((*path, "sites"), domain.sites, where)
        if any(domain_of(site, domain.kind) == domain.name for site in sites):
            raise_at_key(where, path, f"{domain.kind}:{domain.name} already follows from the sites' attributes")
    _once(("domains",), [f"{domain.kind}:{domain.name}" for domain in spec.domains], where)


def check_outages(
    outages: Sequence[OutageSpec], sites: Sequence[SiteSpec], spec: ScenarioSpec, where: str, prefix: KeyPath
) -> None:
    """Check that every scripted outage names a domain of a fleet that may occur; ValueError in one line."""
    for index, outage in enumerate(outages):
        path = (*prefix, index, "domain")
        kind, colon, name = outage.domain.partition(":")
        if not colon:
            raise_at_key(where, path, f"{outage.domain!r} is not KIND:NAME", outage.domain, KINDS)
        _known(path, kind, "kind of domain", KINDS, where)
        valid = {domain_of(site, kind) for site in sites} | {d.name for d in spec.domains if d.kind == kind}
        if spec.fleet == "random":
            valid |= {domain_of(offer.site(offer.offers[0][0], 1), kind) for offer in catalog.sites()}
        _known(path, name, f"{kind} of this fleet", sorted(valid - {""}), where)


def _name_of(part: str | SiteEntry | SiteSpec | ModelEntry | ModelSpec | RegionSpec) -> str:
    return part if isinstance(part, str) else part.name


def _check_gpus(path: KeyPath, names: Iterable[str], gpus: Mapping[str, GpuSpec], where: str) -> None:
    for gpu in names:
        _known(path, gpu, "GPU", gpus, where)


def _known(path: KeyPath, name: str, what: str, valid: Iterable[str], where: str) -> None:
    words = list(valid)
    if name not in words:
        raise_at_key(where, path, f"unknown {what} {name!r}", name, words)


def _once(path: KeyPath, names: Sequence[str], where: str) -> None:
    """Check that no name is empty or comes twice."""
    for name, times in Counter(names).items():
        if times > 1:
            raise_at_key(where, path, f"{name!r} is listed {times} times")
        if not name.strip():
            raise_at_key(where, path, "has an empty name")
