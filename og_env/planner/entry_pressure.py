"""How full the replicas are that users of a gateway would be sent to: ranks sites for gateways before any trial."""

from __future__ import annotations

from og_env.kernel.arrays import Environment
from og_env.kernel.compile import kernel
from og_env.planner.expected_flow import Flow


@kernel
def clear_pressure(env: Environment) -> None:
    """Set turned_away [N] to 0."""
    for site in range(env.scratch.turned_away.shape[0]):
        env.scratch.turned_away[site] = 0


@kernel
def add_pressure(env: Environment, model: int, replicas: int, flow: Flow) -> None:
    """Add a model's part to turned_away [N]: the share of all demand that nobody serves, if all entered at the site.

    `replicas` of the model stand on the list, and `flow` is theirs. Who enters at a site tries replicas by the router's
    default weights there. Of those who are refused once, as large a share as in the whole fleet is served by no other.
    """
    refused_rps, sites = 0.0, env.scratch.turned_away.shape[0]
    for position in range(replicas):
        refused_rps += env.scratch.offered_rps[position] * (1 - env.scratch.take_share[position])
    unserved_rps = env.scratch.asked[model] - flow.served_rps
    if refused_rps <= 0 or unserved_rps <= 0:
        return
    for site in range(sites):
        env.scratch.entry_pull[site] = 0
        env.scratch.entry_refused[site] = 0
    for position in range(replicas):
        weight, at = env.scratch.weight[position], env.scratch.replicas[position]
        refused = weight * (1 - env.scratch.take_share[position])
        for site in range(sites):
            env.scratch.entry_pull[site] += weight * env.world.attraction[at, site]
            env.scratch.entry_refused[site] += refused * env.world.attraction[at, site]
    share = min(unserved_rps / refused_rps, 1.0) * env.scratch.asked[model]
    for site in range(sites):
        if env.scratch.entry_pull[site] > 0:
            env.scratch.turned_away[site] += share * env.scratch.entry_refused[site] / env.scratch.entry_pull[site]
