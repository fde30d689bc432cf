"""Columns of the table of sites, worked out from the world by hand."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.fields import column


def test_sites_show_their_gpus_and_the_price_of_an_hour_in_tenths_of_the_budget() -> None:
    env = NetworkEnv("placement", "global-24")
    observation, _ = env.reset(seed=0)
    world, sites = env.simulator.world, observation["sites"]
    price = np.clip(10 * world.usd_per_gpu_hour[0] / world.budget_usd_per_hour[0], 0, 1)
    assert price.max() > price.min() > 0
    assert sites[:, column("sites", "price")] == pytest.approx(price, abs=1e-6)
    assert sites[:, column("sites", "gpus")] == pytest.approx(np.clip(world.gpu_count[0] / 8, 0, 1), abs=1e-6)
    assert (sites[:, column("sites", "valid")] == 1).all()
