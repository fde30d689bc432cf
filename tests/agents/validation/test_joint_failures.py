"""Simulated joint down-times match the closed form of trust within the stated error, and a wrong form would be seen."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.validation.joint_failures import measure
from og_env.scenario import loading

ROW_S = 1800


@pytest.mark.parametrize(("scenario", "error"), [("global-24", 0.03), ("opengradient", 0.06)])
def test_a_million_hours_of_joint_failures_match_the_closed_form(scenario, error):
    """In opengradient sites fail seldom, so the error of a pair is larger."""
    found = measure(scenario, step_s=ROW_S)
    assert found.hours == 1e6
    assert found.max_z < found.bound
    assert np.abs(found.z.diagonal()).max() < found.bound
    figures = found.figures()
    assert figures["joint_failure_relative_error"] < error
    assert figures["joint_failure_max_z"] == found.max_z
    assert found.ratio == pytest.approx(1, abs=0.02)
    # the closed form of another model is refused: independent sites, and a quarter more time down
    alone = found.expected.diagonal()
    assert found._replace(expected=np.outer(alone, alone)).max_z > found.bound
    assert found._replace(expected=found.expected * 1.25).max_z > found.bound


def test_clusters_leave_the_model_and_the_distance_is_reported():
    """Fragile regimes and aftershocks make shocks overlap: less time down together than Poisson shocks."""
    found = measure("global-24", step_s=ROW_S, clustered=True)
    assert found.max_z > found.bound
    assert 0.75 < found.ratio < 0.85


def test_the_independent_twin_fails_together_as_often_as_by_chance():
    spec = loading.override(loading.load("global-24"), {"failures.process": "independent"})
    found = measure(spec, hours=200_000, step_s=ROW_S)
    alone = found.expected.diagonal()
    off = ~np.eye(len(alone), dtype=bool)
    assert found.max_z < found.bound
    assert np.allclose(found.expected[off], np.outer(alone, alone)[off], rtol=0.01)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"toy-3: failures.process is none"):
        measure("toy-3")
    with pytest.raises(ValueError, match="give no error"):
        measure("global-24", hours=10)
