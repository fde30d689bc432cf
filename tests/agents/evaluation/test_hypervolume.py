"""The volume that points dominate: cases on paper, a count of random points, and what it must not depend on."""

import itertools

import numpy as np
import pytest

from og_agents.evaluation.hypervolume import hypervolume, non_dominated

ONE = np.ones(3)


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([[0, 0, 0]], 1.0),
        ([[0.5, 0.25, 0.0]], 0.5 * 0.75),
        ([[0, 0.5, 0.5], [0.5, 0, 0.5]], 0.25 + 0.25 - 0.125),
        ([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], 3 * 0.25 - 3 * 0.125 + 0.125),
        ([[0.5, 0.5, 0.5], [0.6, 0.5, 0.9]], 0.125),
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], 0.125),
        ([[0.5, 0.5, 0.5], [-9.0, 0.0, 1.0], [1.5, 0.0, 0.0]], 0.125),
        ([[2.0, 2.0, 2.0]], 0.0),
        ([[-1.0, 0.0, 0.0]], 2.0),
    ],
)
def test_cases_on_paper(points, volume):
    assert hypervolume(points, ONE) == pytest.approx(volume)


def test_it_is_the_share_of_random_points_that_are_dominated():
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 1.1, (15, 3))
    drawn = rng.uniform(0, 1, (200_000, 3))
    share = (points[None] <= drawn[:, None]).all(axis=-1).any(axis=-1).mean()
    error = np.sqrt(share * (1 - share) / len(drawn))
    assert 0.1 < share < 0.99
    assert hypervolume(points, ONE) == pytest.approx(share, abs=4.5 * error)  # fails once in 100,000 seeds


def test_order_of_points_and_objectives_do_not_matter_and_batches_are_one_by_one():
    rng = np.random.default_rng(4)
    batch = rng.uniform(0, 1.2, (6, 9, 3))
    whole = hypervolume(batch, ONE)
    for points, volume in zip(batch, whole, strict=True):
        assert hypervolume(points[rng.permutation(9)], ONE) == pytest.approx(volume)
        for axes in itertools.permutations(range(3)):
            assert hypervolume(points[:, axes], ONE) == pytest.approx(volume)
        assert hypervolume(points[non_dominated(points)], ONE) == pytest.approx(volume)
    assert whole.std() > 0


def test_scales_of_the_objectives_multiply_the_volume():
    points, reference = np.array([[1.0, 20.0, 0.3], [2.0, 5.0, 0.4]]), np.array([4.0, 40.0, 1.0])
    assert hypervolume(points, reference) == pytest.approx(160 * hypervolume(points / reference, ONE))


def test_dominated_points_and_copies_are_left_out():
    points = [[1, 2, 3], [1, 2, 3], [1, 2, 2.5], [3, 1, 9], [3, 2, 9], [0, 9, 9]]
    assert non_dominated(points).tolist() == [False, False, True, True, False, True]
    assert non_dominated([[1, 1], [1, 1]]).tolist() == [True, False]
    rng = np.random.default_rng(5)
    many = rng.integers(0, 4, (60, 3)).astype(float)
    kept = many[non_dominated(many)]
    for one in many:
        beaten = any((other <= one).all() and (other < one).any() for other in many)
        assert beaten != any((other == one).all() for other in kept)
