"""Limits on how many nodes one provider, country or other dependency may hold, and the domains that break them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from og_env.errors import nearest_valid
from og_env.trust.fleet import Fleet

Json = dict[str, Any]


def limits_from_words(words: list[str]) -> dict[str, float]:
    """Limit by kind from words KIND=N (nodes) or KIND=P% (of the weight, as a number below 0: -P / 100)."""
    limits: dict[str, float] = {}
    for word in words:
        kind, _, most = word.partition("=")
        number = most.removesuffix("%")
        if not kind or not number.replace(".", "", 1).isdigit() or float(number) == 0:
            raise ValueError(f"--limit {word}: write KIND=N or KIND=P%, e.g. provider=1 or country=33%")
        if not most.endswith("%") and "." in number:
            raise ValueError(f"--limit {word}: the number of nodes is whole; a share of the weight ends in %")
        limits[kind] = -float(number) / 100 if most.endswith("%") else float(number)
    return limits


def broken_limits(fleet: Fleet, limits: Mapping[str, float]) -> list[Json]:
    """The domains with more nodes (or a larger share of the weight, for limits below 0) than allowed, the worst first.

    Each has `kind`, `name`, `nodes`, `share` of the weight, `limit` as its words, and `over`, the nodes (or the share) beyond
    it. A node that shares with nobody breaks only a limit on shares, and then by its own name. ValueError for a kind that
    the fleet has not.
    """
    broken: list[Json] = []
    total = float(fleet.weight.sum())
    for kind, most in limits.items():
        if kind not in fleet.kinds:
            raise ValueError(f"--limit: no kind {kind!r} in this fleet{nearest_valid(kind, fleet.kinds)}")
        k = fleet.kinds.index(kind)
        domain = fleet.domain[:, k]
        shared = domain >= 0
        size = len(fleet.names[k])
        nodes = np.bincount(domain[shared], minlength=size)
        share = np.bincount(domain[shared], weights=fleet.weight[shared], minlength=size) / total
        held = [(name, int(nodes[i]), float(share[i])) for i, name in enumerate(fleet.names[k])]
        if most < 0:
            held += [(fleet.nodes[i], 1, float(fleet.weight[i]) / total) for i in np.flatnonzero(~shared)]
        limit = f"{-most:.4g} of the weight" if most < 0 else f"{most:g} nodes"
        for name, count, part in held:
            over = part + most if most < 0 else count - most
            if over > 1e-12:
                entry = {"kind": kind, "name": name, "nodes": count, "share": part, "limit": limit, "over": over}
                broken.append(entry)
    return sorted(broken, key=lambda entry: -entry["over"])
