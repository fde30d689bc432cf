"""Scores against vectors worked out by hand, and rliable's profile and probability of improvement."""

from __future__ import annotations

import json

import numpy as np
import pytest

from og_agents.evaluation import scores
from og_agents.evaluation.scores import Gains
from tests.cases.made_up_episodes import made_up


def gains(gained: list[list[float]], room: list[float]) -> Gains:
    return Gains(np.array(gained, np.float64), np.array(room, np.float64))


ONE = gains([[1, 3], [0, 2], [6, 10]], [4, 12])  # scores 2/8, 1/8, 8/8
TWO = gains([[-2, 0], [1, 0], [2, 2]], [1, 3])  # scores -1/2, 1/4, 1


def test_a_score_is_the_ratio_of_two_means_over_the_same_episodes():
    found = scores.scores_of(ONE)
    assert found is not None and found.tolist() == [0.25, 0.125, 1.0]
    base, reference = made_up("greedy", -90), made_up("clairvoyant", -70)
    ours, part = made_up("ppo", -85), reference._replace(seeds=reference.seeds[:7], returns=reference.returns[:7])
    cut = scores.gains_of([ours], base, part)
    assert cut.gained.shape == (1, 7)
    expected = (ours.returns[:7] - base.returns[:7]).sum() / (reference.returns[:7] - base.returns[:7]).sum()
    assert scores.scores_of(cut) == pytest.approx([expected])
    with pytest.raises(ValueError, match="ppo did not play the episodes of clairvoyant"):
        scores.gains_of([ours._replace(seeds=ours.seeds + 1)], base, part)


def test_scenarios_count_the_same_and_seeds_by_their_median():
    found = scores.score([ONE, TWO])
    assert found is not None and found.value == pytest.approx((0.25 + 0.25) / 2)
    assert found.low <= found.value <= found.high
    assert scores.score([ONE, gains([[1, 1]], [-1, 0])]) is None and scores.score([]) is None


def test_the_interval_is_over_seeds_and_over_episodes():
    same = gains([[1, 1, 1]] * 3, [2, 2, 2])
    found = scores.score([same])
    assert found == (0.5, 0.5, 0.5)
    by_seed = scores.score([gains([[0] * 9, [1] * 9, [2] * 9], [2] * 9)])
    assert by_seed is not None and (by_seed.low, by_seed.high) == (0.0, 1.0)
    by_episode = scores.score([gains([[0, 4]], [2, 2])])
    assert by_episode is not None and (by_episode.low, by_episode.value, by_episode.high) == (0.0, 1.0, 2.0)
    paired = scores.score([gains([[1, 2, 3, 50]], [2, 4, 6, 100])])
    assert paired is not None and paired.low == pytest.approx(0.5) and paired.high == pytest.approx(0.5)


def test_episodes_without_room_count_as_all_of_them():
    assert scores.score([gains([[0, 0, 4]], [0, 0, 8])]) == (0.5, 0.5, 0.5)


def test_the_middle_of_seeds_of_any_difference():
    found = scores.over_seeds([[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]])
    assert found.value == 2.0 and found.low == 1.0 and found.high == 9.0
    assert scores.over_seeds([[1.0, 3.0]]).value == 2.0


def test_a_profile_is_the_share_of_runs_above_each_score():
    shares = scores.profile_of([[0.25, 0.125, 1.0], [-0.5, 0.25, 1.0]], [-1, 0, 0.2, 0.25, 1])
    assert shares == pytest.approx([1, 5 / 6, 4 / 6, 2 / 6, 0])
    assert scores.profile_of([[1.0], [0.0, 0.0, 0.0]], [0.5]) == pytest.approx([0.5]), "every scenario counts the same"
    found = scores.profile([ONE, TWO], (0.2, 2.0), resamples=200)
    assert found is not None and found[0].value == pytest.approx(4 / 6)
    assert found[0].low < found[0].value < found[0].high
    assert found[1].value == 0


def test_probability_of_improvement_is_over_pairs_of_runs():
    # by hand: 1 > 0, 1 = 1 (half), 2 > 0, 2 > 1 give 3.5 of 4; the second scenario 0 of 2
    assert scores.improvement_of([[1, 2], [0]], [[0, 1], [1, 3]]) == pytest.approx((3.5 / 4 + 0) / 2)
    with pytest.raises(ValueError, match="1 against 2"):
        scores.improvement_of([[1]], [[1], [2]])
    found = scores.improvement([ONE, TWO])
    assert found is not None and found.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.low < found.value <= found.high <= 1
    level = scores.improvement([ONE], [ONE])
    assert level is not None and level.value == 0.5


def test_episodes_are_resampled_alike_for_both_recipes():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 50, 40)
    better, worse = (Gains(hard[None] + shift, np.full(40, 10.0)) for shift in (1.0, 0.0))
    assert scores.improvement([better], [worse]) == (1.0, 1.0, 1.0)


def test_a_summary_has_an_entry_for_every_policy_and_group_of_seeds():
    names = ("a-ppo-0", "a-ppo-1", "random")
    runs = [made_up("greedy", -90), *(made_up(name, -85) for name in names), made_up("clairvoyant", -70)]
    found = scores.summary_of(runs, runs[0], runs[-1], [names[:2]])
    assert set(found["policies"]) == set(names) and found["reference"] == "clairvoyant"
    assert found["policies"]["random"]["value"] == pytest.approx(0.25, abs=0.1)
    (group,) = found["seeds"]
    halves = [found["policies"][name]["value"] for name in names[:2]]
    assert group["policies"] == list(names[:2]) and group["value"] == pytest.approx(np.mean(halves))
    assert scores.text(found).startswith("score on 20 episodes, where the best baseline has 0 and clairvoyant 1: ")
    json.dumps(found, allow_nan=False)
    below = scores.summary_of(runs, runs[0], made_up("clairvoyant", -99), [names[:2]])
    assert below["policies"] == dict.fromkeys(names) and "is not above the best baseline" in scores.text(below)
