"""Draw scenarios at the moment when most of their sites are struck, and the page that shows all shipped ones."""

import sys

from og_agents.commands.gallery import main

if __name__ == "__main__":
    sys.exit(main())
