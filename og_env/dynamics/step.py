"""One step of the network, in the order of real time. The dynamics exist once, here; everything else calls them."""

from __future__ import annotations

from og_env.dynamics.alarm_signals import read_signals
from og_env.dynamics.condition import measure, write_speeds
from og_env.dynamics.contingency import add_losses, clear_losses, list_critical
from og_env.dynamics.cost import spending_usd_per_hour
from og_env.dynamics.fleet_memo import survey
from og_env.dynamics.gateways import ask_again, gather, write_demand
from og_env.dynamics.latency import time_answers
from og_env.dynamics.loading import progress, write_waits
from og_env.dynamics.operations import apply
from og_env.dynamics.outages import attack, strike
from og_env.dynamics.replicas import list_placed, list_replicas
from og_env.dynamics.routing import route
from og_env.dynamics.step_report import account, book_proofs, book_traffic, report_events, report_roles, tally
from og_env.dynamics.verification import finality
from og_env.kernel.arrays import Environment
from og_env.kernel.compile import kernel


@kernel
def step(env: Environment, operation: int) -> None:
    """Advance an environment by one step with one placement operation (0: none) and the knobs in its state.

    Writes the next state and the output. All chance stands on the tape, in row `env.state.step + 1`.
    """
    row = env.state.step + 1
    possible = apply(env, operation)  # place: launch, retire, stage, add or remove a role

    read_signals(env, row - 1)  # what is known when the step begins
    attack(env, row)
    strike(env, row)
    survey(env)  # gateways, roles, critical domains and rent, where something has changed
    list_critical(env)
    list_placed(env)
    write_waits(env)  # until replicas under way are warm

    write_demand(env, row)
    ask_again(env)  # answers that the step's outages have cut off
    gather(env, env.scratch.demand_rps)  # users enter at their nearest live gateway
    write_speeds(env, row)
    clear_losses(env)
    for model in range(env.state.phase.shape[0]):
        count = list_replicas(env, model)
        served_rps, refused_rps = route(env, model, count)
        time_answers(env, model, count)
        verified_rps, beyond_rps_s = finality(env, model, count)
        add_losses(env, model, count, served_rps, verified_rps)  # N-1
        book_traffic(env, model, count, served_rps, refused_rps)
        book_proofs(env, model, verified_rps, beyond_rps_s)

    cold_starts, fetched_gb, fetch_usd = progress(env)  # fetches, loads and provisioning
    report_events(env, row, operation, possible, cold_starts, fetched_gb)
    measure(env, row)
    account(env, spending_usd_per_hour(env, fetch_usd))
    report_roles(env)
    tally(env)
    env.state.step = row
    env.output.truncated = 1 if row == env.tape.attack.shape[0] - 1 else 0
