"""Export a trained policy to ONNX, and check that onnxruntime gives what torch gives."""

import sys

from og_agents.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
