"""The tables of supply: only where capacity is scarce, and what they show."""

from __future__ import annotations

import numpy as np

from og_env.env import NetworkEnv
from og_env.fields import SCARCITY_TABLES, column
from og_env.kernel.arrays import LEAVING, TAKEN
from og_env.simulator import FLAT_TABLES
from og_env.simulator.compiled_step import LOOK
from og_env.vector_env import NetworkVectorEnv


def test_only_a_world_with_scarcity_has_them() -> None:
    plain, scarce = (NetworkEnv("placement", name).observation_space for name in ("toy-3", "scarcity"))
    assert set(scarce.spaces) - set(plain.spaces) == set(SCARCITY_TABLES)  # type: ignore[attr-defined]
    operations = NetworkEnv("placement", "scarcity", interface="operations").observation_space
    assert "supply" in operations.spaces and "offer_supply" not in operations.spaces  # type: ignore[attr-defined]
    assert NetworkVectorEnv(1, scenario="scarcity", flatten=True).simulator.slices.shapes.keys() == set(
        FLAT_TABLES["proposals"]
    )


def test_they_show_what_is_known_of_each_site_and_offer() -> None:
    env = NetworkVectorEnv(1, scenario="scarcity")
    env.reset(seed=0)
    simulator = env.simulator
    simulator.state.refused_ms[0, 0] = 600_000
    simulator.state.supply[0] = 0
    simulator.state.supply[0, 1], simulator.state.supply[0, 2] = LEAVING, TAKEN
    simulator.advance(np.full(1, LOOK, np.int64))
    tables = simulator.tables(simulator.observation)

    def shown(name: str) -> list[float]:
        return tables["supply"][0, :4, column("supply", name)].tolist()

    assert shown("spot") == [0, 1, 1, 0]
    assert shown("open") == [0, 0, 0, 1]
    assert shown("leaving") == [0, 1, 0, 0] and shown("taken") == [0, 0, 1, 0]
    assert shown("chance") == np.array([0.7, 0.4, 0.4, 0.7], np.float32).tolist()
    offers, sites = simulator.output.offer[0], simulator.sizes["N"]
    for position, operation in enumerate(offers):
        row = tables["offer_supply"][0, position]
        if operation == 0:
            assert not row.any()
            continue
        site = int(operation - 1) % sites
        assert np.array_equal(row[:-1], tables["supply"][0, site])
        assert row[-1] == (1 if site < 3 else 0), "all of the first region is shut"
