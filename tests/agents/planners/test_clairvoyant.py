"""The clairvoyant planner where no trained policy comes along; tests/agents/pretrained has the case where one does."""

from typing import Any

from og_agents.load_policies import make_planner
from og_agents.pretrained import policy_folders
from tests.cases.planner_worlds import TOY


def test_without_a_policy_that_comes_along_it_goes_on_with_the_tuned_planner(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_folders, "FOLDER", tmp_path)
    for task in ("placement", "joint"):
        planner: Any = make_planner("clairvoyant", TOY, task)
        assert planner.follow is None
