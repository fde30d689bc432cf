"""Small fleets for the tests of trust."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from og_env.scenario.specs import FailureKind
from og_env.trust import build_fleet

KINDS = ("provider", "country", "grid")


def failure(kind="provider", rate=20.0, hit=0.6, by_host=None, **changes):
    return FailureKind(
        kind=kind,  # pyright: ignore[reportArgumentType]: checked by the spec
        rate_per_year=rate,
        hit_probability=hit,
        hit_by_host_class=by_host or {},
        duration_h=changes.pop("duration_h", 5.0),
        duration_sigma=changes.pop("duration_sigma", 1.0),
        heavy_duration_h=changes.pop("heavy_duration_h", 20.0),
        heavy_duration_sigma=changes.pop("heavy_duration_sigma", 0.7),
        effects=changes.pop("effects", {"DOWN": 1.0}),
    )


TABLE = {
    "provider": failure("provider", rate=30, hit=0.6),
    "country": failure("country", rate=8, hit=0.8),
    "grid": failure("grid", rate=12, hit=0.3, by_host={"home": 1.0, "bare_metal": 0.5}),
    "site": failure("site", rate=15, hit=1.0),
}


def table_of(label, name):
    return TABLE.get(label)


@st.composite
def fleets(draw, max_nodes=7, weighted=True):
    n = draw(st.integers(2, max_nodes))
    names = st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=n, max_size=n)
    columns = {kind: draw(names) for kind in KINDS}
    host_class = draw(st.lists(st.sampled_from(["hyperscale", "home", "bare_metal"]), min_size=n, max_size=n))
    weight = st.one_of(st.integers(1, 4).map(float), st.floats(0.1, 5, allow_subnormal=False))
    weights = draw(st.lists(weight, min_size=n, max_size=n)) if weighted else None
    nodes = [f"n{i}" for i in range(n)]
    return build_fleet(nodes, columns, table_of, weight=weights, host_class=host_class)


def large_fleet(n=60, seed=3, scale=0.05, weight=None):
    rng = np.random.default_rng(seed)
    columns = {kind: [f"d{i}" for i in rng.integers(0, 5, n)] for kind in KINDS}
    fleet = build_fleet([str(i) for i in range(n)], columns, table_of, weight=weight)
    return fleet._replace(load=fleet.load * scale)
