"""The glossary has a sentence for every name and none for another."""

from __future__ import annotations

import pytest

from og_env.dynamics.operations import count, describe
from og_env.kernel.arrays import KNOBS, METRICS, TERMS
from og_env.render import glossary


def test_every_name_has_a_sentence() -> None:
    for names, meanings in (
        (TERMS, glossary.TERM_MEANINGS),
        (METRICS, glossary.METRIC_MEANINGS),
        (KNOBS, glossary.KNOB_MEANINGS),
    ):
        assert tuple(meanings) == names and all(len(text) > 10 for text in meanings.values())


def test_operations_are_those_of_the_action_space() -> None:
    words = [
        describe(number, ["s"], ["m"]).removesuffix(" at s").removesuffix(" m") for number in range(1, count(1, 1))
    ]
    assert words == list(glossary.OPERATION_MEANINGS)


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="the glossary has a where the names are a, b"):
        glossary._glossary(("a", "b"), "a: one")
