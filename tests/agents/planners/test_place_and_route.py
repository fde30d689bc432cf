"""Joint control by two policies does what each of them does in its own task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from og_agents import planners
from og_agents.evaluation import playing
from og_agents.learning import against_baselines, checkpoint, ppo
from og_agents.learning.training_progress import Clock
from og_agents.load_policies import baseline_names, load_policies
from og_agents.planners.place_and_route import LEVELS, PlaceAndRoute
from og_agents.policy import attach
from og_env.scenario import loading
from tests.cases.short_training import small_settings

WORLD = loading.override(loading.load("far-and-full"), {"episode.steps": 24})


def joint(words: str) -> np.ndarray:
    policies, _ = load_policies([words], WORLD, "joint")
    return playing.run(policies[words], WORLD, "joint", 4, split="validation").returns


def test_a_router_that_is_left_alone_places_as_in_placement():
    alone = playing.run(planners.make("greedy_tuned", WORLD), WORLD, "placement", 4, split="validation").returns
    policies, _ = load_policies(["greedy_tuned+tuned_knobs"], WORLD, "joint")
    pair = policies["greedy_tuned+tuned_knobs"]
    assert isinstance(pair, PlaceAndRoute)
    router: Any = pair.router
    router.constants = {}  # all knobs in the middle
    found = playing.run(pair, WORLD, "joint", 4, split="validation").returns
    assert np.array_equal(found, alone)


def test_the_router_steers_as_in_routing():
    policies, _ = load_policies(["static+convex"], WORLD, "joint")
    pair, router = policies["static+convex"], planners.make("convex", WORLD, "routing")
    stages = [playing.stage(policy, WORLD, task, 3) for policy, task in ((pair, "joint"), (router, "routing"))]
    for policy, env in zip((pair, router), stages, strict=True):
        attach(policy, env)
        env.reset(seed=3)
    masks = stages[0].action_masks()
    actions, _ = pair.predict(stages[0].reset(seed=3)[0], action_masks=masks)
    levels, _ = router.predict(stages[1].reset(seed=3)[0])
    assert np.ptp(levels) > 0.1 and (actions[:, 0] == 0).all()
    assert np.allclose(actions[:, 1:] * 2 / (LEVELS - 1) - 1, levels, atol=1 / LEVELS)


def test_the_strongest_pair_is_among_the_planners_of_joint():
    policies, learned = load_policies(["planners"], WORLD, "joint")
    assert "greedy_tuned+convex" in policies and not learned
    assert "greedy_tuned+convex" in baseline_names(WORLD, "joint")
    assert "greedy_tuned+convex" in against_baselines.baselines(WORLD, "joint")
    for task in ("placement", "routing"):
        assert not any(
            "+" in name for name in (*load_policies(["planners"], WORLD, "placement")[0], *baseline_names(WORLD, task))
        )


def a_router(folder: Path, **changes: Any) -> str:
    """A saved policy of Routing as training begins it."""
    settings = small_settings(**changes)
    meta = ppo.make_meta(settings, "routing", WORLD, seed=0)
    model = ppo.build(ppo.training_env(WORLD, meta, settings), meta, settings, Clock(1, None), 0)
    return str(checkpoint.save(model, folder, meta))


def test_a_learned_router_routes_beside_a_placer(tmp_path):
    word = f"greedy_tuned+{a_router(tmp_path / 'sites', interface='sites', router='convex')}"
    policies, learned = load_policies([word], WORLD, "joint")
    assert learned == [word]
    earned = playing.run(policies[word], WORLD, "joint", 4, split="validation").returns
    assert np.allclose(earned, joint("greedy_tuned+convex"), rtol=0.02)  # which it begins as
    assert not np.allclose(earned, joint("greedy_tuned"), rtol=0.001)
    plain = a_router(tmp_path / "knobs", interface="knobs")
    with pytest.raises(ValueError, match="train it with --interface sites"):
        load_policies([f"greedy_tuned+{plain}"], WORLD, "joint")


def test_both_together_are_better_than_the_placer_alone():
    assert joint("greedy_tuned+convex").mean() > joint("greedy_tuned").mean()


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("greedy_tuned+conves", "'conves' is no router (nearest valid: convex)"),
        ("all+convex", "'all' stands for several policies; name one"),
        ("gredy+convex", "'gredy' is neither"),
    ],
)
def test_what_is_wrong_is_said(word, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        load_policies([word], WORLD, "joint")
