"""Random worlds, tapes and states for tests: everything that can occur, odd combinations on purpose."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_env.kernel.arrays import (
    ABSENT,
    BLIND,
    CALM_SPEED,
    DOWN,
    FETCHING,
    FROZEN,
    LOADING,
    METRICS,
    NO_COUNT_LIMIT,
    NO_RENT_LIMIT,
    SLOW,
    STAGING,
    STORE,
    UNTRUSTED,
    WARM,
    Memo,
    Output,
    Scratch,
    State,
    Tape,
    World,
)
from og_env.kernel.memory import allocate
from og_env.world.distances import attraction

NO_DOMAIN = -1
DAY_STEPS = 12


class Episodes(NamedTuple):
    """Random episodes, each in a world of its own."""

    sizes: dict[str, int]
    world: World
    tape: Tape
    state: State


def sizes_of(rng: np.random.Generator, count: int, rows: int) -> dict[str, int]:
    """Dimensions for `count` episodes of `rows` tape rows."""
    sites, shared = int(rng.integers(3, 9)), int(rng.integers(1, 6))
    models = int(rng.integers(1, 4))
    return {
        "W": count,
        "B": count,
        "T": rows,
        "Y": DAY_STEPS,
        "N": sites,
        "M": models,
        "U": int(rng.integers(1, 5)),
        "S": shared,
        "F": shared + sites,
        "D": 1 + min(shared, 3),
        "P": 4,
        "K": 4,
        "Q": len(METRICS),
        "O": 0,
        "V": 1 + 3 * models * sites + 6 * sites,
        "C": 1,
        "H": shared + sites,
    }


def random_episodes(seed: int, count: int, rows: int = 8) -> Episodes:
    """`count` episodes of equal dimensions and otherwise different worlds, in states as they occur in mid-episode."""
    rng = np.random.default_rng(seed)
    sizes = sizes_of(rng, count, rows)
    world: World = allocate(World, sizes)
    tape: Tape = allocate(Tape, sizes)
    state: State = allocate(State, sizes)
    for w in range(count):
        _fill_sites(rng, world, w)
        _fill_domains(rng, world, w, sizes)
        _fill_models(rng, world, w)
        _fill_constants(rng, world, w)
        _fill_state(rng, world, state, w)
    _fill_tape(rng, world, tape)
    for b in range(count):
        state.status[b] = tape.status[b, 0]
        dead = (state.status[b] & DOWN) != 0
        state.undetected_ms[b] = np.where(dead, rng.choice([0, 20_000, 400_000], dead.shape), 0)
        state.phase[b] = np.where(dead & (state.phase[b] > LOADING), LOADING, state.phase[b])
        state.load_left_ms[b] = np.where(dead & (state.phase[b] == LOADING), world.load_ms[b], state.load_left_ms[b])
    _fill_supply(np.random.default_rng([seed, count]), world, tape, state)
    for w in range(count):
        _fill_limits(rng, world, state, w)
    return Episodes(sizes, world, tape, state)


def arrays_for_kernel(episodes: Episodes) -> tuple[Output, Scratch, Memo]:
    """Empty output, scratch and memo of the right sizes."""
    return allocate(Output, episodes.sizes), allocate(Scratch, episodes.sizes), allocate(Memo, episodes.sizes)


def random_operations(rng: np.random.Generator, possible: np.ndarray) -> np.ndarray:
    """int64 [B]: mostly possible operations of `possible` [B, V], now and then nothing or an impossible one."""
    batch, count = possible.shape
    operations = np.array([rng.choice(np.flatnonzero(row)) for row in possible])
    return np.where(rng.random(batch) < 0.15, rng.integers(0, count, batch), operations).astype(np.int64)


def _fill_sites(rng: np.random.Generator, world: World, w: int) -> None:
    users, sites = world.rtt_user_ms.shape[1:]
    valid = np.arange(sites) < rng.integers(2, sites + 1)
    world.site_valid[w] = valid
    world.gpu_count[w] = rng.integers(0, 9, sites) * valid
    world.usd_per_gpu_hour[w] = rng.uniform(0.2, 4, sites)
    world.usd_per_vm_hour[w] = rng.uniform(0.05, 0.5, sites)
    world.egress_usd_per_gb[w] = rng.choice([0, 0.01, 0.09], sites)
    world.link_mb_per_s[w] = rng.choice([12, 125, 1250, 3125], sites)
    world.tee[w] = rng.random(sites) < 0.6
    world.payment_ms[w] = rng.choice([0, 80, 1_000], sites)
    points, crowd = rng.uniform(0, 120, (sites, 2)), rng.uniform(0, 120, (users, 2))
    between = np.linalg.norm(points[:, None] - points, axis=2)
    world.rtt_ms[w] = between + 1
    world.rtt_user_ms[w] = np.linalg.norm(crowd[:, None] - points, axis=2) + 5
    far_when_padded = np.where(valid, 0, 1e6)
    world.near_site[w] = np.argsort(between + far_when_padded - np.eye(sites) * 1e7, axis=1, kind="stable")
    world.near_user[w] = np.argsort(world.rtt_user_ms[w] + far_when_padded, axis=1, kind="stable")
    mixing = rng.normal(size=(sites, 3))
    correlation = np.abs(np.corrcoef(mixing)) * 0.8
    np.fill_diagonal(correlation, 1)
    world.correlation[w] = correlation


def _fill_domains(rng: np.random.Generator, world: World, w: int, sizes: dict[str, int]) -> None:
    shared, sites, places = sizes["S"], sizes["N"], sizes["D"]
    world.site_domain[w] = NO_DOMAIN
    for s in np.flatnonzero(world.site_valid[w]):
        joined = rng.permutation(shared)[: rng.integers(0, places)]
        world.site_domain[w, s, : 1 + len(joined)] = [shared + s, *joined]
        world.hit[w, s, : 1 + len(joined)] = rng.uniform(0.1, 1, 1 + len(joined))
    for f in range(shared + sites):
        world.domain_size[w, f] = (world.site_domain[w] == f).sum()
    visible = np.concatenate([rng.random(shared) < 0.7, np.ones(sites, bool)])
    world.domain_visible[w] = visible & (world.domain_size[w] > 0)
    world.domain_effect[w] = rng.choice([DOWN, DOWN, FROZEN, UNTRUSTED, SLOW], shared + sites)


def _fill_models(rng: np.random.Generator, world: World, w: int) -> None:
    models, sites = world.replica_gpus.shape[1:]
    gpus = np.broadcast_to(rng.integers(1, 4, models)[:, None], (models, sites))
    fits = (rng.random((models, sites)) < 0.85) & (gpus <= world.gpu_count[w])
    world.replica_gpus[w] = np.where(fits, gpus, 0)
    world.capacity_rps[w] = np.where(fits, rng.uniform(1, 12, (models, sites)), 0)
    world.service_s[w] = np.where(fits, rng.uniform(0.5, 6, (models, sites)), 0)
    proof = rng.choice([1.0, 1.0, 2.5], models)
    world.proof_s[w] = world.service_s[w] * (proof[:, None] - 1)
    world.queue_s[w] = world.service_s[w] * proof[:, None] * rng.uniform(0.05, 2)
    world.prefill_s[w] = world.service_s[w] * rng.uniform(0.05, 0.5, (models, sites))
    on_first_token = rng.random(models) < 0.5
    world.timed_s[w] = np.where(on_first_token[:, None], world.prefill_s[w], world.service_s[w])
    world.use_usd[w] = rng.choice([0, 1e-5, 1e-3], models)[:, None] * rng.uniform(0.5, 2, (models, sites))
    request_gb = rng.choice([0, 1e-5, 1e-3], models)[:, None]
    world.answer_usd[w] = world.use_usd[w] + request_gb * world.egress_usd_per_gb[w]
    world.load_ms[w] = np.where(fits, rng.choice([0, 4_000, 45_000, 299_999, 700_001], (models, sites)), 0)
    world.weights_mb[w] = rng.choice([500, 16_000, 140_000], models)
    world.weights_gb[w] = world.weights_mb[w] / 1000
    world.streams[w] = rng.choice([1, 4, 16], models)
    world.queue_exponent[w] = 1 + 1.17 * (np.sqrt(world.streams[w]) - 1)
    world.slo_s[w] = rng.uniform(0.2, 10, models)
    world.verification[w] = rng.integers(0, 3, models)
    world.base_rps[w] = rng.uniform(0, 6, world.base_rps.shape[1:]) * (rng.random(models) < 0.9)


def _fill_constants(rng: np.random.Generator, world: World, w: int) -> None:
    world.step_ms[w] = rng.choice([60_000, 300_000])
    world.detect_ms[w] = rng.choice([0, 30_000, 60_000, 1_800_000])
    world.provision_ms[w] = rng.choice([0, 100_000, 600_000])
    world.patience_ms[w] = rng.choice([0, 60_000, 400_000])
    world.timeout_ms[w] = rng.choice([500, 2_000])
    world.round_trips[w] = rng.uniform(1, 4)
    world.round_trips2[w] = world.round_trips[w] ** 2 + rng.choice([0, 0.3, 2])
    world.tries[w] = rng.integers(1, 4)
    world.loses_answers[w] = rng.integers(0, 2)
    world.block_s[w] = rng.choice([2, 10])
    world.settle_s[w] = rng.choice([0, 30])
    world.utilisation_limit[w] = rng.uniform(0.6, 0.95)
    world.store_streams[w] = rng.integers(1, 4)
    world.store_mb_per_s[w] = rng.choice([100, 1250])
    world.storage_usd_per_gb_hour[w] = rng.uniform(0, 1e-3)
    world.arrivals_part[w] = rng.random()
    world.service_cv[w] = rng.uniform(0, 1.5)
    if w % 3 == 2:  # others draw what they drew before there were clusters
        world.batch_requests[w], world.cluster_requests[w], world.cluster_rate[w] = 1 + w, 40, 1.5 + w
        world.idle_relief[w] = 0.2 * w
    world.weights[w] = rng.uniform(0, 1, world.weights.shape[1])
    world.convexity[w] = rng.choice([0, 5])
    world.budget_usd_per_hour[w] = rng.uniform(5, 100)
    world.knobs[w] = [
        rng.choice([1, 5, 40, 200]),
        rng.choice([0, 0.1, 1]),
        rng.uniform(0, 4),
        rng.uniform(0, 3),
        rng.choice([0, 0.1, 1]),
    ]
    world.attraction[w] = attraction(world.rtt_ms[w], world.knobs[w, 0])
    world.attack_budget[w] = rng.integers(0, 3)
    world.attack_cooldown[w] = rng.integers(0, 3)
    world.attack_steps[w] = rng.integers(1, 3)


def _fill_state(rng: np.random.Generator, world: World, state: State, w: int) -> None:
    models, sites = state.phase.shape[1:]
    state.world[w] = w
    state.role_ms[w] = -1
    for s in np.flatnonzero(world.site_valid[w]):
        for m in range(models):
            gpus = world.replica_gpus[w, m, s]
            if gpus == 0:
                continue
            phase = int(rng.integers(0, 6))
            if phase >= FETCHING and state.gpus_used[w, s] + gpus > world.gpu_count[w, s]:
                phase = ABSENT
            state.phase[w, m, s] = phase
            state.gpus_used[w, s] += gpus if phase >= FETCHING else 0
            if phase in (STAGING, FETCHING):
                state.fetch_left_mb[w, m, s] = rng.integers(1, world.weights_mb[w, m] + 1)
            elif phase == LOADING:
                state.load_left_ms[w, m, s] = rng.integers(1, world.load_ms[w, m, s] + 2)
        state.role_ms[w, :, s] = rng.choice([-1, 0, 0, 90_000, 500_000], 3)
    if rng.random() < 0.1:
        state.role_ms[w, STORE] = -1
    state.load_rps[w] = rng.uniform(0, 1, (models, sites)) * world.capacity_rps[w] * (state.phase[w] == WARM)
    state.in_flight[w] = state.load_rps[w] * rng.uniform(0, 60, (models, sites))
    state.shown_slowness_log2[w] = rng.uniform(-1, 2, sites)
    state.shown_wait_s[w] = rng.uniform(0, 9, sites)
    state.shown_refused[w], state.shown_load[w] = rng.random(sites), rng.random(sites)
    state.site_share[w] = rng.dirichlet(np.ones(sites)) * world.site_valid[w]
    state.knobs[w] = world.knobs[w]
    state.steer[w] = rng.uniform(-4, 4, sites) * (rng.random() < 0.7) * world.site_valid[w]
    state.attack_domain[w] = -1
    state.attack_until[w] = -1
    state.attacks_left[w] = world.attack_budget[w]


def _fill_limits(rng: np.random.Generator, world: World, state: State, w: int) -> None:
    """Limits of every kind in half of the worlds: some leave room, some bind, some are broken from the beginning."""
    world.most_replicas[w] = world.most_roles[w] = NO_COUNT_LIMIT
    world.rent_limit_usd_per_hour[w] = NO_RENT_LIMIT
    if rng.random() < 0.5:
        return
    for held, least, most in (
        ((state.phase[w] >= FETCHING).sum(axis=1), world.least_replicas[w], world.most_replicas[w]),
        ((state.role_ms[w] >= 0).sum(axis=1), world.least_roles[w], world.most_roles[w]),
    ):
        most[:] = np.maximum(held + rng.integers(-1, 3, held.shape), 0)
        least[:] = np.clip(held + rng.integers(-3, 2, held.shape), 0, most)
        least[rng.random(held.shape) < 0.3] = 0
        most[rng.random(held.shape) < 0.3] = NO_COUNT_LIMIT
    world.forbidden[w] = rng.random(world.forbidden.shape[1]) < 0.2
    rent = (state.gpus_used[w] * world.usd_per_gpu_hour[w]).sum()
    rent += ((state.role_ms[w] >= 0).sum(axis=0) * world.usd_per_vm_hour[w]).sum()
    if rng.random() < 0.7:
        world.rent_limit_usd_per_hour[w] = rent + rng.uniform(-1, 6)


def _fill_tape(rng: np.random.Generator, world: World, tape: Tape) -> None:
    bits = rng.random((*tape.status.shape, 4)) < (0.2, 0.12, 0.12, 0.12)
    status = (bits * np.array([DOWN, FROZEN, UNTRUSTED, SLOW])).sum(axis=-1)
    for i in range(1, status.shape[1]):  # outages last
        status[:, i] = np.where(rng.random(status.shape[::2]) < 0.5, status[:, i - 1], status[:, i])
    tape.write_status(status * world.site_valid[:, None])
    tape.regional[:] = rng.uniform(0, 2, tape.regional.shape)
    tape.model[:] = rng.uniform(0.2, 2, tape.model.shape)
    tape.signal[:] = rng.integers(0, 256, tape.signal.shape) * world.domain_visible[:, None, : tape.signal.shape[2]]
    tape.attack[:] = rng.random(tape.attack.shape) < 0.3
    tape.outages[:] = rng.integers(0, 4, tape.outages.shape)
    speeds = rng.integers(40, 81, tape.condition.shape) | BLIND * (rng.random(tape.condition.shape) < 0.2)
    tape.condition[:] = np.where(world.site_valid[:, None] == 1, speeds, CALM_SPEED)
    tape.noise[:] = rng.integers(0, 1 << 64, tape.noise.shape, np.uint64)


def _fill_supply(rng: np.random.Generator, world: World, tape: Tape, state: State) -> None:
    """Supply of every kind in half of the worlds, in rows that hang together."""
    world.launch_chance[:] = world.kept_share[:] = 1
    world.region_of[:] = rng.integers(0, 3, world.region_of.shape)
    world.peer_mb_per_s[:] = rng.choice([0, 0, 400, 20_000], len(world.peer_mb_per_s))
    world.announces[:] = rng.integers(0, 2, len(world.announces))
    world.retry_ms[:] = rng.choice([0, 400_000, 1_800_000], len(world.retry_ms))
    bits = (rng.random((*tape.supply.shape, 7)) < 0.12) * (1 << np.arange(7))
    supply = bits.sum(axis=-1).astype(np.uint8) * (rng.random(len(tape.supply)) < 0.5)[:, None, None]
    for i in range(1, supply.shape[1]):
        supply[:, i] = np.where(rng.random(supply.shape[::2]) < 0.5, supply[:, i - 1], supply[:, i])
    tape.supply[:] = supply * world.site_valid[:, None]
    state.supply[:] = tape.supply[:, 0]
    state.refused_ms[:] = rng.choice([0, 0, 200_000, 900_000], state.refused_ms.shape) * world.site_valid


def copy_of(values: Any) -> Any:
    """A layout with arrays of its own."""
    return type(values)(*(array.copy() for array in values))
