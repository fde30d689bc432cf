"""One reader of CSV files: what it understands, and the line that a file which is no table gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from og_env.scenario import csv_file
from og_env.scenario.csv_file import number_in, read_csv, read_records


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x y\n\n3,z\n",
        b"\xef\xbb\xbfa,b\r\n1,x y\r\n , \r\n3,z",
        b"a,b\r1,x y\r\r3,z\r",
        b' a , "b"\n"1",x y \n\n3,"z"\n',
    ],
)
def test_spreadsheets_write_the_same_table_in_many_ways(tmp_path: Path, content: bytes) -> None:
    table = read_csv(written(tmp_path, content))
    assert table.columns == ("a", "b")
    assert list(table.rows) == [(2, ["1", "x y"]), (4, ["3", "z"])]


def test_a_quoted_cell_holds_commas_quotes_and_lines(tmp_path: Path) -> None:
    path = written(tmp_path, b'a,b\n"x, ""y""\nz",2\n3,4\n')
    assert list(read_records(path)) == [(3, {"a": 'x, "y" z', "b": "2"}), (4, {"a": "3", "b": "4"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; it needs a header and rows"),
        (b"\n \n", "the file is empty; it needs a header and rows"),
        (b"a,b,a\n", "line 1: two columns are called 'a'"),
        (b"a,c\n1,2\n", "no column 'b' (needs a, b)"),
        (b"a;b\n1;2\n", "no column 'a' (is it separated by something else than commas?) (needs a, b)"),
        (b"a,b\n1,2\n1\n", "line 3: 1 values, but the header has 2 columns"),
        (b"a,b\n1,2,3\n", "line 2: 3 values, but the header has 2 columns"),
        (b'a,b\n"1,2\n', "line 2: not a CSV table: unexpected end of data"),
        (b'a,b\n"1"2,3\n', "line 2: not a CSV table: ',' expected after '\"'"),
        (b"a,b\n1,\xff\n", "line 2: not a text file in UTF-8 (byte 0xff)"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"a,b\n1,\0\n", "line 2: not a text file (it holds a zero byte)"),
        (b"a,b\n1," + b"x" * 1_000_000, "line 2: longer than 1,000,000 bytes"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        list(read_csv(path, ("a", "b")).rows)
    assert "\n" not in str(error.value)


def test_a_file_that_is_too_large_or_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is a directory, not a CSV file"):
        read_csv(tmp_path)
    monkeypatch.setattr(csv_file, "MAX_FILE_BYTES", 8)
    with pytest.raises(ValueError, match=r"table\.csv: 12 bytes are too many for a CSV file \(at most 8\)"):
        list(read_csv(written(tmp_path, b"a,b\n1,2\n3,4\n")).rows)


def test_a_number_is_finite_and_in_its_range() -> None:
    assert number_in("f", 2, "x", "1e3", low=0) == 1000
    cases = [
        ("many", {}, "f: line 2: x 'many' is not a number"),
        ("", {}, "f: line 2: x '' is not a number"),
        ("nan", {}, "f: line 2: x nan must be a finite number"),
        ("-1", {"low": 0}, "f: line 2: x -1 must be at least 0"),
        ("91", {"low": -90, "high": 90}, "f: line 2: x 91 must be in -90..90"),
        ("0", {"above": 0}, "f: line 2: x 0 must be above 0"),
    ]
    for text, bounds, message in cases:
        with pytest.raises(ValueError, match=f"^{message}$"):
            number_in("f", 2, "x", text, **bounds)
