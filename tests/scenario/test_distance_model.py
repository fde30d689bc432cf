"""Distances and round trips: known distances, the fitted lines, measured matrices, and the fit against measurements."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from og_env.scenario import catalog, distance_model

RTT_CSV = Path(__file__).parents[3] / "shared" / "data" / "rtt" / "cloud_interregion_rtt.csv"
LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((0, 0), (0, 90), np.pi / 2 * 6371),
        ((0, 0), (0, 180), np.pi * 6371),
        ((90, 17), (-90, -5), np.pi * 6371),
        ((51.51, -0.13), (40.71, -74.01), 5570),
        ((-33.87, 151.21), (35.69, 139.69), 7826),
        ((10, 179.5), (10, -179.5), 109.5),
        ((12, 34), (12, 34), 0),
    ],
)
def test_great_circle_distances_that_are_known(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    assert float(distance_model.great_circle_km(*a, *b)) == pytest.approx(km, rel=0.002, abs=0.1)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_great_circle_is_symmetric_and_within_half_the_globe(
    lat_a: float, lon_a: float, lat_b: float, lon_b: float
) -> None:
    there = float(distance_model.great_circle_km(lat_a, lon_a, lat_b, lon_b))
    assert there == pytest.approx(float(distance_model.great_circle_km(lat_b, lon_b, lat_a, lon_a)), abs=1e-6)
    assert 0 <= there <= np.pi * distance_model.EARTH_RADIUS_KM + 1e-6


def test_great_circle_broadcasts() -> None:
    assert distance_model.great_circle_km(np.zeros((4, 1)), 0.0, 0.0, np.arange(3.0)).shape == (4, 3)


def test_distance_model_is_the_two_lines_joined_without_a_step() -> None:
    assert distance_model.distance_rtt_ms(0) == pytest.approx(3.6)
    assert distance_model.distance_rtt_ms(400) == pytest.approx(3.6 + 0.020 * 400)
    assert distance_model.distance_rtt_ms(8000) == pytest.approx(9.5 + 0.01516 * 8000)
    distance = np.arange(0.0, 2000.0, 0.5)
    steps = np.diff(distance_model.distance_rtt_ms(distance))
    assert (steps > 0).all()
    assert steps.max() < 0.04 * 0.5, "a step larger than 0.04 ms/km is a jump"


def test_another_model_s_coefficients_are_used() -> None:
    model = distance_model.DistanceModel(1.0, 0.01, 2.0, 0.02, {("NA", "EU"): 1.5})
    ms = distance_model.rtt_matrix_ms([0.0], [0.0], ["EU"], [0.0, 0.0], [90.0, 1.0], ["NA", "EU"], model)
    km = np.pi / 2 * 6371
    assert ms[0] == pytest.approx([1.5 * (2 + 0.02 * km), 1 + 0.01 * km / 90])


def test_matrix_is_factor_times_model_and_symmetric() -> None:
    lat, lon, continent = [52.5, 40.7, 25.3, 35.7], [13.4, -74.0, 55.3, 139.7], ["EU", "NA", "ME", "AS"]
    rtt = distance_model.rtt_ms(lat, lon, continent)
    assert rtt.shape == (4, 4)
    assert rtt.dtype == np.float64
    np.testing.assert_array_equal(rtt, rtt.T)
    distance = distance_model.great_circle_km(52.5, 13.4, 40.7, -74.0)
    assert rtt[0, 1] == pytest.approx(0.96 * (9.5 + 0.01516 * float(distance)))
    assert rtt[1, 2] == pytest.approx(
        float(distance_model.distance_rtt_ms(distance_model.great_circle_km(40.7, -74.0, 25.3, 55.3)))
    )
    assert distance_model.rtt_matrix_ms(lat, lon, continent, lat[:2], lon[:2], continent[:2]).shape == (4, 2)
    np.testing.assert_array_equal(
        distance_model.rtt_matrix_ms(lat, lon, continent, lat[:2], lon[:2], continent[:2]), rtt[:, :2]
    )


def test_an_unknown_continent_is_named() -> None:
    with pytest.raises(ValueError, match="unknown continent 'XX'"):
        distance_model.rtt_ms([0.0], [0.0], ["XX"])


def _model_against_measured(provider: str) -> tuple[np.ndarray, np.ndarray]:
    """Modelled and measured ms of every ordered pair of this provider's catalogue regions."""
    if not RTT_CSV.exists():
        pytest.skip(f"no measurements at {RTT_CSV}")
    sites = {site.region: site for site in catalog.sites() if site.provider == provider}
    rows = csv.DictReader(RTT_CSV.read_text(encoding="utf-8").splitlines())
    pairs = [
        (sites[row["src"]], sites[row["dst"]], float(row["rtt_ms"]))
        for row in rows
        if row["provider"] == provider and row["src"] != row["dst"] and {row["src"], row["dst"]} <= set(sites)
    ]
    model = [
        distance_model.rtt_matrix_ms(a.lat_deg, a.lon_deg, [a.continent], b.lat_deg, b.lon_deg, [b.continent])[0, 0]
        for a, b, _ in pairs
    ]
    return np.array(model), np.array([ms for _, _, ms in pairs])


@pytest.mark.parametrize(("provider", "least_pairs"), [("aws", 950), ("azure", 2000)])
def test_model_is_within_16_percent_of_measured_round_trips(provider: str, least_pairs: int) -> None:
    model, measured = _model_against_measured(provider)
    assert len(measured) >= least_pairs
    mape = np.mean(np.abs(model - measured) / measured)
    print(f"{provider}: {len(measured)} pairs, mean absolute percentage error {mape:.1%}")
    assert mape <= 0.16
    log_residual = np.log(measured / model)
    assert abs(np.median(log_residual)) < 0.06, "the model is biased"
    assert np.std(log_residual) < 0.27
