"""The generator against published outputs, and its distributions against their closed forms."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from og_env.kernel.compile import entry
from og_env.kernel.random_streams import (
    EDGE,
    HEIGHT,
    LAYERS,
    TAIL,
    bits,
    exponential,
    later_noise,
    lognormal,
    normal,
    standard_noise,
    stream,
    tail,
    uniform,
)

COUNT = 400_000
ONE_IN_A_MILLION = math.sqrt(-math.log(1e-6 / 2) / 2)
"""Kolmogorov-Smirnov bound on sqrt(n) x distance that right code passes but for one seed in a million"""


@entry
def fill_bits(state, out):
    for i in range(len(out)):
        out[i] = bits(state)


@entry
def fill(state, which, out):
    for i in range(len(out)):
        if which == 0:
            out[i] = uniform(state)
        elif which == 1:
            out[i] = exponential(state)
        elif which == 2:
            out[i] = normal(state)
        elif which == 3:
            out[i] = lognormal(state, 2.0, 0.5)
        else:
            out[i] = tail(state)


@entry
def stream_of(seed, number):
    return stream(seed, number)


@entry
def fill_noise(seeds, out):
    for i in range(out.shape[0]):
        for row in range(out.shape[1]):
            for place in range(out.shape[2]):
                out[i, row, place] = standard_noise(seeds[i], row, place)


def noise(seeds: np.ndarray, rows: int, places: int) -> np.ndarray:
    """Noise [seeds, rows, places]."""
    out = np.zeros((len(seeds), rows, places))
    fill_noise(seeds, out)
    return out


def words(seed: int, count: int) -> np.ndarray:
    out = np.zeros(count, np.uint64)
    fill_bits(np.array([seed], np.uint64), out)
    return out


def values(which: int, seed: int = 1, count: int = COUNT) -> np.ndarray:
    out = np.zeros(count)
    fill(np.array([seed], np.uint64), which, out)
    return out


def distance(sample: np.ndarray, law: np.ndarray) -> float:
    """sqrt(n) x largest distance between the empirical law of a sorted sample and `law` at its points."""
    rank = np.arange(len(sample) + 1) / len(sample)
    return math.sqrt(len(sample)) * max((law - rank[:-1]).max(), (rank[1:] - law).max())


@pytest.mark.parametrize(
    ("seed", "published"),
    [
        (
            1234567,
            [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821],
        ),
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B]),
    ],
)
def test_published_outputs_of_splitmix64(seed, published):
    assert words(seed, 5).tolist() == published


def test_the_same_state_gives_the_same_values_and_moves_on():
    state = np.array([5], np.uint64)
    first, second = np.zeros(9), np.zeros(9)
    fill(state, 2, first)
    fill(state, 2, second)
    assert np.array_equal(np.concatenate([first, second]), values(2, 5, 18))
    assert not np.array_equal(first, second)


def test_uniform():
    sample = np.sort(values(0))
    assert sample[0] >= 0 and sample[-1] < 1
    assert distance(sample, sample) < ONE_IN_A_MILLION


def test_exponential():
    sample = np.sort(values(1))
    assert sample[0] >= 0
    assert distance(sample, 1 - np.exp(-sample)) < ONE_IN_A_MILLION


def test_normal():
    sample = np.sort(values(2))
    law = np.array([NormalDist().cdf(x) for x in sample.tolist()])
    assert distance(sample, law) < ONE_IN_A_MILLION
    # moments 1 to 4, whose standard errors are sqrt((E x^2k - (E x^k)^2) / n)
    for power, (mean, square) in enumerate([(0, 1), (1, 3), (0, 15), (3, 105)], start=1):
        assert abs((sample**power).mean() - mean) < 5 * math.sqrt((square - mean**2) / COUNT)


def test_noise_of_rows_and_places_is_standard_and_unrelated():
    found = noise(words(3, 200), 30, 20)
    flat = found.ravel()
    assert abs(flat.mean()) < 5 / math.sqrt(flat.size) and np.abs(flat).max() < 3.5
    assert abs(flat.var() - 1) < 5 * math.sqrt(1.7 / flat.size)  # the fourth moment is 3 - 1.2 / 4
    for one, other in (
        (found[1:], found[:-1]),
        (found[:, 1:], found[:, :-1]),
        (found[..., 1:], found[..., :-1]),
        (found[:, 1:, 1:], found[:, :-1, :-1]),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / math.sqrt(one.size)


def test_later_noise_begins_further_on():
    seeds, rows = np.array([0, 7, (1 << 64) - 1], np.uint64), np.array([1, 5, 9])
    whole, later = noise(seeds, 20, 4), noise(later_noise(seeds, rows), 11, 4)
    for i, row in enumerate(rows):
        assert np.array_equal(later[i], whole[i, row : row + 11])


def test_normal_has_no_seams_between_its_layers():
    count = 4_000_000
    edges = EDGE[:0:-1]
    middles = np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))
    counts = np.bincount(np.searchsorted(middles, np.abs(values(2, 3, count)), side="right") - 1)
    inner = 2 * np.diff([NormalDist().cdf(x) for x in middles])
    expected = count * np.append(inner, 2 * NormalDist().cdf(-TAIL))
    square = ((counts - expected) ** 2 / expected).sum()
    # chi square with k cells has mean k and variance 2 k
    assert len(expected) == 2 * LAYERS - 1 and expected.min() > 100
    assert abs(square - len(expected)) < 5 * math.sqrt(2 * len(expected))


def test_tail_beyond_the_ziggurat():
    beyond = np.sort(values(4))
    law = np.array([1 - NormalDist().cdf(-x) / NormalDist().cdf(-TAIL) for x in beyond.tolist()])
    assert beyond[0] > TAIL
    assert distance(beyond, law) < ONE_IN_A_MILLION


def test_layers_have_equal_areas_and_reach_the_top():
    areas = EDGE[1:-1] * np.diff(HEIGHT[1:])
    base = TAIL * HEIGHT[1] + math.sqrt(math.pi / 2) * math.erfc(TAIL / math.sqrt(2))
    assert len(EDGE) == LAYERS + 1 and EDGE[1] == TAIL and HEIGHT[-1] == 1
    assert areas == pytest.approx(np.full(LAYERS - 1, base), rel=1e-6)
    assert EDGE[0] * HEIGHT[1] == pytest.approx(base)


def test_lognormal():
    logs = np.log(values(3))
    assert abs(logs.mean() - math.log(2)) < 5 * 0.5 / math.sqrt(COUNT)
    assert abs(logs.var() / 0.25 - 1) < 5 * math.sqrt(2 / COUNT)


def test_streams_of_a_seed_and_of_neighbouring_seeds_are_different_and_unrelated():
    states = [int(stream_of(np.uint64(seed), number)) for seed in (0, 1, 2, 2**64 - 1) for number in range(8)]
    assert len(set(states)) == len(states)
    samples = np.array([values(0, state, 20_000) for state in states])
    related = np.corrcoef(samples)[np.triu_indices(len(states), 1)]
    # 496 pairs: right code passes but for one seed in 3,500
    assert np.abs(related).max() < 5 / math.sqrt(20_000)


def test_streams_scatter_consecutive_seeds():
    states = np.array([stream_of(np.uint64(seed), 1) for seed in range(4_000)], np.uint64)
    ones = np.unpackbits(states.view(np.uint8)).reshape(-1, 64).sum(axis=0) / 4_000
    assert np.abs(ones - 0.5).max() < 5 * 0.5 / math.sqrt(4_000)
