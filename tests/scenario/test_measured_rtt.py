"""Measured round trips from a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_env.scenario.measured_rtt import load_rtt_csv


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
