"""A world of three sites, one model and one user region, with numbers that can be worked out on paper.

Sites A, B, C at 0, 20 and 100 ms from A (B and C 100 ms apart); users at 10, 30 and 110 ms. A and B share domain 0.
A replica serves 10 requests/s in 2 s an answer with one stream, the first token after 0.5 s; routing divides evenly
(spread 1); who is refused tries once more; a step is 300 s.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest

from og_env.dynamics.reference import step
from og_env.kernel.arrays import (
    CALM_SPEED,
    DOWN,
    FETCHING,
    GATEWAY,
    LOADING,
    METRICS,
    NO_COUNT_LIMIT,
    NO_RENT_LIMIT,
    STAGING,
    STORE,
    TERMS,
    VERIFIER,
    WARM,
    Memo,
    Output,
    Scratch,
    State,
    Tape,
    World,
)
from og_env.kernel.memory import allocate, bind
from og_env.simulator.compiled_step import BY_SCENARIO, OPERATIONS, by_operations

A, B, C = range(3)
SIZES = {
    "W": 1, "B": 1, "T": 4, "Y": 288, "N": 3, "M": 1, "U": 1, "S": 1, "F": 4, "D": 2,
    "P": 2, "K": 1, "Q": len(METRICS), "O": 0, "V": 28, "C": 1, "H": 4,
}  # fmt: skip
LAUNCH, RETIRE, STAGE = 1, 4, 7
"""operations at A; add the site"""
ADD_VERIFIER, REMOVE_VERIFIER, ADD_STORE, REMOVE_STORE = 10, 13, 16, 19

VALUES: dict[str, Any] = {
    "site_valid": 1,
    "gpu_count": 2,
    "usd_per_gpu_hour": 2,
    "usd_per_vm_hour": 0.1,
    "egress_usd_per_gb": 0.05,
    "link_mb_per_s": 125,
    "tee": 1,
    "hit": 1,
    "site_domain": [[1, 0], [2, 0], [3, -1]],
    "rtt_ms": [[0, 20, 100], [20, 0, 100], [100, 100, 0]],
    "rtt_user_ms": [10, 30, 110],
    "near_site": [[A, B, C], [B, A, C], [C, A, B]],
    "near_user": [A, B, C],
    "replica_gpus": 1,
    "capacity_rps": 10,
    "service_s": 2,
    "queue_s": 2,
    "prefill_s": 0.5,
    "timed_s": 2,
    "answer_usd": 1e-3 * 0.05,
    "load_ms": 30_000,
    "weights_mb": 10_000,
    "weights_gb": 10,
    "streams": 1,
    "queue_exponent": 1,
    "slo_s": 5,
    "most_replicas": NO_COUNT_LIMIT,
    "most_roles": NO_COUNT_LIMIT,
    "rent_limit_usd_per_hour": NO_RENT_LIMIT,
    "base_rps": 6,
    "correlation": np.eye(3),
    "domain_size": [2, 1, 1, 1],
    "domain_visible": 1,
    "domain_effect": DOWN,
    "step_ms": 300_000,
    "detect_ms": 60_000,
    "provision_ms": 600_000,
    "patience_ms": 60_000,
    "timeout_ms": 2_000,
    "round_trips": 1,
    "round_trips2": 1,
    "tries": 2,
    "block_s": 10,
    "settle_s": 1,
    "utilisation_limit": 0.8,
    "store_streams": 1,
    "store_mb_per_s": 100,
    "storage_usd_per_gb_hour": 0.001,
    "service_cv": 0.5,
    "weights": [0.5, 0.25, 1, 0.2, 0.3, 0.01],
    "convexity": 5,
    "budget_usd_per_hour": 10,
    "attack_cooldown": 1,
    "region_of": [A, A, C],
    "launch_chance": 1,
    "kept_share": 1,
    "retry_ms": 900_000,
    "attack_steps": 2,
}
"""fields of World, and the values that are assigned to them"""


class Paper(NamedTuple):
    world: World
    tape: Tape
    state: State


def paper(regions: int = 1, **changes: Any) -> Paper:
    """The world as above, 6 requests/s, nothing placed but verifiers everywhere, a store at B, gateways at A and C.

    regions: number of user regions, 6 requests/s each. changes: fields of World, to which the values are assigned.
    """
    sizes = SIZES | {"U": regions}
    world: World = allocate(World, sizes)
    for name, value in (VALUES | changes).items():
        getattr(world, name)[:] = value
    tape: Tape = allocate(Tape, sizes)
    tape.regional[:] = tape.model[:] = 1
    tape.condition[:] = CALM_SPEED
    state: State = allocate(State, SIZES)
    state.role_ms[:] = -1
    state.role_ms[0, VERIFIER] = 0
    state.role_ms[0, STORE, B] = 0
    state.role_ms[0, GATEWAY, [A, C]] = 0
    state.knobs[:] = [40, 0.1, 0, 0, 1]
    state.attack_domain[:] = state.attack_until[:] = -1
    return Paper(world, tape, state)


def strikes(world: Paper, where: tuple[Any, ...], bits: int) -> None:
    """Set the status bits of the tape at an index [b, row, site]."""
    status = world.tape.status.copy()
    status[where] = bits
    world.tape.write_status(status)


def put(paper: Paper, site: int, phase: int, left: int = 0) -> None:
    """Place the model at a site; left: MB to fetch or ms to load, as the phase has it."""
    paper.state.phase[0, 0, site] = phase
    paper.state.fetch_left_mb[0, 0, site] = left if phase in (STAGING, FETCHING) else 0
    paper.state.load_left_ms[0, 0, site] = left if phase == LOADING else 0
    paper.state.gpus_used[0, site] = 1 if phase >= FETCHING else 0


class Outcome(NamedTuple):
    """The next state, and what the step reports."""

    state: State
    output: Output

    @property
    def metrics(self) -> dict[str, float]:
        return dict(zip(METRICS, self.output.metrics[0].tolist(), strict=True))

    @property
    def terms(self) -> dict[str, float]:
        return dict(zip(TERMS, self.output.terms[0].tolist(), strict=True))


class Play(Protocol):
    """One step of the paper world with a placement operation; the world stays as it is."""

    def __call__(self, world: Paper, operation: int = 0) -> Outcome: ...


def near(value: Any) -> Any:
    """Equal to single precision, in which the kernel keeps its arrays."""
    return pytest.approx(value, rel=1e-5, abs=1e-6)


def served_at_a_and_c(**changes: Any) -> Paper:
    world = paper(**changes)
    put(world, A, WARM)
    put(world, C, WARM)
    return world


def play_reference(world: Paper, operation: int = 0) -> Outcome:
    """One step of the readable reference."""
    return Outcome(*step(world.world, world.tape, world.state, np.array([operation])))


def play_kernel(world: Paper, operation: int = 0) -> Outcome:
    """One step of the compiled kernel."""
    return by_kernel(world, operation)[0]


def by_kernel(
    world: Paper, action: int, memo: Memo | None = None, clock: int = BY_SCENARIO
) -> tuple[Outcome, np.ndarray]:
    """The outcome of an action on a copy of the state, and which operations are possible afterwards, bool [V].

    memo: of the step before, and written; without one, everything is worked out anew.
    """
    sizes = SIZES | {"U": world.world.base_rps.shape[1]}
    state, output = State(*(array.copy() for array in world.state)), allocate(Output, sizes)
    scratch, memo = allocate(Scratch, sizes), allocate(Memo, sizes) if memo is None else memo
    table = bind(sizes, world.world, world.tape, state, output, scratch, memo)  # addresses of arrays that live here
    unused, mask = np.zeros((1, 0), np.float32), np.zeros((1, SIZES["V"]), np.int8)
    by_operations(table, 0, 1, 0, OPERATIONS, clock, np.array([action]), unused, unused, unused, np.full(6, -1), mask)
    return Outcome(state, output), mask[0] == 1
