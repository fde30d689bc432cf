"""Trust and proof: whose work counts as attested, how many verifiers must agree, and how long work takes to be final."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import DOWN, UNTRUSTED, VERIFIER, Environment
from og_env.kernel.compile import inlined, kernel

NO_PROOF, TEE, ZKML = range(3)
"""verification modes of a model"""
NOT_LOOKED_UP = -1


@inlined
def trusted(env: Environment, model: int, site: int, status: int) -> bool:
    """Whether a model's work at a site counts as attested, given the site's status bits."""
    return env.world.verification[model] != TEE or (env.world.tee[site] == 1 and not status & UNTRUSTED)


@inlined
def quorum_of(verifiers: int) -> int:
    """Votes that finality needs: more than two thirds of the registered verifiers."""
    return 2 * verifiers // 3 + 1


@kernel
def write_votes(env: Environment) -> None:
    """Write 1 to votes [N] where a verifier runs at a site that is up, else 0."""
    for site in range(env.state.status.shape[0]):
        env.scratch.votes[site] = (env.state.role_ms[VERIFIER, site] == 0) & ((env.state.status[site] & DOWN) == 0)


@kernel
def forget_votes(env: Environment) -> None:
    """Note in last_vote [N] that no site's last vote is known."""
    for site in range(env.memo.last_vote.shape[0]):
        env.memo.last_vote[site] = NOT_LOOKED_UP


@inlined
def quorum_s(env: Environment, site: int, quorum: int) -> np.float32:
    """Time until the quorum-th nearest live verifier has the proof of a site, in seconds; there is a quorum.

    Looks the verifier up once and keeps it in last_vote [N].
    """
    if env.memo.last_vote[site] < 0:
        votes, position, verifier = 0, 0, 0
        while votes < quorum and position < env.world.near_site.shape[1]:
            verifier = env.world.near_site[site, position]
            votes += env.scratch.votes[verifier]
            position += 1
        env.memo.last_vote[site] = verifier
    return np.float32(env.world.rtt_ms[site, env.memo.last_vote[site]] / 1000)


@kernel
def finality(env: Environment, model: int, count: int) -> tuple[float, float]:
    """Verify what the `count` listed replicas of a model have served.

    Returns the verified requests/s, and the sum over them of the seconds to finality beyond the answer's own latency:
    proof, last vote of the quorum, settlement and block. Both are 0 without a quorum.
    """
    quorum = quorum_of(env.memo.registered)
    if env.world.verification[model] == NO_PROOF or env.memo.registered == 0 or env.memo.live[VERIFIER] < quorum:
        return 0.0, 0.0
    verified_rps, beyond_rps_s = 0.0, 0.0
    for position in range(count):
        rps = env.scratch.replica_rps[position] * env.scratch.trust[position]
        if rps > 0:
            site = env.scratch.replicas[position]
            verified_rps += rps
            beyond_rps_s += rps * (env.world.proof_s[model, site] + quorum_s(env, site, quorum))
    beyond_rps_s += verified_rps * (env.world.settle_s + env.world.block_s)
    return verified_rps, beyond_rps_s
