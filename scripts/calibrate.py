"""Fit the network or the demand of a scenario to measurements, and write them as a fragment of a scenario file."""

import sys

from og_agents.commands.calibrate import main

if __name__ == "__main__":
    sys.exit(main())
