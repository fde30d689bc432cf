"""Beliefs change the arrays of their dimension and no other, to what they say."""

from __future__ import annotations

import numpy as np
import pytest

from og_agents.evaluation import beliefs
from og_agents.evaluation.beliefs import BELIEFS
from og_env.kernel.arrays import LEAVING, NO_LAUNCHES, SCARCE
from og_env.scenario import loading
from og_env.simulator import TERM, UNTRUSTED, BelievedOffers, World
from og_env.vector_env import NetworkVectorEnv
from tests.cases.compiled_worlds import compiled

CHANGES = {
    "geography": {"rtt_ms", "rtt_user_ms", "payment_ms", "attraction"},
    "warmth": {"load_ms", "mean_load_ms", "weights_mb"},
    "price": {"usd_per_gpu_hour", "usd_per_vm_hour", "egress_usd_per_gb", "use_usd", "answer_usd"},
    "dependencies": {
        *("domain_size", "domain_visible", "domain_effect", "domain_rate", "domain_mean_h", "fragile_rate"),
        *("site_domain", "hit", "weights"),
    },
    "verification": {"tee"},
    "stores": {"store_streams", "store_mb_per_s"},
    "scarcity": set(),
}
STATES = {"warmth": {"fetch_left_mb", "load_left_ms"}, "verification": {"status"}}


def both(name: str, scenario: str = "global-24") -> tuple[World, World]:
    """A world with payments by request and the believed one."""
    true = compiled(scenario, payment__mode="x402").arrays
    believed = World(*(values.copy() for values in true))
    BELIEFS[name].change_worlds(believed)
    return true, believed


@pytest.mark.parametrize("name", BELIEFS)
def test_a_belief_changes_its_own_arrays_alone(name: str) -> None:
    true, believed = both(name)
    changed = {key for key in World._fields if not np.array_equal(getattr(true, key), getattr(believed, key))}
    assert changed == CHANGES[name]


@pytest.mark.parametrize("name", BELIEFS)
def test_a_belief_changes_its_own_part_of_states_alone(name: str) -> None:
    env = NetworkVectorEnv(2, scenario="global-24")
    env.reset(seed=0)
    state = env.simulator.state
    for values in (state.fetch_left_mb, state.load_left_ms, state.status):
        values[:] = UNTRUSTED
    before = state._replace(**{key: getattr(state, key).copy() for key in state._fields})
    change = BELIEFS[name].change_states
    if change is not None:
        change(state)
    changed = {key for key in state._fields if not np.array_equal(getattr(before, key), getattr(state, key))}
    assert changed == STATES.get(name, set())
    assert not any(getattr(state, key).any() for key in changed)


def test_round_trips_are_those_of_the_starting_fleet() -> None:
    """toy-3 starts with the users' gateway and the only replica at a, so users see no more than LOCAL_MS beyond it."""
    true, believed = both("geography", "toy-3")
    assert np.allclose(believed.rtt_user_ms, true.rtt_user_ms[0, 0, 0])
    assert np.allclose(believed.rtt_ms, true.rtt_ms[0, 0, 0])
    _, wide = both("geography", "global-24")
    for values in (wide.rtt_ms, wide.rtt_user_ms, wide.payment_ms, wide.attraction):
        assert values.min() == values.max() > 0


def test_prices_are_means_over_what_can_be_bought() -> None:
    true, believed = both("price", "toy-3")
    assert np.allclose(believed.usd_per_gpu_hour, true.usd_per_gpu_hour.mean()) and believed.usd_per_gpu_hour[0, 0] > 1
    true, believed = both("price", "global-24")
    gpus = true.gpu_count.astype(float)
    assert (believed.usd_per_gpu_hour * gpus).sum() == pytest.approx((true.usd_per_gpu_hour * gpus).sum(), rel=1e-5)
    assert np.array_equal(believed.answer_usd > 0, true.answer_usd > 0)
    fits = true.replica_gpus[0] > 0
    for m, of_model in enumerate(fits):
        assert believed.answer_usd[0, m, of_model] == pytest.approx(true.answer_usd[0, m, of_model].mean(), rel=1e-5)


@pytest.mark.parametrize("hidden", [False, True])
def test_independent_failures_break_a_site_as_often(hidden: bool) -> None:
    changes = {"failures__hidden": ["provider"]} if hidden else {}
    true = compiled("global-24", **changes).arrays
    believed = World(*(values.copy() for values in true))
    BELIEFS["dependencies"].change_worlds(believed)

    def broken(world: World) -> np.ndarray:
        """Expected hours broken per hour by site, of the domains that the agent is told of."""
        domain = np.maximum(world.site_domain[0], 0)
        shown = (world.site_domain[0] >= 0) * world.hit[0] * world.domain_visible[0][domain]
        return (shown * world.domain_rate[0][domain] * world.domain_mean_h[0][domain]).sum(axis=1)

    assert broken(believed) == pytest.approx(broken(true), rel=1e-5) and broken(true).min() > 0
    assert believed.weights[0, TERM.exposure] == 0 and (believed.site_domain[0, :, 1:] == -1).all()


def test_beliefs_leave_the_padding_of_small_fleets_alone() -> None:
    env = NetworkVectorEnv(2, scenario=loading.load("random-24"))
    env.reset(seed=1)
    world = env.simulator.world
    padded = world.site_valid == 0
    for belief in BELIEFS.values():
        believed = World(*(values.copy() for values in world))
        believed.site_valid[:, -1] = 0
        belief.change_worlds(believed)
        assert all(np.isfinite(values).all() for values in believed)
        for values in (believed.tee, believed.usd_per_vm_hour, believed.payment_ms):
            assert not values[padded].any()


def test_who_is_blind_to_scarcity_forgets_what_was_refused_and_what_leaves() -> None:
    env = NetworkVectorEnv(1, scenario="scarcity", interface="operations")
    env.reset(seed=0)
    offers = BelievedOffers(env.simulator)
    belief = BELIEFS["scarcity"]
    belief.change_worlds(offers.world)
    assert (offers.world.launch_chance == 1).all() and (offers.world.kept_share == 1).all()
    assert (offers.world.usd_per_gpu_hour == env.simulator.world.usd_per_gpu_hour).all(), "spot is as cheap as it is"
    state = env.simulator.state
    state.supply[:], state.refused_ms[:] = SCARCE | LEAVING | NO_LAUNCHES, 600_000
    assert belief.change_states is not None
    belief.change_states(state)
    assert (state.supply == NO_LAUNCHES).all() and not state.refused_ms.any()


def test_a_mean_is_over_the_last_axis() -> None:
    values = np.arange(12.0).reshape(2, 2, 3)
    assert beliefs._mean(values, np.array([1.0, 0.0, 1.0])).tolist() == [[[1.0], [4.0]], [[7.0], [10.0]]]
