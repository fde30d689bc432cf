"""Damage to files: bytes that no reader expects, and words that no terminal should see."""

from __future__ import annotations

import numpy as np

ODD_WORDS = (
    "", " ", "-", "nan", "inf", "1e400", "-1", "0", "1e300", "9" * 400, "x" * 3000, "\x1b[31m", "a,b", '"', "=1+1", "\u202e",
    "<b>", "|", "é", "\x00", "../../x", "NULL", "0x10", "1_000", "\uff11",
)  # fmt: skip


def odd(rng: np.random.Generator, usual: str, bad: float) -> str:
    """The usual word, or with probability `bad` an odd one."""
    return ODD_WORDS[rng.integers(len(ODD_WORDS))] if rng.random() < bad else usual


def damaged(rng: np.random.Generator, raw: bytes, bad: float) -> bytes:
    """The bytes, damaged with probability `bad`."""
    if rng.random() >= bad or not raw:
        return raw
    at = int(rng.integers(len(raw)))
    variants = (
        raw[:at],
        b"",
        b"\xef\xbb\xbf" + raw,
        raw.decode(errors="replace").encode("utf-16"),
        raw.decode(errors="replace").encode("utf-16-be"),
        raw[:at] + b"\0" + raw[at:],
        raw[:at] + b"\xff\xfe" + raw[at:],
        raw.replace(b"\n", b"\r"),
        raw.replace(b",", b";"),
        raw[:at] + bytes(rng.integers(0, 256, 20, np.uint8)) + raw[at:],
    )
    return variants[rng.integers(len(variants))]
