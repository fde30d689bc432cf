"""The compiled calls that everything makes: begin or step a slice of environments, find their offers, and observe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from og_env.dynamics.episode_start import begin
from og_env.dynamics.operations import write_mask
from og_env.dynamics.replicas import list_placed
from og_env.dynamics.step import stand, step
from og_env.dynamics.step_report import report_replicas, tally
from og_env.kernel.arrays import KNOB, STEER_RANGE, Environment, environment
from og_env.kernel.compile import announce, can_keep, compile_all, entry, kernel
from og_env.kernel.views import opened, prefetch
from og_env.observation.encode import observe
from og_env.planner.offer_list import autoscale
from og_env.planner.offers import propose

OPERATIONS, PROPOSALS, AUTOSCALED = range(3)
"""modes: an action names an operation, names an offer, or is ignored because the built-in autoscaler acts"""
BY_SCENARIO, STANDING, MOVING = range(3)
"""clocks: the scenario's number of operations says whether a decision moves the clock, or none does, or every one"""
BEGIN = -1
"""in place of an action: begin the episode whose tape is drawn"""
LOOK = -2
"""in place of an action: take the state as it was written by hand, and only find offers and observe"""

KNOB_RANGE = 4.0
"""a knob at level 1 (-1) is this many times (this fraction of) its default"""

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Bits = npt.NDArray[np.int8]
ARGUMENTS = (
    types.int64[::1],
    *(types.int64,) * 5,
    types.int64[::1],
    *(types.float32[:, ::1],) * 3,
    types.int64[::1],
    types.int8[:, ::1],
)
"""compile-time types of what both entries take"""


@kernel
def set_knobs(env: Environment, levels: Floats) -> None:
    """Put the router's knobs into effect, from levels [B, 5] in [-1, 1]; 0 is the scenario's default, [B, 0] none."""
    if levels.shape[1] == 0:
        return
    for knob in range(KNOB.spread):  # the factors, which stand before the one share
        env.state.knobs[knob] = env.world.knobs[knob] * KNOB_RANGE ** levels[env.b, knob]
    level, spread = levels[env.b, KNOB.spread], env.world.knobs[KNOB.spread]
    env.state.knobs[KNOB.spread] = spread * (1 + level) if level < 0 else spread + (1 - spread) * level


@kernel
def set_steer(env: Environment, site_levels: Floats) -> None:
    """Steer to and away from sites, by levels [B, N] in [-1, 1]; 0 leaves a site to the knobs, [B, 0] all as they are."""
    if site_levels.shape[1] == 0:
        return
    for site in range(env.state.steer.shape[0]):
        env.state.steer[site] = STEER_RANGE * site_levels[env.b, site] * env.world.site_valid[site]


@kernel
def prepared(env: Environment, action: int) -> bool:
    """Begin an environment's episode, or take its state as it is; returns False for an action that is a decision."""
    if action == BEGIN:
        begin(env)
        return True
    if action == LOOK:
        list_placed(env)
        tally(env)
        report_replicas(env)
        return True
    return False


@kernel
def act(env: Environment, operation: int, clock: int) -> None:
    """Carry out an operation, alone or with the passing of a step's time.

    By the scenario, the clock moves where nothing is done, and with the last operation that a step has room for.
    """
    room = operation != 0 and env.state.decisions + 1 < env.world.operations_per_step
    if clock == STANDING or (clock == BY_SCENARIO and room):
        stand(env, operation)
    else:
        step(env, operation)


@kernel
def autoscale_step(env: Environment) -> int:
    """Carry out all but the last of the operations that the built-in autoscaler has for a step, and return that one."""
    operation = autoscale(env)
    while operation != 0 and env.state.decisions + 1 < env.world.operations_per_step:
        stand(env, operation)
        propose(env)
        operation = autoscale(env)
    return operation


@kernel
def prefetch_tape(env: Environment) -> None:
    """Prefetch the tape row that an environment will read next: the tapes of a batch fit into no cache."""
    row = env.state.step + 1
    prefetch(env.tape.status_pairs, (row >> 1, 0))
    prefetch(env.tape.signal, (row, 0))
    prefetch(env.tape.signal, (row, env.tape.signal.shape[1] - 1))
    prefetch(env.tape.regional, (row, 0))
    prefetch(env.tape.regional, (row, env.tape.regional.shape[1] - 1))
    prefetch(env.tape.model, (row, 0))


@entry
def by_operations(
    table: Indices,
    first: int,
    stop: int,
    slot: int,
    mode: int,
    clock: int,
    operations: Indices,
    levels: Floats,
    site_levels: Floats,
    observations: Floats,
    offsets: Indices,
    masks: Bits,
) -> None:
    """Step environments first to stop - 1 by operations, and find no offers.

    table: the bound arrays of the batch; slot: of scratch memory; mode: not read; clock: which decisions move the
    clock, BY_SCENARIO, STANDING or MOVING. operations: int64 [B], or BEGIN or LOOK. levels: of the knobs, float32 [B, 5],
    or [B, 0] to leave them. site_levels: of the sites, float32 [B, N], or [B, 0] to leave them. Written: observations
    float32 [B, O] at the tables' offsets int64 [6], and masks int8 [B, V];
    neither where it has no columns.
    """
    address = opened(table)
    for place in range(first, stop):
        if place + 1 < stop:
            prefetch_tape(environment(address, place + 1, slot))
        env = environment(address, place, slot)
        if not prepared(env, operations[place]):
            set_knobs(env, levels)
            set_steer(env, site_levels)
            act(env, operations[place], clock)
        if masks.shape[1] > 0:
            write_mask(env, masks)
        if observations.shape[1] > 0:
            observe(env, observations, offsets)


@entry
def by_offers(
    table: Indices,
    first: int,
    stop: int,
    slot: int,
    mode: int,
    clock: int,
    actions: Indices,
    levels: Floats,
    site_levels: Floats,
    observations: Floats,
    offsets: Indices,
    masks: Bits,
) -> None:
    """Step environments first to stop - 1 by offers (0 does nothing) or by the autoscaler, and find their next offers.

    Arguments are those of `by_operations`, but mode is PROPOSALS or AUTOSCALED, and masks are int8 [B, 1 + P]. The
    autoscaler has as many operations in a call as a step has room for, so it always moves the clock.
    """
    address = opened(table)
    for place in range(first, stop):
        if place + 1 < stop:
            prefetch_tape(environment(address, place + 1, slot))
        env = environment(address, place, slot)
        if not prepared(env, actions[place]):
            set_knobs(env, levels)
            set_steer(env, site_levels)
            if mode == AUTOSCALED:
                act(env, autoscale_step(env), MOVING)
            else:
                act(env, env.output.offer[actions[place] - 1] if actions[place] > 0 else 0, clock)
        propose(env)
        if masks.shape[1] > 0:
            masks[place, 0] = 1
            for i in range(env.output.offer.shape[0]):
                masks[place, 1 + i] = env.output.offer[i] != 0
        if observations.shape[1] > 0:
            observe(env, observations, offsets)


ENTRIES = {OPERATIONS: by_operations, PROPOSALS: by_offers, AUTOSCALED: by_offers}
"""the entry that steps by each mode"""


def prepare(mode: int, *others: Any) -> None:
    """Compile both entries where one of them is neither loaded nor cached, in one go: a user waits once.

    Together they cost little more than one, because kernels are typed once. Where compiled code cannot be kept, who acts
    by operations does not wait for `by_offers`, which is prepared when something asks for offers. `others` are entries
    that the caller compiles by calling them next.
    """
    every = (by_offers, by_operations)
    entries = (by_operations,) if mode == OPERATIONS and not can_keep(*every) else every
    compile_all([cold for cold in announce(*entries, *others) if cold not in others], ARGUMENTS)
