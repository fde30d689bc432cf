"""Put benchmarks on one page: their summary.json files as leaderboard.md."""

import sys

from og_agents.commands.leaderboard import main

if __name__ == "__main__":
    sys.exit(main())
