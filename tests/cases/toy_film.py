"""Films of short episodes, by default of toy-3 with an outage of provider P."""

from __future__ import annotations

from og_agents import heuristics
from og_agents.replay.page import film
from og_env.scenario import loading
from tests.cases.as_stated import AS_STATED

TOY = loading.override(loading.load("toy-3"), AS_STATED | {"start.verifier_sites": ("c",)})


P_DOWN = {"outages": [{"domain": "provider:P", "start_h": 0.5, "duration_h": 0.2}], "background": False}


def toy(name: str = "static", options=P_DOWN, spec=TOY, seed: int = 4):
    return film(heuristics.make(name), name, spec, task="placement", seed=seed, options=options)
