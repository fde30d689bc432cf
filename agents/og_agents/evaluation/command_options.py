"""Options that commands which play episodes have in common."""

from __future__ import annotations

import argparse

from og_env import IDS, TASKS


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
