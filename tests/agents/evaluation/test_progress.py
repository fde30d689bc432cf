"""Progress on standard error: a line that is written again in a terminal, and lines every few seconds elsewhere."""

from __future__ import annotations

import io
import os

import pytest

from og_agents.evaluation import progress
from og_agents.evaluation.progress import LINE_EVERY_S, Progress, clock_text, width_of


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_terminal_there_is_a_line_every_few_seconds(clock: Clock) -> None:
    file = io.StringIO()
    with Progress(8, "policies", file=file, clock=clock) as shown:
        for step in range(21):
            clock.now += 1
            shown.at(step / 5, "greedy")
    lines = file.getvalue().splitlines()
    assert len(lines) == 21 // LINE_EVERY_S
    assert lines[0] == "   10%, 0 of 8 policies: greedy, about 45 s left"
    assert lines[-1] == "   48%, 3 of 8 policies: greedy, about 22 s left"


def test_a_terminal_has_one_line_that_is_removed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "width_of", lambda file: 30)
    file = io.StringIO()
    with Progress(4, "trials", file=file, clock=clock) as shown:
        for done in range(1, 4):
            clock.now += 60
            shown.at(done, "a name that is longer than the terminal is wide")
        shown.tell("one that stays")
    text = file.getvalue()
    pieces = [piece for piece in text.split("\r") if piece.strip()]
    assert all(len(piece) < 30 for piece in pieces) and pieces[0].startswith("   25%, 1 of 4 trials")
    assert pieces[-1] == "  one that stays\n" and text.endswith("  one that stays\n")


def test_a_total_that_is_not_known_has_the_time_so_far(clock: Clock) -> None:
    shown = Progress(None, "trials", file=io.StringIO(), clock=clock)
    clock.now += 3725
    assert shown.line(12, "greedy") == "  12 trials: greedy, 1 h 2 min so far"


def test_what_was_done_before_does_not_shorten_the_time_left(clock: Clock) -> None:
    shown = Progress(100, file=io.StringIO(), clock=clock)
    shown.began_with(50)
    clock.now += 10
    assert shown.line(60) == "   60%, about 40 s left"
    assert shown.line(60, left_s=7) == "   60%, about 7 s left"
    assert shown.line(50) == "   50%"


def test_quiet_writes_nothing_and_verbose_keeps_lines(clock: Clock) -> None:
    written = {}
    for name, options in {"quiet": {"quiet": True}, "verbose": {"verbose": True}, "plain": {}}.items():
        file = io.StringIO()
        shown = Progress(2, file=file, clock=clock, **options)
        clock.now += 60
        shown.at(1)
        shown.tell("greedy: -1.00")
        written[name] = file.getvalue()
    assert written["quiet"] == "" and "greedy" not in written["plain"] and "50%" in written["plain"]
    assert written["verbose"].endswith("  greedy: -1.00\n")


def test_a_terminal_without_width_is_no_terminal() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal:
        assert terminal.isatty() and os.get_terminal_size(follower).columns == 0
        assert width_of(terminal) == 0
    os.close(leader)
    assert width_of(io.StringIO()) == 0


def test_a_closed_standard_error_ends_no_work(clock: Clock) -> None:
    file = io.StringIO()
    shown = Progress(2, file=file, clock=clock)
    file.close()
    clock.now += 60
    shown.at(1)


def test_durations_are_words() -> None:
    assert [clock_text(each) for each in (0.4, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]
