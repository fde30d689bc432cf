"""Recorded incidents, or outages of one's own, under several policies: each episode beside its twin without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents import comparison, evaluate
from agents.impact import Impact, impact, joined, summary
from agents.policy import Policy
from agents.recording import Recording, record
from og_env import catalog, config
from og_env.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv

Json = dict[str, Any]
Cases = Mapping[str, Json]
"""options of `reset` by the name of the replay, which is the incident's id where there is one"""


class Played(NamedTuple):
    """What one policy went through in one replay."""

    recording: Recording
    impact: Impact


def incident_cases(spec: ScenarioSpec, episodes: int = 1, seed: int = 0) -> tuple[Cases, list[str]]:
    """Every recorded incident that touches a site of the scenario, and the ids of the others.

    Where fleets are random, a site of the fleet of one of the test episodes seed, seed + 1, ...
    """
    fleets = [config.resolve(spec).sites]
    if spec.fleet == "random":
        env = NetworkVectorEnv(episodes, "placement", spec, split="test")
        env.reset(seed=seed)
        fleets = [env.simulator.world_of(b).resolved.sites for b in range(episodes)]
        env.close()
    known, sites = catalog.incidents(), [site for fleet in fleets for site in fleet]
    hit = [name for name, incident in known.items() if any(catalog.matches(incident, site) for site in sites)]
    return {name: {"incident": name} for name in hit}, [name for name in known if name not in hit]


def play(
    policy: Policy, name: str, spec: ScenarioSpec, cases: Cases, *, task: str, episodes: int, seed: int
) -> dict[str, Played]:
    """Every replay with one policy in the test episodes seed, seed + 1, ...; twins are played once an hour of start.

    Of random fleets, those that an incident does not touch are left out. ValueError where it touches none.
    """
    result: dict[str, Played] = {}
    twins: dict[float | None, Recording] = {}
    env = evaluate.stage(policy, spec, task, episodes)
    try:
        for case, reset_options in cases.items():
            recording = record(policy, env, seed, reset_options, name=name)
            quiet = twin_options(case, recording)
            key = quiet.get("start_hour_utc")
            if key not in twins:
                twins[key] = record(policy, env, seed, quiet, name=name)
            twin = twins[key]
            if recording.incidents:
                struck = np.array([bool(facts["sites"]) for facts in recording.incidents])
                recording, twin = recording.chosen(struck), twin.chosen(struck)
                start_h, stop_h = ([facts[key] for facts in recording.incidents] for key in ("start_h", "stop_h"))
            else:
                outages = reset_options["outages"]
                start_h = min(outage["start_h"] for outage in outages)
                stop_h = max(outage["start_h"] + outage["duration_h"] for outage in outages)
            result[case] = Played(recording, impact(recording, twin, start_h, stop_h))
    finally:
        env.close()
    return result


def twin_options(case: str, recording: Recording) -> Json:
    """Reset options of the same episodes without the incident."""
    if recording.incidents and catalog.incidents()[case].start_utc_h is not None:
        return {"background": False, "start_hour_utc": float(recording.start_hour_utc[0])}
    return {"background": False}


def figures(case: str, played: Mapping[str, Played], seed: int = 0) -> Json:
    """What was replayed, and the figures of every policy, fewest lost requests first."""
    recording = next(iter(played.values())).recording
    by_policy = {name: summary(one.impact, seed=seed) for name, one in played.items()}
    ordered = dict(sorted(by_policy.items(), key=lambda item: item[1]["lost"]["mean"]))
    facts: Json = {"episodes": len(recording.seeds)}
    if recording.incidents:
        first, incident = recording.incidents[0], catalog.incidents()[case]
        facts |= incident.model_dump() | {key: first[key] for key in ("sites", "start_h", "stop_h", "cut_h")}
        facts["hit_sites_mean"] = float(np.mean([len(one["sites"]) for one in recording.incidents]))
    return {"what": facts, "policies": ordered}


def contest(played: Mapping[str, Mapping[str, Played]], learned: Sequence[str] = (), seed: int = 0) -> Json:
    """All policies over all incidents and seeds, by their returns in pairs; resampled within each incident."""
    names = list(next(iter(played.values())))
    parts = {name: [by_policy[name].recording.episodes() for by_policy in played.values()] for name in names}
    strata = np.concatenate([[case] * len(by_policy[names[0]].impact.asked) for case, by_policy in played.items()])
    runs = [evaluate.joined(parts[name], len(strata)) for name in names]
    result = comparison.compare(runs, learned, seed=seed, strata=strata)
    for name in names:
        whole = joined([by_policy[name].impact for by_policy in played.values()])
        result["policies"][name]["impact"] = summary(whole, strata=strata, seed=seed)
        result["policies"][name]["lost_share"] = float(whole.lost.sum() / whole.asked.sum())
        result["policies"][name]["due_share"] = float(whole.due.sum() / whole.asked.sum())
    return result
