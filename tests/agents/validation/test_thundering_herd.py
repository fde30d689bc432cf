"""The thundering herd in the environment itself."""

from __future__ import annotations

import pytest

from og_agents.validation.thundering_herd import check_herd


@pytest.mark.parametrize("store_gbps", [1.0, 3.0, 10.0])
def test_twenty_fetches_from_one_store_take_twenty_times_as_long_as_one(store_gbps: float) -> None:
    herd = check_herd(store_gbps)
    assert herd.alone_s == pytest.approx(50 * 8 / store_gbps, rel=0.001)
    assert herd.error <= 0.01, herd
