"""The calls that everything makes: begin an episode or act, step, propose and observe, for a slice of environments."""

from __future__ import annotations

from og_env.dynamics.operations import write_mask
from og_env.dynamics.routing import list_placed
from og_env.dynamics.step import begin, step, tally
from og_env.kernel.arrays import environment, state_of, tape_of
from og_env.kernel.compile import entry, kernel
from og_env.kernel.views import opened, prefetch
from og_env.observation.encode import observe
from og_env.planner.offers import autoscale, propose

OPERATIONS, PROPOSALS, AUTOSCALED = range(3)
"""what an action's first number means: an operation, an offer, nothing (the autoscaler acts)"""
BEGIN = -1
"""in place of an action: begin the episode whose tape is drawn"""
LOOK = -2
"""in place of an action: neither; the state was written by hand"""

KNOB_RANGE = 4.0
"""a knob at level 1 (-1) is this many times (this fraction of) its default"""


@kernel
def set_knobs(env, levels):
    """Put the router's knobs [B, 5] into effect: levels in [-1, 1], 0 being the scenario's defaults."""
    for i in range(4):
        env.state.knobs[i] = env.world.knobs[i] * KNOB_RANGE ** levels[env.b, i]
    level, spread = levels[env.b, 4], env.world.knobs[4]
    env.state.knobs[4] = spread * (1 + level) if level < 0 else spread + (1 - spread) * level


@kernel
def move(env, mode, action, levels):
    """Begin an environment's episode, look at it, or carry out its action and step."""
    if action == BEGIN:
        begin(env)
        return
    if action == LOOK:
        list_placed(env)
        tally(env)
        return
    operation = action
    if mode == PROPOSALS:
        operation = env.output.offer[action - 1] if action > 0 else 0
    elif mode == AUTOSCALED:
        operation = autoscale(env)
    if levels.shape[1] > 0:
        set_knobs(env, levels)
    step(env, operation)


@kernel
def look_ahead(t, b, batch):
    """Ask for what the tape of the next environment says of its next step: a batch's tapes are too large for a cache."""
    state, tape = state_of(t), tape_of(t)
    if b + 1 < batch:
        row = state.step[b + 1] + 1
        prefetch(tape.status_pairs, (b + 1, row >> 1, 0))
        prefetch(tape.signal, (b + 1, row, 0))
        prefetch(tape.signal, (b + 1, row, tape.signal.shape[2] - 1))
        prefetch(tape.regional, (b + 1, row, 0))
        prefetch(tape.regional, (b + 1, row, tape.regional.shape[2] - 1))
        prefetch(tape.model, (b + 1, row, 0))


@entry
def by_operations(table, lo, hi, c, mode, actions, levels, obs, offsets, mask):
    """One step of environments lo .. hi - 1 on scratch slot c: operations [B], or BEGIN; knob levels [B, 5], or [B, 0]
    for the defaults. Then their observations to obs [B, O] at offsets [6] and masks [B, V]; without columns, none."""
    t = opened(table)
    for b in range(lo, hi):
        look_ahead(t, b, hi)
        env = environment(t, b, c)
        move(env, OPERATIONS, actions[b], levels)
        if mask.shape[1] > 0:
            write_mask(env, mask)
        if obs.shape[1] > 0:
            observe(env, obs, offsets)


@entry
def by_offers(table, lo, hi, c, mode, actions, levels, obs, offsets, mask):
    """The same with offers as actions, or with the autoscaler in their place, by mode; masks [B, 1 + P] or [B, 0].
    Offers for the next step are found in any case."""
    t = opened(table)
    for b in range(lo, hi):
        look_ahead(t, b, hi)
        env = environment(t, b, c)
        move(env, mode, actions[b], levels)
        propose(env)
        if mask.shape[1] > 0:
            mask[b, 0] = 1
            for i in range(env.output.offer.shape[0]):
                mask[b, 1 + i] = env.output.offer[i] != 0
        if obs.shape[1] > 0:
            observe(env, obs, offsets)


ENTRIES = {OPERATIONS: by_operations, PROPOSALS: by_offers, AUTOSCALED: by_offers}
"""two, so that who asks for no offers need not compile them"""
