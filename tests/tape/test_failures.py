"""Drawn outages against the closed forms of the common-shock model; rows and spans on paper."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from og_env.kernel.arrays import DOWN, FROZEN, SLOW, UNTRUSTED, WARM_UP_H, Tape
from og_env.tape.draw import Drawing, tape_world
from og_env.world.shock_sources import flatten_sources
from tests.cases.compiled_worlds import compiled
from tests.cases.drawn_tapes import SIGMAS, drawing, episodes, off_by, shocks, source, with_regimes

STEP_H = 0.1
CALM, FRAGILE = 32, 159
"""codes of error rates 0 and 1 without noise"""


def mean_until(source, hours: float) -> float:
    """Expected duration, counted up to this many hours."""

    def lognormal(median: float, sigma: float) -> float:
        if sigma == 0:
            return min(median, hours)
        z = (math.log(hours / median)) / sigma
        cdf = NormalDist().cdf
        return median * math.exp(sigma**2 / 2) * cdf(z - sigma) + hours * (1 - cdf(z))

    heavy = source.heavy_weight
    return (1 - heavy) * lognormal(source.median_h, source.sigma) + heavy * lognormal(
        source.heavy_median_h, source.heavy_sigma
    )


def expected_active(one, row: int) -> float:
    """Mean number of shocks of a source that touch a row: those that began up to its end and last beyond its start."""
    return one.rate_per_h * (mean_until(one, WARM_UP_H + row * STEP_H) + STEP_H)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"median_h": 0.02},
        {"median_h": 0.5, "sigma": 1.0, "heavy_median_h": 30.0, "heavy_sigma": 0.7, "heavy_weight": 0.3},
    ],
)
def test_active_shocks_are_poisson_with_the_closed_form_mean_and_under_way_at_the_start(changes):
    one = source(**changes)
    tape = episodes(20_000, 21, drawing(one))
    for row in (0, 10, 20):
        active = tape.outages[:, row].astype(np.float64)
        mean = expected_active(one, row)
        assert abs(active.mean() - mean) < SIGMAS * math.sqrt(mean / 20_000)
        assert abs(active.var() / mean - 1) < SIGMAS * math.sqrt((2 + 1 / mean) / 20_000)


def joint(tape: Tape, row: int, *sites: int) -> float:
    return float(((tape.status[:, row][:, list(sites)] & DOWN) > 0).all(axis=1).mean())


def test_joint_failures_follow_the_closed_form_of_the_common_shock_model():
    """P(no site of a set is hit) = exp(-sum over sources of load x (1 - product of misses)), Marshall and Olkin 1967."""
    common = source((0, 1, 2), hit=(0.9, 0.5, 0.2), rate_per_h=0.15)
    other = source((1, 2), hit=(0.6, 0.6), rate_per_h=0.1, shared=1)
    own = [source((site,), rate_per_h=0.05, shared=-1) for site in range(3)]
    sources = (common, other, *own)
    tape = episodes(30_000, 6, drawing(*sources))

    def none_hit(sites: tuple[int, ...]) -> float:
        load = 0.0
        for one in sources:
            misses = math.prod(1 - hit for site, hit in zip(one.members, one.hit, strict=True) if site in sites)
            load += expected_active(one, 5) * (1 - misses)
        return math.exp(-load)

    def all_hit(sites: tuple[int, ...]) -> float:
        subsets = [[s for bit, s in enumerate(sites) if mask >> bit & 1] for mask in range(1 << len(sites))]
        return sum((-1) ** len(subset) * none_hit(tuple(subset)) for subset in subsets)

    for sites in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        expected = all_hit(sites)
        assert abs(joint(tape, 5, *sites) - expected) < SIGMAS * math.sqrt(expected * (1 - expected) / 30_000)
    assert all_hit((0, 1)) > 1.3 * all_hit((0,)) * all_hit((1,))  # so independence would be seen


def test_members_of_one_shock_fail_and_recover_together():
    tape = episodes(200, 300, drawing(source((0, 2, 3), sigma=1.0, effects=(0.25, 0.25, 0.25, 0.25))))
    assert np.array_equal(tape.status[:, :, 0], tape.status[:, :, 2])
    assert np.array_equal(tape.status[:, :, 0], tape.status[:, :, 3])
    assert not tape.status[:, :, 1].any()
    assert np.array_equal(tape.outages > 0, tape.status[:, :, 0] > 0)


def test_shocks_that_hit_no_site_are_not_counted_but_seen():
    tape = episodes(50, 300, drawing(source(hit=(0.0,))))
    assert not tape.outages.any() and not tape.status.any()
    assert (tape.signal == FRAGILE).any()


def test_effects_are_drawn_with_their_probabilities():
    effects = (0.4, 0.3, 0.2, 0.1)
    tape = episodes(20_000, 1, drawing(source(rate_per_h=0.05, effects=effects)))
    alone = tape.status[tape.outages[:, 0] == 1, 0, 0]
    assert len(alone) > 500
    for bit, share in zip((DOWN, FROZEN, UNTRUSTED, SLOW), effects, strict=True):
        assert abs((alone == bit).mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / len(alone))


def test_a_registry_freezes_its_clients_and_takes_them_down_after_half_an_hour():
    one = source(kind="facilitator", rate_per_h=0.01, effects=(0.0, 1.0, 0.0, 0.0), median_h=1.25)
    tape = episodes(400, 100, drawing(one))
    status, seen = tape.status[:, :, 0], 0
    for b in range(400):
        rows = np.flatnonzero(status[b])
        if tape.outages[b].max() != 1 or rows[0] == 0 or rows[-1] == 99 or rows[-1] - rows[0] >= 14:
            continue
        seen += 1
        frozen, down = np.flatnonzero(status[b] & FROZEN), np.flatnonzero(status[b] & DOWN)
        assert len(rows) in (13, 14)  # 1.25 h in steps of 0.1 h
        assert frozen[0] == rows[0] and len(frozen) in (5, 6)
        assert down[-1] == rows[-1] and 0 <= frozen[-1] + 1 - down[0] <= 1
    assert seen > 20


def test_regimes_have_their_stationary_share_at_every_row():
    rare = with_regimes(source(rate_per_h=1e-7), share=0.2)
    world = drawing(rare, process=shocks(fragile_share=0.2, fragile_dwell_h=2.0, step_h=0.01))
    fragile = episodes(20_000, 401, world).signal[:, :, 0] == FRAGILE
    share = 0.2 + 0.8 * (1 - math.exp(-0.01 / 8))  # a row shows a regime that begins in it, too; calm lasts 8 h
    for row in (0, 200, 400):
        assert abs(fragile[:, row].mean() - share) < SIGMAS * math.sqrt(share * (1 - share) / 20_000)
    # two-state chain: P(fragile now and after t) = share (share + (1 - share) exp(-t (1/2 + 1/8)))
    for hours in (1.0, 4.0):
        both = (fragile[:, 0] & fragile[:, round(hours * 100)]).mean()
        expected = share * (share + (1 - share) * math.exp(-hours * (1 / 2 + 1 / 8)))
        assert abs(both - expected) < SIGMAS * math.sqrt(expected * (1 - expected) / 20_000)


def counts(world: Drawing, count: int = 20_000, rows: int = 240) -> np.ndarray:
    """Shocks that begin in each episode, of a source whose shocks last no time and whose signal is not shown."""
    return episodes(count, rows, world).outages.sum(axis=1).astype(np.float64)


def test_regimes_keep_the_average_rate_and_make_shocks_cluster():
    one = with_regimes(source(rate_per_h=0.1, median_h=1e-6))
    number = counts(drawing(one))
    assert off_by(number, 0.1 * 24) < SIGMAS
    # Markov-modulated Poisson process: variance of the number in t hours
    tau = 1 / (1 / 4 + 1 / 76)
    spread = 0.05 * 0.95 * (one.fragile_rate_per_h - one.calm_rate_per_h) ** 2
    variance = 0.1 * 24 + 2 * spread * tau**2 * (24 / tau - 1 + math.exp(-24 / tau))
    assert off_by((number - 2.4) ** 2, variance) < SIGMAS
    assert variance > 5 * 2.4


@pytest.mark.parametrize(("aftershock", "factor"), [(0.4, 30.0), (1.0, 9.0)])
@pytest.mark.parametrize("duration_h", [1e-6, 3.0])
def test_aftershocks_keep_the_average_rate_too(aftershock, factor, duration_h):
    """Every rate is divided by 1 + aftershock x excess x dwell, the closed form of what aftershocks add."""
    one = with_regimes(source(rate_per_h=0.05, median_h=duration_h), factor)
    tape = episodes(20_000, 41, drawing(one, process=shocks(aftershock=aftershock)))
    growth = aftershock * (one.fragile_rate_per_h - one.calm_rate_per_h) * 4
    assert growth > 0.9  # without the correction the rate would be far off
    for row in (0, 40):
        assert off_by(tape.outages[:, row].astype(np.float64), expected_active(one, row)) < SIGMAS


@pytest.mark.parametrize("aftershock", [0.0, 0.4, 1.0])
def test_a_repair_leaves_its_domain_fragile_for_another_dwell_with_the_probability_given(aftershock):
    """Without a chain: share 0. Rates are low, so that a second shock near the first is rare."""
    one = with_regimes(source(rate_per_h=0.01), factor=2.0, share=0.0)
    process = shocks(aftershock=aftershock, fragile_share=0.0, fragile_dwell_h=0.5)
    tape = episodes(10_000, 100, drawing(one, process=process))
    single = [b for b in range(10_000) if 0 < tape.outages[b].sum() <= 11 and not tape.outages[b, -20:].any()]
    last = np.array([np.flatnonzero(tape.outages[b])[-1] for b in single])
    assert len(single) > 500
    for later in (1, 5):
        fragile = tape.signal[single, last + later, 0] == FRAGILE
        # the repair comes at any moment of the last row, so the wait until row `later` begins is uniform in a row
        wait = (math.exp(-(later - 1) * STEP_H / 0.5) - math.exp(-later * STEP_H / 0.5)) * 0.5 / STEP_H
        expected = aftershock * wait
        assert abs(fragile.mean() - expected) <= SIGMAS * math.sqrt(expected * (1 - expected) / len(single))


def test_the_signal_is_one_while_fragile_or_under_a_shock_and_zero_otherwise():
    plain = episodes(40, 300, drawing(source(rate_per_h=0.03)))
    assert np.array_equal(plain.signal[:, :, 0] == FRAGILE, plain.outages > 0)
    assert set(np.unique(plain.signal)) == {CALM, FRAGILE}
    regimes = with_regimes(source(rate_per_h=0.03))
    tape = episodes(40, 300, drawing(regimes, process=shocks(aftershock=0.4)))
    assert set(np.unique(tape.signal)) == {CALM, FRAGILE}
    assert (tape.signal[tape.outages > 0] == FRAGILE).all()
    assert ((tape.signal[:, :, 0] == FRAGILE) & (tape.outages == 0)).any()


def test_signal_noise_has_its_deviation_and_is_cut_off_at_the_codes():
    world = drawing(source(rate_per_h=0.0), process=shocks(signal_noise=0.15))
    values = episodes(100, 1_000, world).signal / 127.5 - 0.25
    low = -0.25
    # a normal cut off at z = low / sd: mean sd (phi(z) + z Phi(z)), and the rounding adds a uniform of one code
    z, law = low / 0.15, NormalDist()
    mean = 0.15 * (law.pdf(z) + z * law.cdf(z))
    square = 0.15**2 * ((1 - law.cdf(z)) + z * law.pdf(z) + z**2 * law.cdf(z)) + 1 / 127.5**2 / 12
    assert off_by(values.ravel(), mean) < SIGMAS
    assert off_by(values.ravel() ** 2, square) < SIGMAS
    assert values.min() == low
    loud = episodes(2, 1_000, world._replace(shocks=shocks(signal_noise=5.0).process)).signal
    assert loud.min() == 0 and loud.max() == 255


def test_a_hidden_domain_acts_but_shows_nothing():
    world = drawing(source(), process=shocks(signal_noise=0.15), visible=np.zeros(1, np.bool_))
    tape = episodes(20, 200, world)
    assert (tape.signal == CALM).all() and tape.status.any()


def test_the_twins_signal_is_the_mean_over_members_each_counted_once():
    parts = [with_regimes(source((site,), rate_per_h=0.2)) for site in range(4)]
    tape = episodes(60, 200, drawing(*parts, process=shocks(aftershock=0.4)))
    level = tape.signal[:, :, 0] / 127.5 - 0.25
    assert np.abs(level * 4 - (level * 4).round()).max() < 0.05
    assert level.max() < 1.01
    under_shock = (tape.status > 0).sum(axis=2) / 4
    assert (level > under_shock - 0.01).all() and (level > under_shock + 0.2).any()
    often = [source((site,), rate_per_h=0.5) for site in range(4)]  # shocks of one source overlap
    plain = episodes(20, 200, drawing(*often))
    assert plain.outages.max() > 4
    assert plain.signal[:, :, 0] / 127.5 - 0.25 == pytest.approx((plain.status > 0).sum(axis=2) / 4, abs=0.005)


def test_absurd_durations_and_rates_are_survived():
    long = source(rate_per_h=0.5, sigma=300.0)
    short = source((1,), median_h=1e-300, shared=-1)
    crowd = source((2,), rate_per_h=200.0, median_h=1e9, shared=-1)
    tape = episodes(5, 30, drawing(long, short, crowd))
    assert tape.outages.max() == 255 and (tape.status[:, :, 2] == DOWN).all()


def sites_down(world, count: int) -> np.ndarray:
    """Whether each site is down [count, T, N]."""
    of = tape_world(world)
    tape = episodes(count, 289, of.drawing, of.scripts, models=4)
    return (tape.status & DOWN) > 0


def test_the_fragile_rate_of_a_world_is_about_the_drawn_one():
    """Shocks of a provider, alone, that begin while its signal is up and no shock is under way: within a fifth."""
    world = compiled("global-24", failures__signal_noise=0.0)
    one = next(source for source in world.sources if source.kind == "provider" and source.shared >= 0)
    alone = flatten_sources([one._replace(shared=0, hit=(1.0,) * len(one.members))])
    of = tape_world(world).drawing._replace(sources=alone, signal_share=np.ones(1), visible=np.ones(1, np.bool_))
    tape = episodes(2_000, 289, of)
    watched = (tape.signal[:, :-1, 0] == FRAGILE) & (tape.outages[:, :-1] == 0)
    begun = np.maximum(np.diff(tape.outages.astype(int), axis=1), 0)[watched]
    drawn = begun.mean() / of.shocks.step_h
    assert begun.sum() > 600
    assert world.arrays.fragile_rate[0, one.shared] == pytest.approx(drawn, rel=0.2)


@pytest.mark.parametrize(("scenario", "count"), [("global-24", 1_500), ("opengradient", 3_200)])
def test_expected_down_time_is_that_of_the_drawn_episodes(scenario, count):
    """Shocks older than the warm-up are never drawn, and a registry's clients are down once their entries lapse."""
    plain = compiled(scenario, failures__fragile_factor=1.0, failures__aftershock=0.0)
    shares = sites_down(plain, count).mean(axis=1)
    errors = shares.std(axis=0, ddof=1) / math.sqrt(len(shares))
    expected = plain.arrays.site_hazard[0]
    assert (np.abs(shares.mean(axis=0) - expected) < SIGMAS * errors).all()
    assert (errors < 0.1 * expected).all()
    clustered = compiled(scenario)
    assert np.allclose(clustered.arrays.site_hazard, expected)
    in_clusters = sites_down(clustered, count).mean(axis=(0, 1))
    assert in_clusters.mean() < 1.1 * expected.mean() and (in_clusters < 1.1 * expected + 2 * errors).all()


def test_the_independent_twin_keeps_every_sites_marginals_and_loses_the_coincidences():
    """24 sites at 5 standard errors of the paired difference; pairs of one provider against the product."""
    count = 1_500
    world = compiled("global-24")
    together, apart = (
        sites_down(world, count),
        sites_down(compiled("global-24", failures__process="independent"), count),
    )
    shares, twins = together.mean(axis=1), apart.mean(axis=1)
    spread = np.sqrt((shares.var(axis=0) + twins.var(axis=0)) / count)
    assert (np.abs(shares.mean(axis=0) - twins.mean(axis=0)) < SIGMAS * spread).all()
    largest = max((d for d in world.domains if d.kind == "provider"), key=lambda d: len(d.members))
    row = 144
    pair = [(a, b) for a in largest.members for b in largest.members if a < b]
    excess = [
        np.mean([down[:, row, a] & down[:, row, b] for a, b in pair])
        / np.mean([down[:, row, a].mean() * down[:, row, b].mean() for a, b in pair])
        for down in (together, apart)
    ]
    assert excess[0] > 2.5
    n_both = np.mean([apart[:, row, a] & apart[:, row, b] for a, b in pair], axis=0)
    product = np.mean([apart[:, row, a].mean() * apart[:, row, b].mean() for a, b in pair])
    assert off_by(n_both.astype(np.float64), float(product)) < SIGMAS
