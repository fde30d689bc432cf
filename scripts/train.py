"""Train a policy by PPO, or by rollout policy iteration, with its run folder: checkpoint, metrics, logs, config."""

import sys

from og_agents.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
