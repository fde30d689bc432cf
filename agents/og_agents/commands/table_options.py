"""Options of the commands that read a file of nodes: what its columns mean, blanks, owners that belong together."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from og_env.scenario.fleet_file import CAN_BE_MAPPED, FIELDS, MEANINGS, USUAL_NAMES
from og_env.scenario.loading import DEFAULT_GPU_COUNT
from og_env.scenario.sites_from_csv import SiteTable, read_sites

Options = argparse.ArgumentParser | argparse._ArgumentGroup

FILLS: dict[str | None, bool | None] = {None: None, "fill": True, "missing": False}
"""whether blank cells repeat the value above, by the value of --blanks"""


def add_table_options(parser: Options) -> None:
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


def add_world_options(parser: Options) -> None:
    """Add what `add_table_options` adds, and the options that say how nodes become a scenario."""
    add_table_options(parser)
    parser.add_argument("--weight", metavar="COLUMN", help="column of the weight or stake, for audits of the scenario")
    parser.add_argument("--price-per", choices=("gpu", "node"), help="for what a column `price` an hour is")
    parser.add_argument("--sample", type=int, metavar="N", help="take N of the nodes at random")
    parser.add_argument("--models", metavar="A,B", help="of the catalogue (default: those of four usual ones that fit)")
    parser.add_argument("--regions", default="8", metavar="N|A,B", help="user regions: how many, or which (default: 8)")
    parser.add_argument("--gpu", default="A100-80GB", metavar="KIND", help="where the table has none")
    parser.add_argument("--gpus", type=int, default=DEFAULT_GPU_COUNT, metavar="N", help="a node, where it has none")
    parser.add_argument(
        "--requests-per-s", type=float, metavar="X", help="mean demand (default: what half of the fleet can serve)"
    )


def check_numbers(options: argparse.Namespace, least: dict[str, int]) -> None:
    """ValueError in one line for a number below the `least` that its option allows, or one that is not finite."""
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value >= bound):
            raise ValueError(f"--{name.replace('_', '-')} is {value:g}; it must be at least {bound}")


def table_of(options: argparse.Namespace, path: str) -> SiteTable:
    """The nodes of a file, read as the options of `add_world_options` and --seed say; ValueError in one line."""
    check_numbers(options, {"sample": 1, "seed": 0, "gpus": 1, "requests_per_s": 0})
    return read_sites(
        path,
        mapped=mapping(options.map),
        sample=options.sample,
        seed=options.seed,
        gpu=options.gpu,
        gpu_count=options.gpus,
        price_per=options.price_per,
        weight=options.weight,
        fill=FILLS[options.blanks],
        together=options.together,
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
