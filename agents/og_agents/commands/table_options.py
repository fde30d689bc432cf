"""Options of the commands that read a file of nodes: what its columns mean, blanks, owners that belong together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from og_env.scenario.fleet_file import CAN_BE_MAPPED, FIELDS, MEANINGS, USUAL_NAMES

FILLS: dict[str | None, bool | None] = {None: None, "fill": True, "missing": False}
"""whether blank cells repeat the value above, by the value of --blanks"""


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add --map, --blanks and --together."""
    parser.add_argument(
        "--map",
        nargs="*",
        action="extend",
        default=None,
        metavar="COLUMN=KIND",
        help="what a column means; with nothing behind it, lists what columns can mean",
    )
    parser.add_argument(
        "--blanks", choices=("fill", "missing"), help="blank cells: repeat the value above, or are missing"
    )
    parser.add_argument(
        "--together",
        action="append",
        default=[],
        metavar="A,B",
        help="owners that belong together, or the column that says so",
    )


def mapping(items: Sequence[str] | None) -> dict[str, str]:
    """Meaning by column from words COLUMN=KIND; ValueError for all that are wrong."""
    mapped: dict[str, str] = {}
    problems: list[str] = []
    for item in items or ():
        column, _, meaning = item.rpartition("=")
        if not (column and meaning):
            problems.append(f"--map {item}: write COLUMN=KIND, e.g. dc_owner=provider; --map alone lists the kinds")
        elif column in mapped:
            problems.append(f"--map names the column {column!r} twice")
        mapped[column] = meaning
    if problems:
        raise ValueError("; ".join(problems))
    return mapped


def meanings() -> dict[str, dict[str, list[str]]]:
    """Everything that a column can mean: `names` that are understood without a map, and others that `hint` at it."""
    return {
        meaning: {
            "names": [name for name in USUAL_NAMES.get(meaning, "").split("|") if name],
            "hint": list(CAN_BE_MAPPED.get(meaning, ())),
        }
        for meaning in dict.fromkeys((*MEANINGS, *FIELDS))
    }


def mapping_help() -> str:
    """Lines with everything that a column can mean, and the names that are understood without a map."""
    lines = ["A column of a table of nodes can mean (names in brackets are understood without --map):"]
    for meaning, words in meanings().items():
        names = words["names"]
        shown, hinted = ", ".join(names[:9]), ", ".join(words["hint"])
        known = f"  ({shown}{', ...' if len(names) > 9 else ''})" if shown else ""
        lines.append(f"  {meaning:<22}{known}{f'; hinted at: {hinted}' if hinted else ''}".rstrip())
    lines.append("A measured round trip: src, dst, rtt_ms. A trace of requests: timestamp_s, model, tokens in and out.")
    return "\n".join(lines)
