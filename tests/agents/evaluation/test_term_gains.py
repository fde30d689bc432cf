"""Gains by term add up to the gain in return, and tell which terms a policy improved."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing, term_gains
from og_env.scenario import loading
from og_env.simulator import TERMS
from tests.cases.made_up_episodes import made_up


def test_gains_of_all_terms_are_the_gain_in_return():
    spec = loading.override(loading.load("toy-3"), {"episode.steps": 12})
    static, greedy = (playing.run(heuristics.make(name), spec, episodes=3) for name in ("static", "greedy"))
    found = term_gains.differences(greedy, static, spec.reward)
    assert found.shape == (3, len(TERMS)) and np.abs(found).max() > 0
    assert found.sum(axis=1) == pytest.approx(greedy.returns - static.returns, rel=1e-4)


def test_terms_are_told_by_their_intervals():
    weights = loading.load("toy-3").reward
    best = made_up("greedy", -90.0)
    terms = best.terms.copy()
    terms[:, TERMS.index("unserved")] -= 0.01
    terms[:, TERMS.index("cost")] += 0.002
    runs = [best._replace(policy=name, terms=terms, returns=best.returns + 1) for name in ("t-ppo-0", "t-ppo-1")]
    found = term_gains.by_policy([best, *runs], best, ["t-ppo-0"], [["t-ppo-0", "t-ppo-1"]], weights)
    assert list(found) == ["t-ppo-0", "t-ppo-0 + t-ppo-1"]
    one = found["t-ppo-0 + t-ppo-1"]
    assert one["unserved"]["mean_diff"] == pytest.approx(0.01 * weights.unserved * 48)
    assert one["cost"]["ci_high"] < 0 and one["return"]["mean_diff"] == pytest.approx(1)
    assert term_gains.improved(one) == ["unserved"]
    (row, _) = term_gains.rows(found)
    cells = dict(zip(term_gains.HEADER, row, strict=True))
    assert cells["return"] == "**+1.00 [+1.00, +1.00]**" and cells["latency"] == "+0.00 [+0.00, +0.00]"
    with pytest.raises(ValueError, match="did not play the same episodes"):
        term_gains.differences(best._replace(seeds=best.seeds + 1), best, weights)
