"""Episodes recorded step by step are those that the evaluation plays."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.evaluation.recording import Event, events, record
from og_env.kernel.arrays import DOWN, METRICS, TERMS
from og_env.scenario import loading

SHORT = loading.override(loading.load("global-16"), {"episode.steps": 30})
OUTAGES = [{"domain": "provider:P", "start_h": 0.1, "duration_h": 0.2}]


def recorded(name: str, spec=SHORT, rows: int = 3, options=None, task: str = "placement"):
    policy = heuristics.make(name, task=task)
    env = playing.stage(policy, spec, task, rows)
    return record(policy, env, 4, options), env


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
def test_a_recording_has_the_numbers_of_the_evaluation(task):
    one = loading.override(
        SHORT, {"episode.operations_per_step": 1}
    )  # with more, random choices are those of other times
    recording, _ = recorded("random", one, task=task)
    episodes = playing.run(heuristics.make("random", task=task), one, task, episodes=3, seed=4)
    again = recording.episodes()
    assert np.array_equal(again.seeds, episodes.seeds) and again.policy == episodes.policy == "random"
    assert again.returns == pytest.approx(episodes.returns, rel=1e-12)
    assert again.metrics == pytest.approx(episodes.metrics, rel=1e-6)
    assert again.terms == pytest.approx(episodes.terms, rel=1e-6, abs=1e-9)
    for name, trace in episodes.traces.items():
        assert np.array_equal(again.traces[name], trace), name
    assert recording.metric("served_share").shape == recording.term("cost").shape == (3, 30)
    assert again.metric("exposure") == pytest.approx(recording.metric("exposure").mean(axis=1))
    assert len(METRICS) == recording.metrics.shape[-1] and len(TERMS) == recording.terms.shape[-1]


def test_frames_are_the_states_from_the_start_to_the_end():
    recording, env = recorded("static")
    tape, state = env.simulator.tape, env.simulator.state
    assert np.array_equal(recording.status, tape.status)
    assert np.array_equal(recording.share[:, -1], state.site_share) and (recording.share[:, 0] == 0).all()
    assert recording.share[:, 1:].sum(axis=-1) == pytest.approx(np.ones((3, 30)), abs=1e-5)
    assert np.array_equal(recording.warm[:, 1:].sum(axis=-1), recording.metric("replicas_warm"))
    assert recording.start_hour_utc == pytest.approx(tape.start_step / 12)


def test_a_recorded_environment_can_be_used_again():
    policy = heuristics.make("greedy")
    env = playing.stage(policy, SHORT, "placement", 2)
    first, second = record(policy, env, 4), record(policy, env, 4)
    assert np.array_equal(first.rewards, second.rewards) and np.array_equal(first.status, second.status)


def test_events_in_the_order_of_time():
    spec = loading.override(loading.load("toy-3"), {"start.gateway_sites": ("c",)})
    recording, _ = recorded("static", spec, 1, {"outages": OUTAGES})
    assert events(recording) == [Event(0.1, "outage", "down: a, b"), Event(0.3, "repair", "no longer down: a, b")]
    busy, _ = recorded("greedy", spec, 2, {"outages": [OUTAGES[0] | {"effect": "UNTRUSTED"}]})
    listed = events(busy, 1)
    assert [event.hour for event in listed] == sorted(event.hour for event in listed)
    done = [event for event in listed if event.kind == "operation"]
    assert len(done) == busy.metric("operations")[1].sum() > 0
    assert all(any(event.text.endswith(f"at {site}") for site in "abc") for event in done)
    assert Event(0.1, "outage", "untrusted: a, b") in listed


def test_some_of_the_episodes():
    recording, _ = recorded("static", loading.load("toy-3"), 3, {"incident": "badram-2024-12-10"})
    some = recording.chosen(np.array([True, False, True]))
    assert some.seeds.tolist() == [4, 6] and len(some.sites) == len(some.incidents) == 2
    assert np.array_equal(some.rewards, recording.rewards[[0, 2]]) and some.status.shape == (2, 61, 3)
    assert (recording.status & DOWN == 0).all() and recording.status.any()
