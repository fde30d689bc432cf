"""A recorded incident replayed in one fleet: the sites that it hits, and its time in the episode.

The fleet is not the one that was hit, so a replay shows the incident's effect if it happened here: every site that one
of its patterns matches gets the effect, at the incident's hour of the day, for as long as it lasted or to the end of
the episode. Where a report tells the phases, each has its own effect, hours and sites.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from og_env.scenario import catalog
from og_env.scenario.domain_kinds import domain_of
from og_env.scenario.specs import Effect, IncidentSpec, PartEffect
from og_env.tape.scripted_outages import SiteOutage
from og_env.world import CompiledWorld

LEAD_H = 6.0
"""hours that pass before a replayed incident begins; a quarter of the episode, where that is less"""
WHOLE_STEPS = 1e-9
"""steps that are added to an hour in steps before it is rounded down, so that whole steps stay whole"""


class Phase(NamedTuple):
    """A phase of an incident in an episode."""

    name: str
    """what failed"""
    effect: Effect | PartEffect
    """effect on its sites"""
    start_h: float
    """hours since the episode began"""
    stop_h: float
    """hours since the episode began"""
    sites: tuple[int, ...]
    """indices of the sites that it hits, ascending"""


class Replay(NamedTuple):
    """An incident in an episode."""

    incident: IncidentSpec
    """the record"""
    sites: tuple[int, ...]
    """indices of the sites that it hits, ascending"""
    outages: tuple[SiteOutage, ...]
    """one outage for each phase, and domain of the incident's kind among its sites"""
    phases: tuple[Phase, ...]
    """the phases in order of time; one, without a name, where the record has none"""
    start_step: int
    """step of the UTC day at which the episode begins; -1 leaves it to the seed, where the record has no hour"""
    start_h: float
    """hours since the episode began"""
    stop_h: float
    """hours since the episode began"""
    episode_h: float
    """length of the episode, hours"""

    @property
    def cut_h(self) -> float:
        """Hours of the incident that come after the end of the episode."""
        return max(self.stop_h - self.episode_h, 0.0)


def replay_of(incident: IncidentSpec, compiled: CompiledWorld) -> Replay:
    """The incident as it hits this fleet; `sites` is empty where it hits none."""
    episode = compiled.resolved.spec.episode
    step_h = episode.step_s / 3600
    episode_h = episode.steps * step_h
    start_step, start_h = -1, min(LEAD_H, episode_h / 4)
    if incident.start_utc_h is not None:
        first = math.floor((incident.start_utc_h - start_h) / step_h + WHOLE_STEPS)
        start_h = incident.start_utc_h - first * step_h
        start_step = first % compiled.sizes["Y"]
    stop_h = start_h + incident.duration_h
    fleet = compiled.resolved.sites
    sites = tuple(s for s, site in enumerate(fleet) if catalog.matches(incident, site))
    phases, outages = [Phase("", incident.effect, start_h, stop_h, sites)], []
    if incident.phases and incident.start_utc_h is not None:
        shift_h = start_h - incident.start_utc_h
        phases = [
            Phase(
                phase.name,
                phase.effect,
                phase.start_utc_h + shift_h,
                phase.stop_utc_h + shift_h,
                tuple(s for s in sites if not phase.match or catalog.matches(phase, fleet[s])),
            )
            for phase in sorted(incident.phases, key=lambda phase: phase.start_utc_h)
        ]
    for phase in phases:
        groups: dict[str, list[int]] = {}
        for s in phase.sites:
            groups.setdefault(domain_of(fleet[s], incident.kind), []).append(s)
        outages += [
            SiteOutage(
                incident.kind, name, phase.effect, phase.start_h, phase.stop_h, tuple(members), incident=incident.id
            )
            for name, members in groups.items()
        ]
    stop_h = max(stop_h, *(phase.stop_h for phase in phases))
    return Replay(incident, sites, tuple(outages), tuple(phases), start_step, start_h, stop_h, episode_h)
