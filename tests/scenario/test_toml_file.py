"""Files that cannot be scenarios are refused in one line."""

from __future__ import annotations

from pathlib import Path

from tests.cases.scenario_tables import complaint, with_


def test_two_million_sites_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    path.write_text("sites = [" + '"equinix/am",' * 2_000_000 + "]")
    assert "bytes are too many for a scenario" in complaint(path)
    complaint(with_(sites=["equinix/am"] * 2_000_000))


def test_files_that_cannot_be_scenarios(tmp_path: Path) -> None:
    cases = {
        "syntax.toml": (b"name = 'x'\nsites = [1,\n= 2\n", "line 3"),
        "twice.toml": (b"name = 'x'\nname = 'y'\n", "line 2"),
        "latin.toml": (b"name = '\xe9'\n", "is not UTF-8 text (byte 8)"),
        "deep.toml": (b"a = " + b"[" * 5000 + b"]" * 5000, "deep"),
        "digits.toml": (b"a = " + b"1" * 5000, "TOML"),
        "empty.toml": (b"", "sites: is missing"),
    }
    for name, (raw, expected) in cases.items():
        path = tmp_path / name
        path.write_bytes(raw)
        message = complaint(path)
        assert message.startswith(f"{path}: ")
        assert expected in message
    assert complaint(tmp_path) == f"{tmp_path}: is a directory, not a scenario file"
    assert complaint(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: no such file"
    assert "is a device, not a scenario file" in complaint("/dev/zero")
