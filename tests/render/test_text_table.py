"""The table of sites in a terminal."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import DOWN, FROZEN
from og_env.render import table
from og_env.render.text_table import figures, state_word
from tests.cases.four_sites import NAMES, view_with


def test_table_has_a_line_for_each_site() -> None:
    lines = table(view_with(status=np.array([0, DOWN | FROZEN, 0, 0], np.uint8))).splitlines()
    assert lines[0] == "four   step 7 of 288   00:00 UTC"
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(NAMES)}
    assert list(rows) == list(NAMES)
    assert rows["aws/virginia"][1:] == ["ok", "V-G", "3", "0", "50.0%", "##########"]
    assert rows["hetzner/falkenstein"][1:5] == ["DOWN+", "VS-", "1", "1"]
    assert "served 97.2%" in lines[1] and any("answer 1.43 s" in line for line in lines)
    assert "new-york 70 via aws/virginia" in lines[-1]


def test_table_of_a_large_fleet_shows_trouble_and_traffic() -> None:
    count_sites = 200
    share = np.zeros(count_sites)
    share[150] = 1.0
    status = np.zeros(count_sites, np.uint8)
    status[199] = DOWN
    large = view_with(
        site_names=tuple(f"site-{number}" for number in range(count_sites)),
        status=status,
        grey=np.zeros(count_sites, bool),
        blind=np.zeros(count_sites, bool),
        share=share,
        warm=np.zeros(count_sites, int),
        loading=np.zeros(count_sites, int),
        roles=np.zeros((3, count_sites), bool),
    )
    text = table(large)
    assert "site-150 " in text
    assert "site-199 " in text
    assert "... and 168 more" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_network_that_serves_nothing_shows_no_figures_of_what_it_serves() -> None:
    alive = view_with()
    empty = {"served_share": 0.0, "verified_share": 1.0, "latency_p95_ms": 0.0, "exposure": 0.0, "n_eff": 0.0}
    shown = dict(figures(alive._replace(metrics=alive.metrics | empty)))
    assert shown["served"] == "0.0%"
    assert {shown[name] for name in ("verified", "in time", "first token", "p95", "exposure", "n_eff")} == {"-"}


def test_grey_and_blind_sites_are_named_so() -> None:
    marked = view_with(
        status=np.array([0, 0, 0, DOWN], np.uint8),
        grey=np.array([True, False, True, False]),
        blind=np.array([False, True, True, True]),
    )
    assert [state_word(marked, site) for site in range(4)] == ["grey", "blind", "grey+", "DOWN+"]
    assert "hetzner/falkenstein  blind " in table(marked)
