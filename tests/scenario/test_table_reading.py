"""A bad row, header or file of the catalogue is one clear line."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from og_env.scenario import catalog
from og_env.scenario.catalog import table_reading, table_schemas
from og_env.scenario.catalog.countries import countries
from tests.cases.catalog_tables import ALL_TABLES, raw

GOOD: dict[str, dict[str, str]] = {name: raw(name)[0] for name in ALL_TABLES}


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "sites.csv",
            {"lat_deg": "123"},
            "line 3: column lat_deg: Input should be less than or equal to 90, not 123.0",
        ),
        ("sites.csv", {"lat_deg": "north"}, "line 3: column lat_deg: 'north' is not a number"),
        ("sites.csv", {"gpus": "H1000:2.5"}, "line 3: column gpus: unknown GPU 'H1000' (nearest valid: H100)"),
        ("sites.csv", {"gpus": "H100:-2.5"}, "line 3: column gpus: 'H100:-2.5' is below 0"),
        ("sites.csv", {"gpus": "H100"}, "line 3: column gpus: 'H100' is not NAME:NUMBER"),
        ("sites.csv", {"gpus": "H100:1;H100:2"}, "line 3: column gpus: 'H100' is listed twice"),
        ("sites.csv", {"gpus": ""}, "line 3: column gpus: "),
        ("sites.csv", {"gpus": "H100:0"}, "line 3: column gpus: "),
        ("sites.csv", {"country": "XX"}, "line 3: column country: unknown country 'XX'"),
        ("sites.csv", {"country": "us"}, "line 3: column country: unknown country 'us' (nearest valid: US)"),
        ("sites.csv", {"tee_vendor": "amd"}, "line 3: column tee_vendor: "),
        ("sites.csv", {"host_class": "cloud"}, "line 3: column host_class: "),
        ("sites.csv", {"link_gbps": "0"}, "line 3: column link_gbps: "),
        ("sites.csv", {"link_gbps": "nan"}, "line 3: column link_gbps: "),
        ("sites.csv", {"grid": ""}, "line 3: column grid: is empty"),
        ("sites.csv", {"source": ""}, "line 3: column source: is empty"),
        ("sites.csv", {"region": "us-east-1"}, "line 3: column provider: 'aws/us-east-1' is listed twice"),
        ("gpus.csv", {"usd_per_hour_home": "-1"}, "line 3: column usd_per_hour_home: "),
        ("gpus.csv", {"memory_gb": "-1"}, "line 3: column memory_gb: "),
        ("models.csv", {"verification": "sgx"}, "line 3: column verification: "),
        ("models.csv", {"streams": "1.5"}, "line 3: column streams: '1.5' is not a whole number"),
        ("models.csv", {"tokens_per_s": "L44:3"}, "line 3: column tokens_per_s: unknown GPU 'L44'"),
        ("models.csv", {"prefill_tokens_per_s": "H10:3"}, "line 3: column prefill_tokens_per_s: unknown GPU 'H10'"),
        ("models.csv", {"slo_clock": "last"}, "line 3: column slo_clock: "),
        ("models.csv", {"streamed": "true"}, "line 3: column streamed: 'true' is neither yes nor no"),
        ("gpus.csv", {"tflops": "0"}, "line 3: column tflops: "),
        ("gpus.csv", {"prefill_share": "1.1"}, "line 3: column prefill_share: "),
        ("models.csv", {"proof_multiplier": "0.5"}, "line 3: column proof_multiplier: "),
        ("regions.csv", {"utc_offset_h": "30"}, "line 3: column utc_offset_h: "),
        ("failures.csv", {"kind": "planet"}, "line 3: column kind: "),
        ("failures.csv", {"effects": "DOWN:0.5"}, "line 3: effects of site sum to 0.5, not 1"),
        ("failures.csv", {"effects": "GONE:1"}, "line 3: column effects: "),
        ("incidents.csv", {"match": "regoin=x"}, "line 3: column match: unknown site field 'regoin'"),
        ("incidents.csv", {"match": "region"}, "line 3: column match: 'region' is not FIELD=GLOB"),
        ("incidents.csv", {"date": "12.3.2025"}, "line 3: column date: '12.3.2025' is not a date"),
        ("incidents.csv", {"start_utc_h": "24"}, "line 3: column start_utc_h: "),
    ],
)
def test_a_bad_row_is_one_line_with_file_line_and_column(
    tmp_path: Path, name: str, changes: dict[str, str], message: str
) -> None:
    second = {**GOOD[name], (key := next(iter(GOOD[name]))): GOOD[name][key] + "-2"}
    if name == "sites.csv":
        second = {**GOOD[name], "region": "elsewhere"}
    if name == "failures.csv":
        second = {**GOOD[name], "name": "second"}
    assert len(catalog.read_table(_write(tmp_path / name, [GOOD[name], second]), ALL_TABLES[name])) == 2
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / name}: {message}")) as error:
        catalog.read_table(_write(tmp_path / name, [GOOD[name], {**second, **changes}]), ALL_TABLES[name])
    assert "\n" not in str(error.value)


def test_a_bad_header_or_file_is_one_line(tmp_path: Path) -> None:
    row = GOOD["regions.csv"]
    renamed = {("poulation_m" if key == "population_m" else key): value for key, value in row.items()}
    cases: list[tuple[dict[str, str], str]] = [
        (renamed, r"unknown column 'poulation_m' \(nearest valid: population_m\)"),
        (
            {key: value for key, value in row.items() if key != "lat_deg"},
            r"no column 'lat_deg' \(needs name, country, lat_deg,",
        ),
    ]
    for content, message in cases:
        with pytest.raises(ValueError, match=message):
            catalog.read_table(_write(tmp_path / "regions.csv", [content]), table_schemas.REGIONS)
    short = tmp_path / "short.csv"
    short.write_text(",".join(row) + "\na,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"short\.csv: line 2: 2 values, but the header has 8 columns"):
        catalog.read_table(short, table_schemas.REGIONS)
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        catalog.read_table(tmp_path / "nowhere.csv", table_schemas.REGIONS)


def test_values_convert_both_ways() -> None:
    cases: list[tuple[table_reading.Converter, str, Any]] = [
        (table_reading.number, "1.5", 1.5),
        (table_reading.whole, "3", 3),
        (table_reading.optional(table_reading.number), "", None),
        (table_reading.pairs(), "a:1;b:2.5", {"a": 1.0, "b": 2.5}),
        (table_reading.pairs(), "", {}),
        (table_reading.one_of(countries, "country"), "DE", "DE"),
    ]
    for convert, cell, value in cases:
        assert convert(cell) == value


def test_tables_are_read_once() -> None:
    assert catalog.sites() is catalog.sites() and catalog.models() is catalog.models()
