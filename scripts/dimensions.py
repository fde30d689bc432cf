"""Which dimensions of a scenario decide: what a planner loses that is blind to each of them, and how far policies differ."""

import sys

from og_agents.commands.dimensions import main

if __name__ == "__main__":
    sys.exit(main())
