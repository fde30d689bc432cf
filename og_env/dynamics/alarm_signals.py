"""The alarms of the fault domains as the router hears them, and how much of the traffic each domain carries."""

from __future__ import annotations

from og_env.kernel.arrays import CODES_PER_UNIT, SIGNAL_LOW, Environment
from og_env.kernel.compile import inlined, kernel

HOUR_MS = 3_600_000


@inlined
def hour_begins(row: int, step_ms: int) -> int:
    """First row of a tape of the hour that ends with `row`, within the episode."""
    return max(row + 1 - max(HOUR_MS // step_ms, 1), 0)


@inlined
def alarm(env: Environment, row: int, domain: int) -> float:
    """The error-rate signal of a shared domain in a row of the tape, clipped to 0 (calm) .. 1 (fragile)."""
    return min(max(env.tape.signal[row, domain] / CODES_PER_UNIT + SIGNAL_LOW, 0.0), 1.0)


@kernel
def write_domain_share(env: Environment) -> None:
    """Write the share of the served traffic that each domain carried in the last step to domain_share [F]."""
    for domain in range(env.scratch.domain_share.shape[0]):
        env.scratch.domain_share[domain] = 0
    for site in range(env.state.status.shape[0]):
        share = env.state.site_share[site]
        if share > 0:
            for d in range(env.world.site_domain.shape[1]):
                domain = env.world.site_domain[site, d]
                if domain < 0:
                    break
                env.scratch.domain_share[domain] += share


@kernel
def read_signals(env: Environment, row: int) -> None:
    """Write what is known at the end of a row: domain_share [F], and alarm and carried [S], 0 for hidden domains."""
    write_domain_share(env)
    for domain in range(env.world.fragile_rate.shape[0]):
        visible = env.world.domain_visible[domain] != 0
        env.scratch.alarm[domain] = alarm(env, row, domain) if visible else 0.0
        env.scratch.carried[domain] = env.scratch.domain_share[domain] if visible else 0.0
