"""Hidden fault domains and the true speeds of sites, which the agent is not told, for `info["truth"]`."""

from __future__ import annotations

from typing import Any

from og_env.kernel.arrays import BLIND, CALM_SPEED, DOWN, SPEEDS_PER_OCTAVE
from og_env.simulator.simulator import Simulator


def speeds_of(simulator: Simulator, b: int) -> tuple[float, ...]:
    """True speeds of the sites of environment b in its present row, 1 nominal."""
    codes = simulator.tape.condition[b, simulator.state.step[b]] & (BLIND - 1)
    octaves = (codes.astype(float) - CALM_SPEED) / SPEEDS_PER_OCTAVE
    return tuple((2.0**octaves).tolist())


def truth_of(simulator: Simulator, b: int) -> dict[str, Any]:
    """The shared domains of hidden kinds of environment b, by KIND:NAME, and `speed`, the true speeds of its sites [N].

    Of each domain, sites are the names of its members, down the share of them that is down, traffic the share of served
    traffic on them, and loss the share of demand that would be lost if the domain broke now.
    """
    compiled, state, output = simulator.world_of(b), simulator.state, simulator.output
    hidden = simulator.spec.failures.hidden
    result: dict[str, Any] = {"speed": speeds_of(simulator, b)}
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
