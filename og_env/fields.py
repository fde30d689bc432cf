"""Public name of the observation's fields: `from og_env.fields import column` says where a policy finds one."""

from __future__ import annotations

from og_env.observation.fields import ROWS, TABLES, Field, column

__all__ = ["ROWS", "TABLES", "Field", "column"]
