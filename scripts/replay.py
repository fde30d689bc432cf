"""Replay a recorded incident, outages of your own, or a plain day, and see what it does to each policy."""

import sys

from og_agents.commands.replay import main

if __name__ == "__main__":
    sys.exit(main())
