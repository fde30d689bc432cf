"""A scenario as arrays: sites, fault domains, round trips, prices, the router's defaults and the starting fleet."""

from __future__ import annotations

from og_env.world.compiling import CompiledWorld, compile_world, find_members, stack
from og_env.world.domain_arrays import down_loads
from og_env.world.fault_domains import Domain
from og_env.world.shock_sources import EFFECT_BITS, EFFECTS, Source, SourceArrays
from og_env.world.sizes import sizes_of

__all__ = [
    "EFFECTS",
    "EFFECT_BITS",
    "CompiledWorld",
    "Domain",
    "Source",
    "SourceArrays",
    "compile_world",
    "down_loads",
    "find_members",
    "sizes_of",
    "stack",
]
