"""The catalogue's tables and their cells as text, for its tests."""

from __future__ import annotations

import csv

from og_env.scenario.catalog import schemas

ALL_TABLES = {
    "sites.csv": schemas.SITES,
    "gpus.csv": schemas.GPUS,
    "models.csv": schemas.MODELS,
    "regions.csv": schemas.REGIONS,
    "failures.csv": schemas.FAILURES,
    "incidents.csv": schemas.INCIDENTS,
}
# What other lists place elsewhere, and why the catalogue differs from them.


def raw(name: str) -> list[dict[str, str]]:
    with schemas.data_file(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
