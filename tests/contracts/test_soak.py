"""Environments gain neither memory nor open descriptors, however long they are stepped."""

from __future__ import annotations

import pytest

from tests.cases import soak

pytestmark = pytest.mark.skipif(not soak.PROCESS.is_dir(), reason="memory is read from /proc")
MOST_MEBIBYTES = 8.0
"""the allocator's own movement: a leak of a tenth of a byte in each of 10 million steps is 1 MiB"""


def assert_no_growth(kind: str, steps: int) -> None:
    growth = soak.soaked(kind, round(steps * soak.KINDS[kind][3]))
    assert growth.mebibytes < MOST_MEBIBYTES and growth.descriptors <= 0, growth


@pytest.mark.slow
@pytest.mark.parametrize("kind", soak.KINDS)
def test_a_million_steps_cost_no_memory(kind: str) -> None:
    assert_no_growth(kind, 1_000_000)


@pytest.mark.long
@pytest.mark.parametrize("kind", soak.KINDS)
def test_ten_million_steps_cost_no_memory(kind: str) -> None:
    assert_no_growth(kind, 10_000_000)


def test_a_leak_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks beyond glibc's largest mmap threshold, since smaller ones may lie in what earlier tests have freed."""
    kept = []
    real = soak.NetworkVectorEnv

    def leaking(*arguments, **named):
        kept.append(bytearray(b"x" * (2**25 + 1)))
        return real(*arguments, **named)

    monkeypatch.setattr(soak, "NetworkVectorEnv", leaking)
    with pytest.raises(AssertionError):
        assert_no_growth("offers", 64 * 288 * 3)
