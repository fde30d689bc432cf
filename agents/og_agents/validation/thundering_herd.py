"""A thundering herd: fetches that begin together at one store, against a fetch that has the store to itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.scenario import loading
from og_env.simulator import FETCHING, LOADING, Settings, Simulator

FETCHES = 20
WEIGHTS_GB = 50.0
STEP_S = 60


class Herd(NamedTuple):
    """Seconds that the fetches take in the environment."""

    store_gbps: float
    fetches: int
    alone_s: float
    together_s: float

    @property
    def error(self) -> float:
        """Deviation of together_s, as a share of what it should be: fetches times alone_s."""
        return abs(self.together_s / (self.fetches * self.alone_s) - 1)


def check_herd(store_gbps: float, fetches: int = FETCHES) -> Herd:
    """Time to fetch one model to one site and to `fetches` sites at once, from one store that feeds one at full speed."""
    tables = loading.load("toy-3").model_dump()
    first, _, home = tables["sites"]
    sites = [home | {"link_gbps": 1000.0}]
    sites += [first | {"name": f"n{i}", "region": f"r{i}", "link_gbps": 1000.0} for i in range(fetches)]
    tables["sites"] = sites
    tables["models"] = [tables["models"][0] | {"weights_gb": WEIGHTS_GB, "engine_start_s": 2.0 * fetches * STEP_S}]
    tables["network"] |= {"store_gbps": store_gbps, "store_streams": 1}
    tables["start"] |= {
        "replica_sites": {},
        "store_sites": [home["name"]],
        "verifier_sites": [],
        "gateway_sites": [home["name"]],
    }
    alone_s = WEIGHTS_GB * 8 / store_gbps
    tables["episode"] |= {"step_s": STEP_S, "steps": math.ceil(1.2 * fetches * alone_s / STEP_S) + 2}
    simulator = Simulator(tables, 2, Settings("placement", "operations", True, 2, "test", 0.0))
    for b in range(2):
        simulator.load_episode(b, b)
    simulator.start(np.arange(2))
    world, state = simulator.world, simulator.state
    for b, sites_fetching in ((0, 1), (1, fetches)):
        targets = 1 + np.arange(sites_fetching)
        state.phase[b, 0, targets] = FETCHING
        state.fetch_left_mb[b, 0, targets] = world.weights_mb[0, 0]
    simulator.memo.known[:] = 0
    done_s = np.zeros(2)
    for step in range(1, tables["episode"]["steps"]):
        simulator.advance(np.zeros(2, np.int64))
        for b in range(2):
            under_way = np.flatnonzero(state.phase[b, 0] == LOADING)
            if done_s[b] == 0 and len(under_way) == (1, fetches)[b]:
                loaded_ms = world.load_ms[0, 0, under_way] - state.load_left_ms[b, 0, under_way]
                done_s[b] = step * STEP_S - loaded_ms.min() / 1000
    simulator.close()
    return Herd(store_gbps, fetches, float(done_s[0]), float(done_s[1]))
