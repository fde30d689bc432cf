"""Sites, models and users as arrays: prices, speeds, distances, demand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from og_env.kernel.arrays import World
from og_env.scenario.catalog import gpus_per_replica, tokens_per_s
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import ModelSpec
from og_env.world.distances import nearest_first, site_rtt_ms, user_rtt_ms

VERIFICATIONS = ("none", "tee", "zkml")
OVERHEAD_S = 0.1
"""of an answer beside its tokens: prompt, scheduling, tokenisation"""
MB_PER_S_PER_GBPS = 125.0
LARGEST = 2_000_000_000
"""of an integer field: what a 32-bit integer holds, with room for a sum of small ones"""


def fill_sites(world: World, resolved: ResolvedScenario) -> None:
    """What every site has and asks."""
    sites = resolved.sites
    n = len(sites)
    world.site_valid[0, :n] = 1
    world.gpu_count[0, :n] = [site.gpu_count for site in sites]
    world.usd_per_gpu_hour[0, :n] = [site.usd_per_gpu_hour for site in sites]
    world.usd_per_vm_hour[0, :n] = [site.usd_per_vm_hour for site in sites]
    world.egress_usd_per_gb[0, :n] = [site.egress_usd_per_gb for site in sites]
    world.link_mb_per_s[0, :n] = [whole(site.link_gbps * MB_PER_S_PER_GBPS, 1) for site in sites]
    world.tee[0, :n] = [site.tee_vendor != "none" for site in sites]


def fill_distances(world: World, resolved: ResolvedScenario, padded: int) -> None:
    """Round trips, and the order of `padded` sites by distance."""
    sites, network = resolved.sites, resolved.spec.network
    n = len(sites)
    rtt_ms, rtt_user_ms = site_rtt_ms(sites, network), user_rtt_ms(resolved.regions, sites, network)
    world.rtt_ms[0, :n, :n] = rtt_ms
    world.rtt_user_ms[0, :, :n] = rtt_user_ms
    world.near_site[0] = np.arange(padded)
    world.near_site[0, :n] = nearest_first(rtt_ms, padded)
    world.near_user[0] = nearest_first(rtt_user_ms, padded)


def fill_models(world: World, resolved: ResolvedScenario) -> None:
    """What every model is, and what it needs and gives at every site: 0 where it does not fit."""
    models = resolved.models
    disk_gb_per_s = np.array([site.disk_gb_per_s for site in resolved.sites])
    n = len(resolved.sites)
    for m, model in enumerate(models):
        need, service_s = _replicas(model, resolved)
        busy_s = service_s * (model.proof_multiplier if model.verification == "zkml" else 1.0)
        load_ms = np.round(1000 * (model.weights_gb / disk_gb_per_s + model.engine_start_s))
        world.replica_gpus[0, m, :n] = need
        world.service_s[0, m, :n] = service_s
        world.busy_s[0, m, :n] = busy_s
        world.capacity_rps[0, m, :n] = np.divide(model.streams, busy_s, out=np.zeros(n), where=need > 0)
        world.load_ms[0, m, :n] = np.where(need > 0, np.minimum(load_ms, LARGEST), 0)
        world.mean_load_ms[0, m] = world.load_ms[0, m, :n].sum(dtype=np.float64) / max((need > 0).sum(), 1)
    world.weights_mb[0] = [whole(math.ceil(model.weights_gb * 1000 - 1e-6), 1) for model in models]
    world.weights_gb[0] = [model.weights_gb for model in models]
    world.streams[0] = [model.streams for model in models]
    world.queue_exponent[0] = [1 + 1.17 * (math.sqrt(model.streams) - 1) for model in models]
    world.slo_s[0] = [model.slo_s for model in models]
    world.verification[0] = [VERIFICATIONS.index(model.verification) for model in models]
    world.request_gb[0] = [model.request_gb for model in models]


def _replicas(model: ModelSpec, resolved: ResolvedScenario) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """[N] GPUs that a replica takes and [N] seconds of an answer; 0 where the model does not fit."""
    need: dict[str, int] = {}
    answer_s: dict[str, float] = {}
    for name in {site.gpu for site in resolved.sites}:
        gpu = resolved.gpus.get(name)
        if gpu is None or gpu.memory_gb <= 0 or not (gpu.bandwidth_gb_per_s > 0 or name in model.tokens_per_s):
            continue
        need[name] = gpus_per_replica(model, gpu)
        answer_s[name] = model.output_tokens / tokens_per_s(model, gpu, need[name]) + OVERHEAD_S
    gpus = np.array([need.get(site.gpu, 0) for site in resolved.sites], np.int64)
    service_s = np.array([answer_s.get(site.gpu, 0.0) for site in resolved.sites])
    fit = gpus <= np.array([site.gpu_count for site in resolved.sites])
    return np.where(fit, gpus, 0), np.where(fit, service_s, 0.0)


def population_share(resolved: ResolvedScenario) -> NDArray[np.float64]:
    """[U] share of the demand of each user region."""
    population = np.array([region.population_m for region in resolved.regions])
    return population / population.sum()


def fill_demand(world: World, resolved: ResolvedScenario, day: int) -> None:
    """Mean demand and its expected factor at each of the `day` steps of a UTC day."""
    demand = resolved.spec.demand
    popularity = np.array([model.share for model in resolved.models])
    popularity = popularity / popularity.sum()
    world.base_rps[0] = demand.requests_per_s * np.outer(population_share(resolved), popularity)
    world.region_rps[0] = world.base_rps[0].sum(axis=1, dtype=np.float64)
    offset_h = np.array([region.utc_offset_h for region in resolved.regions])
    hour = np.arange(day)[:, None] * resolved.spec.episode.step_s / 3600 + offset_h
    amplitude = demand.diurnal_amplitude if demand.trace_csv is None else 0.0
    world.diurnal[0] = 1 + amplitude * np.cos(2 * np.pi * (hour - demand.peak_hour) / 24)


def whole(value: float, least: int) -> int:
    """The nearest whole number within the range of an integer field."""
    return int(min(max(round(value), least), LARGEST))
