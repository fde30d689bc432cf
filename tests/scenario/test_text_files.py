"""The doors of files: only regular text is read, whole files are written with the mode that the umask says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from og_env.errors import printable
from og_env.scenario.csv_file import read_csv
from og_env.scenario.json_file import read_json
from og_env.scenario.text_files import open_regular, read_text, write_atomically, write_text
from og_env.scenario.toml_file import read_toml


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "file.txt"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("read", [lambda path: read_text(path, 99), read_toml, read_json, read_csv])
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a directory"),
    ):
        with pytest.raises(ValueError, match=kind):
            read(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert read_text(written(tmp_path, "\ufeffa = 'é'".encode()), 99) == "a = 'é'"
    assert read_toml(written(tmp_path, b"\xef\xbb\xbfa = 1")) == {"a": 1}
    assert read_json(written(tmp_path, b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("a".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        ("a".encode("utf-32"), "is UTF-32 text: save it as UTF-8"),
        (b"a\0b", r"is not a text file \(it holds a zero byte\)"),
        (b"ab\xff", r"is not UTF-8 text \(byte 2\)"),
        (b"a" * 100, r"100 bytes are too many for a text file \(at most 99\)"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, raw: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_text(written(tmp_path, raw), 99)


def test_a_path_that_is_none_is_refused() -> None:
    for path in ("a\0b", "x" * 5000, "x" * 300):
        with pytest.raises(ValueError, match=r"is no path|cannot be read"):
            open_regular(path, 99)


def test_json_has_no_infinite_numbers(tmp_path: Path) -> None:
    for word in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match=f"{word} is no number of JSON"):
            read_json(written(tmp_path, f'{{"a": {word}}}'.encode()))


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_mode_of_the_umask_and_is_whole(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "one\r\ntwo \ud800")
        write_atomically(tmp_path / "b.txt", lambda part: part.touch(mode=0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_bytes() == b"one\r\ntwo ?"
    for name in ("a.txt", "b.txt"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~mask


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "before")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_atomically(tmp_path / "a.txt", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_control_characters_become_blanks() -> None:
    assert printable("a\x1b[31m\nb\u202e\ud800") == "a [31m b  "
    assert printable("é 1") == "é 1"
