"""What the status bits of a site mean for the work on it."""

from __future__ import annotations

from og_env.kernel.arrays import UNTRUSTED
from og_env.kernel.compile import inlined

HOUR_MS = 3_600_000
MOST_TEMPERATURES = 600.0
"""farther than so many temperatures, all sites attract alike: the exponential ends there"""
SLOW_MS = 100.0
SLOW_CAPACITY = 0.5
NO_PROOF, TEE, ZKML = range(3)
"""verification modes"""


@inlined
def trusted(env, model, site, status):
    """Whether work of model m at site s counts as attested, given the site's status bits."""
    return env.world.verification[model] != TEE or (env.world.tee[site] == 1 and not status & UNTRUSTED)


@inlined
def hour_begins(row, step_ms):
    """First row of a tape of the hour that ends with `row`, within the episode."""
    return max(row + 1 - max(HOUR_MS // step_ms, 1), 0)


@inlined
def quorum_of(verifiers):
    """Votes that finality needs: more than two thirds of the registered verifiers."""
    return 2 * verifiers // 3 + 1
