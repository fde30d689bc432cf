"""The audit of a table of nodes and of the scenario made from it say the same, with and without what is assumed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from og_agents.commands import audit, make_scenario
from og_env.scenario import loading
from og_env.scenario.node_csv import read_node_table
from og_env.trust import fleets_of_scenario, fleets_of_table, with_assumptions

FLEETS = Path(__file__).parents[2].parent / "shared" / "data" / "fleets"
FIGURES = (
    "nodes",
    "total_weight",
    "n_eff",
    "n_eff_by_count",
    "kinds",
    "by_node",
    "quorum",
    "count_only",
    "growth",
    "marginal",
    "assumed",
)
TABLES = {
    "places": "node,provider,country,city,lat,lon\n"
    + "".join(f"n{i},{('OVH,FR', 'hetzner,DE', 'AWS,US')[i % 3]},c{i % 4},{40 + i},{i}\n" for i in range(15)),
    "gaps": "node,provider,asn,country,city,tee_vendor,facility,image,upstream\na,OVH,AS1,FR,Paris,sev-snp,x,i,none\n"
    "b,,AS1,FR,,none,x,,u\nc,AWS,,US,Ashburn,,,i,\nd,AWS,AS2,US,Ashburn,nitro,y,i,u\ne,X,AS2,DE,,tdx,y,,none\n",
    "weights": "node,cloud,country,stake\na,OVH,FR,1\nb,OVH,Germany,3e18\nc,AWS,US,5\nd,gcp,us,1e18\n",
    "regions": "node,provider,region,country,grid,host_class\na,aws,us-east-1,US,east,home\nb,aws,us-east-1,US,east,\n"
    "c,gcp,,DE,,home\n",
}  # fmt: skip


def audits(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, object], dict[str, object]]:
    """The audits of a table and of its scenario."""
    scenario = path.with_suffix(".toml")
    assert make_scenario.main([str(path), "--out", str(scenario), *words]) == 0
    capsys.readouterr()
    found = []
    for arguments in ([str(path), *words], ["--scenario", str(scenario)]):
        assert audit.main([*arguments, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    return found[0], found[1]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_and_its_scenario_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / f"{name}.csv"
    path.write_text(TABLES[name], encoding="utf-8")
    of_table, of_scenario = audits(path, capsys)
    for figure in FIGURES:
        assert of_table[figure] == of_scenario[figure], figure
    assert of_table["assumed"]


@pytest.mark.parametrize(
    ("name", "words", "nodes"),
    [
        ("filecoin_2025-11.csv", (), 256),
        ("internet_computer_nodes_2025-10.csv", ("--map", "dc_owner=provider"), 300),
        ("ethereum_cl_2025-11.csv", (), 300),
    ],
)
def test_measured_fleets_and_their_scenarios_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...], nodes: int
) -> None:
    if not (FLEETS / name).is_file():
        pytest.skip(f"the measured fleets are not beside the repository: {FLEETS / name}")
    with (FLEETS / name).open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    chosen = np.random.default_rng(0).choice(len(rows) - 1, nodes, replace=False) + 1
    with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *(rows[i] for i in sorted(chosen))])
    of_table, of_scenario = audits(tmp_path / name, capsys, *words)
    for figure in FIGURES:
        assert of_table[figure] == of_scenario[figure], figure


def test_assumptions_are_counted_and_left_out_of_the_figures(tmp_path: Path) -> None:
    rows = [f"n{i},{('OVH', 'hetzner', 'scaleway')[i % 3]},{('FR', 'DE', 'FR')[i % 3]}" for i in range(9)]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(["node,provider,country", *rows]), encoding="utf-8")
    fleets = fleets_of_table(read_node_table(path))
    assert (
        "tee_vendor" not in fleets.given.kinds and fleets.assumed is not None and "tee_vendor" in fleets.assumed.kinds
    )
    assert fleets.words["tee_vendor sev-snp"] >= 6
    more = with_assumptions(fleets)
    assert more is not None
    assert more["causes"][0]["kind"] == "tee_vendor" and more["causes"][0]["share"] > 0.9
    assert more["hours_per_year_without"] > 100


def test_a_shipped_scenario_assumes_nothing() -> None:
    spec = loading.load("toy-3")
    fleets = fleets_of_scenario(spec, loading.sites_of(spec), spec.failures)
    assert fleets.assumed is None and with_assumptions(fleets) is None
