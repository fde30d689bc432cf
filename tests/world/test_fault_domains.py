"""Fault domains of a compiled world: added by hand, and left without an index."""

from __future__ import annotations

import numpy as np

from og_env.scenario import loading
from og_env.world import Domain, compile_world, find_members
from tests.cases.compiled_worlds import compiled


def test_domains_added_by_hand() -> None:
    domains = (
        {"kind": "upstream", "name": "vendor", "sites": ("c", "a")},
        {"kind": "site", "name": "annex", "sites": ("b",)},
    )
    world = compiled(domains=domains, failures__process="correlated")
    vendor = Domain("upstream", "vendor", (0, 2))
    assert world.domains[2] == vendor
    assert world.arrays.site_domain[0].tolist() == [[3, 0, 2], [4, 0, 1], [5, 1, 2]]
    assert [source.members for source in world.sources if source.kind == "upstream"] == [(0, 2)]
    annex = [source for source in world.sources if source.name == "annex"]
    assert [(source.members, source.shared) for source in annex] == [((1,), -1)]
    assert find_members(world, "upstream", "vendor") == (0, 2)
    assert find_members(world, "site", "annex") == (1,)
    assert find_members(world, "provider", "Q") == (2,)
    assert find_members(world, "provider", "R") == ()


def test_domains_without_an_index_become_risks_of_their_members() -> None:
    resolved = loading.resolve(loading.load("global-24"))
    exact = compile_world(resolved)
    few = compile_world(resolved, sizes=exact.sizes | {"S": 6, "F": 30})
    kept = few.domains[:6]
    dropped = [domain for domain in exact.domains[: exact.sizes["S"]] if domain not in kept]
    assert min(len(domain.members) for domain in kept) >= max(len(domain.members) for domain in dropped)
    assert [domain for domain in exact.domains if domain in kept] == list(kept)
    names = {(domain.kind, domain.name) for domain in dropped}
    folded = [source for source in few.sources if (source.kind, source.name) in names]
    assert folded and all(len(source.members) == 1 and source.shared == -1 for source in folded)
    assert np.allclose(few.arrays.site_hazard, exact.arrays.site_hazard)
    assert few.arrays.correlation.sum() < exact.arrays.correlation.sum()
