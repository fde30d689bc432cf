"""The fleet at the first step: the sites that hold each model, and those where verifiers, stores and gateways run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import GATEWAY, STORE, VERIFIER, WARM, World
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import ModelSpec, SiteSpec, StartSpec
from og_env.world.demand_arrays import population_share
from og_env.world.site_arrays import SECONDS_PER_HOUR

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class SiteFacts(NamedTuple):
    """Costs, trust and distances by which starting sites are chosen; M models, N sites, U user regions."""

    replica_gpus: NDArray[np.int64]
    """[M, N] GPUs that a replica takes; 0 where the model does not fit"""
    usd_per_rps: Floats
    """[M, N] price of an hour of a replica in full use, rent and use, over its capacity"""
    distrusted: Bools
    """[M, N] whether the model wants attestation and the site cannot attest"""
    rtt_user_ms: Floats
    """[U, N] round trips from user regions to sites"""
    population_share: Floats
    """[U] share of the demand that comes from each region"""


def fill_start(world: World, resolved: ResolvedScenario) -> None:
    """Write which replicas are warm and which roles run at the first step.

    It reads the arrays of sites, models and distances, so these must be filled before.
    """
    n = len(resolved.sites)
    need = world.replica_gpus[0, :, :n].astype(np.int64)
    capacity_rps = world.capacity_rps[0, :, :n].astype(np.float64)
    rent = need * world.usd_per_gpu_hour[0, :n].astype(np.float64)
    use = capacity_rps * world.use_usd[0, :, :n] * SECONDS_PER_HOUR
    wants_tee = world.verification[0] == TEE
    facts = SiteFacts(
        replica_gpus=need,
        usd_per_rps=np.divide(rent + use, capacity_rps, out=np.zeros_like(rent), where=need > 0),
        distrusted=wants_tee[:, None] & (world.tee[0, :n] == 0),
        rtt_user_ms=world.rtt_user_ms[0, :, :n].astype(np.float64),
        population_share=population_share(resolved),
    )
    start = resolved.spec.start
    world.start_phase[0, :, :n] = np.where(start_replicas(start, resolved.sites, resolved.models, facts), WARM, 0)
    world.start_role[0] = -1
    world.start_role[0, :, :n] = np.where(start_roles(start, resolved.sites, facts), 0, -1)


def start_replicas(start: StartSpec, sites: Sequence[SiteSpec], models: Sequence[ModelSpec], facts: SiteFacts) -> Bools:
    """Where each model is warm, bool [M, N]: as named, or chosen one replica at a time, the models in turn.

    `cheapest` takes the least price of full use for the capacity. `spread` takes sites that can attest where the model
    wants it, then the provider with the fewest replicas of the model so far, then the least price. Ties go to the site
    nearer to demand.
    """
    chosen = np.zeros(facts.replica_gpus.shape, bool)
    if start.placement == "named":
        position = {site.name: index for index, site in enumerate(sites)}
        for m, model in enumerate(models):
            chosen[m, [position[name] for name in start.replica_sites.get(model.name, ())]] = True
        return chosen
    count = len(sites)
    provider, providers = _providers(sites)
    used = np.zeros((len(models), providers), np.int64)
    free = np.array([site.gpu_count for site in sites])
    rank = _ranks(facts.usd_per_rps, np.broadcast_to(_demand_ms(facts), facts.usd_per_rps.shape))
    blocked = 2 * (count + 1) * count  # exceeds every key below
    for _ in range(min(start.replicas_per_model, count)):
        for m in range(len(models)):
            key = rank[m]
            if start.placement == "spread":
                key = (facts.distrusted[m] * (count + 1) + used[m, provider]) * count + key
            need = facts.replica_gpus[m]
            key = np.where((need > 0) & (need <= free) & ~chosen[m], key, blocked)
            site = int(key.argmin())
            if key[site] < blocked:
                chosen[m, site] = True
                free[site] -= need[site]
                used[m, provider[site]] += 1
    return chosen


def start_roles(start: StartSpec, sites: Sequence[SiteSpec], facts: SiteFacts) -> Bools:
    """Where each role runs, bool [3, N]: as named, by the price of a machine, or spread over providers.

    Spread verifiers and stores take the cheapest machines of the providers with the fewest so far; spread gateways take
    there the site that brings users nearest to their gateways. No site has a role twice.
    """
    chosen = np.zeros((3, len(sites)), bool)
    if start.placement == "named":
        position = {site.name: index for index, site in enumerate(sites)}
        names = {VERIFIER: start.verifier_sites, STORE: start.store_sites, GATEWAY: start.gateway_sites}
        for role, of_role in names.items():
            chosen[role, [position[name] for name in of_role]] = True
        return chosen
    usd_per_vm_hour = np.array([site.usd_per_vm_hour for site in sites])
    rank = _ranks(usd_per_vm_hour[None], _demand_ms(facts)[None])[0]
    counts = {VERIFIER: start.verifiers, STORE: start.stores, GATEWAY: start.gateways}
    for role, number in counts.items():
        number = min(number, len(sites))
        if start.placement == "cheapest":
            chosen[role, np.argsort(rank)[:number]] = True
        else:
            chosen[role] = _spread_role(sites, number, rank, facts if role == GATEWAY else None)
    return chosen


def _spread_role(sites: Sequence[SiteSpec], number: int, rank: NDArray[np.int64], near: SiteFacts | None) -> Bools:
    """Sites that run a role, bool [N], spread over providers; with `near`, close to users far from the others."""
    provider, providers = _providers(sites)
    used = np.zeros(providers, np.int64)
    chosen = np.zeros(len(sites), bool)
    nearest_ms = np.full(0 if near is None else len(near.population_share), np.inf)
    for _ in range(number):
        order = rank
        if near is not None:
            reached_ms = near.population_share @ np.minimum(nearest_ms[:, None], near.rtt_user_ms)
            order = _ranks(reached_ms[None], rank[None])[0]
        key = used[provider] * len(sites) + order
        site = int(np.where(chosen, np.iinfo(np.int64).max, key).argmin())
        chosen[site] = True
        used[provider[site]] += 1
        if near is not None:
            nearest_ms = np.minimum(nearest_ms, near.rtt_user_ms[:, site])
    return chosen


def _demand_ms(facts: SiteFacts) -> Floats:
    """Mean round trip of all users to each site, float64 [N]."""
    return facts.population_share @ facts.rtt_user_ms


def _ranks(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray[np.int64]:
    """Place of every column in its row's order by the first key, then the second, then the index, int64 [R, N]."""
    order = np.lexsort((second, first), axis=-1)
    rank = np.empty(order.shape, np.int64)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    return rank


def _providers(sites: Sequence[SiteSpec]) -> tuple[NDArray[np.int64], int]:
    """Index of each site's provider int64 [N], and the number of providers."""
    index: dict[str, int] = {}
    of_site = np.array([index.setdefault(site.provider, len(index)) for site in sites])
    return of_site, len(index)
