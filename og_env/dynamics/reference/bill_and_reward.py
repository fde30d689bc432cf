"""The worth of the step: finality, N-1 contingency, dollars and the reward."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from og_env.dynamics.reference.placement import Fetches, roles_up
from og_env.dynamics.reference.traffic import Traffic
from og_env.dynamics.reference.world_rows import Facts, attested, down, ratio
from og_env.dynamics.verification import NO_PROOF, TEE
from og_env.kernel.arrays import FETCHING, GATEWAY, LOADING, ON_DISK, STORE, UNTRUSTED, VERIFIER, WARM, State


class Finality(NamedTuple):
    """Who can vote, and what a quorum has verified."""

    live: np.ndarray  # int [B, 3]: running roles at sites that are up
    quorum: np.ndarray  # int [B]: votes needed; 0 where no verifier is registered and nothing can become final
    verified_rps: np.ndarray  # [B, M]
    finality_s: np.ndarray  # [B]


class Bill(NamedTuple):
    """Spending, and the weights fetched for it."""

    usd_per_hour: np.ndarray  # [B]
    use_usd_per_hour: np.ndarray  # [B]: the part of it that is the price of use
    fetch_gb: np.ndarray  # [B]


def finalise(facts: Facts, state: State, traffic: Traffic) -> Finality:
    """Votes of more than two thirds of the registered verifiers make work final."""
    world = facts.world
    running = state.role_ms == 0
    live_at = roles_up(state)
    live = live_at.sum(axis=2)
    registered = running[:, VERIFIER].sum(axis=1)
    quorum = np.where(registered > 0, 2 * registered // 3 + 1, 0)
    holds = (registered > 0) & (live[:, VERIFIER] >= quorum)

    to_verifier_ms = np.sort(np.where(live_at[:, VERIFIER, None], world.rtt_ms, np.inf), axis=2)  # [B, N, N]
    last_vote = np.where(holds, quorum - 1, 0)[:, None, None]
    vote_ms = np.take_along_axis(to_verifier_ms, last_vote, axis=2)[:, :, 0]
    vote_s = np.where(holds[:, None], vote_ms, 0) / 1000

    verified = traffic.load_rps * attested(facts, state.status) * holds[:, None, None]
    chain_s = (world.settle_s + world.block_s)[:, None, None]
    clock_s = traffic.latency_s[:, :, None] + world.proof_s + vote_s[:, None] + chain_s
    finality_s = ratio((verified * clock_s).sum(axis=(1, 2)), verified.sum(axis=(1, 2)))
    return Finality(live, quorum, verified.sum(axis=2), finality_s)


def contingency(facts: Facts, state: State, traffic: Traffic, final: Finality, wait_ms: np.ndarray) -> np.ndarray:
    """[B, F]: share of demand that would be lost, unverified or unfetchable if the fault domain broke now."""
    world, demand, served = facts.world, traffic.users.demand_rps, traffic.served_rps
    member = (facts.member & (world.domain_size > 0)[:, :, None]).astype(np.float64)
    up = ~down(state.status)

    def inside(values: np.ndarray) -> np.ndarray:
        """[B, F, rows]: sums of values [B, rows, N] over the members of each domain."""
        return member @ np.swapaxes(values.astype(np.float64), 1, 2)

    load = traffic.load_rps
    warm = traffic.replicas.alive & (wait_ms == 0)
    spare = np.where(warm, np.maximum(traffic.replicas.limit_rps - load, 0), 0)

    def beyond_spare(load: np.ndarray, spare: np.ndarray) -> np.ndarray:
        """[B, F, M]: load inside the domain that spare capacity outside cannot take over."""
        return np.maximum(inside(load) - (spare.sum(axis=2)[:, None] - inside(spare)), 0)

    proves = world.verification != NO_PROOF
    trusted = attested(facts, state.status)
    roles = inside(roles_up(state))
    roles_left = final.live[:, None] - roles
    copy = ((state.phase == ON_DISK) | (state.phase == LOADING) | (state.phase == WARM)) & up[:, None]
    copies_left = copy.sum(axis=2)[:, None] - inside(copy)

    no_gateway = (roles_left[:, :, GATEWAY] == 0)[:, :, None]
    lost = np.where(no_gateway, served[:, None], beyond_spare(load, spare))
    no_quorum = (roles_left[:, :, VERIFIER] < final.quorum[:, None])[:, :, None] & proves[:, None]
    unverified = np.where(no_quorum, np.maximum(final.verified_rps[:, None] - lost, 0), 0)
    unfetchable = np.where((roles_left[:, :, STORE] == 0)[:, :, None] & (copies_left == 0), demand[:, None], 0)
    if_broken = np.maximum(lost + unverified, unfetchable).sum(axis=2)

    enclaves = (world.verification == TEE)[:, None]
    if_distrusted = np.where(enclaves, beyond_spare(load * trusted, spare * trusted), 0).sum(axis=2)
    hurt = np.where(world.domain_effect == UNTRUSTED, if_distrusted, if_broken) * (world.domain_size > 0)
    return np.minimum(ratio(hurt, demand.sum(axis=1, keepdims=True)), 1)


def bill(facts: Facts, state: State, traffic: Traffic, fetch: Fetches) -> Bill:
    """Rent, storage, answers and fetches in dollars an hour. Down sites bill no machines; what lies on disks is paid for."""
    world, phase = facts.world, state.phase
    up = ~down(state.status)
    held_gpus = np.where(phase >= FETCHING, world.replica_gpus, 0).sum(axis=1) * up
    gpu_usd = (held_gpus * world.usd_per_gpu_hour).sum(axis=1)
    machines = (state.role_ms >= 0).sum(axis=1) * up
    machine_usd = (machines * world.usd_per_vm_hour).sum(axis=1)

    on_disk = (phase == ON_DISK) | (phase == LOADING) | (phase == WARM)
    stores = (state.role_ms[:, STORE] >= 0).sum(axis=1)
    copies = on_disk.sum(axis=2) + stores[:, None]
    storage_usd = (copies * world.weights_gb).sum(axis=1) * world.storage_usd_per_gb_hour

    fetched_gb = fetch.moved_mb.sum(axis=1) / 1000  # [B, N]
    fetch_price = np.take_along_axis(world.egress_usd_per_gb, np.maximum(fetch.source, 0), axis=1)
    answers_usd = (traffic.load_rps * world.answer_usd).sum(axis=(1, 2)) * 3600
    use_usd = (traffic.load_rps * world.use_usd).sum(axis=(1, 2)) * 3600
    paid_gb = np.where(fetch.peer, 0, fetch.moved_mb).sum(axis=1) / 1000
    fetches_usd = (paid_gb * fetch_price).sum(axis=1) * 3_600_000 / world.step_ms
    usd_per_hour = gpu_usd + machine_usd + storage_usd + fetches_usd + answers_usd
    return Bill(usd_per_hour, use_usd, fetched_gb.sum(axis=1))


def terms_of(
    facts: Facts, traffic: Traffic, final: Finality, exposure: np.ndarray, usd_per_hour: np.ndarray, changes: np.ndarray
) -> dict[str, np.ndarray]:
    """The terms of the reward [B], unweighted, by name."""
    world = facts.world
    demand = traffic.users.demand_rps.sum(axis=1)
    served = traffic.served_rps
    unserved = np.maximum(ratio(demand - served.sum(axis=1), demand), 0)
    unproven = np.where(world.verification != NO_PROOF, served - final.verified_rps, 0).sum(axis=1)
    return {
        "latency": ratio(traffic.late_rps.sum(axis=1), demand),
        "cost": usd_per_hour / world.budget_usd_per_hour,
        "unserved": unserved * (1 + world.convexity * unserved) / (1 + world.convexity),
        "unverified": ratio(unproven, demand),
        "exposure": exposure,
        "churn": changes.astype(np.float64),
    }
