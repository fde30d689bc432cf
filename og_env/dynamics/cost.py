"""Dollars: the rent of GPUs and machines, the storage of weights, and what leaves a site for answers and fetches."""

from __future__ import annotations

from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, ON_DISK, STORE, Environment
from og_env.kernel.compile import kernel

MS_PER_S, S_PER_HOUR = 1000, 3600


@kernel
def write_rent(env: Environment) -> None:
    """Write rent_usd_per_hour to the memo."""
    env.memo.rent_usd_per_hour = rent_usd_per_hour(env, False)


@kernel
def rent_usd_per_hour(env: Environment, promised: bool) -> float:
    """Rent in dollars an hour: GPUs, machines, stored weights.

    A site that is down bills no GPUs and no machines; what lies on its disks is paid for. `promised` is the rent once
    every site is up and every fetch has arrived, if nothing else is changed.
    """
    models, sites = env.state.phase.shape
    usd, stored_gb, catalogue_gb = 0.0, 0.0, 0.0
    for model in range(models):
        catalogue_gb += env.world.weights_gb[model]
        copies = 0
        for site in range(sites):
            phase = env.state.phase[model, site]
            copies += ((phase >= ON_DISK) & (phase != FETCHING)) | (promised & (phase != ABSENT))
        stored_gb += copies * env.world.weights_gb[model]
    for site in range(sites):
        up = 0.0 if env.state.status[site] & DOWN and not promised else 1.0
        machines = 0
        for role in range(env.state.role_ms.shape[0]):
            machines += env.state.role_ms[role, site] >= 0
        gpus = float(env.state.gpus_used[site])  # an int16 times a float32 would be a float32
        usd += up * (gpus * env.world.usd_per_gpu_hour[site] + machines * env.world.usd_per_vm_hour[site])
        stored_gb += catalogue_gb if env.state.role_ms[STORE, site] >= 0 else 0.0
    return usd + stored_gb * env.world.storage_usd_per_gb_hour


@kernel
def store_storage_usd_per_hour(env: Environment) -> float:
    """Price of the disk of a store, which holds the weights of all models."""
    usd = 0.0
    for model in range(env.world.weights_gb.shape[0]):
        usd += env.world.weights_gb[model] * env.world.storage_usd_per_gb_hour
    return usd


@kernel
def spending_usd_per_hour(env: Environment, fetch_usd: float) -> float:
    """Rent, the price of answers (egress and use), and egress for this step's fetches (fetch_usd), in dollars an hour."""
    answers_usd_per_s = 0.0
    for model in range(env.scratch.answers_usd_per_s.shape[0]):
        answers_usd_per_s += env.scratch.answers_usd_per_s[model]
    fetches_usd_per_s = fetch_usd * MS_PER_S / env.world.step_ms
    return env.memo.rent_usd_per_hour + (answers_usd_per_s + fetches_usd_per_s) * S_PER_HOUR
