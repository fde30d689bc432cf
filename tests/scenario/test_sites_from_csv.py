"""Sites from a table of nodes: what is given stands, what is missing comes from the catalogue and is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_env.scenario import catalog
from og_env.scenario.sites_from_csv import read_sites
from og_env.scenario.specs import SiteSpec

FULL = (
    "node,provider,region,country,city,lat,lon,grid,transit,tee_vendor,host_class,gpu,gpus,usd_per_gpu_hour,usd_per_vm_hour,"
    "link_gbps,disk_gb_per_s,egress_usd_per_gb,facility,image,facilitator,upstream,runs\n"
    "a,P,west,GA,Ndjole,0,10,A,carrier,nitro,home,L4,3,0.5,0.1,8,1,0.2,cellar,disk,registry,vendor,"
    "llama-3.1-8b-bf16;gateway store\n"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "nodes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_table_says_stands(tmp_path: Path) -> None:
    table = read_sites(written(tmp_path, FULL))
    assert table.sites == (
        {
            "name": "a", "provider": "P", "region": "west", "city": "Ndjole", "country": "GA", "lat_deg": 0.0,
            "lon_deg": 10.0, "grid": "A", "transit": "carrier", "tee_vendor": "nitro", "host_class": "home",
            "gpu": "L4", "gpu_count": 3, "usd_per_gpu_hour": 0.5, "usd_per_vm_hour": 0.1, "link_gbps": 8.0,
            "disk_gb_per_s": 1.0, "egress_usd_per_gb": 0.2, "image": "disk", "facility": "cellar",
            "facilitator": "registry", "upstream": "vendor",
        },
    )  # fmt: skip
    assert table.filled == {} and table.unused == ()
    assert table.runs == {"llama-3.1-8b-bf16": ("a",), "gateway": ("a",), "store": ("a",)}
    SiteSpec(**table.sites[0])


def test_a_known_provider_is_taken_from_its_nearest_site(tmp_path: Path) -> None:
    known = catalog.site_offers()["aws/eu-central-1"]
    path = written(tmp_path, "node,provider,country,lat,lon,gpu\nx,AWS,DE,50.2,8.6,A10G\n")
    [site] = read_sites(path).sites
    same = ("grid", "transit", "tee_vendor", "host_class", "image", "link_gbps", "usd_per_vm_hour", "egress_usd_per_gb")
    assert [site[name] for name in same] == [getattr(known, name) for name in same]
    assert site["usd_per_gpu_hour"] == dict(known.offers)["A10G"] and site["city"] == "x"


def test_what_nobody_knows_is_shared_with_nobody(tmp_path: Path) -> None:
    path = written(tmp_path, "node,provider,country,city\nx,Nobody,DE,Frankfurt\ny,Nobody,DE,Elsewhere\n")
    table = read_sites(path, gpu="L4", gpu_count=2)
    x, y = table.sites
    assert (x["transit"], x["image"], x["tee_vendor"]) == ("", "", "none")
    assert x["grid"] == "continental-europe" and (x["gpu"], x["gpu_count"]) == ("L4", 2)
    assert (round(x["lat_deg"]), round(x["lon_deg"])) == (50, 9)
    assert table.filled["at its city in the catalogue"] == 1
    assert table.filled["at the middle of its country's catalogue sites"] == 1
    assert table.filled["transit shared with nobody"] == 2 == table.filled["no TEE"]
    assert (x["region"], y["region"]) == ("Frankfurt", "Elsewhere")


def test_a_price_of_use_is_optional(tmp_path: Path) -> None:
    head = "node,provider,country,city,use_usd_per_gpu_hour\n"
    told, untold = read_sites(written(tmp_path, f"{head}x,P,DE,Frankfurt,1.5\ny,P,DE,Frankfurt,\n")).sites
    assert told["use_usd_per_gpu_hour"] == 1.5 and "use_usd_per_gpu_hour" not in untold


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    rows = "".join(f"n{at},P{at},DE,Frankfurt\n" for at in range(20))
    path = written(tmp_path, "node,provider,country,city\n" + rows)
    names = [[site["name"] for site in read_sites(path, sample=5, seed=seed).sites] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2] and len(set(names[0])) == 5
    assert len(read_sites(path, sample=99).sites) == 20


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("node,country", "a,DE", "no column 'provider'; name one with --map COLUMN=provider"),
        (
            "node,provider,country,city",
            "a,P,Atlantis,Frankfurt",
            "line 2: unknown country 'Atlantis' (ISO 3166, e.g. DE)",
        ),
        ("node,provider,country,city", "a,P,XZ,Frankfurt", "line 2: unknown country 'XZ'"),
        ("node,provider,country", "a,P,UM", "the catalogue has no site in UM: add columns lat and lon"),
        ("node,provider,country", "a,P,", "line 2: country is empty, and there are no lat and lon"),
        ("node,facility,country", "a,P,DE", "no column 'provider'; name one with --map COLUMN=provider"),
        ("node,provider,country,gpus,price", "a,P,DE,4,2", "say --price-per node or --price-per gpu"),
        ("node,provider,country,gpu", "a,P,DE,H10", "line 2: unknown gpu 'H10' (nearest valid: H100)"),
        ("node,provider,country,gpus", "a,P,DE,2.5", "line 2: 2.5 GPUs: a whole number up to 64 is wanted"),
        ("node,provider,country,gpus", "a,P,DE,many", "line 2: gpus 'many' is not a number"),
        ("node,provider,country,link_gbps", "a,P,DE,-1", "line 2: link_gbps -1 must be at least 0"),
        ("node,provider,country,tee_vendor", "a,P,DE,tdy", "line 2: unknown tee_vendor 'tdy' (nearest valid: tdx)"),
        ("node,provider,country,runs", "a,P,DE,gatway", "line 2: runs: unknown model or role 'gatway' (nearest valid:"),
        ("node,provider,country,host_class,gpu", "a,P,DE,home,B200", "add a column usd_per_gpu_hour"),
    ],
)
def test_bad_rows_are_one_line(tmp_path: Path, header: str, row: str, message: str) -> None:
    path = written(tmp_path, f"{header}\n{row}\n")
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        read_sites(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_one_bad_row_never_refuses_a_fleet(tmp_path: Path) -> None:
    rows = ["a,P,DE,H100", "b,,DE,H100", "c,P,Atlantis,H100", "d,P,FR,Voodoo", "e,P,FR,L4", "f,P,SK,nvidia l4"]
    table = read_sites(written(tmp_path, "\n".join(["node,provider,country,gpu", *rows])))
    assert [site["name"] for site in table.sites] == ["a", "b", "e", "f"]
    assert table.sites[1]["provider"] == "b" and table.origin["assumed"]["provider"] == ["b"]
    assert table.sites[3]["gpu"] == "L4" and table.filled["at the capital of its country"] == 1
    [note] = [note for note in table.notes if "left out" in note]
    assert "line 4: unknown country 'Atlantis'" in note and "line 5: unknown gpu 'Voodoo'" in note


def test_a_price_says_its_unit(tmp_path: Path) -> None:
    head, row = "node,provider,country,gpus,", "\na,P,DE,4,8\n"
    told = {
        name: read_sites(written(tmp_path, head + name + row)).sites[0]["usd_per_gpu_hour"]
        for name in ("price per node per hour", "usd_per_gpu_hour", "Price per GPU hour", "price/GPU/h")
    }
    assert told["price per node per hour"] == 2 and told["usd_per_gpu_hour"] == 8
    path = written(tmp_path, head + "price" + row)
    assert read_sites(path, price_per="node").sites[0]["usd_per_gpu_hour"] == 2
    assert read_sites(path, price_per="gpu").sites[0]["usd_per_gpu_hour"] == 8
    one_gpu = written(tmp_path, head + "price" + "\na,P,DE,1,8\n")
    assert read_sites(one_gpu).sites[0]["usd_per_gpu_hour"] == 8


@pytest.mark.parametrize("bad", [5, 6])
def test_of_many_bad_rows_the_first_five_are_told_and_how_many_there_are(tmp_path: Path, bad: int) -> None:
    rows = [f"n{number},P,Atlantis" for number in range(bad)]
    with pytest.raises(ValueError, match="line 2: unknown country 'Atlantis'") as raised:
        read_sites(written(tmp_path, "\n".join(["node,provider,country", *rows])))
    assert str(raised.value).count("Atlantis") == 5
    assert ("6 such rows" in str(raised.value)) == (bad == 6) and "5 such rows" not in str(raised.value)


def test_half_a_place_is_none(tmp_path: Path) -> None:
    table = read_sites(written(tmp_path, "node,provider,country,city,lat,gpu\nx,Nobody,DE,Frankfurt,1.5,L4\n"))
    assert round(table.sites[0]["lat_deg"]) == 50 and table.filled["at its city in the catalogue"] == 1
