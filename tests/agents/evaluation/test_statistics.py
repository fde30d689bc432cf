"""Statistics against values worked out by hand and closed forms."""

import numpy as np
import pytest

from og_agents.evaluation import statistics
from og_agents.evaluation.statistics import bootstrap, iqm, paired, relative_change_percent


def test_iqm_drops_a_quarter_on_either_side():
    assert iqm([100.0, 1.0, 2.0, -50.0]) == 1.5
    assert iqm([1, 2, 3, 4, 5, 6, 7, 1000]) == 4.5
    assert iqm([1.0, 2.0, 6.0]) == 3.0  # three values have no whole quarter
    assert iqm(np.array([[0.0, 1, 2, 90], [4, 4, 4, 4]])).tolist() == [1.5, 4.0]


def test_bootstrap_of_the_mean_matches_the_normal_interval():
    values = np.random.default_rng(5).normal(-90, 4, size=400)
    interval = bootstrap(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.value == pytest.approx(values.mean())
    # the limits of 2,000 resamples have a standard error of about 0.06 half-widths
    assert interval.low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.2 * half)


def test_bootstrap_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    hits = sum(low <= 0 <= high for _, low, high in (bootstrap(rng.normal(size=60), seed=k) for k in range(300)))
    assert 0.90 <= hits / 300 <= 0.985  # 4 standard errors around a coverage of 0.94


def test_bootstrap_repeats_with_its_seed_and_does_not_depend_on_chunks(monkeypatch):
    values = np.arange(50.0)
    first = bootstrap(values, iqm, seed=3)
    assert first == bootstrap(values, iqm, seed=3)
    assert first != bootstrap(values, iqm, seed=4)
    monkeypatch.setattr(statistics, "CHUNK", 1000)
    assert bootstrap(values, iqm, seed=3) == first


def test_strata_keep_their_sizes():
    values = np.repeat([0.0, 10.0], 20)
    free = bootstrap(values)
    within = bootstrap(values, strata=np.repeat(["a", "b"], 20))
    assert free.low < 5 < free.high
    assert within == (5.0, 5.0, 5.0)  # nothing varies inside a stratum


def test_one_episode_has_no_width():
    assert bootstrap([-3.0]) == (-3.0, -3.0, -3.0)


def test_paired_sees_a_small_steady_difference_under_large_common_noise():
    rng = np.random.default_rng(2)
    tape = rng.normal(-90, 20, size=100)
    ours = tape + 1 + rng.normal(0, 0.5, size=100)
    result = paired(ours, tape)
    assert result.verdict == "win"
    assert 0.8 < result.difference.low < result.difference.high < 1.2
    assert result.wins > 0.9
    assert paired(tape, ours).verdict == "loss"
    assert paired(ours, ours).verdict == "tie"
    assert paired(ours, ours).wins == 0.5


def test_paired_verdict_is_a_tie_when_the_interval_holds_zero():
    assert paired([1.0, -1, 1, -1], np.zeros(4)).verdict == "tie"


def test_relative_change_is_a_ratio_of_means():
    change = relative_change_percent([-90.0, -72, -81], [-100.0, -80, -90])
    assert change == pytest.approx((10, 10, 10))
    assert relative_change_percent([-110.0, -80], [-100.0, -80]).value == pytest.approx(-100 * 10 / 180)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([]), "one value per episode"),
        (lambda: bootstrap([1.0, np.nan]), "episode 1 has a value that is not finite"),
        (lambda: bootstrap([1.0, 2.0], strata=["a"]), "2 values need 2 strata labels, not 1"),
        (lambda: paired([1.0, 2.0], [1.0]), "same episodes: 2 against 1"),
        (lambda: relative_change_percent([1.0], [0.0]), "mean of 0"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_share_of_a_gap_is_of_triples_of_episodes():
    base, reference = np.array([-10.0, -20.0, -30.0, -12.0]), np.array([-8.0, -16.0, -24.0, -12.0])
    half = statistics.share_closed((base + reference) / 2, base, reference)
    assert half is not None and half.value == pytest.approx(0.5)
    assert (half.low, half.high) == (pytest.approx(0.5), pytest.approx(0.5))
    worse = statistics.share_closed(base - 1, base, reference)
    assert worse is not None and worse.value == pytest.approx(-1 / 3)
    assert statistics.share_closed(base, reference, base) is None
    with pytest.raises(ValueError, match="the same episodes: 4, 3 and 4"):
        statistics.share_closed(base, base[:3], reference)
