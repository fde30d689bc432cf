"""Warmth: what a strike destroys, how long a replica still takes to be warm, and what a step brings forward.

A model at a site is absent, being fetched from the nearest live store, on disk, being loaded, or warm. All event logic
is in integers (MB, MB/s, ms), so that traces of events are identical everywhere.
"""

from __future__ import annotations

from og_env.jit import kernel
from og_env.layout import (
    DOWN,
    FETCHING,
    LOADING,
    ON_DISK,
    STAGING,
    STORE,
    WARM,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)


@kernel
def choose_attack(t, b, row):
    """The opponent strikes, where the tape lets it, the shared domain that carries most served traffic."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    if not tape_of(t).attack[b, row] or state.attacks_left[b] <= 0 or row < state.attack_ready[b]:
        return
    target, most = -1, 0.0
    for f in range(world.fragile_rate.shape[1]):
        if world.domain_size[k, f] > 0 and state.domain_share[b, f] > most:
            target, most = f, state.domain_share[b, f]
    if target >= 0:
        state.attack_domain[b] = target
        state.attack_until[b] = row + world.attack_steps[k] - 1
        state.attack_ready[b] = row + world.attack_steps[k] + world.attack_cooldown[k]
        state.attacks_left[b] -= 1


@kernel
def strike(t, b, c, row):
    """Read the tape's status of this step; a struck site loses what its GPUs hold and keeps its disk."""
    world, state, scratch, tape = world_of(t), state_of(t), scratch_of(t), tape_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    attacked = state.attack_domain[b] if row <= state.attack_until[b] else -1
    for s in range(sites):
        status = tape.status[b, row, s]
        if attacked >= 0:
            for d in range(world.site_domain.shape[2]):
                if world.site_domain[k, s, d] == attacked:
                    status |= DOWN
        scratch.dead_share[c, s] = 0
        scratch.seen[c, s] = state.status[b, s]
        if status & DOWN:
            if not state.status[b, s] & DOWN:
                state.undetected_ms[b, s] = world.detect_ms[k]
            used_ms = min(state.undetected_ms[b, s], world.step_ms[k])
            scratch.dead_share[c, s] = used_ms / world.step_ms[k]
            state.undetected_ms[b, s] -= used_ms
            for m in range(models):
                if state.phase[b, m, s] >= LOADING:
                    state.phase[b, m, s] = LOADING
                    state.left[b, m, s] = world.load_ms[k, m, s]
        else:
            state.undetected_ms[b, s] = 0
        state.status[b, s] = status


@kernel
def find_sources(t, b, c):
    """The nearest live store of every site, and how many fetches share each store and each site's link."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    stores = 0
    for s in range(sites):
        scratch.store_fetches[c, s] = 0
        scratch.site_fetches[c, s] = 0
        stores += state.role_ms[b, STORE, s] == 0 and not state.status[b, s] & DOWN
    for s in range(sites):
        scratch.source[c, s] = -1
        if stores == 0:
            continue
        for position in range(sites):
            near = world.near_site[k, s, position]
            if state.role_ms[b, STORE, near] == 0 and not state.status[b, near] & DOWN:
                scratch.source[c, s] = near
                break
        if state.status[b, s] & DOWN:
            continue
        for m in range(models):
            if state.phase[b, m, s] == STAGING or state.phase[b, m, s] == FETCHING:
                scratch.site_fetches[c, s] += 1
                scratch.store_fetches[c, scratch.source[c, s]] += 1


@kernel
def fetch_rate(t, b, c, s, more):
    """MB/s of a fetch to site s if `more` further ones were started there; 0 where nothing can be fetched."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    source = scratch.source[c, s]
    if source < 0 or state.status[b, s] & DOWN:
        return 0
    streams = world.store_streams[k]
    link = world.link_mb_per_s[k, s] // max(scratch.site_fetches[c, s] + more, 1)
    store = world.store_mb_per_s[k] * streams // max(scratch.store_fetches[c, source] + more, streams)
    return max(min(link, store), 1)


@kernel
def write_waits(t, b, c):
    """Milliseconds until each replica is warm, at this step's fetch rates; -1 never."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    for m in range(models):
        for s in range(sites):
            phase = state.phase[b, m, s]
            wait = -1
            if phase == STAGING or phase == FETCHING:
                rate = fetch_rate(t, b, c, s, 0)
                scratch.rate_mb_per_s[c, m, s] = rate
                if phase == FETCHING and rate > 0:
                    wait = min(state.left[b, m, s] * 1000 // rate + world.load_ms[k, m, s], 2_000_000_000)
            elif phase >= LOADING and not state.status[b, s] & DOWN:
                wait = 0 if phase == WARM else state.left[b, m, s]
            scratch.wait_ms[c, m, s] = wait


@kernel
def progress(t, b, c):
    """Fetches, loads and provisioning go on for one step; returns cold starts finished, GB fetched and egress dollars."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    step_ms = world.step_ms[k]
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    for m in range(models):
        for s in range(sites):
            phase = state.phase[b, m, s]
            if phase == LOADING:
                if not state.status[b, s] & DOWN:
                    state.left[b, m, s] = max(state.left[b, m, s] - step_ms, 0)
                    if state.left[b, m, s] == 0:
                        state.phase[b, m, s] = WARM
                        cold_starts += 1
            elif phase == STAGING or phase == FETCHING:
                rate = scratch.rate_mb_per_s[c, m, s]
                left = state.left[b, m, s]
                moved = min(left, rate * (step_ms // 1000))
                fetched_gb += moved / 1000
                if moved > 0:
                    egress_usd += moved / 1000 * world.egress_usd_per_gb[k, scratch.source[c, s]]
                state.left[b, m, s] = left - moved
                if left > moved:
                    continue
                if phase == STAGING:
                    state.phase[b, m, s] = ON_DISK
                else:
                    used_ms = left * 1000 // rate if rate > 0 else 0
                    still_ms = max(world.load_ms[k, m, s] - (step_ms - used_ms), 0)
                    state.left[b, m, s] = still_ms
                    state.phase[b, m, s] = LOADING if still_ms > 0 else WARM
                    cold_starts += still_ms == 0
    for s in range(sites):
        if state.status[b, s] & DOWN:
            continue
        for role in range(3):
            if state.role_ms[b, role, s] > 0 and (role != STORE or scratch.source[c, s] >= 0):
                state.role_ms[b, role, s] = max(state.role_ms[b, role, s] - step_ms, 0)
    return cold_starts, fetched_gb, egress_usd
