"""Export a trained policy to ONNX, and check that onnxruntime gives what torch gives.

og-env export --policy runs/ppo
og-env export --policy runs/ppo --out policy.onnx --check 1000
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.commands.json_output import Ended, Json, add_json_option, answered
from og_env.errors import Parser, guarded

TOLERANCE = 2e-4
"""largest difference of a score: sharp scores are small differences of numbers in the hundreds, in float32"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__, prog="og-env export")
    parser.add_argument("--policy", type=Path, required=True, metavar="DIR", help="folder of a trained policy")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: policy.onnx in that folder)")
    parser.add_argument(
        "--check", type=int, default=1000, metavar="N", help="observations to compare on (default: 1000; 0: none)"
    )
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if options.check < 0:
        parser.error(f"--check is {options.check}; it must be 0 or more")
    return guarded(lambda: answered(lambda: _run(options), options.json))


def _run(options: argparse.Namespace) -> Ended:
    from og_agents.export import onnx_check, onnx_export
    from og_agents.learning import checkpoint

    learned = checkpoint.load(options.policy)
    path = onnx_export.export(learned, options.out or options.policy / "policy.onnx")
    print(f"exported: {path} ({path.stat().st_size / 1024:.0f} KiB)")
    figures: Json = {"policy": str(options.policy), "file": str(path), "bytes": path.stat().st_size, "check": None}
    if options.check:
        agreement = onnx_check.compare(learned, path, options.check)
        print(
            f"onnxruntime and torch on {agreement.observations} observations: largest difference {agreement.largest:.1e}, "
            f"actions equal in {agreement.equal}, and as `predict` chooses in {agreement.as_predicted}"
        )
        if not agreement.largest <= TOLERANCE:
            raise ValueError(f"{path}: differs from torch by {agreement.largest:.1e}, more than {TOLERANCE:g}")
        figures["check"] = agreement._asdict()
    return Ended(figures)


if __name__ == "__main__":
    sys.exit(main())
