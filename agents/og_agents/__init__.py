"""Policies: heuristics, planners and learned ones, their training and their comparison.

What a user's program needs first is offered here, and imported when it is asked for: learners are heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import og_env

if TYPE_CHECKING:
    from og_agents.load_policies import load_policy
    from og_agents.policy import Policy
    from og_agents.sb3_adapter import make_sb3

__all__ = ["Policy", "__version__", "load_policy", "make_sb3"]
__version__ = og_env.__version__

_HOMES = {"Policy": "og_agents.policy", "load_policy": "og_agents.load_policies", "make_sb3": "og_agents.sb3_adapter"}
"""module of each name that is offered here"""


def __getattr__(name: str) -> Any:
    """A name that is offered here, from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
