"""The fault domains that the agent is not told of, for `info["truth"]`."""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import DOWN
from og_env.simulator.simulator import Simulator


def truth_of(simulator: Simulator, b: int) -> dict[str, dict[str, Any]]:
    """The shared domains of hidden kinds of environment b, by KIND:NAME.

    Of each domain, sites are the names of its members, down the share of them that is down, traffic the share of served
    traffic on them, and loss the share of demand that would be lost if the domain broke now.
    """
    compiled, state, output = simulator.world_of(b), simulator.state, simulator.output
    hidden = simulator.spec.failures.hidden
    result: dict[str, dict[str, Any]] = {}
    for f, domain in enumerate(compiled.domains[: compiled.sizes["S"]]):
        if domain.kind in hidden:
            members = list(domain.members)
            result[f"{domain.kind}:{domain.name}"] = {
                "sites": tuple(compiled.resolved.sites[s].name for s in members),
                "down": float(((state.status[b, members] & DOWN) != 0).mean()),
                "traffic": float(state.site_share[b, members].sum()),
                "loss": float(output.domain_loss[b, f]),
            }
    return result
