"""Recorded incidents, outages of one's own, or plain days under several policies, each beside its twin without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from og_agents.evaluation import comparison, playing
from og_agents.evaluation.incident_impact import Impact, impact, joined, summary
from og_agents.evaluation.recording import Recording, record
from og_agents.policy import Policy, attach
from og_env.scenario import catalog
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import UntouchedError, touches
from og_env.vector_env import NetworkVectorEnv

Json = dict[str, Any]
Cases = Mapping[str, Json]
"""options of `reset` by the name of the replay, which is the incident's id where there is one"""


class Played(NamedTuple):
    """Episodes of one policy in one replay, and the impact of what was replayed."""

    recording: Recording
    impact: Impact
    twin: Recording
    """recording of the same episodes without what is replayed"""


def incident_cases(spec: ScenarioSpec) -> Cases:
    """Every recorded incident that touches a site of the scenario; all of them, where fleets are random."""
    known = catalog.incidents()
    hit = [name for name, incident in known.items() if spec.fleet == "random" or touches(incident, spec)]
    return {name: {"incident": name} for name in hit}


def play(
    policy: Policy,
    name: str,
    spec: ScenarioSpec,
    cases: Cases,
    *,
    task: str,
    episodes: int,
    seed: int,
    watch: Callable[[NetworkVectorEnv], None] | None = None,
    playing_on: Callable[[float], None] = lambda share: None,
) -> dict[str, Played]:
    """Every replay with one policy, each in test episodes of its own (`first_seed`), beside their twins.

    A case with neither incident nor outages is a plain day: what the seed breaks, from the first step to the last.
    Of random fleets, those that an incident does not touch are left out, and so are incidents that touch none of them.
    Of a fixed fleet, an incident that touches no site is a ValueError. `watch` is `record`'s, for all but the twins.
    `playing_on` is told before every replay which share of them is done.
    """
    result: dict[str, Played] = {}
    env = playing.stage(policy, spec, task, episodes)
    try:
        attach(policy, env)
        for at, (case, options) in enumerate(cases.items()):
            playing_on(at / len(cases))
            first = first_seed(case, episodes, seed)
            try:
                recording = record(policy, env, first, options, name=name, watch=watch)
            except UntouchedError:
                if env.simulator.random_fleet:
                    continue
                raise
            twin = record(policy, env, first, twin_options(case, recording), name=name)
            if recording.incidents:
                struck = np.array([bool(facts["sites"]) for facts in recording.incidents])
                recording, twin = recording.chosen(struck), twin.chosen(struck)
            start_h, stop_h = hours(options, recording)
            one = impact(recording, twin, start_h, stop_h)
            if plain(options):
                one = one._replace(recover_min=np.full(len(one.recover_min), np.nan))
            result[case] = Played(recording, one, twin)
    finally:
        env.close()
    return result


def plain(options: Json) -> bool:
    """Whether nothing is replayed."""
    return not options.get("incident") and not options.get("outages")


def hours(options: Json, recording: Recording) -> tuple[Any, Any]:
    """From when to when what is replayed lasts, since the episode began: one number, or one for each episode."""
    if recording.incidents:
        start_h, stop_h = ([facts[key] for facts in recording.incidents] for key in ("start_h", "stop_h"))
        return start_h, stop_h
    if plain(options):
        return 0.0, recording.rewards.shape[1] * recording.step_h
    outages = options["outages"]
    return (
        min(outage["start_h"] for outage in outages),
        max(outage["start_h"] + outage["duration_h"] for outage in outages),
    )


def first_seed(case: str, episodes: int, seed: int) -> int:
    """Seed of the first episode of a replay: no two incidents share one, so that their episodes are independent."""
    known = list(catalog.incidents())
    return seed + episodes * (known.index(case) if case in known else 0)


def twin_options(case: str, recording: Recording) -> Json:
    """Reset options of the same episodes without the incident."""
    if recording.incidents and catalog.incidents()[case].start_utc_h is not None:
        return {"background": False, "start_hour_utc": float(recording.start_hour_utc[0])}
    return {"background": False}


def figures(case: str, played: Mapping[str, Played], seed: int = 0) -> Json:
    """Facts of a replay, and the figures of every policy, fewest lost requests first."""
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
    runs = [playing.joined(parts[name], len(strata)) for name in names]
    result = comparison.compare(runs, learned, seed=seed, strata=strata)
    for name in names:
        whole = joined([by_policy[name].impact for by_policy in played.values()])
        result["policies"][name]["impact"] = summary(whole, strata=strata, seed=seed)
        result["policies"][name]["lost_share"] = float(whole.lost.sum() / whole.asked.sum())
        result["policies"][name]["due_share"] = float(whole.due.sum() / whole.asked.sum())
    return result
