"""A JSON file is an object, or one line says what is wrong."""

from __future__ import annotations

import pytest

from og_env.scenario.json_file import read_json


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
