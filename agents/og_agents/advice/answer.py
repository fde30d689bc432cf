"""An answer to a planner's question: sentences, the figures behind them, what was assumed, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.evaluation import statistics
from og_agents.evaluation.results_table import aligned

Json = dict[str, Any]
HOURS_PER_DAY, HOURS_PER_YEAR = 24, 8760
FEW = 10.0
"""below this many, a mean number of requests is shown with a digit after the point"""


class Table(NamedTuple):
    """Figures behind the sentences, as text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Answer(NamedTuple):
    """An answer in sentences, and all of its figures."""

    question: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    assumed: tuple[str, ...]
    """what was assumed, each as one clause"""
    sure: str
    """how sure the answer is: episodes and intervals"""
    figures: Json
    """every figure, unrounded, for JSON"""

    def text(self) -> str:
        """The answer as it is printed."""
        tables = [f"{aligned(table.header, table.rows)}\n" for table in self.tables if table.rows]
        assumed = [f"Assumed: {'; '.join(self.assumed)}."] if self.assumed else []
        return "\n".join([*self.sentences, "", *tables, *assumed, f"How sure: {self.sure}"])

    def json(self) -> Json:
        """The answer as plain tables."""
        return {
            "question": self.question,
            "answer": list(self.sentences),
            "figures": self.figures,
            "assumed": list(self.assumed),
            "sure": self.sure,
        }


class Difference(NamedTuple):
    """A mean over episodes and its 95 % interval; None where it has no value in any episode."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0

    def json(self) -> Json:
        """As plain numbers."""
        return {"mean": self.mean, "ci_low": self.low, "ci_high": self.high}


def difference(values: npt.ArrayLike, seed: int = 0) -> Difference:
    """Mean and 95 % bootstrap interval of a figure by episode [E]; those without a value are left out, 0 without any."""
    given = np.asarray(values, np.float64)
    known = given[np.isfinite(given)]
    if not len(known):
        return Difference(0.0, 0.0, 0.0)
    found = statistics.bootstrap(known, seed=seed)
    return Difference(found.value, found.low, found.high)


def requests(count: float) -> str:
    """A number of requests in words."""
    return f"{count:,.1f}" if 0.05 <= abs(count) < FEW else f"{count:,.0f}"


def dollars(usd: float) -> str:
    """An amount of money."""
    sign, amount = "-" if usd < 0 else "", abs(usd)
    return f"{sign}${amount:,.2f}" if amount < 100 else f"{sign}${amount:,.0f}"


def clock(hour_utc: float) -> str:
    """An hour of the day as HH:MM."""
    minutes = round(hour_utc * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names in one line, with the number of those left out."""
    words = list(names)
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest


def range_text(found: Difference, form: str = "{:+,.0f}") -> str:
    """An interval in brackets."""
    return f"[{unsigned_zero(form.format(found.low))}, {unsigned_zero(form.format(found.high))}]"


def unsigned_zero(text: str) -> str:
    """A number as text, without a minus where it is rounded to 0."""
    return text if any(digit in text for digit in "123456789") else text.replace("-", "")


def dollar_range(found: Difference) -> str:
    """An interval of money in brackets."""
    return f"[{dollars(found.low)}, {dollars(found.high)}]"


def joined_words(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def clear_change(
    found: Difference, what: str, *, form: str = "{:,.0f}", more: str = "more", less: str = "fewer"
) -> str:
    """`1,200 fewer WHAT`, `as many WHAT`, or that the days cannot tell, with the interval."""
    if found.low == found.high == 0:
        return f"no change in {what}"
    amount = form.format(abs(found.mean))
    if found.clear:
        return f"{amount} {more if found.mean > 0 else less} {what}"
    low, high = (unsigned_zero(form.format(value)) for value in (found.low, found.high))
    return f"no clear change in {what} (95 % interval {low} to {high})"


def time_change(found: Difference, who: str = "") -> str:
    """Say what becomes of the time to the first token, in words."""
    if found.low == found.high == 0:
        return f"no change in the time to the first token{who}"
    if found.clear:
        return f"the first token comes {abs(found.mean):,.0f} ms {'sooner' if found.mean < 0 else 'later'}{who}"
    return f"no clear change in the time to the first token{who} (95 % interval {found.low:+,.0f} to {found.high:+,.0f} ms)"
