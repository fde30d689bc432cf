"""A Ray cluster of two nodes on loopback, for tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from og_agents.cluster import ray_cluster


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of a head and a second node, with a CPU each; the test skips where Ray is absent."""
    pytest.importorskip("ray", reason="needs the extra rllib, in a venv of its own")
    ray = ray_cluster.module()
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def nodes_used(folder: Path) -> set[str]:
    """Nodes that `Marked` policies ran on."""
    return {path.read_text(encoding="utf-8") for path in folder.glob("node-*")}


def marked(policy: Any, folder: Path, killed: str | None = None, pause_s: float = 0.0) -> Any:
    """The policy; it notes the node that it runs on, and kills the first worker that runs it as `killed`."""

    class Marked:
        env_kwargs = dict(getattr(policy, "env_kwargs", {}))
        calls = 0

        def predict(self, observation: Any, state: Any = None, *rest: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
            import signal
            import time

            import ray  # pyright: ignore[reportMissingImports]

            self.calls += 1
            time.sleep(pause_s)
            if self.calls == 5:
                (folder / f"node-{os.getpid()}").write_text(ray.get_runtime_context().get_node_id(), encoding="utf-8")
                with contextlib.suppress(FileExistsError):
                    if killed is not None:
                        (folder / f"killed-{killed}").touch(exist_ok=False)
                        os.kill(os.getpid(), signal.SIGKILL)
            return policy.predict(observation, state, *rest, **kwargs)

    return Marked()
