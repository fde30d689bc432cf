"""The simulator: batches of episodes in memory, copies of them that run ahead, and the names that policies read.

Policies, training and scripts import from here and from no module inside the engine. Shapes use the letters B
environments, N sites, M models, U user regions, F fault domains, T tape rows, P offers, V operations and H steps ahead.

Names of what arrays hold. `TERMS`, `METRICS` and `KNOBS` are the columns of `output.terms` [B, 6], `output.metrics`
[B, Q] and `state.knobs` [B, 5]; `TERM.latency` is the position of a term. A phase, `ABSENT` to `WARM`, is what a model
is at a site, `state.phase` [B, M, N]. `VERIFIER`, `STORE` and `GATEWAY` are rows of `state.role_ms` [B, 3, N], which is
-1 where the role is absent and 0 where it runs. `DOWN`, `FROZEN`, `UNTRUSTED` and `SLOW` are bits of `state.status`
[B, N]. `quorum_of` gives the votes that finality needs of so many registered verifiers. A code of `tape.signal` uint8
[B, T, S] stands for the error rate code / `CODES_PER_UNIT` + `SIGNAL_LOW`; `CALM_SPEED` is the code of nominal speed in
`tape.condition` uint8 [B, T, N], which has `SPEEDS_PER_OCTAVE` codes per factor of 2. `KNOB_RANGE` is the factor that a
knob at its highest level has; `STEER_RANGE` is the logarithm of the one that a site has, `state.steer` [B, N].

Operations. Number 0 does nothing; then `LAUNCH`, `RETIRE` and `STAGE` by model and site, as `VERBS` names them, then
adding and removing a role by site. `count_operations` gives V, and
`describe_operation` puts one in words. Offers are operations, `output.offer` int32
[B, P]. `output.offer_gain` float32 [B, P, 4] has their gains at the positions of `GAIN`, and `output.offer_ready_s`
float32 [B, P] the seconds until they are of use. The last ones are kept for removals, and `additions_of` says how many
of P come before them. `operations_of` gives the operations [B] of choices [B] among offers: 0 does nothing, i takes
offer i - 1.

Simulation. `Simulator` holds the arrays of a batch, `World`, `Tape` and `State` among them, and steps it; `Settings`
are its arguments (`Task`, `Interface`, `SPLITS`, `FLAT_TABLES`), and `Simulator.mode` is `OPERATIONS`, `PROPOSALS` or
`AUTOSCALED`. `Simulator.clock` says which decisions move the clock: `BY_SCENARIO`, where a step has as many operations
as the scenario says, `STANDING` or `MOVING`; `Simulator.moved` says where it moved. `checked` fills in the task's
interface. `split_actions` turns actions into operations or offers, knob levels and site levels; `choices_of` counts the
choices in each part of an action space. What owns arrays or a simulator is `CopiedWhole`: `copy.copy`, `copy.deepcopy`
and `pickle` give it arrays of its own.

Running ahead. `Copies` clones environments: `load` puts them in with the forecast or the true tape ahead,
`add_drawn_outages` draws futures from the present alarms (`fragile_chances`), and `run` gives rewards [copies, H] of a
first action and what a `Choice` such as `idle` does afterwards. `outlook` gives all that a run meets, an `Outlook`, and
`simulate` that of candidate actions in one environment. `CopiesOnTape` keeps copies ahead of their environments and
extends their paths step by step. `BelievedOffers` finds the offers that the planner would make if it took the worlds
for others.

Compiling. `warm_up` makes all compiled code ready, once for an installation, and `cold_parts` says what is not ready;
`Compiled` is a part that was. `compile_also` adds compiled code of another package to it.

Incidents. `incident_of` finds a recorded incident by its id, and `touches` says whether it hits a scenario;
`UntouchedError` is raised where it does not. The JSON of a live fleet has a package of its own,
`og_env.simulator.live_state`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from og_env.dynamics import verification
from og_env.dynamics.operations import LAUNCH, RETIRE, STAGE, VERBS
from og_env.dynamics.operations import count as count_operations
from og_env.dynamics.operations import describe as describe_operation
from og_env.kernel.arrays import (
    ABSENT,
    CALM_SPEED,
    CODES_PER_UNIT,
    DOWN,
    FETCHING,
    FROZEN,
    GAIN,
    GATEWAY,
    KNOBS,
    LEAVING,
    LOADING,
    METRICS,
    ON_DISK,
    SCARCE,
    SIGNAL_LOW,
    SLOW,
    SPEEDS_PER_OCTAVE,
    STAGING,
    STEER_RANGE,
    STORE,
    TAKEN,
    TERM,
    TERMS,
    UNTRUSTED,
    VERIFIER,
    WARM,
    State,
    Tape,
    World,
)
from og_env.kernel.memory import CopiedWhole
from og_env.planner import offer_list
from og_env.simulator.all_kernels import Compiled, cold_parts, compile_also, warm_up
from og_env.simulator.believed_offers import BelievedOffers
from og_env.simulator.candidate_outlooks import Follow, Outlook, outlook, simulate
from og_env.simulator.compiled_step import AUTOSCALED, BY_SCENARIO, KNOB_RANGE, MOVING, OPERATIONS, PROPOSALS, STANDING
from og_env.simulator.copies_on_tape import CopiesOnTape
from og_env.simulator.environment_copies import Choice, Copies, Indices, idle, operations_of
from og_env.simulator.reset_options import UntouchedError, incident_of, touches
from og_env.simulator.settings import FLAT_TABLES, LEVELS, SPLITS, Arguments, Interface, Settings, Split, Task, checked
from og_env.simulator.simulator import Simulator
from og_env.simulator.spaces import ActionParts, choices_of, split_actions
from og_env.tape.outages_ahead import fragile_chances

additions_of: Callable[[int], int] = offer_list.additions_of.py_func
quorum_of: Callable[[Any], Any] = verification.quorum_of.py_func
