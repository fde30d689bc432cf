"""Sizes of a world: bounds that hold for every drawn fleet, and what does not fit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from og_env.kernel.memory import bind
from og_env.scenario import loading
from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.specs import SampledSites
from og_env.world import compile_world, sizes_of, stack
from og_env.world.sizes import most_shared
from tests.cases.compiled_worlds import compiled


def test_random_fleets_share_their_sizes() -> None:
    spec = loading.load("random-24")
    sizes = sizes_of(spec)
    worlds = [compile_world(loading.resolve(spec, seed), sizes=sizes) for seed in range(40)]
    assert all(world.sizes == sizes for world in worlds)
    assert len({world.resolved.sites for world in worlds}) == 40
    stacked = stack(worlds)
    bind(sizes | {"W": 40}, stacked)
    assert np.array_equal(stacked.rtt_ms[7], worlds[7].arrays.rtt_ms[0])
    for world in worlds:
        shared = sum(len(domain.members) >= 2 for domain in world.all_domains)
        assert sum(domain.kind != "" for domain in world.domains[: sizes["S"]]) == shared


def random_selections() -> list[SampledSites]:
    filters: tuple[dict[str, Any], ...] = (
        {},
        {"gpus": ("H100",)},
        {"host_classes": ("home",)},
        {"continents": ("EU",)},
    )
    return [
        SampledSites(count=count, providers=providers, dominant_share=dominant, **chosen)
        for count, providers, dominant, chosen in itertools.product((3, 8, 60), (1, 3, 9), (0.0, 0.4), filters)
    ]


def test_no_drawn_fleet_shares_more_than_its_bound() -> None:
    base = loading.load("random-24")
    for sampled in random_selections():
        bound = most_shared(sampled)
        spec = base.model_copy(update={"sites": sampled})
        sizes = sizes_of(spec)
        for seed in range(4):
            world = compile_world(loading.resolve(spec, seed), sizes=sizes)
            for kind in KINDS:
                shared = sum(domain.kind == kind and len(domain.members) >= 2 for domain in world.all_domains)
                assert shared <= bound[kind], (sampled, seed, kind)


def test_sizes_that_do_not_fit_are_refused() -> None:
    resolved = loading.resolve(loading.load("toy-3"))
    sizes = sizes_of(loading.load("toy-3"))
    for letter in "NDMUYT":
        with pytest.raises(ValueError, match=f"needs {letter} = {sizes[letter]}"):
            compile_world(resolved, sizes=sizes | {letter: sizes[letter] - 1})
    with pytest.raises(ValueError, match="needs T = 61"):
        compile_world(resolved, sizes=sizes | {"T": 62})


def test_only_equal_sizes_stack() -> None:
    with pytest.raises(ValueError, match="world 1 has sizes"):
        stack([compiled("toy-3"), compiled("global-16")])
    with pytest.raises(ValueError, match="no worlds"):
        stack([])
