"""Write episodes of heuristics, planners and trained policies as a Minari dataset for offline learning."""

import sys

from og_agents.commands.make_dataset import main

if __name__ == "__main__":
    sys.exit(main())
