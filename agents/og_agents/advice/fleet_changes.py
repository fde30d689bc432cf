"""One fleet with some of its nodes in use: all variants have the same world, so the same days happen in all of them.

A node that is not in use stays in the world with its dependencies and breaks when it breaks, but nothing starts on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from og_env.scenario import catalog, loading
from og_env.scenario.specs import FailureSpec, SampledSites, ScenarioSpec, SiteSpec
from og_env.simulator import WARM
from og_env.trust import Fleet, fleet_of_scenario
from og_env.world import CompiledWorld, compile_world

ROLES = ("verifier", "store", "gateway")
"""in the order of the rows of the starting roles"""


class Concrete(NamedTuple):
    """A scenario whose sites, starting fleet and budget are written out."""

    spec: ScenarioSpec
    sites: tuple[SiteSpec, ...]
    world: CompiledWorld
    assumed: tuple[str, ...]
    """what was decided on the way, each as one clause"""


def concrete(scenario: Any) -> Concrete:
    """The scenario with listed sites, a named start and a fixed budget; of random fleets the first one."""
    given = loading.load(scenario)
    whole = loading.resolve(given)
    world = compile_world(whole)
    assumed = ["the scenario draws fleets, and this is its first one"] if given.fleet == "random" else []
    phase, role = world.arrays.start_phase[0] == WARM, world.arrays.start_role[0] >= 0
    spec = _with(
        given.model_copy(update={"fleet": "fixed"}),
        sites=tuple(whole.sites),
        start=start_table(phase, role, whole.sites, [model.name for model in whole.models]),
        budget=float(world.arrays.budget_usd_per_hour[0]),
    )
    if isinstance(given.sites, SampledSites) and given.fleet == "fixed":
        assumed.append(f"the {len(whole.sites)} sites that the scenario samples")
    return Concrete(spec, whole.sites, compile_world(loading.resolve(spec)), tuple(assumed))


def start_table(phase: Any, role: Any, sites: Sequence[SiteSpec], models: Sequence[str]) -> dict[str, Any]:
    """The table `start` of warm replicas, bool [M, N], and running roles, bool [3, N]."""

    def named(flags: Any) -> list[str]:
        return [site.name for site, flag in zip(sites, flags, strict=False) if flag]

    return {
        "placement": "named",
        "replica_sites": {model: named(phase[m]) for m, model in enumerate(models)},
        **{f"{word}_sites": named(role[r]) for r, word in enumerate(ROLES)},
    }


def widened(fleet: Concrete, extra: Sequence[SiteSpec]) -> Concrete:
    """The fleet with further sites, none of which is in use."""
    sites = (*fleet.sites, *extra)
    spec = _with(fleet.spec, sites=sites, closed=[site.name for site in extra])
    return Concrete(spec, sites, compile_world(loading.resolve(spec)), fleet.assumed)


def opened(fleet: Concrete, name: str) -> ScenarioSpec:
    """The scenario in which a node that was not in use may be used."""
    tables = fleet.spec.model_dump()
    closed = [site for site in tables["limits"]["forbidden_sites"] if site != name]
    tables["limits"]["forbidden_sites"] = closed
    return loading.load(tables)


def without(fleet: Concrete, names: Collection[str]) -> ScenarioSpec:
    """The scenario in which some nodes are not in use; what started there starts on the nearest other node with room."""
    arrays = fleet.world.arrays
    index = [s for s, site in enumerate(fleet.sites) if site.name in names]
    stay = np.array([site.name not in names for site in fleet.sites])
    models = [model.name for model in fleet.world.resolved.models]
    count = len(fleet.sites)
    phase = (arrays.start_phase[0] == WARM)[:, :count].copy()
    role = (arrays.start_role[0] >= 0)[:, :count].copy()
    need = arrays.replica_gpus[0][:, :count]
    allowed = stay & (arrays.forbidden[0][:count] == 0)
    for s in index:
        order = np.argsort(arrays.rtt_ms[0, s, :count], kind="stable")
        for m in np.flatnonzero(phase[:, s]):
            phase[m, s] = False
            left = arrays.gpu_count[0][:count] - (phase * need).sum(axis=0)
            fits = [n for n in order if allowed[n] and not phase[m, n] and 0 < need[m, n] <= left[n]]
            phase[m, fits[:1]] = True
        for r in np.flatnonzero(role[:, s]):
            role[r, s] = False
            fits = [n for n in order if allowed[n] and not role[r, n]]
            role[r, fits[:1]] = True
    return _with(fleet.spec, start=start_table(phase, role, fleet.sites, models), closed=list(names))


def trust_fleet(spec: ScenarioSpec, sites: Sequence[SiteSpec]) -> Fleet:
    """The nodes for the closed forms of trust, with the scenario's failure rates, or the catalogue's without any."""
    failures = FailureSpec() if spec.failures.process == "none" else spec.failures
    present = {site.name for site in sites}
    domains = [
        domain.model_copy(update={"sites": tuple(name for name in domain.sites if name in present)})
        for domain in spec.domains
    ]
    return fleet_of_scenario(sites, failures, catalog.failure_kind, domains)


def _with(
    spec: ScenarioSpec,
    *,
    sites: Sequence[SiteSpec] | None = None,
    start: dict[str, Any] | None = None,
    budget: float | None = None,
    closed: Collection[str] = (),
) -> ScenarioSpec:
    """The scenario with other parts, checked like a file."""
    tables = spec.model_dump()
    if sites is not None:
        tables["sites"] = [site.model_dump() for site in sites]
    if start is not None:
        tables["start"] |= start
    if budget is not None:
        tables["reward"]["budget_usd_per_hour"] = budget
    tables["limits"]["forbidden_sites"] = list(dict.fromkeys([*tables["limits"]["forbidden_sites"], *closed]))
    return loading.load(tables)
