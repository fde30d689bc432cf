"""The fleet of the readable step: operations, outages, fetches and the passing of time. All in integers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_env.dynamics.loading import MOST_KB_PER_S
from og_env.dynamics.reference.limits import within_limits
from og_env.dynamics.reference.world_rows import Facts, carried, down, has
from og_env.kernel.arrays import (
    ABSENT,
    DOWN,
    FETCHING,
    FROZEN,
    GATEWAY_OFF,
    IMPAIRED,
    LEAVING,
    LOADING,
    NO_LAUNCHES,
    ON_DISK,
    SCARCE,
    STAGING,
    STORE,
    STORE_OFF,
    TAKEN,
    WARM,
    State,
    Tape,
)


class Fetches(NamedTuple):
    """The fetches of a step, and how long replicas stay cold."""

    source: np.ndarray  # int [B, N]: nearest live store; -1 none
    rate_kb_per_s: np.ndarray  # int [B, M, N]: 0 where nothing is fetched
    moved_mb: np.ndarray  # int [B, M, N]
    wait_ms: np.ndarray  # int [B, M, N]: until the replica is warm; -1 never
    peer: np.ndarray  # bool [B, M, N]: fetched from a warm peer, which costs nothing


def possible_operations(facts: Facts, state: State) -> np.ndarray:
    """Which operations are possible, going by the status of the last step (bool [B, V])."""
    world, phase, role_ms = facts.world, state.phase, state.role_ms
    open_site = (world.site_valid == 1) & ~has(state.status, DOWN | FROZEN)
    store_left = roles_up(state)[:, STORE].any(axis=1)[:, None, None]

    fits = world.replica_gpus > 0
    room = state.gpus_used[:, None] + world.replica_gpus <= world.gpu_count[:, None]
    launchable = ((phase == ABSENT) & store_left) | (phase == STAGING) | (phase == ON_DISK)
    may_launch, may_retire, may_stage, may_add, may_remove = within_limits(facts, state)
    launch = fits & room & launchable & may_launch & may_start(facts, state)[:, None]
    retire = (phase >= FETCHING) & may_retire
    stage = fits & (phase == ABSENT) & store_left & may_stage
    may_add = may_add & ~has(state.supply, NO_LAUNCHES)[:, None]
    add_or_remove = np.stack([(role_ms == -1) & may_add, (role_ms >= 0) & may_remove], axis=2)  # [B, 3, 2, N]

    batch, _, sites = phase.shape
    by_site = np.concatenate([launch, retire, stage, add_or_remove.reshape(batch, 6, sites)], axis=1)
    at_open_site = (by_site & open_site[:, None]).reshape(batch, -1)
    return np.concatenate([np.ones((batch, 1), bool), at_open_site], axis=1)


def apply(facts: Facts, state: State, operation: np.ndarray) -> tuple[State, np.ndarray]:
    """The state after the operations [B], and the operations carried out: 0 where one was impossible."""
    world = facts.world
    _, models, sites = state.phase.shape
    allowed = np.take_along_axis(possible_operations(facts, state), operation[:, None], axis=1)[:, 0]
    done = np.where(allowed, operation, 0)
    asked, at = (done - 1) // sites < models, (done - 1) % sites
    refused = (done > 0) & asked & has(state.supply[np.arange(len(done)), at], SCARCE)
    refused_ms = state.refused_ms.copy()
    refused_ms[refused, at[refused]] = world.retry_ms[refused]
    state = state._replace(refused_ms=refused_ms, refusals=state.refusals + refused)
    done = np.where(refused, 0, done)
    phase, fetch_left_mb, load_left_ms = state.phase.copy(), state.fetch_left_mb.copy(), state.load_left_ms.copy()
    role_ms, gpus_used = state.role_ms.copy(), state.gpus_used.copy()
    row_of_operation, site = np.divmod(done - 1, sites)  # of launch, retire, stage by model, then of the roles

    def chosen(verb: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        b = np.flatnonzero(row_of_operation // models == verb)
        return b, row_of_operation[b] % models, site[b]

    b, m, s = chosen(0)  # launch
    before = phase[b, m, s]
    fresh, on_disk = before == ABSENT, before == ON_DISK
    fetch_left_mb[b, m, s] = np.where(fresh, world.weights_mb[b, m], fetch_left_mb[b, m, s])
    load_left_ms[b, m, s] = np.where(on_disk, world.load_ms[b, m, s], 0)
    phase[b, m, s] = np.where(on_disk, LOADING, FETCHING)
    gpus_used[b, s] += world.replica_gpus[b, m, s]

    b, m, s = chosen(1)  # retire
    phase[b, m, s] = np.where(phase[b, m, s] == FETCHING, ABSENT, ON_DISK)
    fetch_left_mb[b, m, s] = load_left_ms[b, m, s] = 0
    gpus_used[b, s] -= world.replica_gpus[b, m, s]

    b, m, s = chosen(2)  # stage
    phase[b, m, s] = STAGING
    fetch_left_mb[b, m, s] = world.weights_mb[b, m]

    b = np.flatnonzero(row_of_operation >= 3 * models)
    role, remove = np.divmod(row_of_operation[b] - 3 * models, 2)
    role_ms[b, role, site[b]] = np.where(remove == 1, -1, world.provision_ms[b])
    changed = state._replace(phase=phase, fetch_left_mb=fetch_left_mb, load_left_ms=load_left_ms)
    return changed._replace(role_ms=role_ms, gpus_used=gpus_used), done


def strike(facts: Facts, tape: Tape, state: State) -> tuple[State, np.ndarray]:
    """The state under the outages of the step: new status, struck replicas cold, undetected sites timed.

    Also the number of answers [B, M] that were in progress at sites that went down; their users ask again.
    """
    world, now = facts.world, state.step + 1
    b = np.arange(len(now))
    state = _attack(facts, tape, state)
    attacked = (state.attack_domain >= 0) & (now <= state.attack_until)
    members = facts.member[b, np.maximum(state.attack_domain, 0)] & attacked[:, None]
    status = tape.status_at(b, now).astype(np.int64) | np.where(members, DOWN, 0)

    dead, was_dead = down(status), down(state.status)
    undetected_ms = np.where(dead, np.where(was_dead, state.undetected_ms, world.detect_ms[:, None]), 0)
    lost = dead[:, None] & ((state.phase == LOADING) | (state.phase == WARM))
    broken = dead & ~was_dead & (world.loses_answers == 1)[:, None]
    struck = state._replace(
        status=status,
        undetected_ms=undetected_ms,
        phase=np.where(lost, LOADING, state.phase),
        load_left_ms=np.where(lost, world.load_ms, state.load_left_ms),
    )
    return struck, np.where(broken[:, None], state.in_flight, 0).sum(axis=2)


def take_supply(facts: Facts, tape: Tape, state: State, reasked: np.ndarray) -> tuple[State, np.ndarray, np.ndarray]:
    """The state under the supply of the step, in which withdrawn replicas leave their GPUs and keep the disk.

    Also the number of answers [B, M] that are asked again, with those that are cut off where no notice was given, and that
    of withdrawn replicas [B].
    """
    world, b = facts.world, np.arange(len(state.step))
    supply = tape.supply[b, state.step + 1].astype(np.int64)
    taken = has(supply, TAKEN) & ~has(state.supply, TAKEN)
    gone = taken[:, None] & (state.phase >= FETCHING)
    sudden = taken & ~has(state.supply, LEAVING) & ~down(state.status) & (world.loses_answers == 1)[:, None]
    left = state._replace(
        supply=supply,
        refused_ms=np.maximum(state.refused_ms - world.step_ms[:, None], 0),
        phase=np.where(gone, np.where(state.phase == FETCHING, ABSENT, ON_DISK), state.phase),
        fetch_left_mb=np.where(gone, 0, state.fetch_left_mb),
        load_left_ms=np.where(gone, 0, state.load_left_ms),
        gpus_used=np.where(taken, 0, state.gpus_used),
    )
    cut_off = np.where(sudden[:, None] & gone, state.in_flight, 0).sum(axis=2)
    return left, reasked + cut_off, gone.sum(axis=(1, 2))


def roles_up(state: State) -> Any:
    """[B, 3, N]: whether a role runs at a site that is up, where its gateway or store is not off."""
    supply = state.supply
    off = np.stack([np.zeros_like(supply), supply & STORE_OFF, supply & GATEWAY_OFF], axis=1).astype(bool)
    return (state.role_ms == 0) & ~down(state.status)[:, None] & ~off


def may_start(facts: Facts, state: State) -> np.ndarray:
    """[B, N]: whether a launch may succeed, as far as is known."""
    shut = has(state.supply, LEAVING | TAKEN | NO_LAUNCHES)
    told = has(state.supply, SCARCE) & (facts.world.announces == 1)[:, None]
    return ~shut & ~told & (state.refused_ms <= 0)


def _pace(state: State, time_ms: np.ndarray) -> np.ndarray:
    """How far loads and starts [B, 1 or more, N] get in a time: half of it where new machines are impaired."""
    return np.where(has(state.supply, IMPAIRED)[:, None], time_ms // 2, time_ms)


def _attack(facts: Facts, tape: Tape, state: State) -> State:
    """The opponent, where it may, breaks the shared domain that carried most traffic."""
    world, now = facts.world, state.step + 1
    if facts.shared == 0:
        return state
    share = carried(facts, state.site_share)
    may = tape.attack[np.arange(len(now)), now] == 1
    strikes = may & (state.attacks_left > 0) & (now >= state.attack_ready) & (share.max(axis=1) > 0)
    end = now + world.attack_steps
    return state._replace(
        attack_domain=np.where(strikes, share.argmax(axis=1), state.attack_domain),
        attack_until=np.where(strikes, end - 1, state.attack_until),
        attack_ready=np.where(strikes, end + world.attack_cooldown, state.attack_ready),
        attacks_left=state.attacks_left - strikes,
    )


def fetches(facts: Facts, state: State) -> Fetches:
    """Stores, rates and waits of a step."""
    world, phase = facts.world, state.phase
    up = ~down(state.status)
    batch, _, sites = phase.shape
    b = np.arange(batch)[:, None]

    live_store = roles_up(state)[:, STORE]
    in_order = live_store[b[:, :, None], world.near_site]  # [B, N, N]
    nearest = np.take_along_axis(world.near_site, in_order.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    source = np.where(in_order.any(axis=2), nearest, -1)

    wanted = ((phase == STAGING) | (phase == FETCHING)) & up[:, None]
    peer = wanted & _warm_peer(facts, state)
    fetching = wanted & (source >= 0)[:, None] & ~peer
    at_site = fetching.sum(axis=1)
    from_store = np.zeros((batch, sites), np.int64)
    np.add.at(from_store, (b, np.maximum(source, 0)), at_site)

    streams, store_mb_per_s = world.store_streams[:, None], world.store_mb_per_s[:, None]
    store_rate = store_mb_per_s * 1000 * np.minimum(streams, from_store) // np.maximum(from_store, 1)
    link_rate = world.link_mb_per_s * 1000 // np.maximum(at_site, 1)
    rate = np.maximum(np.minimum(link_rate, store_rate[b, np.maximum(source, 0)]), 1000)[:, None] * fetching
    rate = np.where(peer, np.minimum(world.peer_mb_per_s * 1000, MOST_KB_PER_S)[:, None, None], rate)

    moved = np.minimum(state.fetch_left_mb, rate * (world.step_ms // 1000)[:, None, None] // 1000)
    fetched_after_ms = state.fetch_left_mb * 1_000_000 // np.maximum(rate, 1)
    wait_ms = np.full(phase.shape, -1)
    wait_ms = np.where(phase == WARM, 0, wait_ms)
    times = np.where(has(state.supply, IMPAIRED), 2, 1)[:, None]
    wait_ms = np.where(phase == LOADING, times * state.load_left_ms, wait_ms)
    wait_ms = np.where((phase == FETCHING) & (rate > 0), fetched_after_ms + times * world.load_ms, wait_ms)
    return Fetches(source, rate, moved, np.where(up[:, None], wait_ms, -1), peer)


def _warm_peer(facts: Facts, state: State) -> np.ndarray:
    """[B, M, N]: whether another site of the same region that is up has the model warm, and hands its weights on."""
    world = facts.world
    near = (world.region_of[:, :, None] == world.region_of[:, None]) & ~np.eye(world.region_of.shape[1], dtype=bool)
    warm = (state.phase == WARM) & ~down(state.status)[:, None]
    found = (warm[:, :, None] & near[:, None]).any(axis=3)
    return found & (world.peer_mb_per_s > 0)[:, None, None]


def progress(facts: Facts, state: State, fetch: Fetches) -> tuple[State, np.ndarray]:
    """The state when the step's time has passed, and the number of replicas [B] that became warm."""
    world, phase, left_mb = facts.world, state.phase, state.fetch_left_mb
    step_ms = world.step_ms[:, None, None]
    up = ~down(state.status)[:, None]

    fetched = (fetch.rate_kb_per_s > 0) & (fetch.moved_mb == left_mb)
    used_ms = left_mb * 1_000_000 // np.maximum(fetch.rate_kb_per_s, 1)
    staged = fetched & (phase == STAGING)
    launched = fetched & (phase == FETCHING)
    loading = up & (phase == LOADING)

    done_ms = _pace(state, np.where(launched, step_ms - used_ms, step_ms))
    to_load_ms = np.where(launched, world.load_ms, state.load_left_ms) - done_ms
    to_load_ms = np.maximum(to_load_ms, 0)
    warmed = (launched | loading) & (to_load_ms == 0)
    new_load_left_ms = np.where(launched | loading, to_load_ms, state.load_left_ms)
    new_phase = np.where(staged, ON_DISK, np.where(warmed, WARM, np.where(launched, LOADING, phase)))

    provisioning = (state.role_ms > 0) & up
    provisioning[:, STORE] &= fetch.source >= 0
    role_ms = np.where(provisioning, np.maximum(state.role_ms - _pace(state, step_ms), 0), state.role_ms)
    undetected_ms = np.maximum(state.undetected_ms - world.step_ms[:, None], 0)
    moved_on = state._replace(
        step=state.step + 1,
        phase=new_phase,
        fetch_left_mb=left_mb - fetch.moved_mb,
        load_left_ms=new_load_left_ms,
        role_ms=role_ms,
        undetected_ms=undetected_ms,
    )
    return moved_on, warmed.sum(axis=(1, 2))
