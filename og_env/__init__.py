"""A Gymnasium environment of a decentralised AI-inference network. Importing this package registers its ids."""

from __future__ import annotations

import importlib.metadata

from og_env.errors import check_requirements, nearest_valid

check_requirements()

from gymnasium.envs.registration import register, registry  # noqa: E402 (what is missing is said first)

__all__ = ["FLAT_IDS", "IDS", "TASKS", "__version__", "task_of"]

try:
    __version__ = importlib.metadata.version("og_env")
except importlib.metadata.PackageNotFoundError:
    __version__ = "0+unknown"  # a source tree that was never installed
"""version of the installed package"""

IDS = {"placement": "og_env/Placement-v1", "routing": "og_env/Routing-v1", "joint": "og_env/Joint-v1"}
"""environment id by task"""
FLAT_IDS = {task: env_id.replace("-v", "-flat-v") for task, env_id in IDS.items()}
"""id of the same environment with one flat observation by task, for programs that take an id and no argument"""
TASKS = {env_id: task for task, env_id in IDS.items()}
"""task by environment id"""


def task_of(env_id: str) -> str:
    """Task of an environment id, flat or not; ValueError in one line for an unknown one, and for one of the first version."""
    for task, flat_id in FLAT_IDS.items():
        if env_id == flat_id:
            return task
    newer = env_id.removesuffix("-v0") + "-v1"
    if newer != env_id and newer in TASKS:
        raise ValueError(f"{env_id} was the first version, whose physics is gone; take {newer}")
    if env_id not in TASKS:
        raise ValueError(f"unknown environment {env_id!r}{nearest_valid(env_id, [*TASKS, *FLAT_IDS.values()])}")
    return TASKS[env_id]


for _task in IDS:
    for _id, _arguments in ((IDS[_task], {}), (FLAT_IDS[_task], {"flatten": True})):
        if _id not in registry:
            register(
                _id,
                entry_point="og_env.env:NetworkEnv",
                vector_entry_point="og_env.vector_env:NetworkVectorEnv",
                kwargs={"task": _task, **_arguments},
            )
