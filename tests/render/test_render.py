from __future__ import annotations

import builtins

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN, FROZEN, GATEWAY, METRICS, SLOW, STORE, UNTRUSTED, VERIFIER
from og_env.render import MapView, frame, table, view_of
from og_env.render.land import outlines
from og_env.render.map import HEIGHT_PX, LOOKS, WIDTH_PX, looks
from og_env.render.view import _by_gateway, _flow_rps, _nearest_gateway

NAMES = ("aws/virginia", "hetzner/falkenstein", "latitude/tokyo", "home/sydney")


def view_with(**changes: object) -> MapView:
    """Four sites: the first carries most traffic, the last has nothing; two user regions."""
    roles = np.zeros((3, 4), bool)
    roles[VERIFIER, :3] = roles[STORE, 1] = roles[GATEWAY, [0, 2]] = True
    flow_rps = np.zeros((4, 4))
    flow_rps[0, 0], flow_rps[0, 1], flow_rps[2, 2] = 50.0, 20.0, 30.0
    metrics = dict.fromkeys(METRICS, 0.0) | {"served_share": 0.972, "latency_mean_ms": 1432.0, "sites_down": 1.0}
    view = MapView(
        scenario="four",
        step=7,
        steps=288,
        hour_utc=23.9999,
        site_names=NAMES,
        providers=("aws", "hetzner", "latitude", "home"),
        lat_deg=np.array([38.0, 50.0, 35.0, -34.0]),
        lon_deg=np.array([-78.0, 12.0, 139.0, 151.0]),
        status=np.zeros(4, np.uint8),
        warm=np.array([3, 1, 1, 0]),
        loading=np.array([0, 1, 0, 0]),
        share=np.array([0.5, 0.2, 0.3, 0.0]),
        roles=roles,
        region_names=("new-york", "sydney"),
        region_lat_deg=np.array([40.7, -33.9]),
        region_lon_deg=np.array([-74.0, 151.2]),
        load_rps=np.array([70.0, 30.0]),
        region_gateway=np.array([0, 2]),
        flow_rps=flow_rps,
        metrics=metrics,
    )
    return view._replace(**changes)


def test_frame_is_an_image_that_shows_sites_and_land() -> None:
    image = frame(view_with())
    assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert image.dtype == np.uint8
    for color in (LOOKS[2][1], "#e4e9ee"):
        assert count(image, color) > 200, color


@pytest.mark.parametrize(
    ("status", "look"), [(SLOW, "slow"), (UNTRUSTED, "untrusted"), (FROZEN, "frozen"), (DOWN, "down")]
)
def test_a_struck_site_changes_colour(status: int, look: str) -> None:
    color = next(color for name, color, _, _ in LOOKS if name == look)
    before = frame(view_with())
    struck = frame(view_with(status=np.array([status, 0, 0, 0], np.uint8)))
    assert count(struck, color) > count(before, color) + 50


def test_the_gravest_state_is_shown() -> None:
    status = np.array([DOWN | FROZEN, FROZEN | SLOW, 0, 0], np.uint8)
    names = [LOOKS[number][0] for number in looks(view_with(status=status))]
    assert names == ["down", "frozen", "warm", "no replica"]


def test_traffic_makes_a_site_larger() -> None:
    little = frame(view_with(share=np.array([0.1, 0.1, 0.1, 0.0])))
    much = frame(view_with(share=np.array([0.9, 0.1, 0.1, 0.0])))
    assert count(much, LOOKS[2][1]) > 1.5 * count(little, LOOKS[2][1])


def test_the_same_view_gives_the_same_picture() -> None:
    assert np.array_equal(frame(view_with()), frame(view_with()))


def test_frame_without_gateways_traffic_or_metrics() -> None:
    empty = view_with(
        region_gateway=np.array([-1, -1]),
        flow_rps=np.zeros((4, 4)),
        share=np.zeros(4),
        metrics={},
        load_rps=np.zeros(2),
    )
    assert frame(empty).shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert "no gateway" in table(empty)


def test_frame_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name, name=name)
        return real_import(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"matplotlib is not installed: run `pip install '\.\[train\]'"):
        frame(view_with())


def test_table_has_a_line_for_each_site() -> None:
    lines = table(view_with(status=np.array([0, DOWN | FROZEN, 0, 0], np.uint8))).splitlines()
    assert lines[0] == "four   step 7 of 288   00:00 UTC"
    rows = {line.split()[0]: line.split() for line in lines if line.startswith(NAMES)}
    assert list(rows) == list(NAMES)
    assert rows["aws/virginia"][1:] == ["ok", "V-G", "3", "0", "50.0%", "##########"]
    assert rows["hetzner/falkenstein"][1:5] == ["DOWN+", "VS-", "1", "1"]
    assert any("served 97.2%" in line and "latency 1.43 s" in line for line in lines)
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


def test_outlines_are_closed_rings_on_the_globe() -> None:
    rings = outlines()
    assert len(rings) > 100
    for ring in rings:
        assert ring.shape[1] == 2
        assert len(ring) >= 3
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.abs(ring[:, 1]).max() <= 90


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "land"),
    [(48.9, 2.3, True), (39.0, -100.0, True), (-25.0, 134.0, True), (42.0, 51.0, False), (0.0, -30.0, False)],
    ids=["paris", "kansas", "australia", "caspian", "atlantic"],
)
def test_outlines_tell_land_from_water(lat_deg: float, lon_deg: float, land: bool) -> None:
    assert (sum(crossings(ring, lat_deg, lon_deg) for ring in outlines()) % 2 == 1) == land


def test_flows_recover_a_softmax_router() -> None:
    rng = np.random.default_rng(3)
    distance = rng.uniform(0, 4, (6, 6))
    attraction = np.exp(-distance) * rng.uniform(0.2, 2, 6)
    demand_rps = np.zeros((6, 2))
    demand_rps[[1, 4]] = rng.uniform(5, 20, (2, 2))
    exact = [demand_rps[:, [m]] * attraction / attraction.sum(axis=1, keepdims=True) for m in range(2)]
    served = np.stack([flow.sum(axis=0) for flow in exact])
    assert _flow_rps(demand_rps, served, distance) == pytest.approx(sum(exact), rel=0.02, abs=0.02)


def test_flows_go_only_where_something_is_served() -> None:
    served = np.array([[0.0, 10.0, 0.0], [0.0, 0.0, 0.0]])
    flow = _flow_rps(np.array([[20.0, 5.0], [0.0, 0.0], [0.0, 0.0]]), served, np.ones((3, 3)))
    assert flow == pytest.approx(np.array([[0, 10, 0], [0, 0, 0], [0, 0, 0]]))


def test_regions_use_their_nearest_live_gateway() -> None:
    near_user = np.array([[2, 0, 1, 3], [1, 2, 0, 3]], np.int32)
    assert _nearest_gateway(near_user, np.array([True, False, True])).tolist() == [2, 2]
    assert _nearest_gateway(near_user, np.array([True, False, False])).tolist() == [0, 0]
    assert _nearest_gateway(near_user, np.zeros(3, bool)).tolist() == [-1, -1]
    arriving = _by_gateway(np.array([[1.0], [2.0]]), np.array([-1, 2]), 3)
    assert arriving.tolist() == [[0], [0], [2]]


def test_a_running_environment_is_drawn_from_its_arrays() -> None:
    env = NetworkEnv(scenario="provider-blackout", render_mode="ansi")
    env.reset(seed=0)
    before = env.render()
    for _ in range(100):
        _, _, _, _, info = env.step(1)
    sim = env.simulator
    view = view_of(sim.world_of(0).resolved, sim.world, sim.tape, sim.state, sim.output)
    assert view.step == 100
    assert (view.status & DOWN > 0).sum() == info["sites_down"] > 0
    assert view.warm.sum() == info["replicas_warm"]
    assert view.loading.sum() == info["replicas_loading"]
    assert view.load_rps.sum() == pytest.approx(info["demand_rps"], rel=1e-5)
    assert view.flow_rps.sum() == pytest.approx(info["served_rps"], rel=1e-4)
    assert view.flow_rps.sum(axis=0) / view.flow_rps.sum() == pytest.approx(view.share, abs=1e-4)
    assert before != env.render()
    assert env.render().count("DOWN") == info["sites_down"]
    env.render_mode = "rgb_array"
    assert env.render().shape == (HEIGHT_PX, WIDTH_PX, 3)
    env.close()


def count(image: np.ndarray, color: str) -> int:
    """Pixels that have nearly this colour."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(image.astype(int) - wanted).max(axis=2) <= 6).sum())


def crossings(ring: np.ndarray, lat_deg: float, lon_deg: float) -> int:
    """How often a ray to the east from the point meets the ring."""
    start, end = ring, np.roll(ring, -1, axis=0)
    spans = (start[:, 1] > lat_deg) != (end[:, 1] > lat_deg)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = start[:, 0] + (lat_deg - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    return int((spans & (at > lon_deg)).sum())
