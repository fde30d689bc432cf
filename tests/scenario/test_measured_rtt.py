"""Measured round trips from a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_env.scenario import catalog
from og_env.scenario.measured_rtt import load_rtt_csv, located


def test_measured_matrix_is_read_by_pair(tmp_path: Path) -> None:
    path = tmp_path / "rtt.csv"
    path.write_text("src,dst,rtt_ms,source\na,b,12.5,x\nb,a,13,y\n", encoding="utf-8")
    assert load_rtt_csv(path) == {("a", "b"): 12.5, ("b", "a"): 13.0}


def test_a_provider_column_names_the_catalogue_s_sites(tmp_path: Path) -> None:
    path = tmp_path / "rtt.csv"
    path.write_text("provider,src,dst,rtt_ms\naws,a,b,12.5\nazure,a,b,13\n,c,d,14\n", encoding="utf-8")
    assert load_rtt_csv(path) == {("aws/a", "aws/b"): 12.5, ("azure/a", "azure/b"): 13.0, ("c", "d"): 14.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("src,dst\na,b\n", "no column 'rtt_ms' (needs src, dst, rtt_ms)"),
        ("", "the file is empty"),
        ("src,dst,rtt_ms\na,b,fast\n", "line 2: rtt_ms 'fast' is not a number"),
        ("src,dst,rtt_ms\na,b,1\na,c,-3\n", "line 3: rtt_ms -3 must be above 0"),
        ("src,dst,rtt_ms\na,b,nan\n", "line 2: rtt_ms nan must be above 0"),
        ("src,dst,rtt_ms\na,b\n", "line 2: 2 values, but the header has 3 columns"),
        ("src,dst,rtt_ms\na,,5\n", "line 2: src or dst is empty"),
        ("src,dst,rtt_ms\na,b,5\na,b,6\n", "line 3: a -> b is given twice"),
    ],
)
def test_bad_measured_matrix_is_one_line_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        load_rtt_csv(path)
    assert "\n" not in str(error.value)


def test_missing_measured_matrix_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        load_rtt_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    "content",
    [
        "sending_region,receiving_region,milliseconds\nus-west1,us-east1,66.5\nus-east1,us-west1,66\n",
        "Source Region;Destination Region;Latency ms\nus-west1;us-east1;66,5\nus-east1;us-west1;66\n",
        "from\tto\tp50\nus-west1\tus-east1\t66.5\nus-east1\tus-west1\t66\n",
        '{"src": "us-west1", "dst": "us-east1", "rtt": 66.5}\n{"src": "us-east1", "dst": "us-west1", "rtt": 66}\n',
        ",us-west1,us-east1\nus-west1,0,66.5\nus-east1,66,-\n",
        "region,us-west1,us-east1\nus-west1,,66.5\nus-east1,66,\n",
    ],
)
def test_other_shapes_are_read_too(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rtt"
    path.write_text(content, encoding="utf-8")
    assert load_rtt_csv(path) == {("us-west1", "us-east1"): 66.5, ("us-east1", "us-west1"): 66.0}


def test_columns_are_named_by_a_map(tmp_path: Path) -> None:
    path = tmp_path / "rtt.csv"
    path.write_text("a,b,how_long\nx,y,3\n", encoding="utf-8")
    assert load_rtt_csv(path, {"a": "src", "b": "dst", "how_long": "rtt_ms"}) == {("x", "y"): 3.0}
    with pytest.raises(ValueError, match=re.escape("--map a=source: can be mapped: src, dst, rtt_ms, provider")):
        load_rtt_csv(path, {"a": "source"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (",a,b\na,1,2\na,2,3\n", "line 3: two rows are called 'a'"),
        (",a,b\na,1,far\nb,2,3\n", "line 2: a -> b 'far' is not a number"),
        (",a,b\na,1,-2\nb,2,3\n", "line 2: a -> b -2 must be above 0"),
    ],
)
def test_a_bad_matrix_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        load_rtt_csv(path)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (("us-east-1", "eu-west-1"), ("aws/us-east-1", "aws/eu-west-1")),
        (("us-west1", "europe-west4"), ("gcp/us-west1", "gcp/europe-west4")),
        (("West Europe", "East US 2"), ("azure/westeurope", "azure/eastus2")),
        (("westeurope", "tokyo"), ("azure/westeurope", "tokyo")),
        (("a", "b"), ("a", "b")),
    ],
)
def test_regions_are_known_by_name_alone(names: tuple[str, str], places: tuple[str, str]) -> None:
    known = catalog.site_offers().keys() | catalog.regions().keys()
    assert located({names: 5.0}, known) == {places: 5.0}
