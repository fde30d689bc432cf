"""The catalogue's tables and their cells as text, for its tests."""

from __future__ import annotations

import csv

from og_env.scenario.catalog import table_schemas

ALL_TABLES = {
    "sites.csv": table_schemas.SITES,
    "gpus.csv": table_schemas.GPUS,
    "models.csv": table_schemas.MODELS,
    "regions.csv": table_schemas.REGIONS,
    "failures.csv": table_schemas.FAILURES,
    "incidents.csv": table_schemas.INCIDENTS,
    "incident_phases.csv": table_schemas.PHASES,
}
# What other lists place elsewhere, and why the catalogue differs from them.


def raw(name: str) -> list[dict[str, str]]:
    with table_schemas.data_file(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
