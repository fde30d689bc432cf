"""A recorded incident as it strikes one fleet: which sites, and when in the episode.

The fleet is not the one that was hit, so a replay answers what the incident would have done here: every site that one
of its patterns matches gets its effect, at its hour of the day, for as long as it lasted or to the end of the episode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from og_env.scenario import catalog
from og_env.scenario.fault_domains import domain_of
from og_env.scenario.specs import Effect, IncidentSpec
from og_env.world import CompiledWorld

LEAD_H = 6.0
"""hours that pass before a replayed incident begins; a quarter of the episode, where that is less"""


class Strike(NamedTuple):
    """One outage of given sites."""

    kind: str
    name: str
    """of the domain whose signal it shows in; one that the fleet does not share shows nowhere"""
    effect: Effect
    start_h: float
    stop_h: float
    """hours since the episode began"""
    sites: tuple[int, ...]


class Replay(NamedTuple):
    """An incident in an episode."""

    incident: IncidentSpec
    sites: tuple[int, ...]
    """those that it would have hit, ascending"""
    strikes: tuple[Strike, ...]
    """one for each domain of the incident's kind among them"""
    start_step: int
    """step of the UTC day at which the episode begins; -1 is the seed's, where the record has no hour"""
    start_h: float
    stop_h: float
    """hours since the episode began"""
    episode_h: float

    @property
    def cut_h(self) -> float:
        """Hours of it that the episode does not last for."""
        return max(self.stop_h - self.episode_h, 0.0)


def replay_of(incident: IncidentSpec, compiled: CompiledWorld) -> Replay:
    """How the incident would strike this fleet; `sites` is empty where it touches none."""
    episode = compiled.resolved.spec.episode
    step_h = episode.step_s / 3600
    episode_h = episode.steps * step_h
    start_step, start_h = -1, min(LEAD_H, episode_h / 4)
    if incident.start_utc_h is not None:
        first = math.floor((incident.start_utc_h - start_h) / step_h + 1e-9)
        start_h = incident.start_utc_h - first * step_h
        start_step = first % compiled.sizes["Y"]
    stop_h = start_h + incident.duration_h
    fleet = compiled.resolved.sites
    sites = tuple(s for s, site in enumerate(fleet) if catalog.matches(incident, site))
    groups: dict[str, list[int]] = {}
    for s in sites:
        groups.setdefault(domain_of(fleet[s], incident.kind), []).append(s)
    strikes = tuple(
        Strike(incident.kind, name, incident.effect, start_h, stop_h, tuple(members))
        for name, members in groups.items()
    )
    return Replay(incident, sites, strikes, start_step, start_h, stop_h, episode_h)
