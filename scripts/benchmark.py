"""Compare policies on the same held-out episodes: table, verdict, results.csv, summary.json and report.html."""

import sys

from og_agents.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
