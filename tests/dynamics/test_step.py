"""The compiled step against the readable one: events exactly, real numbers to single precision.

Before every step the oracle takes the kernel's state, so rounding cannot add up.
"""

from __future__ import annotations

import numpy as np
import pytest

from og_env.dynamics.operations import count
from og_env.dynamics.reference import possible, step
from og_env.kernel.arrays import KNOBS, METRICS, TERMS, Output, State
from og_env.kernel.memory import bind
from og_env.scenario import loading
from og_env.simulator import Settings, Simulator
from og_env.simulator.compiled_step import MOVING, OPERATIONS, by_operations
from tests.cases.paper_world import Paper, Play
from tests.cases.random_worlds import arrays_for_kernel, copy_of, random_episodes, random_operations

WORLDS_PER_SEED = 20
STEPS = 7
RELATIVE, ABSOLUTE = 1e-5, 1e-6


def assert_equal(kernel: tuple[State, Output], oracle: tuple[State, Output]) -> None:
    """Integers exactly, floats closely; the message names the field, term or metric."""
    for name in State._fields:
        assert_same(name, getattr(kernel[0], name), getattr(oracle[0], name))
    for name in ("operation", "truncated", "reward", "seen_loss", "domain_loss"):
        assert_same(name, getattr(kernel[1], name), getattr(oracle[1], name))
    for i, name in enumerate(TERMS):
        assert_same(f"term {name}", kernel[1].terms[:, i], oracle[1].terms[:, i])
    for i, name in enumerate(METRICS):
        assert_same(name, kernel[1].metrics[:, i], oracle[1].metrics[:, i])


def assert_same(name: str, kernel: np.ndarray, oracle: np.ndarray) -> None:
    if oracle.dtype.kind == "f":
        np.testing.assert_allclose(kernel, oracle, rtol=RELATIVE, atol=ABSOLUTE, err_msg=name)
    else:
        np.testing.assert_array_equal(kernel, oracle, err_msg=name)


@pytest.mark.parametrize("seed", range(10))
def test_kernel_equals_oracle_on_random_worlds(seed: int) -> None:
    """Ten times twenty worlds."""
    episodes = random_episodes(seed, WORLDS_PER_SEED, STEPS + 1)
    assert episodes.sizes["V"] == count(episodes.sizes["N"], episodes.sizes["M"])
    rng = np.random.default_rng(seed + 1000)
    output, scratch, memo = arrays_for_kernel(episodes)
    state = copy_of(episodes.state)
    table = bind(episodes.sizes, episodes.world, episodes.tape, state, output, scratch, memo)
    nothing, mask = (
        np.zeros((WORLDS_PER_SEED, 0), np.float32),
        np.zeros((WORLDS_PER_SEED, episodes.sizes["V"]), np.int8),
    )
    offsets = np.full(6, -1, np.int64)
    for _ in range(STEPS):
        operations = random_operations(rng, possible(episodes.world, state))
        expected = step(episodes.world, episodes.tape, state, operations)
        unused = (nothing, nothing, nothing, offsets, mask)
        by_operations(table, 0, WORLDS_PER_SEED, 0, OPERATIONS, MOVING, operations, *unused)
        assert_equal((state, output), expected)
        np.testing.assert_array_equal(mask == 1, possible(episodes.world, state))


@pytest.mark.parametrize("scenario", ["toy-3", "global-24", "opengradient", "tee-break", "random-24"])
def test_kernel_equals_oracle_on_shipped_scenarios(scenario: str) -> None:
    """An hour of four episodes with random operations and knobs; the mask says what the oracle says."""
    batch = 4
    spec = loading.override(loading.load(scenario), {"episode.operations_per_step": 1})
    simulator = Simulator(spec, batch, Settings("joint", "operations", False, 10, "test", 1.0))
    rng = np.random.default_rng(7)
    for b in range(batch):
        simulator.load_episode(b, simulator.tape_seed(rng))
    simulator.start(np.arange(batch))
    for _ in range(12):
        before = copy_of(simulator.state)
        can = possible(simulator.world, before)
        np.testing.assert_array_equal(simulator.mask == 1, can)
        operations = random_operations(rng, can)
        simulator.advance(operations, rng.uniform(-1, 1, (batch, len(KNOBS))).astype(np.float32))
        in_effect = before._replace(knobs=simulator.state.knobs.copy())
        expected = step(simulator.world, simulator.tape, in_effect, operations)
        assert_equal((simulator.state, simulator.output), expected)


def test_random_worlds_contain_what_can_go_wrong() -> None:
    """The comparison means little unless outages, refusals, fetches, attacks and halted quorums occur in it."""
    events = ("cold_wait_s", "fetch_gb", "finality_s", "impossible_operations", "use_usd_per_hour", "sites_grey")
    troubles = ("refused_share", "retried_share", "answers_lost", "sites_blind")
    seen = dict.fromkeys(events + troubles, 0)
    attacked = unverified = overloaded = padded = 0
    for seed in range(10):
        episodes = random_episodes(seed, WORLDS_PER_SEED, STEPS + 1)
        rng, state = np.random.default_rng(seed + 1000), episodes.state
        padded += (episodes.world.site_valid == 0).any()
        for _ in range(STEPS):
            operations = random_operations(rng, possible(episodes.world, state))
            state, output = step(episodes.world, episodes.tape, state, operations)
            for name in seen:
                seen[name] += int((output.metrics[:, METRICS.index(name)] > 0).sum())
            attacked += (state.attack_until >= state.step).sum()
            unverified += (output.terms[:, TERMS.index("unverified")] > 0).sum()
            served = output.metrics[:, METRICS.index("served_share")]
            overloaded += ((served > 0) & (served < 1)).sum()
    assert min(seen.values()) >= 20, seen
    assert min(attacked, unverified, overloaded) >= 20
    assert padded == 10


def test_an_episode_is_cut_off_at_its_last_row(play: Play, paper_world: Paper) -> None:
    ends = []
    for _ in range(3):
        done = play(paper_world)
        paper_world = paper_world._replace(state=done.state)
        ends.append(int(done.output.truncated[0]))
    assert ends == [0, 0, 1]
