"""Recorded incidents in an episode: the sites that they would have hit, at their hour, and nothing else that breaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN, FROZEN, GATEWAY_OFF, IMPAIRED, NO_LAUNCHES, UNTRUSTED
from og_env.scenario import catalog, loading
from og_env.tape.incidents import LEAD_H, replay_of
from og_env.tape.scripted_outages import write_script
from og_env.vector_env import NetworkVectorEnv
from tests.cases.compiled_worlds import compiled

AWS = "aws-2025-10-20"
"""06:48 UTC, 14.53 h, FROZEN, us-east-1: one site of one-cloud"""
TEE = "badram-2024-12-10"
"""no hour on record, 720 h, UNTRUSTED, sev-snp"""
CALM, FRAGILE = 32, 159
"""codes of error rates 0 and 1 without noise"""


def begun(scenario: Any, options: dict, seed: int = 5) -> tuple[NetworkEnv, dict]:
    env = NetworkEnv("placement", scenario)
    return env, env.reset(seed=seed, options=options)[1]


def test_an_incident_strikes_the_sites_that_match_at_its_hour_for_its_time():
    env, info = begun("one-cloud", {"incident": AWS})
    tape, world = env.simulator.tape, env.simulator.world_of(0)
    struck = [site.name == "aws/us-east-1" for site in world.resolved.sites]
    expected = np.zeros_like(tape.status[0])
    # the episode begins at 00:45; 06:48 is in row 72, 09:40 ends row 106
    assert tape.start_step[0] == 9
    expected[72:107, struck] = FROZEN
    assert np.array_equal(tape.status[0], expected)
    # launches fail from 09:25 to 17:36, new machines are impaired to 20:50, load balancers from 12:30 to 21:09
    parts = np.zeros_like(tape.supply[0])
    for first, last, bit in ((104, 203, NO_LAUNCHES), (202, 241, IMPAIRED), (141, 245, GATEWAY_OFF)):
        parts[first:last, struck] |= bit
    assert np.array_equal(tape.supply[0], parts)
    assert set(tape.outages[0, 72:245]) == {1, 2, 3} and not tape.outages[0, 245:].any()
    phases = info["incident"].pop("phases")
    assert [(phase["name"], phase["effect"]) for phase in phases] == [
        ("API errors", "FROZEN"),
        ("launches fail", "NO_LAUNCHES"),
        ("load balancers fail health checks", "GATEWAY_OFF"),
        ("new machines are impaired", "IMPAIRED"),
    ]
    assert phases[0]["start_h"] == pytest.approx(6.05) and phases[0]["sites"] == ("aws/us-east-1",)
    assert info["incident"] == {
        "id": AWS,
        "sites": ("aws/us-east-1",),
        "start_h": pytest.approx(6.05),
        "stop_h": pytest.approx(20.58),
        "cut_h": 0.0,
    }


@pytest.mark.parametrize("name", catalog.incidents())
def test_every_incident_begins_at_its_hour_some_hours_into_the_episode(name):
    incident, world = catalog.incidents()[name], compiled("global-512")
    replay = replay_of(incident, world)
    assert LEAD_H <= replay.start_h < LEAD_H + 300 / 3600
    lasts = max([incident.duration_h, *(phase.stop_utc_h - (incident.start_utc_h or 0.0) for phase in incident.phases)])
    assert replay.stop_h - replay.start_h == pytest.approx(lasts)
    assert replay.cut_h == max(replay.stop_h - 24, 0)
    if incident.start_utc_h is None:
        assert replay.start_step == -1
    else:
        assert (replay.start_step * 300 / 3600 + replay.start_h) % 24 == pytest.approx(incident.start_utc_h)
    assert [s for s, site in enumerate(world.resolved.sites) if catalog.matches(incident, site)] == list(replay.sites)
    for phase in replay.phases:
        assert (
            set(phase.sites) <= set(replay.sites)
            and replay.start_h - 1e-9 <= phase.start_h < phase.stop_h <= replay.stop_h
        )
    assert sorted({s for outage in replay.outages for s in outage.sites}) == list(replay.sites)


def test_a_phase_may_hit_a_part_of_the_sites():
    """2025-06-12: the largest region of the cloud was the last one back."""
    replay = replay_of(catalog.incidents()["gcp-2025-06-12"], compiled("global-512"))
    first, last = replay.phases
    names = compiled("global-512").resolved.sites
    assert len(first.sites) > len(last.sites) > 0 and first.stop_h == pytest.approx(last.start_h)
    assert all(names[s].region == "us-central1" for s in last.sites)


def test_the_phases_of_an_edge_end_in_load():
    """2025-11-18: three hours of errors, then services that start again under load."""
    first, last = replay_of(catalog.incidents()["cloudflare-2025-11-18"], compiled("global-512")).phases
    assert (first.effect, last.effect) == ("DOWN", "SLOW")
    assert (first.stop_h - first.start_h, last.stop_h - first.start_h) == (
        pytest.approx(3 + 1 / 6),
        pytest.approx(5 + 46 / 60),
    )


def test_the_phases_of_an_incident_show_as_one_source_in_a_signal():
    world = compiled("global-512")
    replay = replay_of(catalog.incidents()["aws-2025-10-20"], world)
    scripts = write_script(replay.outages, world)
    assert len(scripts.bit) == 4 and set(scripts.source) == {0}


def test_in_a_short_episode_a_quarter_passes_before():
    replay = replay_of(catalog.incidents()[TEE], compiled())
    assert (replay.start_h, replay.episode_h, replay.cut_h) == (0.25, 1.0, 719.25)


def test_an_incident_without_an_hour_begins_at_the_seeds_and_is_cut_at_the_end():
    env, info = begun("tee-break", {"incident": TEE})
    plain, _ = begun("tee-break", {})
    assert env.simulator.tape.start_step == plain.simulator.tape.start_step
    status = env.simulator.tape.status[0]
    assert (status[:72] == 0).all() and (status[72:].max(axis=0) == status[72:].min(axis=0)).all()
    assert set(np.unique(status)) == {0, UNTRUSTED}
    assert info["incident"]["cut_h"] == pytest.approx(720 - 18)


def test_nothing_else_breaks_and_demand_and_noise_are_the_seeds():
    opponent = {"failures.opponent": {"attacks_per_day": 200.0}}
    spec = loading.override(loading.load("global-24"), {**opponent, "failures.shocks_per_day": 40.0})
    name = "lumen-2020-08-30"
    hour = (replay_of(catalog.incidents()[name], compiled("global-24")).start_step) / 12
    plain, _ = begun(spec, {"start_hour_utc": hour})
    replay, _ = begun(spec, {"incident": name})
    both, _ = begun(spec, {"incident": name, "background": True})
    a, b, c = (env.simulator.tape for env in (plain, replay, both))
    for field in ("start_step", "regional", "model"):
        assert np.array_equal(getattr(a, field), getattr(b, field)), field
        assert np.array_equal(getattr(a, field), getattr(c, field)), field
    assert a.status.any() and a.attack.any() and b.status.any() and not b.attack.any()
    assert set(np.unique(b.status.max(axis=1))) == {0, DOWN}
    assert np.array_equal(c.status, a.status | b.status) and np.array_equal(a.attack, c.attack)


def test_the_scenarios_own_outages_stay_away_unless_asked_for():
    alone, _ = begun("provider-blackout", {"incident": "lumen-2020-08-30"})
    both, _ = begun("provider-blackout", {"incident": "lumen-2020-08-30", "background": True})
    own, _ = begun("provider-blackout", {"start_hour_utc": alone.simulator.tape.start_step[0] / 12})
    first, second, third = (env.simulator.tape.status[0] for env in (alone, both, own))
    assert third.any() and np.array_equal(second, first | third) and not np.array_equal(first, second)


def test_outages_of_ones_own_come_on_top():
    own = [{"domain": "provider:aws", "start_h": 1, "duration_h": 1, "effect": "DOWN"}]
    env, _ = begun("one-cloud", {"incident": AWS, "outages": own})
    members = [site.provider == "aws" for site in env.simulator.world_of(0).resolved.sites]
    assert (env.simulator.tape.status[0, 12:24, members] == DOWN).all()
    assert (env.simulator.tape.status[0, 80] != 0).sum() == 1


def test_it_shows_in_the_signal_of_the_domains_of_its_kind_only():
    quiet = loading.override(loading.load("tee-break"), {"failures.signal_noise": 0.0, "failures.outages": ()})
    env, _ = begun(quiet, {"incident": TEE})
    domains = env.simulator.world_of(0).domains[: env.simulator.sizes["S"]]
    at = [(domain.kind, domain.name) for domain in domains].index(("tee_vendor", "sev-snp"))
    signal = env.simulator.tape.signal[0]
    assert (signal[72:, at] == FRAGILE).all() and (signal[:72] == CALM).all()
    assert (np.delete(signal, at, axis=1) == CALM).all()
    hidden = loading.override(quiet, {"failures.hidden": ("tee_vendor",)})
    unseen, _ = begun(hidden, {"incident": TEE})
    assert (unseen.simulator.tape.signal[0] == CALM).all() and unseen.simulator.tape.status.any()


def test_all_environments_of_a_batch_replay_it_for_one_episode():
    short = loading.override(loading.load("one-cloud"), {"episode.steps": 100})
    batch = NetworkVectorEnv(3, "placement", short)
    _, infos = batch.reset(seed=5, options={"incident": AWS})
    for i in range(3):
        single, info = begun(short, {"incident": AWS}, seed=5 + i)
        assert infos["incident"][i] == info["incident"] and infos["_incident"][i]
        for field, values in single.simulator.tape._asdict().items():
            assert np.array_equal(values[0], getattr(batch.simulator.tape, field)[i]), field
    for _ in range(100):
        _, _, _, truncated, infos = batch.step(np.zeros(3, np.int64))
    assert truncated.all() and "incident" not in infos
    usual = NetworkVectorEnv(3, "placement", short)
    usual.reset(seed=5)
    for _ in range(100):
        usual.step(np.zeros(3, np.int64))
    assert np.array_equal(batch.simulator.tape.status, usual.simulator.tape.status)


def test_a_batch_may_replay_it_in_some_environments():
    batch = NetworkVectorEnv(3, "placement", "one-cloud")
    batch.reset(seed=5)
    before = batch.simulator.tape.status.copy()
    only = np.array([False, True, False])
    _, infos = batch.reset(seed=9, options={"incident": AWS, "reset_mask": only})
    assert infos["_incident"].tolist() == only.tolist()
    assert infos["incident"][0] is None and infos["incident"][1]["id"] == AWS
    assert np.array_equal(batch.simulator.tape.status[[0, 2]], before[[0, 2]])
    assert (batch.simulator.tape.status[1] != 0).sum() == 35, "API errors from 06:48 to 09:40"


def test_an_incident_that_touches_no_site_says_so_and_leaves_the_episode_alone():
    env, _ = begun("one-cloud", {})
    before = [values.copy() for values in env.simulator.tape]
    with pytest.raises(ValueError, match="touches no site") as error:
        env.reset(options={"incident": "optus-2023-11-08"})
    message = "options.incident: optus-2023-11-08 touches no site of one-cloud; it touches global-512"
    assert str(error.value) == message
    assert all(np.array_equal(a, b) for a, b in zip(before, env.simulator.tape, strict=True))
    with pytest.raises(ValueError, match="nor of any shipped scenario"):
        env.reset(options={"incident": "nirs-2025-09-26"})


def test_random_fleets_tell_which_of_them_it_hits():
    batch = NetworkVectorEnv(4, "placement", "random-24")
    _, infos = batch.reset(seed=5, options={"incident": "gcp-2025-06-12"})
    for b, facts in enumerate(infos["incident"]):
        hit = [site.name for site in batch.simulator.world_of(b).resolved.sites if site.provider == "gcp"]
        assert list(facts["sites"]) == hit
        assert (batch.simulator.tape.status[b] == FROZEN).any() == bool(hit)
    assert {bool(facts["sites"]) for facts in infos["incident"]} == {True, False}
    with pytest.raises(ValueError, match="nirs-2025-09-26 touches no site of random-24"):
        batch.reset(seed=5, options={"incident": "nirs-2025-09-26"})
