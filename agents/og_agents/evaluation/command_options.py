"""Options that commands which play episodes have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from og_env import IDS, TASKS
from og_env.simulator import SPLITS

SEALED = "sealed"
"""the split that no command plays unless --sealed says so"""


def add_episode_options(
    parser: argparse.ArgumentParser, episodes: int, meaning: str, *, scenario: str = "global-24", changes: bool = False
) -> None:
    """Add --scenario, --env, --episodes and --seed, and with `changes` also --set.

    episodes: the default number; meaning: help text about them; scenario: the default one.
    """
    parser.add_argument("--scenario", default=scenario, metavar="S", help=f"name or file (default: {scenario})")
    if changes:
        text = "change the scenario, such as failures.intensity=2"
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
    parser.add_argument("--env", default=IDS["placement"], metavar="ID", help=f"one of {', '.join(TASKS)}")
    parser.add_argument("--episodes", type=int, default=episodes, metavar="N", help=f"{meaning} (default: {episodes})")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of the first episode (default: 0)")


def add_split_option(parser: argparse.ArgumentParser, default: str, splits: Sequence[str] = SPLITS) -> None:
    """Add --split and --sealed; `settle_split` says what they make together."""
    text = f"of the episodes (default: {default}); {SEALED} needs --sealed as well"
    parser.add_argument("--split", choices=splits, help=text)
    text = "play the sealed episodes, which are kept for published tables: look at them once, when all else is done"
    parser.add_argument("--sealed", action="store_true", help=text)
    parser.set_defaults(usual_split=default)


def settle_split(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Set the split that --split and --sealed ask for; ends with an error where they differ."""
    if options.sealed:
        if options.split not in (None, SEALED):
            parser.error(f"--sealed plays the split {SEALED}, not {options.split}: leave one of them out")
        options.split = SEALED
    if options.split == SEALED and not options.sealed:
        parser.error(
            f"--split {SEALED}: these episodes are kept for published tables: say --sealed, or take --split test"
        )
    options.split = options.split or options.usual_split
