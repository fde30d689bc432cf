"""Elementary functions and sums of compiled code against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.kernel import simd
from og_env.kernel.arrays import GROUPS, Scratch, environment
from og_env.kernel.compile import njit
from og_env.kernel.memory import LANES, allocate, bind
from og_env.kernel.views import opened, row_of

SIZES = {"N": 16} | dict.fromkeys("WBTYMUFSDPKQOVCH", 1)


@njit
def exponentials(x, result):
    for i in range(len(x)):
        result[i] = simd.exp(x[i])


@njit
def logarithms(x, result):
    for i in range(len(x)):
        result[i] = simd.log(x[i])


def test_exp_is_exact_to_thirteen_digits_and_cut_off_at_700() -> None:
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 2_001)])
    result = np.empty_like(x)
    exponentials(x, result)
    assert result == pytest.approx(np.exp(x), rel=1e-13)
    far = np.array([-1e9, 1e9])
    exponentials(far, result)
    assert result[:2] == pytest.approx(np.exp([-700.0, 700.0]), rel=1e-13)


def test_log_is_exact_to_thirteen_digits() -> None:
    x = np.concatenate([np.geomspace(1e-300, 1e300, 20_001), np.linspace(0.5, 2, 2_001)])
    result = np.empty_like(x)
    logarithms(x, result)
    assert result == pytest.approx(np.log(x), rel=1e-13, abs=1e-15)


@njit
def work(table):
    scratch = environment(opened(table), 0, 0).scratch
    two = simd.splat(2.0)
    a, b = simd.load(scratch.weight, 0), simd.load(scratch.factor, 0)
    simd.store(scratch.kept_share, 0, simd.exp(simd.log(a)) * two - b / a + max(a, b) * min(a, two))
    simd.store(scratch.burden, 0, simd.where(a - b, a, two))
    return simd.total(a), simd.largest(b)


def test_lanes_do_what_numpy_does() -> None:
    arrays = [allocate(layout, SIZES) for layout in GROUPS]
    scratch: Scratch = arrays[GROUPS.index(Scratch)]
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 3, (2, LANES))
    scratch.weight[0, :LANES], scratch.factor[0, :LANES] = a, b
    summed, most = work(bind(SIZES, *arrays))
    assert scratch.kept_share[0, :LANES] == pytest.approx(
        a * 2 - b / a + np.maximum(a, b) * np.minimum(a, 2), rel=1e-12
    )
    assert (scratch.burden[0, :LANES] == np.where(a > b, a, 2)).all() and 0 < (a > b).sum() < LANES
    assert most == b.max()
    assert summed == pytest.approx(a.sum(), rel=1e-15)
    assert (scratch.kept_share[0, LANES:] == 0).all()


@njit
def count_up(rows, b):
    row = row_of(rows, b)
    for i in range(rows.shape[1]):
        row[i] = i + row[0]


def test_a_row_of_the_callers_is_written_and_no_other() -> None:
    rows = np.full((3, 5), 7, np.float32)
    count_up(rows, 1)
    assert rows[1].tolist() == [7, 8, 9, 10, 11] and (rows[[0, 2]] == 7).all()


def test_only_float64_fields_are_read_in_lanes() -> None:
    @njit
    def wrong(table):
        return simd.total(simd.load(environment(opened(table), 0, 0).scratch.replicas, 0))

    with pytest.raises(Exception, match="float64 fields"):
        wrong(bind(SIZES, *(allocate(layout, SIZES) for layout in GROUPS)))


def test_a_field_takes_as_many_indices_as_it_has_dimensions() -> None:
    @njit
    def wrong(table):
        return environment(opened(table), 0, 0).state.phase[0]

    with pytest.raises(Exception, match="takes 2 integers"):
        wrong(bind(SIZES, *(allocate(layout, SIZES) for layout in GROUPS)))
