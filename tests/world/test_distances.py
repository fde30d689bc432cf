"""Round-trip times: modelled, and measured where a file says so."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from og_env.scenario import loading
from og_env.world import compile_world
from tests.cases.compiled_worlds import compiled

EQUATOR_KM_PER_DEGREE = 2 * math.pi * 6371 / 360


RTT_CSV = Path(__file__).parents[3] / "shared" / "data" / "rtt" / "cloud_interregion_rtt.csv"


def test_toy_distances() -> None:
    arrays = compiled().arrays
    far = [9.5 + 0.01516 * EQUATOR_KM_PER_DEGREE * degrees for degrees in (9, 18, 27)]
    rtt_ms = [[0.5, far[0], far[2]], [far[0], 0.5, far[1]], [far[2], far[1], 0.5]]
    assert np.allclose(arrays.rtt_ms[0], rtt_ms, atol=1e-3)
    assert np.allclose(arrays.rtt_user_ms[0, 0], [3.6, far[0], far[2]], atol=1e-3)
    assert arrays.near_site[0].tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
    assert arrays.near_user[0].tolist() == [[0, 1, 2]]


def test_a_payment_takes_the_way_to_the_facilitator_and_a_check() -> None:
    at_b = {"facilitator_lat_deg": 0.0, "facilitator_lon_deg": 19.0, "facilitator_country": "CD", "verify_s": 0.25}
    payment = compiled(payment=at_b | {"mode": "x402"}).arrays.payment_ms[0]
    far = [9.5 + 0.01516 * EQUATOR_KM_PER_DEGREE * degrees for degrees in (9, 18)]
    assert np.allclose(payment, [250 + far[0], 250 + 3.6, 250 + far[1]], atol=1e-3)
    assert not compiled(payment=at_b).arrays.payment_ms.any(), "paid beforehand"
    usual = compiled("global-24", payment__mode="x402")
    ashburn = [site.city == "Ashburn" for site in usual.resolved.sites]
    assert np.allclose(usual.arrays.payment_ms[0, ashburn], 350 + 3.6, atol=2) and any(ashburn)
    assert usual.arrays.payment_ms[0].max() > 500


def test_measured_round_trips_replace_modelled_ones(tmp_path: Path) -> None:
    table = tmp_path / "rtt.csv"
    table.write_text("src,dst,rtt_ms\na,b,7\nc,b,99\na,a,3\nc,users,12\n", encoding="utf-8")
    plain, measured = compiled(), compiled(network__rtt_csv=str(table))
    rtt_ms = measured.arrays.rtt_ms[0]
    assert (rtt_ms[0, 1], rtt_ms[1, 0], rtt_ms[1, 2], rtt_ms[2, 1], rtt_ms[0, 0]) == (7, 7, 99, 99, 0.5)
    assert rtt_ms[0, 2] == plain.arrays.rtt_ms[0, 0, 2]
    assert measured.arrays.rtt_user_ms[0, 0, 2] == 12
    assert measured.arrays.rtt_user_ms[0, 0, 1] == plain.arrays.rtt_user_ms[0, 0, 1]
    assert measured.arrays.near_site[0, 2].tolist() == [2, 0, 1]
    table.write_text("src,dst,rtt_ms\na,b,8.5\n", encoding="utf-8")
    assert compiled(network__rtt_csv=str(table)).arrays.rtt_ms[0, 0, 1] == 8.5


def test_a_second_site_of_a_region_has_its_measurements(tmp_path: Path) -> None:
    table = tmp_path / "rtt.csv"
    table.write_text("src,dst,rtt_ms\na,b,7\nb,b,1.5\n", encoding="utf-8")
    tables = loading.load("toy-3").model_dump()
    copy = {**tables["sites"][1], "name": "b#2"}
    tables["sites"] = (*tables["sites"], copy)
    tables["network"]["rtt_csv"] = str(table)
    rtt_ms = compile_world(loading.resolve(loading.load(tables))).arrays.rtt_ms[0]
    assert (rtt_ms[0, 3], rtt_ms[1, 3], rtt_ms[3, 3]) == (7, 1.5, 0.5)


@pytest.mark.skipif(not RTT_CSV.is_file(), reason=f"no measurements at {RTT_CSV}")
def test_the_recorded_matrix_gives_a_cloud_its_round_trips() -> None:
    tables = loading.load("one-cloud").model_dump()
    plain = compile_world(loading.resolve(loading.load(tables)))
    tables["network"]["rtt_csv"] = str(RTT_CSV)
    measured = compile_world(loading.resolve(loading.load(tables)))
    of_aws = np.array([site.provider == "aws" for site in measured.resolved.sites])
    changed = plain.arrays.rtt_ms[0] != measured.arrays.rtt_ms[0]
    np.fill_diagonal(changed, True)
    assert of_aws.sum() == 13 and changed[np.ix_(of_aws, of_aws)].mean() > 0.9
    assert not changed[np.ix_(~of_aws, of_aws)].any()


def test_a_scenario_s_own_distance_model_is_used() -> None:
    flat = {"near_ms": 4.0, "near_ms_per_km": 0.0, "far_ms": 4.0, "far_ms_per_km": 0.0, "pair_factors": {"AF-AF": 2.5}}
    world = compiled(network__distance=flat)
    assert world.arrays.rtt_ms[0, 0].tolist() == [0.5, 10, 10]
    assert world.arrays.rtt_user_ms[0, 0].tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"EU-XX": 1.0}, "'EU-XX' is not a pair of AF"),
        ({"EU-NA": 1.0, "NA-EU": 1.1}, "'NA-EU' is given in both orders"),
    ],
)
def test_a_wrong_pair_of_continents_is_one_line(factors: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"network.distance: pair_factors: {message}"):
        compiled(network__distance={"pair_factors": factors})
