"""The calls that everything makes: start an episode, or act, step, propose and observe, for a slice of environments."""

from __future__ import annotations

from og_env.actions import write_mask
from og_env.binding import opened
from og_env.dynamics import begin, step
from og_env.jit import entry, kernel
from og_env.layout import output_of, state_of, world_of
from og_env.observation import observe
from og_env.proposals import autoscale, propose

OPERATIONS, PROPOSALS, AUTOSCALED = range(3)
"""what an action's first number means: an operation, an offer, nothing (the autoscaler acts)"""

KNOB_RANGE = 4.0
"""a knob at level 1 (-1) is this many times (this fraction of) its default"""


@kernel
def set_knobs(t, b, levels):
    """Put the router's knobs [B, 5] into effect: levels in [-1, 1], 0 being the scenario's defaults."""
    world, state = world_of(t), state_of(t)
    k = state.world[b]
    for i in range(4):
        state.knobs[b, i] = world.knobs[k, i] * KNOB_RANGE ** levels[b, i]
    level, spread = levels[b, 4], world.knobs[k, 4]
    state.knobs[b, 4] = spread * (1 + level) if level < 0 else spread + (1 - spread) * level


@kernel
def report(t, b, c, mode, obs, offsets, mask):
    """Offers, mask and observation of environment b; mask [B, 1 + P], [B, V] or [B, 0] by interface."""
    output = output_of(t)
    if mode != OPERATIONS:
        propose(t, b, c)
    if mask.shape[1] > 0:
        if mode == OPERATIONS:
            write_mask(t, b, c, mask)
        else:
            mask[b, 0] = 1
            for i in range(output.offer.shape[1]):
                mask[b, 1 + i] = output.offer[b, i] != 0
    if obs.shape[1] > 0:
        observe(t, b, c, obs, offsets)


@entry
def start_rows(table, rows, c, mode, obs, offsets, mask):
    """Begin an episode in each of the environments `rows` [any], whose tapes are drawn."""
    t = opened(table)
    for b in rows:
        begin(t, b, c)
        report(t, b, c, mode, obs, offsets, mask)


@entry
def advance_rows(table, lo, hi, c, mode, actions, levels, obs, offsets, mask):
    """One step of environments lo .. hi - 1: actions [B] by mode, knob levels [B, 5] or [B, 0] for the defaults."""
    t = opened(table)
    output = output_of(t)
    for b in range(lo, hi):
        operation = actions[b]
        if mode == PROPOSALS:
            operation = output.offer[b, actions[b] - 1] if actions[b] > 0 else 0
        elif mode == AUTOSCALED:
            operation = autoscale(t, b)
        if levels.shape[1] > 0:
            set_knobs(t, b, levels)
        step(t, b, c, operation)
        report(t, b, c, mode, obs, offsets, mask)
