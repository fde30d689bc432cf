"""A scenario as arrays: sites, fault domains, round trips, prices, the router's defaults and the starting fleet.

`compile_world` makes a `CompiledWorld` of a resolved scenario: its `arrays` (`og_env.simulator.World`, one world deep),
its `domains`, and its `sources`, the shock processes behind the failures. `stack` puts worlds of equal `sizes` side by
side, `sizes_of` gives the sizes that hold for every fleet of a scenario, and `most_shared` the number of shared domains
of each kind that no random fleet exceeds. `down_loads` gives what the closed form of joint failures in `og_env.trust`
takes. `find_members` lists the sites in a domain, and `attraction` gives the router's weights of sites by round trips.
"""

from __future__ import annotations

from og_env.world.compiling import CompiledWorld, compile_world, find_members, stack
from og_env.world.distances import attraction
from og_env.world.domain_arrays import down_loads
from og_env.world.fault_domains import Domain
from og_env.world.shock_sources import EFFECT_BITS, EFFECTS, Source, SourceArrays
from og_env.world.sizes import most_shared, sizes_of
