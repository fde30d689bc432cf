"""The observation's fields under a public name: `column("proposals", "gain")` is the column where a policy finds one.

`TABLES` has the fields of every table of an observation, in the order of its columns, each a `Field` with its meaning;
`ROWS` has the letter of how many rows each table has.
"""

from __future__ import annotations

from og_env.observation.fields import ROWS, SCARCITY_TABLES, TABLES, Field, column

__all__ = ["ROWS", "SCARCITY_TABLES", "TABLES", "Field", "column"]
