"""How wrong is it: the simulator against request-level simulation, measured round trips and closed forms."""

import sys

from og_agents.commands.validate import main

if __name__ == "__main__":
    sys.exit(main())
