"""Fault domains of sites as arrays, worked out on paper for toy-3."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import DOWN, FROZEN
from og_env.scenario import loading
from og_env.world import Domain, sizes_of
from tests.cases.compiled_worlds import compiled


def test_toy_sizes_and_domains() -> None:
    world = compiled()
    assert world.sizes == {"N": 3, "M": 1, "U": 1, "F": 5, "S": 2, "D": 3, "Y": 1440, "T": 61}
    assert world.sizes == sizes_of(loading.load("toy-3"))
    assert world.domains == (
        Domain("provider", "P", (0, 1)),
        Domain("grid", "G", (1, 2)),
        Domain("site", "a", (0,)),
        Domain("site", "b", (1,)),
        Domain("site", "c", (2,)),
    )
    arrays = world.arrays
    assert arrays.site_domain[0].tolist() == [[2, 0, -1], [3, 0, 1], [4, 1, -1]]
    assert arrays.domain_size[0].tolist() == [2, 2, 1, 1, 1]
    assert arrays.domain_visible[0].tolist() == [1] * 5
    # a provider's likeliest effect in the catalogue is a frozen control plane, a grid's is darkness
    assert arrays.domain_effect[0].tolist() == [FROZEN, DOWN, DOWN, DOWN, DOWN]
    # bare metal: provider 0.6, grid 0.5, the machine itself 1
    assert np.allclose(arrays.hit[0], [[1, 0.6, 0], [1, 0.6, 0.5], [1, 0.5, 0]])
