"""The planner's honesty: what is compared, and how."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.validation import planner_honesty
from og_env.simulator import GAIN, Copies, Settings, Simulator, idle


def test_ranks_are_correlated_and_equal_values_share_theirs() -> None:
    assert planner_honesty.spearman([1.0, 2.0, 30.0, 4.0], [0.1, 0.2, 0.4, 0.3]) == pytest.approx(1)
    assert planner_honesty.spearman([1.0, 2.0, 3.0], [9.0, 5.0, 1.0]) == pytest.approx(-1)
    tied = planner_honesty.spearman([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert tied == pytest.approx(np.corrcoef([0.5, 0.5, 2, 3], [0, 1, 2, 3])[0, 1])
    assert planner_honesty.spearman([1.0, 1.0], [1.0, 2.0]) is None and planner_honesty.spearman([1.0], [1.0]) is None


def test_agreement_is_over_all_offers_and_within_states() -> None:
    nominal, simulated = np.array([0.1, 0.2, 1.0, 0.8]), np.array([0.0, 0.3, -1.0, 0.4])
    found = planner_honesty.agreement(np.array([0, 0, 1, 1]), nominal, simulated)
    assert found.rank_correlation_in_state == pytest.approx(0.0)  # right in one state, wrong in the other
    assert found.mean_absolute_error == pytest.approx((0.1 + 0.1 + 2.0 + 0.4) / 4)
    assert found.bias == pytest.approx((0.1 - 0.1 + 2.0 + 0.4) / 4)
    assert found.same_sign == pytest.approx(0.5)


def test_the_gains_are_those_of_the_offers_in_copies() -> None:
    tried = planner_honesty.try_offers("near-but-cold", 3)
    assert len(np.unique(tried.state)) == 3 and len(tried.nominal) == len(tried.forecast) == len(tried.truth) > 6
    assert np.isfinite(tried.nominal).all() and np.abs(tried.forecast).max() > 0

    simulator = Simulator("near-but-cold", 1, Settings("placement", "proposals", True, 10, "test", 1.0))
    simulator.load_episode(0, 0)
    simulator.start(np.zeros(1, np.int64))
    copies = Copies(simulator, 1, 1, planner_honesty.HORIZON)

    def rewards(first: int, *, truth: bool) -> float:
        copies.load(np.zeros(1, np.int64), truth=truth)
        return float(copies.run(np.array([first]), idle).sum())

    steps = np.random.default_rng(planner_honesty.SEED).choice(
        simulator.tape.attack.shape[1] - 1 - planner_honesty.HORIZON, 3, replace=False
    )
    while simulator.state.step[0] < steps.min():
        simulator.advance(copies.greedy(simulator.output.offer, simulator.output.offer_gain))
    own = tried.state == 0
    for gains, truth in ((tried.forecast, False), (tried.truth, True)):
        nothing = rewards(0, truth=truth)
        by_hand = [(rewards(1 + i, truth=truth) - nothing) / 36 for i in range(own.sum())]
        assert gains[own] == pytest.approx(by_hand, abs=1e-6)
    assert tried.nominal[own] == pytest.approx(simulator.output.offer_gain[0, : own.sum(), GAIN.total], abs=1e-6)
    simulator.close()


def test_the_figures_of_a_scenario_say_how_many_offers_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_honesty, "SCENARIOS", ("toy-3",))
    monkeypatch.setattr(planner_honesty, "QUICK_STATES", 2)
    (found,) = planner_honesty.check_planner(quick=True)
    assert found.scenario == "toy-3" and found.states == 2 and found.offers > 4 and found.mean_size > 0
    ranks = [found.forecast.rank_correlation, found.truth.rank_correlation]
    assert all(rank is not None and rank > 0.9 for rank in ranks)  # next to nothing happens by chance there
