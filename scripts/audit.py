"""Audit a fleet of nodes: what they share, how many they really are, and what each of them adds."""

import sys

from og_agents.commands.audit import main

if __name__ == "__main__":
    sys.exit(main())
