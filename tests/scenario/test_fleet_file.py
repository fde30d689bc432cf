"""Files of nodes as people have them: each is read rightly, or refused in a line that names the way out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from og_env.scenario.fleet_file.spellings import catalogue_provider, cloud_region, country_code, gpu_name, plain_number
from og_env.scenario.node_csv import NodeTable, read_node_table
from og_env.scenario.sites_from_csv import read_sites

PLAIN = "node,provider,country,city\na,OVH,FR,Paris\nb,AWS,US,Ashburn\nc,AWS,DE,Frankfurt\n"
COLUMNS = {
    "provider": ("OVH", "AWS", "AWS"),
    "country": ("FR", "US", "DE"),
    "city": ("Paris (FR)", "Ashburn (US)", "Frankfurt (DE)"),
}
RECORDS = [
    dict(zip(("node", "provider", "country", "city"), line.split(","), strict=True)) for line in PLAIN.split()[1:]
]
SAME = {
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "upper-case": PLAIN.replace("node,provider,country,city", "NODE,Provider,Country Code,CITY"),
    "aliases": PLAIN.replace("node,provider,country,city", "hostname,cloud,country_name,town"),
    "other-aliases": PLAIN.replace("node,provider,country,city", "identity,asname,cc,metro area"),
    "camel-case": PLAIN.replace("node,provider,country,city", "nodeId,cloudProvider,countryCode,cityName"),
    "windows-ends": PLAIN.replace("\n", "\r\n"),
    "old-mac-ends": PLAIN.replace("\n", "\r"),
    "byte-order-mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "utf-16": PLAIN.encode("utf-16"),
    "utf-16-without-a-mark": PLAIN.encode("utf-16-le"),
    "utf-32": PLAIN.encode("utf-32"),
    "json": json.dumps(RECORDS),
    "json-under-a-key": json.dumps({"count": 3, "nodes": RECORDS}),
    "json-by-name": json.dumps({one["node"]: {key: one[key] for key in one if key != "node"} for one in RECORDS}),
    "json-lines": "\n".join(map(json.dumps, RECORDS)),
    "nested-json": json.dumps([
        {"node": one["node"], "geo": {key: one[key] for key in ("country", "city")}, "org": one["provider"]} for one in RECORDS
    ]),
    "full-names": PLAIN.replace("FR", "France").replace("US", "United States").replace("DE", "deu"),
    "a-total": PLAIN + "Total,,,\n",
    "a-total-with-a-count": PLAIN + "TOTAL,3,,\n",
    "a-comment-and-blank-lines": PLAIN.replace("b,AWS", "\n# two more\n,,,\nb,AWS"),
    "a-title": "Our fleet,,,\n,,,\n" + PLAIN,
    "two-header-rows": "Machine,Where,,\n" + PLAIN,
    "trailing-separators": PLAIN.replace("\n", ",\n"),
    "city-and-country-in-one": 'node,provider,location\na,OVH,"Paris, FR"\nb,AWS,"Ashburn, USA"\n'
    'c,AWS,"Frankfurt, Germany"\n',
    "continent-country-city": 'node,owner,region\na,OVH,"Europe,FR,Paris"\nb,AWS,"North America,US,Ashburn"\n'
    'c,AWS,"Europe,DE,Frankfurt"\n',
    "quotes": PLAIN.replace("OVH", '"OVH"').replace("Paris", '" Paris "'),
}  # fmt: skip


def written(folder: Path, content: str | bytes, name: str = "fleet.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes, **options: object) -> NodeTable:
    return read_node_table(written(folder, content), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", SAME)
def test_one_fleet_in_many_forms(tmp_path: Path, form: str) -> None:
    table = read(tmp_path, SAME[form])
    assert table.nodes == ("a", "b", "c")
    assert {label: table.columns[label] for label in COLUMNS} == COLUMNS
    assert set(table.columns) == set(COLUMNS)


def test_spellings_are_one_name(tmp_path: Path) -> None:
    rows = [
        "Hetzner Online GmbH,DE",
        "hetzner online gmbh,Germany",
        "Hetzner Online,de",
        "HETZNER  ONLINE GMBH ,Deutschland",
        "Hetzner-AS,DEU",
    ]
    table = read(tmp_path, "node,provider,country\n" + "".join(f"n{i},{row}\n" for i, row in enumerate(rows)))
    assert set(table.columns["provider"]) == {"Hetzner Online GmbH", "Hetzner-AS"}
    assert set(table.columns["country"]) == {"DE"}
    assert any("folded into 'Hetzner Online GmbH'" in note for note in table.notes)
    assert any("Hetzner Online GmbH and Hetzner-AS (--together A,B)" in note for note in table.notes)
    path = written(tmp_path, "node,provider\n" + "".join(f"n{i},{row.split(',')[0]}\n" for i, row in enumerate(rows)))
    joined = read_node_table(path, together=["Hetzner Online GmbH,Hetzner-AS"])
    assert joined.columns["provider"].count("Hetzner Online GmbH") >= 2
    with pytest.raises(ValueError, match="no provider 'Hetzer'"):
        read_node_table(path, together=["Hetzer,Hetzner-AS"])


def test_a_column_says_which_owners_belong_together(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider,parent\na,X,Big\nb,Y,Big\nc,Z,\n", together=["parent"])
    assert table.columns["provider"] == ("Big", "Big", "Z")


@pytest.mark.parametrize(
    "country", ["US", "us", "USA", "U.S.", "U.S.A.", "United States", "united states of america", "The United States"]
)
def test_one_country_in_many_spellings(country: str) -> None:
    assert country_code(country) == "US"


def test_words_that_are_no_country_stay_and_are_said(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider,country\na,X,Atlantis\nb,X,NA\nc,X,TBD\n")
    assert table.columns["country"] == ("Atlantis", "NA", "")
    assert any("Atlantis is no known country" in note for note in table.notes)


@pytest.mark.parametrize(
    ("spelled", "gpu"),
    [
        ("H100-80GB", "H100"), ("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("a100 40gb", "A100-40GB"),
        ("RTX 4090", "RTX-4090"), ("GeForce RTX 4090", "RTX-4090"), ("Tesla T4", "T4"), ("l40s", "L40S"),
        ("H10", ""), ("Voodoo", ""),
    ],
)  # fmt: skip
def test_spellings_of_gpus(spelled: str, gpu: str) -> None:
    assert gpu_name(spelled) == gpu


def test_providers_and_regions_of_clouds() -> None:
    known = {"AMAZON-02": "aws", "Amazon.com, Inc.": "", "Oracle Corporation": "oci", "OVH SAS": "ovh", "Nobody": ""}
    assert {name: catalogue_provider(name) for name in known if name != "Amazon.com, Inc."} == {
        name: at for name, at in known.items() if name != "Amazon.com, Inc."
    }
    assert (
        cloud_region("AWS", "us-east-1") == "us-east-1"
        and cloud_region("Microsoft Azure", "West Europe") == "westeurope"
    )
    assert cloud_region("Nobody", "dc-7") == "dc-7"
    for state in ("England", "Ile-de-France", "california", "Europe", "US", "Frankfurt"):
        assert cloud_region("Oracle", state) == ""


def test_a_state_is_no_region_unless_the_user_says_so(tmp_path: Path) -> None:
    text = "node,provider,country,region,city\na,X,GB,England,London\nb,X,GB,England,Leeds\n"
    table = read(tmp_path, text)
    assert "region" not in table.columns and any("England is no cloud region" in note for note in table.notes)
    assert read(tmp_path, text, mapped={"region": "region"}).columns["region"] == ("X/England", "X/England")


def test_places_in_one_cell(tmp_path: Path) -> None:
    table = read(tmp_path, 'node,provider,coordinates\na,X,"48.85,2.35"\nb,X,"-33.9, 151.2"\n')
    assert table.lat_deg is not None and table.lon_deg is not None
    assert table.lat_deg.tolist() == [48.85, -33.9] and table.lon_deg.tolist() == [2.35, 151.2]
    table = read(tmp_path, "account,data_center_key,active_stake\nA,395201-DE-Fechenheim,7\nB,20326-NL-Amsterdam,5\n")
    assert table.columns["asn"] == ("AS395201", "AS20326") and table.columns["country"] == ("DE", "NL")
    assert table.columns["city"] == ("Fechenheim (DE)", "Amsterdam (NL)")
    assert table.weight is not None and table.weight.tolist() == [7, 5]


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    written_as = {
        "$12.50": "12.50",
        "1,234,567": "1234567",
        "1.234.567,8": "1234567.8",
        "48,85": "48.85",
        "3 EUR": "3",
        "x": "x",
    }
    assert {text: plain_number(text) for text in written_as} == written_as
    table = read(tmp_path, "node;provider;lat;lon;stake\na;X;48,85;2,35;1.000.000,5\nb;X;1;2;7\n")
    assert table.lat_deg is not None and table.lat_deg[0] == 48.85
    assert table.weight is not None and table.weight[0] == 1_000_000.5


def test_repeated_and_missing_names_are_numbered(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider\na,X\na,Y\n,Z\na#2,W\n")
    assert len(set(table.nodes)) == 4 and table.nodes[0] == "a" and table.nodes[2] == "line-4"
    assert any("1 names are there already" in note for note in table.notes) and any(
        "1 nodes have no name" in note for note in table.notes
    )
    table = read(tmp_path, "provider,country\nX,DE\nY,FR\n")
    assert table.nodes == ("node-1", "node-2") and any("are numbered" in note for note in table.notes)


def test_merged_cells_repeat_the_value_above(tmp_path: Path) -> None:
    text = "node,provider,country\na,X,DE\nb,,\nc,,FR\nd,Y,\ne,,US\nf,,\n"
    table = read(tmp_path, text)
    assert table.columns["provider"] == ("X", "X", "X", "Y", "Y", "Y") and table.columns["country"][1] == "DE"
    assert any("4 blank cells repeat the value above" in note for note in table.notes)
    assert read(tmp_path, text, fill=False).missing["provider"] == 4
    scattered = "node,provider,country\na,X,DE\nb,,FR\nc,X,DE\nd,X,DE\ne,X,FR\n"
    assert read(tmp_path, scattered).missing["provider"] == 1
    assert read(tmp_path, scattered, fill=True).missing["provider"] == 0


def test_bad_rows_are_skipped_counted_and_named(tmp_path: Path) -> None:
    rows = [f"n{i},X,DE,{i + 1}" for i in range(8)]
    rows[2], rows[5], rows[6] = "n2,X,DE", "n5,X,DE,-4", "n6,X,DE,many"
    table = read(tmp_path, "\n".join(["node,provider,country,weight", *rows]))
    assert table.nodes == ("n0", "n1", "n3", "n4", "n7")
    [note] = [note for note in table.notes if "skipped" in note]
    assert note.startswith("3 rows skipped:") and "line 4: 3 values" in note and "weight 'many'" in note
    with pytest.raises(ValueError, match="5 bad rows: line 2: weight is empty"):
        read(tmp_path, "node,provider,weight\n" + "a,X,\n" * 5)


def test_a_place_that_is_none_leaves_the_node(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider,lat,lon\na,X,500,1\nb,X,north,2\nc,X,3,3\n")
    assert table.lat_deg is not None and np.isnan(table.lat_deg[:2]).all() and table.lat_deg[2] == 3
    assert any("2 nodes without a usable lat: line 2: lat 500 must be in -90..90" in note for note in table.notes)


def test_a_second_stake_is_hinted_at(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider,weight,active_stake\na,X,1,5\nb,Y,1,7\n")
    assert table.weight is not None and table.weight.sum() == 2
    assert any("active_stake may be a stake and is not used: --weight active_stake" in note for note in table.notes)
    chosen = read(tmp_path, "node,provider,weight,active_stake\na,X,1,5\nb,Y,1,7\n", weight="active_stake").weight
    assert chosen is not None and chosen.sum() == 12


def kubernetes(name: str, zone: str, **labels: str) -> dict[str, object]:
    labels = {"topology.kubernetes.io/region": zone[:-1], "topology.kubernetes.io/zone": zone, **labels}
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"providerID": f"aws:///{zone}/i-1"},
            "status": {"capacity": {"nvidia.com/gpu": "8"}, "nodeInfo": {"osImage": "Ubuntu"}}}  # fmt: skip


def test_an_export_of_kubectl(tmp_path: Path) -> None:
    gpu = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    items = [kubernetes("x", "us-east-1a", **gpu), kubernetes("y", "eu-central-1b", **gpu)]
    path = written(tmp_path, json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), "nodes.json")
    table = read_node_table(path)
    assert table.columns["region"] == ("aws/us-east-1", "aws/eu-central-1") and table.columns["provider"] == (
        "aws",
        "aws",
    )
    assert table.columns["facility"] == ("aws/us-east-1a", "aws/eu-central-1b")
    x, y = read_sites(path).sites
    assert (x["country"], y["country"], x["gpu"], x["gpu_count"]) == ("US", "DE", "A100-80GB", 8)
    path = written(tmp_path, json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod"}]}))
    with pytest.raises(ValueError, match="write it by kubectl get nodes -o json"):
        read_node_table(path)


def test_an_export_of_aws(tmp_path: Path) -> None:
    machine = {"InstanceId": "i-1", "InstanceType": "p5.48xlarge", "Placement": {"AvailabilityZone": "us-west-2b"}}
    named = {**machine, "Tags": [{"Key": "Name", "Value": "west"}], "Placement": {"AvailabilityZone": "us-east-2a"}}
    path = written(
        tmp_path, json.dumps({"Reservations": [{"Instances": [machine]}, {"Instances": [named]}]}), "aws.json"
    )
    table = read_node_table(path)
    assert table.nodes == ("i-1", "west") and table.columns["region"] == ("aws/us-west-2", "aws/us-east-2")
    assert [(site["gpu"], site["gpu_count"]) for site in read_sites(path).sites] == [("H100", 8), ("H100", 8)]


def test_an_export_of_terraform(tmp_path: Path) -> None:
    google = {
        "type": "google_compute_instance",
        "name": "g",
        "values": {"name": "gx", "zone": "us-central1-a", "machine_type": "a3-highgpu-8g"},
    }
    hetzner = {
        "type": "hcloud_server",
        "name": "h",
        "values": {"name": "hx", "location": "fsn1", "server_type": "cx22"},
    }
    shown = {
        "terraform_version": "1.9",
        "values": {"root_module": {"resources": [google], "child_modules": [{"resources": [hetzner]}]}},
    }
    table = read(tmp_path, json.dumps(shown))
    assert dict(zip(table.nodes, table.columns["provider"], strict=True)) == {"gx": "gcp", "hx": "hetzner"}
    assert set(table.columns["region"]) == {"gcp/us-central1", "hetzner/fsn1"}
    state = {
        "terraform_version": "1.9",
        "resources": [
            {
                "type": "aws_instance",
                "name": "web",
                "instances": [{"attributes": {"id": "i-9", "availability_zone": "eu-west-1a"}}],
            }
        ],
    }
    assert read(tmp_path, json.dumps(state)).columns["region"] == ("aws/eu-west-1",)
    with pytest.raises(ValueError, match="a Terraform file without machines"):
        read(tmp_path, json.dumps({"terraform_version": "1.9", "values": {"root_module": {"resources": []}}}))


def test_an_export_of_netbox(tmp_path: Path) -> None:
    text = "Name,Status,Tenant,Site,Location,Rack\ng0,Active,t,DC1,Hall 1,R0\ng1,Active,t,DC1,Hall 2,R1\ng2,Active,t,FR5,,R2\n"
    table = read(tmp_path, text)
    assert table.columns == {"facility": ("DC1", "DC1", "FR5")}
    assert any("Tenant is not used: --map 'Tenant=provider'" in note for note in table.notes)
    with pytest.raises(ValueError, match=r"no column 'provider'.*no column 'country'.*Tenant=provider"):
        read_sites(written(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "save the sheet as CSV"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\x1f\x8b\x08", "is compressed: unpack it"),
        (b"PAR1....", "is a Parquet file"),
        ("", "the file is empty"),
        ("[]", "the JSON holds no list of nodes"),
        ('{"node": ', "not JSON"),
        ("[" * 100_000, "nested too deep"),
        ("node,provider\n", "a header but no nodes"),
        ("node,provider\nTotal,3\n", "a header but no nodes: line 2: 'Total' is no node"),
        ("node,colour\na,red\n", "no column names a dependency"),
        ("node,provider\na,TBD\nb,None\n", "say nothing of any node"),
        ("node,provider,provider\na,b,c\n", "two columns are called 'provider'"),
        ('node,provider\na,"x\n', "not a CSV table"),
        ("node,provider\na,x\0y\n", "line 2: not a text file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_the_way_out(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value) and "fleet.csv" in str(raised.value)


def test_all_that_is_wrong_with_a_map_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column 'own' .*cannot map 'city' to 'provder' .nearest valid: provider"):
        read(tmp_path, PLAIN, mapped={"own": "provider", "city": "provder"})


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, "node,provider,country,city\na,X,DE,München\n".encode("cp1252"))
    assert table.columns["city"] == ("München (DE)",) and "not UTF-8: read as Windows-1252" in table.notes
