"""Sites and models as arrays: prices and GPUs of sites, sizes and verification of models, speeds of models at sites."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.dynamics.latency import LEAST_QUEUE_STREAMS
from og_env.kernel.arrays import World
from og_env.scenario.catalog import AnswerTimes, answer_times, gpus_per_replica
from og_env.scenario.loading import ResolvedScenario
from og_env.scenario.specs import DemandSpec, ModelSpec, PricesSpec, ScenarioSpec, SiteSpec
from og_env.scenario.specs.catalog_entries import DISK_GB_PER_S, SNAPSHOT_SHARE

Floats = NDArray[np.float64]
VERIFICATIONS = ("none", "tee", "zkml")
"""verification modes in the order of their codes: NO_PROOF, TEE and ZKML of og_env/dynamics/verification.py"""
WAIT_SLOPE = 1.17
"""rise of the exponent of the waiting probability with the root of the streams, see `wait_probability` in
og_env/dynamics/latency.py"""
SECONDS_PER_HOUR = 3600.0
MB_PER_S_PER_GBPS = 125.0
LARGEST = 2_000_000_000
"""largest value of an integer field: what a 32-bit integer holds, with room to add small numbers to it"""
ROUNDING_MB = 1e-6
"""weights that exceed whole megabytes by less do so because decimal numbers are rounded"""


def fill_sites(world: World, resolved: ResolvedScenario) -> None:
    """Write the GPUs, prices, link and attestation of every site; the rent of a GPU is a share of its on-demand price."""
    sites = resolved.sites
    n = len(sites)
    world.site_valid[0, :n] = 1
    world.gpu_count[0, :n] = [site.gpu_count for site in sites]
    world.usd_per_gpu_hour[0, :n] = [rent_usd_per_gpu_hour(site, resolved.spec) for site in sites]
    world.usd_per_vm_hour[0, :n] = [site.usd_per_vm_hour for site in sites]
    world.egress_usd_per_gb[0, :n] = [site.egress_usd_per_gb for site in sites]
    world.link_mb_per_s[0, :n] = [whole(site.link_gbps * MB_PER_S_PER_GBPS, 1) for site in sites]
    world.tee[0, :n] = [site.tee_vendor != "none" for site in sites]


def fill_models(world: World, resolved: ResolvedScenario) -> None:
    """Write the sizes and objectives of models, and GPUs, times, capacity and prices of a replica at every site.

    Where a model does not fit, its entries of the site are 0.
    """
    models = resolved.models
    disk_gb_per_s = np.array(
        [site.disk_gb_per_s if site.disk is None else DISK_GB_PER_S[site.disk] for site in resolved.sites]
    )
    egress_usd_per_gb = np.array([site.egress_usd_per_gb for site in resolved.sites])
    use_usd_per_gpu_s = (
        np.array([use_usd_per_gpu_hour(site, resolved.spec.prices) for site in resolved.sites]) / SECONDS_PER_HOUR
    )
    n = len(resolved.sites)
    for m, model in enumerate(models):
        need, times = _replicas(model, resolved)
        use_usd = use_usd_per_gpu_s * need * times.busy_s / model.streams
        start_s = np.array([engine_start_s(model, site) for site in resolved.sites])
        load_ms = np.round(1000 * (model.weights_gb / disk_gb_per_s + start_s))
        world.replica_gpus[0, m, :n] = need
        for name in ("prefill_s", "service_s", "timed_s", "proof_s"):
            getattr(world, name)[0, m, :n] = getattr(times, name)
        world.queue_s[0, m, :n] = queue_seconds(times.busy_s, model.streams, resolved.spec.demand)
        world.use_usd[0, m, :n] = use_usd
        world.answer_usd[0, m, :n] = np.where(need > 0, use_usd + model.request_gb * egress_usd_per_gb, 0)
        world.capacity_rps[0, m, :n] = np.divide(model.streams, times.busy_s, out=np.zeros(n), where=need > 0)
        world.load_ms[0, m, :n] = np.where(need > 0, np.minimum(load_ms, LARGEST), 0)
        world.mean_load_ms[0, m] = world.load_ms[0, m, :n].sum(dtype=np.float64) / max((need > 0).sum(), 1)
    world.weights_mb[0] = [whole(math.ceil(model.weights_gb * 1000 - ROUNDING_MB), 1) for model in models]
    world.weights_gb[0] = [model.weights_gb for model in models]
    world.streams[0] = [model.streams for model in models]
    together = resolved.spec.demand.batch_requests
    seen = [max(model.streams / max(together, 1.0), LEAST_QUEUE_STREAMS) for model in models]
    world.queue_exponent[0] = [1 + WAIT_SLOPE * (math.sqrt(streams) - 1) for streams in seen]
    world.slo_s[0] = [model.slo_s for model in models]
    world.verification[0] = [VERIFICATIONS.index(model.verification) for model in models]


def engine_start_s(model: ModelSpec, site: SiteSpec) -> float:
    """Start of a model's engine at a site: from a snapshot, where the site has them."""
    if not site.snapshots:
        return model.engine_start_s
    return SNAPSHOT_SHARE * model.engine_start_s if model.snapshot_start_s is None else model.snapshot_start_s


def queue_seconds(busy_s: Floats, streams: int, demand: DemandSpec) -> Floats:
    """Mean wait of those who wait at a replica without load, by Allen and Cunneen: it grows by 1 / (1 - utilisation).

    busy_s: time that an answer holds one of the streams. Arrivals and answers come with their coefficients of variation.
    """
    return busy_s / streams * (demand.arrival_cv**2 + demand.service_cv**2) / 2


def rent_usd_per_gpu_hour(site: SiteSpec, spec: ScenarioSpec) -> float:
    """Price of holding a GPU for an hour: the spot price, or what is paid of the on-demand price."""
    if site.market != "spot":
        return site.usd_per_gpu_hour * spec.prices.rent_share
    own = site.spot_usd_per_gpu_hour
    return site.usd_per_gpu_hour * spec.scarcity.spot_share if own is None else own


def use_usd_per_gpu_hour(site: SiteSpec, prices: PricesSpec) -> float:
    """Price of an hour of use of one GPU, beside its rent: the site's own, or a share of its on-demand price."""
    return site.usd_per_gpu_hour * prices.use_share if site.use_usd_per_gpu_hour is None else site.use_usd_per_gpu_hour


class _Times(NamedTuple):
    """AnswerTimes of a model at every site, float64 [N]."""

    prefill_s: Floats
    service_s: Floats
    timed_s: Floats
    proof_s: Floats
    busy_s: Floats


def _replicas(model: ModelSpec, resolved: ResolvedScenario) -> tuple[NDArray[np.int64], _Times]:
    """GPUs of a replica int64 [N] and times of an answer at every site; all are 0 where the model does not fit."""
    need: dict[str, int] = {}
    times: dict[str, AnswerTimes] = {}
    for name in {site.gpu for site in resolved.sites}:
        gpu = resolved.gpus.get(name)
        if gpu is None or gpu.memory_gb <= 0 or not (gpu.bandwidth_gb_per_s > 0 or name in model.tokens_per_s):
            continue
        need[name] = gpus_per_replica(model, gpu)
        times[name] = answer_times(model, gpu, need[name])
    gpus = np.array([need.get(site.gpu, 0) for site in resolved.sites], np.int64)
    fit = gpus <= np.array([site.gpu_count for site in resolved.sites])
    nowhere = AnswerTimes(*[0.0] * len(AnswerTimes._fields))
    by_site = np.array([times.get(site.gpu, nowhere) for site in resolved.sites])
    return np.where(fit, gpus, 0), _Times(*np.where(fit, by_site.T, 0.0))


def whole(value: float, least: int) -> int:
    """Round to the nearest whole number from `least` to LARGEST, the range of an integer field."""
    return int(min(max(round(value), least), LARGEST))
