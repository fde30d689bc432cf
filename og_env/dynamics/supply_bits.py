"""Supply of a site, as the bits on the tape have it: what is refused, impaired or off there."""

from __future__ import annotations

from og_env.kernel.arrays import (
    DOWN,
    GATEWAY,
    GATEWAY_OFF,
    IMPAIRED,
    LEAVING,
    NO_LAUNCHES,
    SCARCE,
    STORE,
    STORE_OFF,
    TAKEN,
    Environment,
)
from og_env.kernel.compile import inlined

SHUT = LEAVING | TAKEN | NO_LAUNCHES
"""bits under which everybody knows that nothing can be launched"""
LONGEST_MS = 2_000_000_000
"""23 days; fits into int32"""


@inlined
def role_up(env: Environment, role: int, site: int) -> bool:
    """Whether a role that runs at a site is of use: the site is up, and its gateway or store is not off."""
    off = GATEWAY_OFF * (role == GATEWAY) | STORE_OFF * (role == STORE)
    return not (env.state.status[site] & DOWN) and not (env.state.supply[site] & off)


@inlined
def stays(env: Environment, site: int) -> bool:
    """Whether what runs at a site is expected to go on: the site is up, and its capacity will not be withdrawn."""
    return not (env.state.status[site] & DOWN) and not (env.state.supply[site] & LEAVING)


@inlined
def may_start(env: Environment, site: int) -> bool:
    """Whether a launch at a site may succeed, as far as is known."""
    shut = SHUT | (SCARCE if env.world.announces else 0)
    return not (env.state.supply[site] & shut) and env.state.refused_ms[site] <= 0


@inlined
def refuses(env: Environment, site: int) -> bool:
    """Let a site refuse a launch where capacity is scarce, and remember it; returns whether it does."""
    if not env.state.supply[site] & SCARCE:
        return False
    env.state.refused_ms[site] = env.world.retry_ms
    env.state.refusals += 1
    return True


@inlined
def may_rent(env: Environment, site: int) -> bool:
    """Whether a machine can be added at a site."""
    return not (env.state.supply[site] & NO_LAUNCHES)


@inlined
def pace_ms(env: Environment, site: int, time_ms: int) -> int:
    """How far a load or a start at a site gets in so much time: half of it where new machines are impaired."""
    return time_ms // 2 if env.state.supply[site] & IMPAIRED else time_ms


@inlined
def slowed_ms(env: Environment, site: int, left_ms: int) -> int:
    """How long a load at a site takes that takes so long where nothing is impaired."""
    return min(2 * left_ms, LONGEST_MS) if env.state.supply[site] & IMPAIRED else left_ms
