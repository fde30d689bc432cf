"""Every scenario compiles to arrays that fit together, and padding adds nothing."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.kernel.arrays import WARM
from og_env.kernel.memory import bind
from og_env.scenario import loading
from og_env.world import compile_world, sizes_of


@pytest.mark.parametrize("scenario", loading.names())
def test_every_scenario_compiles_within_its_means(scenario: str) -> None:
    spec = loading.load(scenario)
    world = compile_world(loading.resolve(spec), sizes=sizes_of(spec))
    arrays = world.arrays
    bind(world.sizes | {"W": 1}, arrays)
    for name, values in arrays._asdict().items():
        assert np.all(np.isfinite(values)), name
    warm = arrays.start_phase[0] == WARM
    assert np.all((arrays.replica_gpus[0] * warm).sum(axis=0) <= arrays.gpu_count[0])
    assert np.all(arrays.replica_gpus[0][warm] > 0)
    assert np.all(warm.any(axis=1))
    for s in range(world.sizes["N"]):
        domains = [f for f in arrays.site_domain[0, s].tolist() if f >= 0]
        assert domains[0] == world.sizes["S"] + s
        assert all(s in world.domains[f].members for f in domains)
    members = sum(len(domain.members) for domain in world.domains)
    assert np.sum(arrays.site_domain >= 0) == members == arrays.domain_size.sum()
    assert np.allclose(arrays.rtt_ms, arrays.rtt_ms.transpose(0, 2, 1))
    assert np.diff(np.take_along_axis(arrays.rtt_ms, arrays.near_site, axis=2), axis=2).min() >= 0
    assert np.diff(np.take_along_axis(arrays.rtt_user_ms, arrays.near_user, axis=2), axis=2).min() >= 0
    assert np.array_equal(arrays.near_site[0, :, 0], np.arange(world.sizes["N"]))


def test_padding_adds_nothing() -> None:
    resolved = loading.resolve(loading.override(loading.load("toy-3"), {"failures.process": "correlated"}))
    exact = compile_world(resolved)
    wide = compile_world(resolved, sizes=exact.sizes | {"N": 5, "S": 4, "F": 9, "D": 6})
    bind(wide.sizes | {"W": 1}, wide.arrays)
    assert wide.arrays.site_valid[0].tolist() == [1, 1, 1, 0, 0]
    assert (
        wide.arrays.site_domain[0, :, :4].tolist() == [[4, 0, -1, -1], [5, 0, 1, -1], [6, 1, -1, -1]] + [[-1] * 4] * 2
    )
    assert wide.arrays.domain_size[0].tolist() == [2, 2, 0, 0, 1, 1, 1, 0, 0]
    assert wide.arrays.near_site[0, :3].tolist() == [[0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [2, 1, 0, 3, 4]]
    assert wide.arrays.near_user[0].tolist() == [[0, 1, 2, 3, 4]]
    assert np.all(wide.arrays.start_role[0, :, 3:] == -1)
    assert not wide.arrays.start_phase[0, :, 3:].any() and not wide.arrays.capacity_rps[0, :, 3:].any()
    assert wide.sources == exact.sources
    places = [0, 1, 4, 5, 6]
    for name in ("domain_rate", "domain_mean_h", "domain_effect", "domain_visible"):
        values = getattr(wide.arrays, name)
        assert np.array_equal(values[0, places], getattr(exact.arrays, name)[0])
        assert not np.delete(values[0], places).any()
    assert np.array_equal(wide.arrays.correlation[0, :3, :3], exact.arrays.correlation[0])
    assert [domain.name for domain in wide.domains] == ["P", "G", "", "", "a", "b", "c", "", ""]
