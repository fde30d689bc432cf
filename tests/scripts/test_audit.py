"""The audit from the command line: real fleets, every flag, and one clear line for bad input."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from og_agents.commands.audit import catalogue_places
from og_env.scenario import loading
from og_env.scenario.catalog.table_schemas import data_file
from og_env.scenario.node_csv import read_node_table

ROOT = Path(__file__).parents[2]
FLEETS = ROOT.parent / "shared" / "data" / "fleets"
SCRIPT = ROOT / "scripts" / "audit.py"

SMALL = """node,provider,asn,country,city,lat,lon,weight
a,Aws,AS1,US,Ashburn,39.0,-77.5,2
b,Aws,AS1,US,Ashburn,39.0,-77.5,1
c,Aws,AS1,IE,Dublin,53.3,-6.3,1
d,Hetzner,AS2,DE,Falkenstein,50.5,12.4,1
e,,AS3,JP,Tokyo,35.7,139.7,1
"""


@pytest.fixture(scope="module")
def audit_script():
    spec = importlib.util.spec_from_file_location("audit_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text(SMALL)
    return path


@pytest.fixture
def audit_json(audit_script, capsys):
    def run(*arguments):
        code = audit_script.main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def error_of(audit_script, capsys):
    def run(*arguments):
        code = audit_script.main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert code == 2 and out == ""
        assert err.startswith("error: ") and err.count("\n") == 1
        return err

    return run


def fleet_file(name):
    path = FLEETS / name
    if not path.is_file():
        pytest.skip(f"the measured fleets are not beside the repository: {path}")
    return path


def test_a_small_fleet_by_hand(audit_json, small):
    result = audit_json(small)
    assert result["nodes"] == 5
    assert 1 < result["n_eff"] < 5
    provider = result["kinds"]["provider"]
    assert provider["missing"] == 1
    assert provider["top"][0] == {"name": "Aws", "nodes": 3, "share": 0.6, "weight_share": pytest.approx(4 / 6)}
    assert provider["hhi"] == pytest.approx((9 + 1 + 1) / 25)
    assert provider["by_weight"]["hhi"] == pytest.approx((16 + 1 + 1) / 36)
    assert provider["nakamoto"] == {"1/3": 1, "1/2": 1, "2/3": 2}
    assert result["quorum"]["n1_survives"] is False
    assert result["quorum"]["worst"] == {"kind": "provider", "name": "Aws", "share": pytest.approx(4 / 6)}
    assert [entry["node"] for entry in result["marginal"]] == list("abcde")
    assert result["apparent"]["countries"] == 4 and result["apparent"]["cities"] == 4
    assert result["kinds"]["asn"]["failure_kind"] == "transit"


def test_flags_choose_kinds_weights_and_columns(audit_json, small, tmp_path):
    by_count = tmp_path / "renamed.csv"
    by_count.write_text(SMALL.replace("provider", "landlord").replace("weight", "mass"))
    result = audit_json(by_count, "--map", "landlord=provider", "--weight", "mass", "--kinds", "provider,country")
    assert list(result["kinds"]) == ["provider", "country"]
    assert result["total_weight"] == 6
    assert len(audit_json(small, "--top", 1)["kinds"]["country"]["top"]) == 1
    assert audit_json("--map", "landlord=provider", by_count)["total_weight"] == 5


def test_tables_and_files(audit_script, capsys, small, tmp_path):
    sites = tmp_path / "sites.csv"
    sites.write_text(
        "node,provider,asn,country,city,usd_per_hour\nx,Aws,AS1,US,Ashburn,1\ny,New,AS9,BR,Sao Paulo,2\nz,New,AS9,BR,Rio,0\n"
    )
    folder = tmp_path / "deep" / "out"
    assert audit_script.main([str(small), "--candidates", str(sites), "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "behaves like",
        "Aws, AS1, US, Ashburn (US)",
        "without any one of them it behaves no worse",
        "candidates: 1 of 2 names in provider are not in the fleet",
        "have the fleet's mean, 1.2",
        "worst pair",
        "Nakamoto",
        "adds least",
        "gain per dollar",
        "1 nodes without provider",
    ):
        assert words in printed
    assert sorted(path.name for path in folder.iterdir()) == [
        "audit.json", "audit.png", "candidates.csv", "kinds.csv", "nodes.csv",
    ]  # fmt: skip
    result = json.loads((folder / "audit.json").read_text())
    assert [line.split()[-1] for line in printed.splitlines()[-3:]] == ["0", "2", "3"]  # spent
    order = [step["node"] for step in result["candidates"]]
    assert order[0] == "z" and set(order) == {"x", "y", "z"}
    assert result["candidates"][0]["gain_per_usd"] is None and result["candidates"][1]["gain_per_usd"] > 0
    with (folder / "nodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["node"] for row in rows] == list("abcde")
    assert float(rows[0]["adds_n_eff"]) == pytest.approx(result["marginal"][0]["n_eff"])
    assert (folder / "audit.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_catalogue_serves_as_candidates(audit_json, small):
    sites = data_file("sites.csv")
    plain = audit_json(small, "--kinds", "provider,country,city", "--candidates", sites)["candidates"]
    assert len(plain) > 100 and all("/" in step["node"] for step in plain)
    assert all(step["usd"] > 0 for step in plain) and plain[0]["gain_per_usd"] > 0


@pytest.mark.parametrize(
    ("name", "flags", "kind", "share", "hhi", "nakamoto"),
    [
        ("ethereum_cl_2025-11.csv", (), "provider", 0.12, 0.042, 4),
        ("internet_computer_nodes_2025-10.csv", ("--map", "dc_owner=provider"), "provider", 0.07, 0.035, 6),
        ("filecoin_2025-11.csv", (), "provider", 0.15, 0.045, 4),
    ],
)
def test_real_fleets_show_their_known_concentration(audit_json, name, flags, kind, share, hhi, nakamoto):
    path = fleet_file(name)
    result = audit_json(path, *flags)
    figures = result["kinds"][kind]
    assert figures["top"][0]["share"] == pytest.approx(share, abs=0.005)
    assert figures["hhi"] == pytest.approx(hhi, abs=0.0005)
    assert figures["nakamoto"]["1/3"] == nakamoto
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert result["nodes"] == len(rows) == len(result["marginal"])
    column = "dc_owner" if flags else "provider"
    assert figures["top"][0]["nodes"] == Counter(row[column] for row in rows).most_common(1)[0][1]
    assert result["n_eff"] < len(rows) / 4
    assert sum(entry["shapley"] for entry in result["marginal"]) == pytest.approx(result["n_eff"])


def test_without_coordinates_the_map_uses_what_the_catalogue_knows(audit_script, tmp_path, capsys):
    table = write(tmp_path / "cities.csv", "node,country,city\na,US,Ashburn\nb,uk,Nowhere\nc,XX,Atlantis\nd,,\n")
    read = read_node_table(table)
    assert read.columns["country"][1] == "GB" and read.columns["city"][1] == "Nowhere (GB)"
    lat_deg, lon_deg = catalogue_places(read)
    assert (lat_deg[0], lon_deg[0]) == (pytest.approx(39.0, abs=0.1), pytest.approx(-77.5, abs=0.1))
    assert 50 < lat_deg[1] < 57 and np.isnan(lat_deg[2:]).all()
    assert audit_script.main([str(table), "--out", str(tmp_path / "out")]) == 0
    assert "the map has 2 nodes at their city" in capsys.readouterr().out
    assert (tmp_path / "out" / "audit.png").is_file()


def test_what_only_adds_to_the_count(audit_json, tmp_path):
    rows = [f"n{i},big,US" for i in range(60)] + [f"m{i},p{i},{i:02}" for i in range(40)]
    table = write(tmp_path / "lump.csv", "\n".join(["node,provider,country", *rows]) + "\n")
    result = audit_json(table)
    only = result["count_only"]
    assert only["nodes"] == 60 and only["groups"][0]["on"] == {"provider": "big", "country": "US"}
    assert only["n_eff_without_all"] == pytest.approx(40) and result["n_eff"] < 40
    assert result["alike"] == [["provider", "country"]]


def test_tables_from_spreadsheets_are_understood(audit_json, tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_bytes(
        b"\xef\xbb\xbfnode,provider,country,city,lat,lon\r\n"
        b'a,"X, Inc",us,Dublin,37.7,-121.9\r\n\r\nb,unknown,US,Dublin,37.7,-121.9\r\nc,-,IE,Dublin,,\r\n'
    )
    kinds = audit_json(path)["kinds"]
    assert kinds["provider"]["top"][0]["name"] == "X, Inc" and kinds["provider"]["missing"] == 2
    assert [top["name"] for top in kinds["country"]["top"]] == ["US", "IE"]
    assert [top["name"] for top in kinds["city"]["top"]] == ["Dublin (US)", "Dublin (IE)"]


LONG = ("global-64", "global-512", "random-24")
"""scenarios whose audit takes several seconds"""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in loading.names()]
)
def test_every_shipped_scenario_can_be_audited(audit_json, name):
    result = audit_json("--scenario", name)
    assert result["nodes"] == len(loading.sites_of(loading.load(name)))
    assert 1 <= result["n_eff"] <= result["nodes"]
    assert sum(entry["shapley"] for entry in result["marginal"]) == pytest.approx(result["n_eff"])
    assert 0 <= result["quorum"]["hours_per_year_without"] <= 8760


def test_many_hours_are_printed_in_full(audit_script, capsys):
    assert audit_script.main(["--scenario", "one-cloud"]) == 0
    assert re.search(r"no quorum +\d{3} \+- \d hours a year expected", capsys.readouterr().out)


def test_scenario_flags_are_checked(error_of):
    assert "unknown scenario" in error_of("--scenario", "toy-4")
    assert "--kinds goes with a FLEET.csv" in error_of("--scenario", "toy-3", "--kinds", "provider")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("node,provider\n", "a header but no nodes"),
        ("node,colour\na,red\n", "no column names a dependency"),
        ("node,provider,weight\na,x,1e-200\n", "every weight is below 1e-100"),
        (
            "node,provider,weight\na,x,-2\nb,y,inf\n",
            "2 bad rows: line 2: weight -2 must be at least 0; line 3: weight inf",
        ),
        (SMALL.replace("asn", "country"), "two columns are called 'country'"),
        (SMALL.replace("Dublin", "Dub\0lin"), "line 4: not a text file"),
        (SMALL.replace("Dublin", '"Dublin'), "not a CSV table"),
        ("node,provider,weight\na,x,0\nb,y,0\n", "every weight is 0"),
    ],
)
def test_bad_tables_are_one_line(error_of, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    message = error_of(path)
    assert words in message and "bad.csv" in message


@pytest.mark.parametrize(
    ("text", "nodes", "words"),
    [
        (SMALL.replace("39.0", "500", 1), 5, "line 2: lat 500 must be in -90..90"),
        (SMALL.replace("139.7", "north"), 5, "line 6: lon 'north' is not a number"),
        (SMALL.replace("-77.5,2", "-77.5,-2"), 4, "line 2: weight -2 must be at least 0"),
        (SMALL.replace("-77.5,2", "-77.5,1e200"), 4, "line 2: weight 1e200 must be at most 1e+100"),
        (SMALL.replace("-77.5,2", "-77.5,"), 4, "line 2: weight is empty"),
        (SMALL.replace("b,Aws", "a,Aws"), 5, "1 names are there already and get a number ('a' in line 3)"),
        (SMALL.replace("b,Aws", ",Aws"), 5, "1 nodes have no name"),
        (SMALL.replace("Hetzner,", ""), 4, "line 5: 7 values, but the header has 8 columns"),
        (SMALL.replace("node", "identity"), 5, "columns: identity is node"),
        (
            SMALL.replace("weight", "host_class").replace("-77.5,2", "-77.5,hom"),
            5,
            "unknown host_class 'hom' (nearest valid: home)",
        ),
    ],
)
def test_one_bad_cell_does_not_refuse_a_fleet(audit_json, tmp_path, text, nodes, words):
    path = tmp_path / "odd.csv"
    path.write_text(text)
    result = audit_json(path)
    assert result["nodes"] == nodes and any(words in note for note in result["notes"])


def test_bad_flags_are_one_line(error_of, small, tmp_path):
    assert "no such file" in error_of(tmp_path / "none.csv")
    assert "no such file" in error_of(small, "--candidates", tmp_path / "none.csv")
    assert "is a directory, not a CSV file" in error_of(tmp_path)
    assert "no column 'stak'" in error_of(small, "--weight", "stak")
    assert "unknown kind 'provder' (nearest valid: provider)" in error_of(small, "--kinds", "provder")
    assert "no column 'grid'" in error_of(small, "--kinds", "grid")
    assert "nearest valid: provider" in error_of(small, "--map", "city=provder")
    assert "no column 'owner'" in error_of(small, "--map", "owner=provider")
    assert "write COLUMN=KIND" in error_of(small, "--map", "owner")
    assert "both 'city' and 'asn' are mapped" in error_of(small, "--map", "city=provider", "asn=provider")
    assert "--top must be at least 1" in error_of(small, "--top", "0")
    assert "either a FLEET.csv or --scenario" in error_of()
    assert "--kinds names no kind" in error_of(small, "--kinds", ",")
    assert "no column 'asn'" in error_of(small, "--candidates", write(tmp_path / "c.csv", "node,provider\nx,y\n"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "file" in error_of(small, "--out", blocked)


def test_a_wrong_flag_is_one_line(audit_script, small, capsys):
    for flags in (["--bogus"], ["--top", "x"]):
        with pytest.raises(SystemExit) as stop:
            audit_script.main([str(small), *flags])
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def write(path, text):
    path.write_text(text)
    return path


def test_a_line_without_end_is_refused_without_reading_it_all(error_of, tmp_path):
    path = tmp_path / "endless.csv"
    with path.open("wb") as file:
        file.write(b"node,provider\n")
        file.truncate(1_000_000_000)
    assert "1,000,000,000 bytes are too many for a CSV file" in error_of(path)


def test_a_binary_file_is_refused(error_of, tmp_path):
    path = tmp_path / "binary.csv"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not a text file" in error_of(path)


def test_the_command_ends_with_two_and_no_traceback(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "none.csv")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_the_command_loads_neither_the_simulator_nor_its_compiler():
    code = "import sys, og_agents.commands.audit; print(sorted({'numba', 'og_env.simulator'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_limits_thresholds_and_replacements(audit_script, audit_json, small, capsys):
    result = audit_json(small, "--limit", "provider=1", "country=30%", "--threshold", "0.66", "--replace", "1")
    assert [(entry["kind"], entry["name"]) for entry in result["limits"]] == [("provider", "Aws"), ("country", "US")]
    assert result["limits"][0]["over"] == 2 and result["limits"][1]["share"] == pytest.approx(0.5)
    assert result["kinds"]["country"]["by_weight"]["nakamoto"]["0.66"] == 2
    [swap] = result["replacements"]
    assert swap["out"] in "abc" and swap["gain"] > 0
    assert audit_script.main([str(small), "--limit", "provider=1", "--replace", "2"]) == 0
    printed = capsys.readouterr().out
    assert "breaks a limit" in printed and "replace" in printed and "Gini" in printed


def test_wrong_limits_are_one_line(error_of, small):
    assert "write KIND=N or KIND=P%" in error_of(small, "--limit", "provider")
    assert "no kind 'grid' in this fleet" in error_of(small, "--limit", "grid=1")
    assert "the number of nodes is whole" in error_of(small, "--limit", "provider=1.5")


def test_map_alone_lists_what_columns_can_mean(audit_script, capsys):
    assert audit_script.main(["--map"]) == 0
    printed = capsys.readouterr().out
    assert "hostname" in printed and "facility" in printed and "usd_per_node_hour" in printed


def test_missing_kinds_are_said(audit_json, tmp_path):
    notes = audit_json(write(tmp_path / "few.csv", "node,provider\na,x\nb,y\n"))["notes"]
    assert "no column for country, city, asn, facility, region: all nodes count as independent in these" in notes


def test_weights_far_apart(audit_json, tmp_path):
    rows = [f"n{i},p{i % 3},{32 * 10**18 if i else 1}" for i in range(40)]
    nodes = audit_json(write(tmp_path / "far.csv", "\n".join(["node,provider,weight", *rows])))["by_node"]
    assert nodes["nakamoto"]["1/3"] == 14 == nodes["by_weight"]["nakamoto"]["1/3"]
