"""A live state of a few lines: what it leaves out is filled in from the scenario, and said."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from og_env.scenario import loading
from og_env.scenario.json_file import read_json
from og_env.scenario.key_errors import raise_at_key
from og_env.simulator import WARM
from og_env.simulator.live_state import LiveState
from og_env.world import compile_world

ROLES = ("verifier", "store", "gateway")
"""in the order of the rows of the starting roles"""
NEEDED = ("hour_utc", "demand_rps", "replicas", "roles")


class Completed(NamedTuple):
    """A whole state, and what was filled in."""

    state: LiveState
    assumed: tuple[str, ...]
    """each as one clause"""


def read(path: Path) -> Completed:
    """From a JSON file, as `completed`; a scenario's path is meant relative to the file."""
    value = read_json(path)
    if isinstance(value, dict) and isinstance(value.get("scenario"), str):
        beside = path.parent / value["scenario"]
        if beside.suffix == ".toml" and beside.is_file():
            value = {**value, "scenario": str(beside)}
    return completed(value, str(path))


def completed(value: Any, where: str = "state", now: datetime.datetime | None = None) -> Completed:
    """The state with its missing fields: the clock, the demand expected at this hour, the scenario's starting fleet.

    Only `scenario` is needed. ValueError in one line for what is wrong.
    """
    if not isinstance(value, dict):
        return Completed(LiveState.parse(value, where), ())
    if "scenario" not in value:
        raise_at_key(where, "scenario", "is missing: a name, the path of a TOML file, or its tables")
    state = {"format": 1, **value}
    missing = [key for key in NEEDED if key not in state]
    if not missing:
        return Completed(LiveState.parse(state, where), ())
    LiveState.parse({"hour_utc": 0.0, "demand_rps": {}, "replicas": (), "roles": (), **state}, where)
    assumed = []
    if "hour_utc" in missing:
        clock = now or datetime.datetime.now(datetime.UTC)
        state["hour_utc"] = clock.hour + clock.minute / 60
        assumed.append(f"it is {clock:%H:%M} UTC")
    whole = loading.resolve(loading.load(state["scenario"]))
    arrays = compile_world(whole).arrays
    sites, models = [site.name for site in whole.sites], [model.name for model in whole.models]
    if "demand_rps" in missing:
        diurnal = arrays.diurnal[0]
        now_factor = diurnal[int(state["hour_utc"] / 24 * len(diurnal)) % len(diurnal)].astype(float)
        rps = arrays.region_rps[0].astype(float) * now_factor
        state["demand_rps"] = {region.name: float(rps[u]) for u, region in enumerate(whole.regions)}
        assumed.append(f"users ask for what is usual at this hour, {rps.sum():.3g} requests/s")
    if "replicas" in missing:
        warm = np.argwhere(arrays.start_phase[0] == WARM)
        down = {name for name, words in state.get("status", {}).items() if "DOWN" in words}
        state["replicas"] = [
            {"model": models[m], "site": sites[s], "phase": "loading" if sites[s] in down else "warm"} for m, s in warm
        ]
        assumed.append(f"the scenario's {len(warm)} starting replicas run")
    if "roles" in missing:
        runs = np.argwhere(arrays.start_role[0] >= 0)
        state["roles"] = [{"role": ROLES[role], "site": sites[s]} for role, s in runs]
        assumed.append("verifiers, stores and gateways that are not listed are where the scenario starts them")
    return Completed(LiveState.parse(state, where), tuple(assumed))
