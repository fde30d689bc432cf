"""Warmth: what a strike destroys, how long a replica still takes to be warm, and what a step brings forward.

A model at a site is absent, being fetched from the nearest live store, on disk, being loaded, or warm. All event logic
is in integers (MB, kB/s, ms), so that traces of events are identical everywhere.
"""

from __future__ import annotations

from og_env.kernel.arrays import ABSENT, DOWN, FETCHING, HALF, LOADING, LOW, ON_DISK, ROLES, STAGING, STORE, WARM
from og_env.kernel.compile import inlined, kernel


@kernel
def choose_attack(env, row):
    """The opponent strikes, where the tape lets it, the shared domain that carries most served traffic."""
    if not env.tape.attack[row] or env.state.attacks_left <= 0 or row < env.state.attack_ready:
        return
    target, most = -1, 0.0
    for domain in range(env.world.fragile_rate.shape[0]):
        if env.world.domain_size[domain] > 0 and env.scratch.domain_share[domain] > most:
            target, most = domain, env.scratch.domain_share[domain]
    if target >= 0:
        env.state.attack_domain = target
        env.state.attack_until = row + env.world.attack_steps - 1
        env.state.attack_ready = row + env.world.attack_steps + env.world.attack_cooldown
        env.state.attacks_left -= 1


@inlined
def status_in(env, row, site):
    """Status bits of a site in a row of the tape."""
    return (env.tape.status_pairs[row >> 1, site] >> ((row & 1) * HALF)) & LOW


@kernel
def calm(env):
    """What a strike leaves where no status changes and no site is down."""
    for site in range(env.state.status.shape[0]):
        env.scratch.seen[site] = env.state.status[site]
        env.scratch.dead_share[site] = 0
        env.state.undetected_ms[site] = 0
    env.memo.known = 0 if env.memo.dying else env.memo.known
    env.memo.dying = 0


@kernel
def strike(env, row):
    """Read the tape's status of this step; a struck site loses what its GPUs hold and keeps its disk."""
    models, sites = env.state.phase.shape
    attacked = env.state.attack_domain if row <= env.state.attack_until else -1
    differs, down, changed, dying = attacked >= 0, 0, False, False
    for site in range(sites):
        before, status = env.state.status[site], status_in(env, row, site)
        differs |= before != status
        down |= (before | status) & DOWN
    if not differs and not down:
        calm(env)
        return
    for site in range(sites):
        before, status = env.state.status[site], status_in(env, row, site)
        if attacked >= 0 and inside(env, site, attacked):
            status |= DOWN
        env.scratch.seen[site] = before
        env.scratch.dead_share[site] = 0
        changed = changed or status != before
        if status & DOWN:
            if not before & DOWN:
                env.state.undetected_ms[site] = env.world.detect_ms
            used_ms = min(env.state.undetected_ms[site], env.world.step_ms)
            dying = dying or used_ms > 0
            env.scratch.dead_share[site] = used_ms / env.world.step_ms
            env.state.undetected_ms[site] -= used_ms
            for model in range(models):
                if env.state.phase[model, site] >= LOADING:
                    env.state.phase[model, site] = LOADING
                    env.state.left[model, site] = env.world.load_ms[model, site]
        else:
            env.state.undetected_ms[site] = 0
        env.state.status[site] = status
    if changed or dying or env.memo.dying:
        env.memo.known = 0
    env.memo.dying = dying


@kernel
def inside(env, site, domain):
    """Whether site s is in domain f."""
    for d in range(env.world.site_domain.shape[1]):
        if env.world.site_domain[site, d] == domain:
            return True
    return False


@kernel
def source_of(env, site):
    """The nearest live store of site s; -1 none."""
    if env.scratch.source[site] == -2:
        env.scratch.source[site] = -1
        if env.memo.live[STORE] > 0:
            for position in range(env.world.near_site.shape[1]):
                near = env.world.near_site[site, position]
                if env.state.role_ms[STORE, near] == 0 and not env.state.status[near] & DOWN:
                    env.scratch.source[site] = near
                    break
    return env.scratch.source[site]


@kernel
def count_fetches(env):
    """List the fetches and loads under way, and count how many fetches share each store and each site's link."""
    models, sites = env.state.phase.shape
    for site in range(sites):
        env.scratch.store_fetches[site] = 0
        env.scratch.site_fetches[site] = 0
        env.scratch.source[site] = -2
    moves = 0
    for model in range(models):
        for site in range(sites):
            phase = env.state.phase[model, site]
            if phase == ABSENT or phase == ON_DISK or phase == WARM:
                continue
            env.scratch.move_model[moves] = model
            env.scratch.move_site[moves] = site
            moves += 1
            if phase != LOADING and not env.state.status[site] & DOWN:
                source = source_of(env, site)
                if source >= 0:
                    env.scratch.site_fetches[site] += 1
                    env.scratch.store_fetches[source] += 1
    env.scratch.moves = moves


@kernel
def fetch_rate(env, site, more):
    """kB/s of a fetch to site s if `more` further ones were started there; 0 where nothing can be fetched."""
    source = source_of(env, site)
    if source < 0 or env.state.status[site] & DOWN:
        return 0
    fetches = max(env.scratch.store_fetches[source] + more, 1)
    link = env.world.link_mb_per_s[site] * 1000 // max(env.scratch.site_fetches[site] + more, 1)
    store = env.world.store_mb_per_s * 1000 * min(env.world.store_streams, fetches) // fetches
    return max(min(link, store, 2_000_000_000), 1000)


@kernel
def write_waits(env):
    """Milliseconds until each replica under way is warm, at this step's fetch rates; -1 never."""
    for i in range(env.scratch.moves):
        model, site = env.scratch.move_model[i], env.scratch.move_site[i]
        env.scratch.wait_ms[model, site] = -1
        if env.state.phase[model, site] == LOADING:
            env.scratch.wait_ms[model, site] = -1 if env.state.status[site] & DOWN else env.state.left[model, site]
            continue
        rate = fetch_rate(env, site, 0)
        env.scratch.rate_kb_per_s[model, site] = rate
        if env.state.phase[model, site] == FETCHING and rate > 0:
            wait = env.state.left[model, site] * 1_000_000 // rate + env.world.load_ms[model, site]
            env.scratch.wait_ms[model, site] = min(wait, 2_000_000_000)


@kernel
def progress(env):
    """Fetches, loads and provisioning go on for one step; returns cold starts finished, GB fetched and egress dollars."""
    step_ms = env.world.step_ms
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    for i in range(env.scratch.moves):
        model, site = env.scratch.move_model[i], env.scratch.move_site[i]
        phase, left = env.state.phase[model, site], env.state.left[model, site]
        if phase == LOADING:
            if not env.state.status[site] & DOWN:
                env.state.left[model, site] = max(left - step_ms, 0)
                if left <= step_ms:
                    env.state.phase[model, site] = WARM
                    cold_starts += 1
                    env.memo.known &= ROLES
            continue
        rate = env.scratch.rate_kb_per_s[model, site]
        moved = min(left, rate * (step_ms // 1000) // 1000)
        fetched_gb += moved / 1000
        if moved > 0:
            egress_usd += moved / 1000 * env.world.egress_usd_per_gb[source_of(env, site)]
        env.state.left[model, site] = left - moved
        if left > moved:
            continue
        env.memo.known &= ROLES
        if phase == STAGING:
            env.state.phase[model, site] = ON_DISK
        else:
            used_ms = left * 1_000_000 // rate if rate > 0 else 0
            still_ms = max(env.world.load_ms[model, site] - (step_ms - used_ms), 0)
            env.state.left[model, site] = still_ms
            env.state.phase[model, site] = LOADING if still_ms > 0 else WARM
            cold_starts += still_ms == 0
    for role in range(3):
        for site in range(env.state.status.shape[0]):
            left_ms = env.state.role_ms[role, site]
            if left_ms <= 0 or env.state.status[site] & DOWN:
                continue
            if role != STORE or source_of(env, site) >= 0:
                env.state.role_ms[role, site] = max(left_ms - step_ms, 0)
                if left_ms <= step_ms:
                    env.memo.known = 0
    return cold_starts, fetched_gb, egress_usd
