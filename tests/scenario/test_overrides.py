"""Changes of a scenario on the command line: what they mean, and the line that a wrong one gets."""

from __future__ import annotations

import pytest

from og_env.scenario import loading
from og_env.scenario.overrides import changes_of


def test_changes_from_the_command_line_are_toml_or_words():
    words = [
        "failures.process=independent",
        "demand.requests_per_s = 90",
        'name="x y"',
        "failures.kind_shares={grid=1.0}",
    ]
    changes = changes_of(words)
    assert changes == {
        "failures.process": "independent",
        "demand.requests_per_s": 90,
        "name": "x y",
        "failures.kind_shares": {"grid": 1.0},
    }
    spec = loading.override(loading.load("one-cloud"), changes)
    assert (spec.failures.process, spec.demand.requests_per_s) == ("independent", 90.0)
    for word in ("failures.process", "=1", "a="):
        with pytest.raises(ValueError, match="KEY=VALUE"):
            changes_of([word])
