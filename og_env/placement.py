"""Warmth: what a strike destroys, how long a replica still takes to be warm, and what a step brings forward.

A model at a site is absent, being fetched from the nearest live store, on disk, being loaded, or warm. All event logic
is in integers (MB, kB/s, ms), so that traces of events are identical everywhere.
"""

from __future__ import annotations

from og_env.jit import inlined, kernel
from og_env.layout import (
    ABSENT,
    DOWN,
    FETCHING,
    HALF,
    LOADING,
    LOW,
    ON_DISK,
    ROLES,
    STAGING,
    STORE,
    WARM,
    memo_of,
    scratch_of,
    state_of,
    tape_of,
    world_of,
)


@kernel
def choose_attack(t, b, c, row):
    """The opponent strikes, where the tape lets it, the shared domain that carries most served traffic."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    if not tape_of(t).attack[b, row] or state.attacks_left[b] <= 0 or row < state.attack_ready[b]:
        return
    target, most = -1, 0.0
    for f in range(world.fragile_rate.shape[1]):
        if world.domain_size[k, f] > 0 and scratch.domain_share[c, f] > most:
            target, most = f, scratch.domain_share[c, f]
    if target >= 0:
        state.attack_domain[b] = target
        state.attack_until[b] = row + world.attack_steps[k] - 1
        state.attack_ready[b] = row + world.attack_steps[k] + world.attack_cooldown[k]
        state.attacks_left[b] -= 1


@inlined
def status_in(t, b, row, s):
    """Status bits of a site in a row of the tape."""
    return (tape_of(t).status_pairs[b, row >> 1, s] >> ((row & 1) * HALF)) & LOW


@kernel
def calm(t, b, c):
    """What a strike leaves where no status changes and no site is down."""
    state, scratch, memo = state_of(t), scratch_of(t), memo_of(t)
    for s in range(state.status.shape[1]):
        scratch.seen[c, s] = state.status[b, s]
        scratch.dead_share[c, s] = 0
        state.undetected_ms[b, s] = 0
    memo.known[b] = 0 if memo.dying[b] else memo.known[b]
    memo.dying[b] = 0


@kernel
def strike(t, b, c, row):
    """Read the tape's status of this step; a struck site loses what its GPUs hold and keeps its disk."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    models, sites = state.phase.shape[1:]
    k = state.world[b]
    attacked = state.attack_domain[b] if row <= state.attack_until[b] else -1
    differs, down, changed, dying = attacked >= 0, 0, False, False
    for s in range(sites):
        before, status = state.status[b, s], status_in(t, b, row, s)
        differs |= before != status
        down |= (before | status) & DOWN
    if not differs and not down:
        calm(t, b, c)
        return
    for s in range(sites):
        before, status = state.status[b, s], status_in(t, b, row, s)
        if attacked >= 0 and inside(t, b, s, attacked):
            status |= DOWN
        scratch.seen[c, s] = before
        scratch.dead_share[c, s] = 0
        changed = changed or status != before
        if status & DOWN:
            if not before & DOWN:
                state.undetected_ms[b, s] = world.detect_ms[k]
            used_ms = min(state.undetected_ms[b, s], world.step_ms[k])
            dying = dying or used_ms > 0
            scratch.dead_share[c, s] = used_ms / world.step_ms[k]
            state.undetected_ms[b, s] -= used_ms
            for m in range(models):
                if state.phase[b, m, s] >= LOADING:
                    state.phase[b, m, s] = LOADING
                    state.left[b, m, s] = world.load_ms[k, m, s]
        else:
            state.undetected_ms[b, s] = 0
        state.status[b, s] = status
    if changed or dying or memo.dying[b]:
        memo.known[b] = 0
    memo.dying[b] = dying


@kernel
def inside(t, b, s, f):
    """Whether site s is in domain f."""
    world = world_of(t)
    k = state_of(t).world[b]
    for d in range(world.site_domain.shape[2]):
        if world.site_domain[k, s, d] == f:
            return True
    return False


@kernel
def source_of(t, b, c, s):
    """The nearest live store of site s; -1 none."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    if scratch.source[c, s] == -2:
        k = state.world[b]
        scratch.source[c, s] = -1
        if memo_of(t).live[b, STORE] > 0:
            for position in range(world.near_site.shape[2]):
                near = world.near_site[k, s, position]
                if state.role_ms[b, STORE, near] == 0 and not state.status[b, near] & DOWN:
                    scratch.source[c, s] = near
                    break
    return scratch.source[c, s]


@kernel
def count_fetches(t, b, c):
    """List the fetches and loads under way, and count how many fetches share each store and each site's link."""
    state, scratch = state_of(t), scratch_of(t)
    models, sites = state.phase.shape[1:]
    for s in range(sites):
        scratch.store_fetches[c, s] = 0
        scratch.site_fetches[c, s] = 0
        scratch.source[c, s] = -2
    moves = 0
    for m in range(models):
        for s in range(sites):
            phase = state.phase[b, m, s]
            if phase == ABSENT or phase == ON_DISK or phase == WARM:
                continue
            scratch.move_model[c, moves] = m
            scratch.move_site[c, moves] = s
            moves += 1
            if phase != LOADING and not state.status[b, s] & DOWN:
                source = source_of(t, b, c, s)
                if source >= 0:
                    scratch.site_fetches[c, s] += 1
                    scratch.store_fetches[c, source] += 1
    scratch.moves[c] = moves


@kernel
def fetch_rate(t, b, c, s, more):
    """kB/s of a fetch to site s if `more` further ones were started there; 0 where nothing can be fetched."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    source = source_of(t, b, c, s)
    if source < 0 or state.status[b, s] & DOWN:
        return 0
    fetches = max(scratch.store_fetches[c, source] + more, 1)
    link = world.link_mb_per_s[k, s] * 1000 // max(scratch.site_fetches[c, s] + more, 1)
    store = world.store_mb_per_s[k] * 1000 * min(world.store_streams[k], fetches) // fetches
    return max(min(link, store, 2_000_000_000), 1000)


@kernel
def write_waits(t, b, c):
    """Milliseconds until each replica under way is warm, at this step's fetch rates; -1 never."""
    world, state, scratch = world_of(t), state_of(t), scratch_of(t)
    k = state.world[b]
    for i in range(scratch.moves[c]):
        m, s = scratch.move_model[c, i], scratch.move_site[c, i]
        scratch.wait_ms[c, m, s] = -1
        if state.phase[b, m, s] == LOADING:
            scratch.wait_ms[c, m, s] = -1 if state.status[b, s] & DOWN else state.left[b, m, s]
            continue
        rate = fetch_rate(t, b, c, s, 0)
        scratch.rate_kb_per_s[c, m, s] = rate
        if state.phase[b, m, s] == FETCHING and rate > 0:
            wait = state.left[b, m, s] * 1_000_000 // rate + world.load_ms[k, m, s]
            scratch.wait_ms[c, m, s] = min(wait, 2_000_000_000)


@kernel
def progress(t, b, c):
    """Fetches, loads and provisioning go on for one step; returns cold starts finished, GB fetched and egress dollars."""
    world, state, scratch, memo = world_of(t), state_of(t), scratch_of(t), memo_of(t)
    k = state.world[b]
    step_ms = world.step_ms[k]
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    for i in range(scratch.moves[c]):
        m, s = scratch.move_model[c, i], scratch.move_site[c, i]
        phase, left = state.phase[b, m, s], state.left[b, m, s]
        if phase == LOADING:
            if not state.status[b, s] & DOWN:
                state.left[b, m, s] = max(left - step_ms, 0)
                if left <= step_ms:
                    state.phase[b, m, s] = WARM
                    cold_starts += 1
                    memo.known[b] &= ROLES
            continue
        rate = scratch.rate_kb_per_s[c, m, s]
        moved = min(left, rate * (step_ms // 1000) // 1000)
        fetched_gb += moved / 1000
        if moved > 0:
            egress_usd += moved / 1000 * world.egress_usd_per_gb[k, source_of(t, b, c, s)]
        state.left[b, m, s] = left - moved
        if left > moved:
            continue
        memo.known[b] &= ROLES
        if phase == STAGING:
            state.phase[b, m, s] = ON_DISK
        else:
            used_ms = left * 1_000_000 // rate if rate > 0 else 0
            still_ms = max(world.load_ms[k, m, s] - (step_ms - used_ms), 0)
            state.left[b, m, s] = still_ms
            state.phase[b, m, s] = LOADING if still_ms > 0 else WARM
            cold_starts += still_ms == 0
    for role in range(3):
        for s in range(state.status.shape[1]):
            left_ms = state.role_ms[b, role, s]
            if left_ms <= 0 or state.status[b, s] & DOWN:
                continue
            if role != STORE or source_of(t, b, c, s) >= 0:
                state.role_ms[b, role, s] = max(left_ms - step_ms, 0)
                if left_ms <= step_ms:
                    memo.known[b] = 0
    return cold_starts, fetched_gb, egress_usd
