"""The options of `reset(options=...)`: replayed incidents, scripted outages, background failures, hour of the day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from og_env.errors import nearest_valid
from og_env.scenario import catalog, loading
from og_env.scenario.checks import check_outages
from og_env.scenario.key_errors import shown
from og_env.scenario.parsing import parse_part
from og_env.scenario.specs import IncidentSpec, OutageSpec
from og_env.simulator.simulator import Simulator
from og_env.tape.draw import Scripted
from og_env.tape.incidents import Replay, replay_of
from og_env.world import CompiledWorld


class UntouchedError(ValueError):
    """An incident would have hit no site."""


KNOWN = ("incident", "outages", "background", "start_hour_utc")


def checked_seed(seed: Any) -> int | None:
    """A seed of `reset` as Gymnasium takes it, None or 0 and more; ValueError in one line for anything else."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {shown(seed)}; valid are None and whole numbers from 0 on")
    return int(seed)


def checked_options(options: Any) -> dict[str, Any]:
    """The options of `reset` as a table; ValueError in one line for anything else."""
    if not isinstance(options, Mapping | None):
        raise ValueError(f"options is {shown(options)}; valid are None and a table with {', '.join(KNOWN)}")
    return dict(options or {})


def scripted_of(options: dict[str, Any] | None, simulator: Simulator) -> Scripted:
    """The script of an episode, from the options of its reset; `og_env.tape.draw.Scripted` says what each of them does.

    options: {"incident": ID, "outages": [{"domain", "start_h", "duration_h", "effect"}, ...], "background": bool,
    "start_hour_utc": float}, all of which may be left out. The background is off by default where an incident is
    replayed, so that the incident is what is measured, and on otherwise. ValueError in one line for anything that is not
    understood, and for an incident that touches no site.
    """
    options = checked_options(options)
    for key in options:
        if key not in KNOWN:
            raise ValueError(f"reset option {key!r} is unknown{nearest_valid(str(key), KNOWN)}")
    incident = None if options.get("incident") is None else incident_of(options["incident"])
    background = options.get("background", incident is None)
    if not isinstance(background, bool | np.bool_):
        raise ValueError(f"options.background: must be True or False, not {background!r}")
    hour = options.get("start_hour_utc")
    if hour is not None and (
        isinstance(hour, bool) or not isinstance(hour, int | float | np.number) or not 0 <= hour < 24
    ):
        raise ValueError(f"options.start_hour_utc: must be a number from 0 to less than 24, not {hour!r}")
    if hour is not None and incident is not None and incident.start_utc_h is not None:
        raise ValueError(f"options.start_hour_utc: {incident.id} has its own hour; leave one of them out")
    if incident is not None and not simulator.random_fleet:
        check_touched([replay_of(incident, simulator.compiled[0])], simulator)
    hour = None if hour is None else float(hour)
    return Scripted(outages_of(options.get("outages", ()), simulator), incident, bool(background), hour)


def incident_of(name: Any, where: str = "options.incident") -> IncidentSpec:
    """A recorded incident by its id; ValueError for an unknown one, where `where` is what it calls the name's place."""
    known = catalog.incidents()
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{where}: unknown incident {name!r}{nearest_valid(str(name), known)}")
    return known[name]


def outages_of(given: Any, simulator: Simulator) -> tuple[OutageSpec, ...]:
    """Scripted outages from a list of tables or specs; ValueError in one line that names a wrong one."""
    if not isinstance(given, list | tuple):
        raise ValueError(f"options.outages: must be a list of outages, not {given!r}")
    path = ("options", "outages")
    result = tuple(parse_part(OutageSpec, outage, "", (*path, index)) for index, outage in enumerate(given))
    check_outages(result, simulator.compiled[0].resolved.sites, simulator.spec, "", path)
    return result


def check_touched(replays: list[Replay], simulator: Simulator) -> None:
    """Raise UntouchedError where an incident would have hit no site of any of the fleets."""
    if any(replay.sites for replay in replays):
        return
    incident = replays[0].incident
    others = [name for name in loading.names() if touches(incident, name)]
    hint = f"; it touches {', '.join(others)}" if others else ", nor of any shipped scenario"
    raise UntouchedError(f"options.incident: {incident.id} touches no site of {simulator.spec.name}{hint}")


def touches(incident: IncidentSpec, scenario: Any) -> bool:
    """Whether the incident would have hit a site of a scenario (of its first fleet, where fleets are random)."""
    return any(catalog.matches(incident, site) for site in loading.resolve(loading.load(scenario)).sites)


def incident_facts(scripted: Scripted, simulator: Simulator, rows: Iterable[int]) -> list[dict[str, Any]]:
    """The replayed incident as it falls on each of these environments, whose episodes are drawn; empty without one.

    `id` is the incident's, `sites` the names of the sites that it hits, `start_h` and `stop_h` are in hours since the
    episode began, and `cut_h` is how many of its hours come after the episode's end. `phases` are its timed
    effects on parts, each with name, effect, hours and sites; none where the record has one effect. UntouchedError where
    it hits none of the fleets.
    """
    if scripted.incident is None:
        return []
    worlds = [simulator.world_of(b) for b in rows]
    replays = [replay_of(scripted.incident, world) for world in worlds]
    check_touched(replays, simulator)
    return [
        {
            "id": replay.incident.id,
            "sites": tuple(world.resolved.sites[s].name for s in replay.sites),
            "start_h": replay.start_h,
            "stop_h": replay.stop_h,
            "cut_h": replay.cut_h,
            "phases": phases_of(replay, world),
        }
        for replay, world in zip(replays, worlds, strict=True)
    ]


def phases_of(replay: Replay, world: CompiledWorld) -> tuple[dict[str, Any], ...]:
    """The phases of a replay as plain tables, with the names of their sites; none where the record has one effect."""
    return tuple(
        {
            "name": phase.name,
            "effect": phase.effect,
            "start_h": phase.start_h,
            "stop_h": phase.stop_h,
            "sites": tuple(world.resolved.sites[s].name for s in phase.sites),
        }
        for phase in replay.phases
        if phase.name
    )
