"""One step in plain float64 NumPy, written for reading: what the compiled kernel is tested against.

`step` reads top to bottom in the order of real time. Letters in shapes are those of `og_env.kernel.memory`.
"""

from __future__ import annotations

import numpy as np

from og_env.dynamics.reference.bill_and_reward import Bill, Finality, bill, contingency, finalise, terms_of
from og_env.dynamics.reference.measured import shown
from og_env.dynamics.reference.placement import apply, fetches, possible_operations, progress, strike, take_supply
from og_env.dynamics.reference.times import quantiles_s
from og_env.dynamics.reference.traffic import Traffic, serve, site_share_of
from og_env.dynamics.reference.world_rows import Condition, Facts, condition_of, down, facts_of, ratio, wide
from og_env.dynamics.verification import NO_PROOF
from og_env.kernel.arrays import (
    FETCHING,
    GATEWAY,
    LOADING,
    METRICS,
    STORE,
    TERMS,
    VERIFIER,
    WARM,
    Output,
    State,
    Tape,
    World,
)


def possible(world: World, state: State) -> np.ndarray:
    """Which operations can be carried out (bool [B, V]); operation 0, which does nothing, always can."""
    return possible_operations(facts_of(world, state.world), State(*map(wide, state)))


def stand(world: World, state: State, operation: np.ndarray) -> tuple[State, np.ndarray]:
    """The state after the operations [B] of a step in which no time has passed yet, and those carried out [B]."""
    operation = np.asarray(operation, np.int64)
    placed, done = _place(facts_of(world, state.world), State(*map(wide, state)), operation)
    return State(*(_as_declared(new, old) for new, old in zip(placed, state, strict=True))), done


def _place(facts: Facts, state: State, operation: np.ndarray) -> tuple[State, np.ndarray]:
    """The state after the operations [B], counted among those of the step, and those carried out [B]."""
    placed, done = apply(facts, state, operation)
    decisions, changes = state.decisions + (operation != 0), state.changes + (done != 0)
    return placed._replace(decisions=decisions, changes=changes), done


def step(world: World, tape: Tape, state: State, operation: np.ndarray) -> tuple[State, Output]:
    """The next state and what the step reports, for the operations [B]; the arguments stay as they are.

    Floats are float64. The router's knobs are those in `state.knobs`. `Output.offer` and `offer_gain` are empty:
    proposals are no part of the dynamics. Raises ValueError for an operation outside 0 .. V - 1 and for a finished
    episode.
    """
    operation = np.asarray(operation, np.int64)
    _check(tape, state, operation)
    facts = facts_of(world, state.world)
    before = State(*map(wide, state))

    placed, done = _place(facts, before, operation)
    struck, reasked, withdrawn = take_supply(facts, tape, *strike(facts, tape, placed))
    condition = condition_of(facts, tape, struck)
    fetch = fetches(facts, struck)
    traffic = serve(facts, tape, struck, before.status, fetch, condition, reasked)
    final = finalise(facts, struck, traffic)
    loss = contingency(facts, struck, traffic, final, fetch.wait_ms)
    paid = bill(facts, struck, traffic, fetch)
    ended, cold_starts = progress(facts, struck, fetch)

    terms = terms_of(facts, traffic, final, loss.max(axis=1), paid.usd_per_hour, placed.changes)
    term_values = np.stack([terms[name] for name in TERMS], axis=1)
    reward = -(facts.world.weights * term_values).sum(axis=1)

    remembered = ended._replace(
        decisions=np.zeros_like(placed.decisions),
        changes=np.zeros_like(placed.changes),
        refusals=np.zeros_like(placed.refusals),
        **shown(facts, tape, struck, traffic, condition),
        **_remembered(traffic),
    )
    new_state = State(*(_as_declared(new, old) for new, old in zip(remembered, state, strict=True)))

    metrics = _traffic_metrics(facts, traffic, final)
    metrics |= _fleet_metrics(facts, tape, struck, ended, final, condition)
    metrics |= _money_metrics(paid, loss, traffic)
    metrics["answers_lost"] = reasked.sum(axis=1)
    metrics["cold_starts"] = cold_starts
    metrics["operations"] = placed.changes
    metrics["impossible_operations"] = placed.decisions - placed.changes
    metrics["refused_launches"] = placed.refusals
    metrics["withdrawn"] = withdrawn
    batch = len(operation)
    output = Output(
        reward=reward,
        terms=term_values,
        last_terms=term_values,
        metrics=np.stack([np.asarray(metrics[name], np.float64) for name in METRICS], axis=1),
        truncated=(ended.step == tape.attack.shape[1] - 1).astype(np.uint8),
        operation=done.astype(np.int32),
        seen_loss=np.where(facts.world.domain_visible == 1, loss, 0).max(axis=1),
        domain_loss=loss,
        offer=np.zeros((batch, 0), np.int32),
        offer_gain=np.zeros((batch, 0, 4)),
        offer_ready_s=np.zeros((batch, 0)),
    )
    return new_state, output


def _check(tape: Tape, state: State, operation: np.ndarray) -> None:
    batch, models, sites = state.phase.shape
    count = 1 + 3 * models * sites + 6 * sites
    if operation.shape != (batch,):
        raise ValueError(f"operation has shape {operation.shape}; the batch has {(batch,)}")
    if ((operation < 0) | (operation >= count)).any():
        raise ValueError(f"operation {operation.min()} .. {operation.max()} is outside 0 .. {count - 1}")
    last = tape.attack.shape[1] - 1
    if (state.step >= last).any():
        raise ValueError(f"step {state.step.max()} is past the episode's end; its last step is {last}")


def _as_declared(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    return new if old.dtype.kind == "f" else new.astype(old.dtype)


def _remembered(traffic: Traffic) -> dict[str, np.ndarray]:
    """The fields of State that say how the traffic of the last step went."""
    return {
        "load_rps": traffic.load_rps,
        "in_flight": traffic.in_flight,
        "site_share": site_share_of(traffic),
        "model_demand_rps": traffic.users.demand_rps,
        "model_served_rps": traffic.served_rps,
        "model_first_token_s": traffic.first_token_s,
        "model_late_share": ratio(traffic.late_rps, traffic.served_rps),
        "model_refused_share": ratio(traffic.answered.first_refused_rps, traffic.users.demand_rps),
    }


def _traffic_metrics(facts: Facts, traffic: Traffic, final: Finality) -> dict[str, np.ndarray]:
    answered, time = traffic.answered, traffic.times
    served, demand = traffic.served_rps.sum(axis=1), traffic.users.demand_rps.sum(axis=1)
    asks = np.where(facts.world.verification != NO_PROOF, traffic.served_rps, 0).sum(axis=1)
    clocks = {"latency": time.service_s, "first_token": time.prefill_s}
    share = site_share_of(traffic)
    return {
        f"{clock}_{name}_ms": 1000 * value
        for clock, clock_s in clocks.items()
        for name, value in quantiles_s(facts, answered, time, clock_s).items()
    } | {
        "finality_s": final.finality_s,
        "demand_rps": demand,
        "served_rps": served,
        "served_share": np.where(demand > 0, ratio(served, demand), 1),
        "in_time_share": ratio(served - traffic.late_rps.sum(axis=1), served),
        "verified_share": np.where(asks > 0, ratio(final.verified_rps.sum(axis=1), asks), 1),
        "cold_wait_s": ratio((traffic.load_rps * time.cold_s).sum(axis=(1, 2)), served),
        "refused_share": ratio(answered.first_refused_rps.sum(axis=1), demand),
        "retried_share": ratio(answered.retried.rps.sum(axis=(1, 2)), served),
        "utilisation": ratio(traffic.load_rps.sum(axis=(1, 2)), traffic.replicas.cap_rps.sum(axis=(1, 2))),
        "n_eff": ratio(share.sum(axis=1) ** 2, np.einsum("bi,bij,bj->b", share, facts.world.correlation, share)),
    }


def _fleet_metrics(
    facts: Facts, tape: Tape, struck: State, ended: State, final: Finality, condition: Condition
) -> dict[str, np.ndarray]:
    attacked = (struck.attack_domain >= 0) & (ended.step <= struck.attack_until)
    valid = facts.world.site_valid == 1
    return {
        "active_outages": tape.outages[np.arange(len(ended.step)), ended.step] + attacked.astype(np.int64),
        "sites_down": (down(struck.status) & valid).sum(axis=1),
        "sites_grey": condition.grey.sum(axis=1),
        "sites_blind": (condition.blind & valid).sum(axis=1),
        "replicas_warm": (ended.phase == WARM).sum(axis=(1, 2)),
        "replicas_loading": ((ended.phase == LOADING) | (ended.phase == FETCHING)).sum(axis=(1, 2)),
        "verifiers_live": final.live[:, VERIFIER],
        "stores_live": final.live[:, STORE],
        "gateways_live": final.live[:, GATEWAY],
        "quorum": final.quorum,
    }


def _money_metrics(paid: Bill, loss: np.ndarray, traffic: Traffic) -> dict[str, np.ndarray]:
    served = traffic.served_rps.sum(axis=1)
    return {
        "usd_per_hour": paid.usd_per_hour,
        "use_usd_per_hour": paid.use_usd_per_hour,
        "usd_per_1000_requests": ratio(paid.usd_per_hour * 1000, served * 3600),
        "exposure": loss.max(axis=1),
        "fetch_gb": paid.fetch_gb,
    }
