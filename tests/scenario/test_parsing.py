"""Words and files of the command line: what they mean, and the line that a wrong one gets."""

from __future__ import annotations

import pytest

from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.parsing import changes_of, read_json


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


def test_the_nearest_valid_word_is_a_slip_of_two_neighbours_or_the_closest():
    incidents = ["aws-2020-11-25", "aws-2025-10-20", "gcp-2025-06-12"]
    assert nearest_valid("aws-2025-10-21", incidents) == " (nearest valid: aws-2025-10-20)"
    assert nearest_valid("gird", ["girl", "grid"]) == " (nearest valid: grid)"


def test_a_json_file_is_an_object_or_one_line(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    assert read_json(path) == {"a": 1}
    for text, message in (("{", "not JSON"), ("[1]", "must be a table"), ("[" * 100_000, "not JSON")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message) as error:
            read_json(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no such file"):
        read_json(tmp_path / "none.json")
