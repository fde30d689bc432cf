"""Warmth: how fast weights are fetched, how long a replica still takes to be warm, and what a step brings forward.

A model at a site is absent, being fetched from the nearest live store, on disk, being loaded, or warm. All event logic
is in integers (MB, kB/s, ms), so that traces of events are identical everywhere.
"""

from __future__ import annotations

from og_env.dynamics.fleet_memo import forget
from og_env.dynamics.supply_bits import pace_ms, role_up, slowed_ms
from og_env.kernel.arrays import (
    ABSENT,
    DOWN,
    FETCHING,
    LOADING,
    ON_DISK,
    PLACES,
    ROLES,
    STAGING,
    STORE,
    WARM,
    Environment,
)
from og_env.kernel.compile import inlined, kernel

KB_PER_MB, MB_PER_GB, MS_PER_S = 1000, 1000, 1000
LEAST_KB_PER_S, MOST_KB_PER_S = 1000, 2_000_000_000
"""a fetch gets at least 1 MB/s, so that it ends, and its rate fits into int32"""
LONGEST_WAIT_MS = 2_000_000_000
"""23 days; fits into int32"""
NO_SOURCE, NOT_LOOKED_UP = -1, -2
"""in place of a site in `source`"""


@kernel
def source_of(env: Environment, site: int) -> int:
    """The nearest live store of a site, or -1."""
    if env.scratch.source[site] == NOT_LOOKED_UP:
        env.scratch.source[site] = NO_SOURCE
        if env.memo.live[STORE] > 0:
            for position in range(env.world.near_site.shape[1]):
                near = env.world.near_site[site, position]
                if env.state.role_ms[STORE, near] == 0 and role_up(env, STORE, near):
                    env.scratch.source[site] = near
                    break
    return env.scratch.source[site]


@kernel
def has_peer(env: Environment, model: int, site: int) -> bool:
    """Whether another site of the same region that is up has the model warm, and hands its weights on."""
    if env.world.peer_mb_per_s <= 0 or env.state.status[site] & DOWN:
        return False
    for other in range(env.state.status.shape[0]):
        near = other != site and env.world.region_of[other] == env.world.region_of[site]
        if near and env.state.phase[model, other] == WARM and not env.state.status[other] & DOWN:
            return True
    return False


@inlined
def peer_kb_per_s(env: Environment) -> int:
    """The rate of a fetch from a warm peer, which shares neither store nor link."""
    return min(env.world.peer_mb_per_s * KB_PER_MB, MOST_KB_PER_S)


@kernel
def count_fetches(env: Environment) -> None:
    """List the fetches and loads under way, and count how many fetches share each store and each site's link.

    Writes moves, move_model, move_site, store_fetches [N] and site_fetches [N].
    """
    models, sites = env.state.phase.shape
    for site in range(sites):
        env.scratch.store_fetches[site] = 0
        env.scratch.site_fetches[site] = 0
        env.scratch.source[site] = NOT_LOOKED_UP
    moves = 0
    for model in range(models):
        for site in range(sites):
            phase = env.state.phase[model, site]
            if phase == ABSENT or phase == ON_DISK or phase == WARM:
                continue
            env.scratch.move_model[moves] = model
            env.scratch.move_site[moves] = site
            env.scratch.move_peer[moves] = phase != LOADING and has_peer(env, model, site)
            moves += 1
            if phase != LOADING and not env.scratch.move_peer[moves - 1] and not env.state.status[site] & DOWN:
                source = source_of(env, site)
                if source >= 0:
                    env.scratch.site_fetches[site] += 1
                    env.scratch.store_fetches[source] += 1
    env.scratch.moves = moves


@kernel
def fetch_rate_kb_per_s(env: Environment, site: int, more: int) -> int:
    """The rate of each fetch to a site if `more` further ones were started there; 0 where nothing can be fetched.

    Fetches share their store's streams and their site's link evenly.
    """
    source = source_of(env, site)
    if source < 0 or env.state.status[site] & DOWN:
        return 0
    fetches = max(env.scratch.store_fetches[source] + more, 1)
    link_kb_per_s = env.world.link_mb_per_s[site] * KB_PER_MB // max(env.scratch.site_fetches[site] + more, 1)
    streams_kb_per_s = env.world.store_mb_per_s * KB_PER_MB * min(env.world.store_streams, fetches) // fetches
    return max(min(link_kb_per_s, streams_kb_per_s, MOST_KB_PER_S), LEAST_KB_PER_S)


@kernel
def write_waits(env: Environment) -> None:
    """Write wait_ms [M, N], until each replica under way is warm at this step's fetch rates, and rate_kb_per_s [M, N]."""
    if env.memo.moving == 0:
        return
    count_fetches(env)
    for i in range(env.scratch.moves):
        model, site = env.scratch.move_model[i], env.scratch.move_site[i]
        env.scratch.wait_ms[model, site] = -1
        if env.state.phase[model, site] == LOADING:
            up = not env.state.status[site] & DOWN
            env.scratch.wait_ms[model, site] = slowed_ms(env, site, env.state.load_left_ms[model, site]) if up else -1
            continue
        rate = peer_kb_per_s(env) if env.scratch.move_peer[i] else fetch_rate_kb_per_s(env, site, 0)
        env.scratch.rate_kb_per_s[model, site] = rate
        if env.state.phase[model, site] == FETCHING and rate > 0:
            load_ms = slowed_ms(env, site, env.world.load_ms[model, site])
            wait_ms = fetch_ms(env.state.fetch_left_mb[model, site], rate) + load_ms
            env.scratch.wait_ms[model, site] = min(wait_ms, LONGEST_WAIT_MS)


@kernel
def fetch_ms(left_mb: int, rate_kb_per_s: int) -> int:
    """How long a fetch takes at a rate above 0."""
    return left_mb * (KB_PER_MB * MS_PER_S) // rate_kb_per_s


@kernel
def progress(env: Environment) -> tuple[int, float, float]:
    """Let fetches, loads and the provisioning of roles go on for one step, at the rates of `write_waits`.

    Returns the number of replicas that became warm, the GB fetched and the dollars of egress for them.
    """
    cold_starts, fetched_gb, egress_usd = 0, 0.0, 0.0
    if env.memo.moving == 0:
        return cold_starts, fetched_gb, egress_usd
    for i in range(env.scratch.moves):
        model, site = env.scratch.move_model[i], env.scratch.move_site[i]
        if env.state.phase[model, site] == LOADING:
            cold_starts += go_on_loading(env, model, site)
        else:
            moved_mb, warm = go_on_fetching(env, model, site)
            cold_starts += warm
            fetched_gb += moved_mb / MB_PER_GB
            if moved_mb > 0 and not env.scratch.move_peer[i]:
                egress_usd += moved_mb / MB_PER_GB * env.world.egress_usd_per_gb[source_of(env, site)]
    go_on_provisioning(env)
    return cold_starts, fetched_gb, egress_usd


@kernel
def go_on_loading(env: Environment, model: int, site: int) -> bool:
    """Load a replica for one step, where its site is up; returns whether it became warm."""
    if env.state.status[site] & DOWN:
        return False
    left_ms, done_ms = env.state.load_left_ms[model, site], pace_ms(env, site, env.world.step_ms)
    env.state.load_left_ms[model, site] = max(left_ms - done_ms, 0)
    if left_ms > done_ms:
        return False
    env.state.phase[model, site] = WARM
    forget(env, PLACES)
    return True


@kernel
def go_on_fetching(env: Environment, model: int, site: int) -> tuple[int, bool]:
    """Fetch weights for one step; a launched replica begins to load in the time that is left.

    Returns the MB fetched and whether the replica became warm.
    """
    step_ms, rate = env.world.step_ms, env.scratch.rate_kb_per_s[model, site]
    left_mb = env.state.fetch_left_mb[model, site]
    moved_mb = min(left_mb, rate * (step_ms // MS_PER_S) // KB_PER_MB)
    env.state.fetch_left_mb[model, site] = left_mb - moved_mb
    if left_mb > moved_mb:
        return moved_mb, False
    forget(env, PLACES)
    if env.state.phase[model, site] == STAGING:
        env.state.phase[model, site] = ON_DISK
        return moved_mb, False
    used_ms = fetch_ms(left_mb, rate) if rate > 0 else 0
    left_ms = max(env.world.load_ms[model, site] - pace_ms(env, site, step_ms - used_ms), 0)
    env.state.load_left_ms[model, site] = left_ms
    env.state.phase[model, site] = LOADING if left_ms > 0 else WARM
    return moved_mb, left_ms == 0


@kernel
def go_on_provisioning(env: Environment) -> None:
    """Bring new roles at sites that are up one step nearer to running; a store needs a live store to copy from."""
    roles, sites = env.state.role_ms.shape
    for role in range(roles):
        for site in range(sites):
            left_ms = env.state.role_ms[role, site]
            if left_ms <= 0 or env.state.status[site] & DOWN:
                continue
            if role != STORE or source_of(env, site) >= 0:
                done_ms = pace_ms(env, site, env.world.step_ms)
                env.state.role_ms[role, site] = max(left_ms - done_ms, 0)
                if left_ms <= done_ms:
                    forget(env, PLACES | ROLES)
