"""Whatever is read, nothing but one line of complaint comes of it: fuzzed files, states, policies and command lines.

A failure names its kind and its seed; `tests/cases/fuzzing/KIND.py` has `case(seed)`, which repeats it.
"""

from __future__ import annotations

import importlib
import os
import time
from typing import Any

import pytest

from tests.cases.fuzzing.harness import Case, Failure, failures, run_command

FULL = {"scenarios": 10_000, "fleets": 2_000, "recordings": 1_000, "states": 2_000, "policies": 500, "commands": 1_000}
"""cases of each kind"""
NEED = {"policies": "torch"}
"""a package that a kind needs"""
PARTS = 10
SAMPLE = {"scenarios": 40, "fleets": 4, "recordings": 20, "states": 0, "policies": 0, "commands": 0}
"""cases of each kind in every run; the others are warm only after longer than a test may take"""


def assert_none_fails(kind: str, seeds: range) -> None:
    """Run cases of a kind; those that fail are named with their seeds."""
    if kind in NEED:
        pytest.importorskip(NEED[kind])
    module: Any = importlib.import_module(f"tests.cases.fuzzing.{kind}")
    getattr(module, "warm", lambda: None)()
    found = failures(module.case, seeds)
    assert not found, f"{len(found)} of {len(seeds)} {kind}: " + "; ".join(
        f"seed {seed}: {problem}" for seed, problem in found[:20]
    )


@pytest.mark.parametrize("kind", [kind for kind, count in SAMPLE.items() if count])
def test_a_sample_of_odd_input_is_read_or_refused(kind: str) -> None:
    assert_none_fails(kind, range(SAMPLE[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FULL)
def test_a_tenth_of_the_odd_input_is_read_or_refused(kind: str) -> None:
    assert_none_fails(kind, range(FULL[kind] // PARTS))


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", FULL)
def test_odd_input_is_read_or_refused(kind: str, part: int) -> None:
    count = FULL[kind] // PARTS
    assert_none_fails(kind, range(part * count, (part + 1) * count))


def _refused(seed: int) -> None:
    raise ValueError(f"seed {seed} is refused")


def _several_lines(seed: int) -> None:
    raise ValueError("one\ntwo")


def _broken(seed: int) -> None:
    raise KeyError(seed)


def _crash(seed: int) -> None:
    if seed == 1:
        os.abort()


def _hang(seed: int) -> None:
    if seed == 1:
        time.sleep(60)


def _hungry(seed: int) -> None:
    if seed == 1:
        bytearray(3_000_000_000)


@pytest.mark.parametrize(
    ("case", "problems"),
    [
        (_refused, []),
        (_several_lines, [(0, "not one line"), (1, "not one line"), (2, "not one line")]),
        (_broken, [(0, "KeyError"), (1, "KeyError"), (2, "KeyError")]),
        (_crash, [(1, "crashed")]),
        (_hang, [(1, "took more than")]),
        (_hungry, [(1, "memory")]),
    ],
)
def test_the_harness_tells_what_goes_wrong(case: Case, problems: list[tuple[int, str]]) -> None:
    found = failures(case, range(3), limit_s=1.0 if case is _hang else 30.0)
    assert [failure.seed for failure in found] == [seed for seed, _ in problems]
    assert all(word in failure.problem for failure, (_, word) in zip(found, problems, strict=True)), found


def test_a_command_ends_with_0_or_with_2_and_a_line() -> None:
    with pytest.raises(AssertionError, match="exit code 1"):
        run_command(lambda _: 1, [])
    with pytest.raises(AssertionError, match="code 2 without a word"):
        run_command(lambda _: 2, [])
    assert run_command(lambda _: 0, []) == ""


def test_a_failure_names_its_seed() -> None:
    assert failures(_broken, [7]) == [Failure(7, failures(_broken, [7])[0].problem)]
