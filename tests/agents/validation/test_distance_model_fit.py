"""The fit of the distance model: it finds what made the data, and holds on a provider that it has not seen."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from og_agents.validation import distance_model_fit
from og_env.scenario import catalog
from og_env.scenario.backbone import BACKBONE, BackboneModel, backbone_matrix_ms
from og_env.scenario.distance_model import SHIPPED, DistanceModel, rtt_matrix_ms
from og_env.scenario.specs import BackboneSpec, DistanceSpec

RTT_CSV = Path(__file__).parents[4] / "shared" / "data" / "rtt" / "cloud_interregion_rtt.csv"
TRUE = DistanceModel(2.0, 0.03, 12.0, 0.014, {("EU", "NA"): 1.4, ("EU", "EU"): 1.0, ("NA", "NA"): 0.8})


def matrix(path: Path, outliers: int = 0) -> Path:
    """Round trips by TRUE between the AWS regions of Europe and North America, the first few of them tenfold."""
    sites = [site for site in catalog.sites() if site.provider == "aws" and site.continent in ("EU", "NA")]
    columns = [s.lat_deg for s in sites], [s.lon_deg for s in sites], [s.continent for s in sites]
    ms = rtt_matrix_ms(*columns, *columns, TRUE)
    lines = [
        f"aws,{a.region},{b.region},{ms[i, j]:.6f}"
        for i, a in enumerate(sites)
        for j, b in enumerate(sites)
        if i != j
    ]  # fmt: skip
    for k in range(outliers):
        lines[k * 7] = lines[k * 7].rsplit(",", 1)[0] + ",900"
    path.write_text("provider,src,dst,rtt_ms\n" + "\n".join([*lines, "aws,nowhere,eu-west-1,5"]) + "\n")
    return path


@pytest.mark.parametrize("outliers", [0, 8])
def test_the_fit_finds_the_model_in_spite_of_outliers(tmp_path: Path, outliers: int) -> None:
    pairs = distance_model_fit.load_pairs(matrix(tmp_path / "rtt.csv", outliers))
    assert pairs.unknown == ("aws/nowhere",)
    fitted = distance_model_fit.fit_rtt(pairs)
    right = pairs.measured_ms < 900
    assert np.median(np.abs(distance_model_fit.predict_ms(fitted, pairs) / pairs.measured_ms - 1)[right]) < 0.01
    ratio = fitted.pair_factors["EU", "NA"] / fitted.pair_factors["NA", "NA"]
    assert ratio == pytest.approx(1.4 / 0.8, rel=0.03)
    assert distance_model_fit.mape(TRUE, pairs) < distance_model_fit.mape(SHIPPED, pairs)


def test_the_fragment_is_the_model(tmp_path: Path) -> None:
    tables = tomllib.loads("\n".join(distance_model_fit.fragment(TRUE)))
    model = DistanceSpec.model_validate(tables["network"]["distance"]).model()
    assert model == TRUE


def test_a_backbone_fragment_is_the_model() -> None:
    model = BackboneModel(1.0, 0.03, 9.0, 0.012)
    network = tomllib.loads("\n".join(distance_model_fit.fragment(model)))["network"]
    assert network["kind"] == "backbone" and BackboneSpec.model_validate(network["backbone"]).model("backbone") == model


def hub_matrix(path: Path, spoil: float = 0.0) -> Path:
    """Round trips over the hubs between AWS regions, each off by a random factor."""
    sites = [site for site in catalog.sites() if site.provider == "aws"]
    columns = [s.lat_deg for s in sites], [s.lon_deg for s in sites]
    ms = backbone_matrix_ms(*columns, *columns, BackboneModel(1.0, 0.03, 9.0, 0.014))
    ms = ms * np.exp(spoil * np.random.default_rng(0).standard_normal(ms.shape))
    pairs = [(i, j) for i in range(len(sites)) for j in range(len(sites)) if i != j]
    rows = "".join(f"{sites[i].region},{sites[j].region},{ms[i, j]:.5f}\n" for i, j in pairs)
    path.write_text("source_region,destination_region,latency_ms\n" + rows)
    return path


def test_the_way_over_hubs_is_found_again_and_chosen(tmp_path: Path) -> None:
    pairs = distance_model_fit.load_pairs(hub_matrix(tmp_path / "rtt.csv"))
    assert set(pairs.provider) == {"aws"} and pairs.unknown == ()
    found = distance_model_fit.candidates(pairs)
    chosen = distance_model_fit.choose(found)
    assert chosen == distance_model_fit.HUBS and found[chosen].left_out < 0.01
    assert tuple(found[chosen].model) == pytest.approx((1.0, 0.03, 9.0, 0.014), rel=0.02)


def test_lines_are_chosen_where_lines_made_the_data(tmp_path: Path) -> None:
    found = distance_model_fit.candidates(distance_model_fit.load_pairs(matrix(tmp_path / "rtt.csv")))
    assert distance_model_fit.choose(found) == distance_model_fit.LINES


def test_what_is_chosen_is_never_worse_than_the_shipped_lines() -> None:
    model, shipped = distance_model_fit.SHIPPED, distance_model_fit.LINES_SHIPPED
    worse = distance_model_fit.Candidate(model, 0.173, 0.05)
    found = {shipped: distance_model_fit.Candidate(model, 0.131, 0.131), distance_model_fit.LINES: worse}
    assert distance_model_fit.choose(found) == shipped
    assert (
        distance_model_fit.choose(found | {distance_model_fit.HUBS: worse._replace(mape=0.13)})
        == distance_model_fit.HUBS
    )


@pytest.mark.parametrize("rounds", [1, 5, 60])
def test_more_rounds_do_not_make_a_fit_worse(tmp_path: Path, rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = distance_model_fit.load_pairs(hub_matrix(tmp_path / "rtt.csv", spoil=0.3))
    monkeypatch.setattr(distance_model_fit, "ROUNDS", rounds)
    few = distance_model_fit.mape(distance_model_fit.fit_rtt(pairs), pairs)
    monkeypatch.setattr(distance_model_fit, "ROUNDS", rounds + 7)
    assert distance_model_fit.mape(distance_model_fit.fit_rtt(pairs), pairs) <= few


def test_continents_that_are_hardly_measured_keep_their_factor(tmp_path: Path) -> None:
    fitted = distance_model_fit.fit_rtt(distance_model_fit.load_pairs(matrix(tmp_path / "rtt.csv")))
    assert fitted.pair_factors["AS", "EU"] == SHIPPED.pair_factors["AS", "EU"]


def test_weighted_median_minimises_weighted_deviations() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=50), rng.uniform(size=50)
    found = distance_model_fit.weighted_median(values, weights)
    costs = [np.sum(weights * np.abs(values - x)) for x in values]
    assert np.sum(weights * np.abs(values - found)) == pytest.approx(min(costs))


def test_lines_do_not_fall_below_zero() -> None:
    km = np.arange(1.0, 50.0)
    a, b = distance_model_fit.least_deviations(km, 100 - km, np.ones(49))
    assert b == 0 and 50 < a < 100
    a, b = distance_model_fit.least_deviations(km, km**2, np.ones(49))
    assert a == 0 and b > 0


def test_too_little_to_fit_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("src,dst,rtt_ms\nus-nowhere-1,us-west-2,60\n")
    with pytest.raises(
        ValueError,
        match=r"few\.csv: 0 pairs of places .* e\.g\. not 'us-nowhere-1'\); a fit needs 20; .* network\.rtt_csv",
    ):
        distance_model_fit.load_pairs(path)


@pytest.mark.skipif(not RTT_CSV.is_file(), reason=f"no measurements at {RTT_CSV}")
def test_hubs_fitted_to_one_provider_are_within_12_percent_on_the_other() -> None:
    pairs = distance_model_fit.load_pairs(RTT_CSV)
    held_out = distance_model_fit.held_out(pairs, distance_model_fit.fit_backbone)
    print(held_out)
    assert set(held_out) == {"aws", "azure"} and max(held_out.values()) <= 0.12
    assert distance_model_fit.mape(BACKBONE, pairs) <= 0.10


@pytest.mark.skipif(not RTT_CSV.is_file(), reason=f"no measurements at {RTT_CSV}")
def test_a_fit_to_one_provider_is_within_16_percent_on_the_other() -> None:
    pairs = distance_model_fit.load_pairs(RTT_CSV)
    held_out = distance_model_fit.held_out(pairs)
    print(held_out)
    assert set(held_out) == {"aws", "azure"} and max(held_out.values()) <= 0.16
    for provider in held_out:
        own = distance_model_fit.select(pairs, pairs.provider == provider)
        assert len(own.km) > 900 and distance_model_fit.mape(SHIPPED, own) <= 0.16
