"""The list of offers: the best additions and the best removals in order, and what the autoscaler takes."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import GAIN, environment
from og_env.kernel.compile import njit
from og_env.kernel.views import opened
from og_env.planner.offer_list import additions_of, autoscale, clear_offers, insert_offer
from og_env.simulator import Settings, Simulator


@njit
def listed(table, operations, removes, services, ready_s):
    """Insert operations that gain in service alone; returns what the autoscaler takes."""
    env = environment(opened(table), 0, 0)
    clear_offers(env)
    for i in range(len(operations)):
        insert_offer(env, operations[i], removes[i], services[i], 0.0, 0.0, 0.0, ready_s[i])
    return autoscale(env)


def test_offers_are_in_order_and_removals_have_places_of_their_own() -> None:
    simulator = Simulator("toy-3", 1, Settings("placement", "proposals", False, 5, "train", 1.0))
    assert additions_of.py_func(5) == 3
    horizon_s = 36 * 60.0
    operations = np.arange(1, 9)
    removes = np.array([False, False, False, False, False, True, True, True])
    services = np.array([0.1, 0.4, 0.4, 0.9, 0.2, -0.3, -0.1, -0.2])
    ready_s = np.array([0, 0, 0, 0.75 * horizon_s, 2 * horizon_s, 0, 0, 0])
    output = simulator.output
    assert listed(simulator.table, operations, removes, services, ready_s) == 2, "the first among equals"
    assert output.offer[0].tolist() == [2, 3, 4, 7, 8], "what comes late is worth less, and what comes too late nothing"
    np.testing.assert_allclose(output.offer_gain[0, :, GAIN.total], [0.4, 0.4, 0.225, -0.1, -0.2], rtol=1e-6)
    np.testing.assert_array_equal(output.offer_gain[0, :, GAIN.service], output.offer_gain[0, :, GAIN.total])
    np.testing.assert_allclose(output.offer_ready_s[0], [0, 0, 0.75 * horizon_s, 0, 0])
    assert listed(simulator.table, operations[5:], removes[5:], services[5:], ready_s[5:]) == 0, "nothing gains"
