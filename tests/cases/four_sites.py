"""A view of four sites, for tests of the map and the table."""

from __future__ import annotations

import numpy as np

from og_env.kernel.arrays import GATEWAY, METRICS, STORE, VERIFIER
from og_env.render import MapView

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
        grey=np.zeros(4, bool),
        blind=np.zeros(4, bool),
        refused=np.zeros(4),
        steer=np.zeros(4),
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
