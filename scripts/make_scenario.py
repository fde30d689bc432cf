"""Write a scenario from a CSV with a row for each node, and say what the table left open and where it was taken from."""

import sys

from og_agents.commands.make_scenario import main

if __name__ == "__main__":
    sys.exit(main())
