"""A Ray cluster, for those who outgrow one machine: joined where an address is given, else one on this machine.

Every node needs the same version of og_env installed; the first use on each compiles the kernels. On every node and
where a script is started, RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN keep strangers out:

    ray start --head --port=6379            # on one machine
    ray start --address=10.0.0.5:6379       # on the others
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""settings of Ray: no report to its makers, no warnings on hosts without accelerators"""
ANSWER_S = 5.0
"""time that a cluster has to accept a connection; Ray itself would try for minutes"""
WORKERS = {"OMP_NUM_THREADS": "1"}
"""environment variables of the worker processes"""
RETRIES = 10
"""times that a task is run again where its worker dies: more are no accident"""


def module() -> Any:
    """The package ray; ValueError that names the extra where it is missing."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("Ray needs the extra rllib, in a venv of its own: pip install -e '.[train,rllib]'") from None
    return ray


@contextlib.contextmanager
def connected(address: str | None = None, workers: int = 0) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` (host:port) or to one of this machine alone.

    A connection that is there already is used and left. ValueError where nothing answers or the cluster has fewer CPUs
    than `workers`.
    """
    ray = module()
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _answers(address)
    if workers:  # else Ray explains at length that workers come back only as long as this process lives
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, workers)}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": WORKERS},
            **({} if address else options),
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "; a cluster with tokens needs RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN here, too" if address else ""
        raise ValueError(f"--ray-address {address or 'local'}: no Ray cluster: {reason}{hint}") from None
    try:
        cpus = ray.cluster_resources().get("CPU", 0)
        if cpus < max(workers, 1):
            raise ValueError(f"the Ray cluster has {cpus:g} CPUs, and {max(workers, 1)} are needed, one a worker")
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def failures_told(ray: Any) -> Iterator[None]:
    """Raise ValueError in one line for one that a task raised, and where no cluster is left."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise ValueError(str(error.cause)) from None
        raise
    except ray.exceptions.RayError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the Ray cluster failed: {reason}") from None


def _answers(address: str) -> None:
    """Raise ValueError in one line where nothing listens at host:port."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--ray-address is {address!r}; it must be host:port, as `ray start --head` prints it")
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"--ray-address {address}: no Ray cluster answers there: {reason}") from None
