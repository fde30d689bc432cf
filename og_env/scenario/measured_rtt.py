"""Read measured round trips: a CSV file with a row for each pair of places."""

from __future__ import annotations

from pathlib import Path

from og_env.scenario.csv_file import number_in, raise_csv_error, read_records

MOST_MS = 1e6
"""longest round trip"""


def load_rtt_csv(path: str | Path) -> dict[tuple[str, str], float]:
    """Measured round trips by (src, dst) from a CSV with columns src, dst, rtt_ms.

    Where the file has a column provider, the names are PROVIDER/SRC and PROVIDER/DST, as the catalogue's sites are named.
    Other columns are ignored. ValueError in one line, with the errors of `csv_file.read_csv`, for an empty name, a time that
    is no number above 0, and a pair that is given twice.
    """
    source, measured = str(path), {}
    for line, row in read_records(path, ("src", "dst", "rtt_ms")):
        src, dst = row["src"], row["dst"]
        if not src or not dst:
            raise_csv_error(source, "src or dst is empty", line)
        if provider := row.get("provider"):
            src, dst = f"{provider}/{src}", f"{provider}/{dst}"
        if (src, dst) in measured:
            raise_csv_error(source, f"{src} -> {dst} is given twice", line)
        measured[src, dst] = number_in(source, line, "rtt_ms", row["rtt_ms"], above=0.0, high=MOST_MS)
    return measured
