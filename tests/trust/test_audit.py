"""The audit of a fleet agrees with the figures it is made of."""

from __future__ import annotations

import pytest

from og_env.trust import audit, fleet_n_eff, pair_sums, quorum_downtime
from tests.cases.small_fleets import KINDS, large_fleet


def test_the_audit_has_the_promised_keys_and_agrees_with_its_parts():
    fleet = large_fleet(n=40)
    result = audit(fleet, kind_of={kind: kind for kind in KINDS}, missing={"grid": 0}, top=3)
    assert result["nodes"] == 40 and result["n_eff"] == pytest.approx(fleet_n_eff(fleet))
    for kind in KINDS:
        assert set(result["kinds"][kind]) >= {"top", "hhi", "effective", "nakamoto", "missing"}
        assert set(result["kinds"][kind]["nakamoto"]) == {"1/3", "1/2", "2/3"}
        assert len(result["kinds"][kind]["top"]) == 3
    assert set(result["quorum"]) >= {"n1_survives", "n2_survives", "hours_per_year_without", "standard_error"}
    assert len(result["marginal"]) == 40
    assert sum(entry["shapley"] for entry in result["marginal"]) == pytest.approx(result["n_eff"])
    useless = sum(entry["n_eff"] <= 0 for entry in result["marginal"])
    assert result["count_only"]["nodes"] == useless


def test_a_fleet_is_grouped_into_types_once_and_what_is_left_of_it_once(monkeypatch):
    grouped = []

    def counted(fleet):
        grouped.append(len(fleet.nodes))
        return group(fleet)

    group = pair_sums.node_types
    monkeypatch.setattr(pair_sums, "node_types", counted)
    monkeypatch.setattr(quorum_downtime, "node_types", counted)
    result = audit(large_fleet(n=40), kind_of={kind: kind for kind in KINDS})
    assert grouped == [40, 40 - result["count_only"]["nodes"]]
