"""A film of an episode shows what its recording holds."""

from __future__ import annotations

import numpy as np

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.evaluation.recording import record
from og_agents.replay.page import Camera, film
from og_env.scenario import loading


def test_a_film_has_the_numbers_of_the_recording():
    spec = loading.override(loading.load("global-16"), {"episode.steps": 20})
    policy = heuristics.make("greedy")
    camera = Camera()
    recording = record(policy, playing.stage(policy, spec, "placement", 3), 7, name="greedy", watch=camera)
    one = camera.film(recording)
    alone = film(policy, "greedy", spec, task="placement", seed=7)
    assert one.recording.seeds.tolist() == [7] and len(one.views) == len(one.flows) == 21
    assert np.array_equal(one.recording.metrics, alone.recording.metrics)
    assert np.array_equal([view.status for view in one.views], recording.status[0])
    assert np.array_equal([view.warm for view in one.views], recording.warm[0])
    assert np.allclose([view.share for view in one.views], recording.share[0])
    for flow, view in zip(one.flows[1:], one.views[1:], strict=True):
        assert flow[:, 2].sum() <= view.load_rps.sum() * 1.001 and (np.diff(flow[:, 2]) <= 0).all()


def test_a_camera_films_the_first_episode_that_is_struck():
    spec = loading.override(loading.load("random-24"), {"episode.steps": 90})
    policy = heuristics.make("static")
    camera = Camera(struck=True)
    env = playing.stage(policy, spec, "placement", 6)
    recording = record(policy, env, 5, {"incident": "lumen-2020-08-30"}, watch=camera)
    hit = np.array([bool(facts["sites"]) for facts in recording.incidents])
    assert camera.row == hit.argmax()
    one = camera.film(recording.chosen(hit))
    assert one.recording.sites[0] == one.views[0].site_names
    assert np.array_equal([view.status for view in one.views], one.recording.status[0])
