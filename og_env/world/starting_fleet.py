"""The fleet at the first step: which sites hold which models, and where verifiers, stores and gateways run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.kernel.arrays import GATEWAY, STORE, VERIFIER
from og_env.scenario.specs import ModelSpec, SiteSpec, StartSpec

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Offer(NamedTuple):
    """What a choice of starting sites looks at; M models, N sites, U user regions."""

    replica_gpus: NDArray[np.int64]
    """[M, N] 0 where the model does not fit"""
    usd_per_rps: Floats
    """[M, N] rent of a replica an hour over its capacity"""
    distrusted: Bools
    """[M, N] the model wants attestation and the site cannot attest"""
    rtt_user_ms: Floats
    """[U, N]"""
    population_share: Floats
    """[U]"""


def start_replicas(start: StartSpec, sites: Sequence[SiteSpec], models: Sequence[ModelSpec], offer: Offer) -> Bools:
    """[M, N] where each model is warm: as named, or chosen one replica at a time, the models in turn.

    `cheapest` takes the least rent for the capacity. `spread` takes sites that can attest where the model wants it,
    then the provider with the fewest replicas of the model so far, then the least rent. Ties go to the site nearer to
    demand.
    """
    chosen = np.zeros(offer.replica_gpus.shape, bool)
    if start.placement == "named":
        position = {site.name: index for index, site in enumerate(sites)}
        for m, model in enumerate(models):
            chosen[m, [position[name] for name in start.replica_sites.get(model.name, ())]] = True
        return chosen
    count = len(sites)
    provider, providers = _providers(sites)
    used = np.zeros((len(models), providers), np.int64)
    free = np.array([site.gpu_count for site in sites])
    rank = _ranks(offer.usd_per_rps, np.broadcast_to(_demand_ms(offer), offer.usd_per_rps.shape))
    blocked = 2 * (count + 1) * count
    for _ in range(min(start.replicas_per_model, count)):
        for m in range(len(models)):
            key = rank[m]
            if start.placement == "spread":
                key = (offer.distrusted[m] * (count + 1) + used[m, provider]) * count + key
            need = offer.replica_gpus[m]
            key = np.where((need > 0) & (need <= free) & ~chosen[m], key, blocked)
            site = int(key.argmin())
            if key[site] < blocked:
                chosen[m, site] = True
                free[site] -= need[site]
                used[m, provider[site]] += 1
    return chosen


def start_roles(start: StartSpec, sites: Sequence[SiteSpec], offer: Offer) -> Bools:
    """[3, N] where each role runs: as named, by the price of a machine, or spread over providers.

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
    rank = _ranks(usd_per_vm_hour[None], _demand_ms(offer)[None])[0]
    counts = {VERIFIER: start.verifiers, STORE: start.stores, GATEWAY: start.gateways}
    for role, number in counts.items():
        number = min(number, len(sites))
        if start.placement == "cheapest":
            chosen[role, np.argsort(rank)[:number]] = True
        else:
            chosen[role] = _spread_role(sites, number, rank, offer if role == GATEWAY else None)
    return chosen


def _spread_role(sites: Sequence[SiteSpec], number: int, rank: NDArray[np.int64], near: Offer | None) -> Bools:
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


def _demand_ms(offer: Offer) -> Floats:
    """[N] mean round trip from the users."""
    return offer.population_share @ offer.rtt_user_ms


def _ranks(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray[np.int64]:
    """[R, N] place of every column in each row's order by the first key, then the second, then the index."""
    order = np.lexsort((second, first), axis=-1)
    rank = np.empty(order.shape, np.int64)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    return rank


def _providers(sites: Sequence[SiteSpec]) -> tuple[NDArray[np.int64], int]:
    """[N] index of each site's provider, and their number."""
    index: dict[str, int] = {}
    of_site = np.array([index.setdefault(site.provider, len(index)) for site in sites])
    return of_site, len(index)
