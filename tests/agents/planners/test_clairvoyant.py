"""The clairvoyant planner and the policy that it goes on with."""

from typing import Any

import pytest

from og_agents.load_policies import make_planner
from og_env.scenario import loading
from tests.cases.planner_worlds import TOY


def test_the_clairvoyant_planner_goes_on_with_what_comes_along():
    pytest.importorskip("torch")
    followed: Any = make_planner("clairvoyant", loading.load("one-cloud"))
    assert followed.follow.meta["scenario"]["name"] == "one-cloud"
    other = loading.override(loading.load("one-cloud"), {"sites.count": 19})
    for spec, task in ((TOY, "placement"), (other, "placement"), (loading.load("one-cloud"), "joint")):
        planner: Any = make_planner("clairvoyant", spec, task)
        assert planner.follow is None
