"""The opponent: off unless asked for, it breaks the shared domain with most served traffic, within its limits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

EAGER = {"attacks_per_day": 60.0, "budget": 3, "cooldown_h": 1.0, "duration_h": 0.5}
"""a chance in about every fifth step of 300 s; an attack takes 6 steps, a pause 12"""


class Attack(NamedTuple):
    row: int
    domain: int


def scenario(**opponent: float):
    """Without other failures, and with replicas all over four providers."""
    changes = {"failures.process": "none", "failures.opponent": EAGER | opponent, "start.placement": "spread"}
    return loading.override(loading.load("global-16"), changes)


def attacks_on(env: NetworkEnv, seed: int) -> list[Attack]:
    """Play an idle episode; every rule of the opponent is checked at each step."""
    env.reset(seed=seed)
    state, world, tape = env.simulator.state, env.simulator.world_of(0), env.simulator.tape
    shared, spec = env.simulator.sizes["S"], env.simulator.spec
    opponent = spec.failures.opponent
    length, pause = round(opponent.duration_h * 12), round(opponent.cooldown_h * 12)
    result: list[Attack] = []
    for row in range(1, spec.episode.steps + 1):
        share = np.array([state.site_share[0, list(domain.members)].sum() for domain in world.domains[:shared]])
        left = int(state.attacks_left[0])
        env.step(0)
        ready = not result or row >= result[-1].row + length + pause
        strikes = bool(tape.attack[0, row]) and left > 0 and ready and share.max() > 0
        assert state.attacks_left[0] == left - strikes
        if strikes:
            result.append(Attack(row, int(state.attack_domain[0])))
            assert share[result[-1].domain] == pytest.approx(share.max(), abs=1e-6)
        under = bool(result) and row < result[-1].row + length
        down = np.flatnonzero(state.status[0] & DOWN).tolist()
        assert down == (list(world.domains[result[-1].domain].members) if under else [])
    return result


def test_it_strikes_by_its_rules_step_by_step():
    env = NetworkEnv("placement", scenario())
    assert all(len(attacks_on(env, seed)) == 3 for seed in range(4)), "the budget is used up and no more"


@pytest.mark.parametrize(("replicas", "target"), [("a", "P"), ("c", "G"), ("ab", "P"), ("bc", "G")])
def test_it_goes_where_the_traffic_is(replicas, target):
    """The paper world: provider P has sites a and b, grid G has b and c."""
    changes = {
        "failures.opponent": EAGER | {"attacks_per_day": 1440.0},
        "start.replica_sites": {"unit": tuple(replicas)},
        "start.gateway_sites": ("a", "c"),
    }
    env = NetworkEnv("placement", loading.override(loading.load("toy-3"), changes))
    env.reset(seed=0)
    infos = [env.step(0)[4] for _ in range(2)]
    assert [info["active_outages"] for info in infos] == [0, 1], "at first nothing is served that it could break"
    assert env.simulator.world_of(0).domains[env.simulator.state.attack_domain[0]].name == target
    assert infos[0]["served_share"] > 0 and infos[1]["served_share"] == 0


@pytest.mark.parametrize(("budget", "expected"), [(0, 0), (1, 1), (2, 2)])
def test_budget(budget, expected):
    assert len(attacks_on(NetworkEnv("placement", scenario(budget=budget)), 0)) == expected


def test_duration_and_cooldown_keep_attacks_apart():
    env = NetworkEnv("placement", scenario(budget=1000, attacks_per_day=288.0))
    rows = [attack.row for attack in attacks_on(env, 0)]
    assert rows[0] == 2 and set(np.diff(rows)) == {18}, "a chance in every step: 6 steps of attack, 12 of pause"


def test_it_is_off_by_default():
    for name in loading.names():
        assert loading.load(name).failures.opponent.attacks_per_day == 0
    env = NetworkVectorEnv(4, "placement", "global-16")
    env.reset(seed=0)
    assert not env.simulator.tape.attack.any()
    for _ in range(20):
        env.step(np.zeros(4, np.int64))
    assert (env.simulator.state.attack_domain == -1).all()


def test_attacks_a_day_are_the_mean_that_is_asked_for():
    """Without limits, an attack of one step: a chance p in every step, binomial over all steps."""
    spec = scenario(attacks_per_day=12.0, budget=100_000, cooldown_h=0.0, duration_h=1 / 12)
    env = NetworkVectorEnv(64, "placement", spec)
    env.reset(seed=0)
    total = 0
    for _ in range(287):
        before = env.simulator.state.attacks_left.copy()
        env.step(np.zeros(64, np.int64))
        total += int((before - env.simulator.state.attacks_left).sum())
    chances, p = 64 * 287, 12 / 288
    assert abs(total - chances * p) < 5 * np.sqrt(chances * p * (1 - p)), "5 sigma: a false alarm in 2 million runs"
