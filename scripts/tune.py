"""Tune the constants of baselines on training episodes, and print tables for the files in configs/planners."""

import sys

from og_agents.commands.tune import main

if __name__ == "__main__":
    sys.exit(main())
