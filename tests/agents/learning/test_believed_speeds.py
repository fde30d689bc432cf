"""Beliefs of speeds: what is remembered and filtered, the levels that follow from them, and the start that a search finds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo, speed_filter, starting_router
from og_agents.learning.believed_speeds import RANGE, BelievedRouter, BelievedVecEnv
from og_agents.learning.speed_filter import (
    COLUMNS,
    LEAST_LOAD,
    MEMORY,
    OCTAVES,
    RATES,
    SpeedFilter,
    columns_of,
    remember,
)
from og_agents.learning.training_progress import Clock
from og_env.env import NetworkEnv
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world("grey-failures")
CONSTANTS = {"share": 0.8, "caution": 0.6, "rate": 0.3, "refused": 1.2}


def shown(slowness: list[float], load: list[float], blind: list[int]) -> Any:
    """A simulator of one environment that shows these values of its sites."""
    rows = {"shown_slowness_log2": slowness, "shown_load": load, "blind": blind}
    return SimpleNamespace(state=SimpleNamespace(**{name: np.array([row]) for name, row in rows.items()}))


def test_running_means_weigh_measurements_by_load_and_leave_out_blind_ones():
    memory = np.zeros((1, MEMORY, 3))
    for slowness, load, blind in (
        ([1.0, 1.0, 1.0], [1.0, 0.1, 0.5], [0, 0, 0]),
        ([2.0, -1.0, 9.0], [1.0, 0.9, 0.5], [0, 0, 1]),
    ):
        latest = shown(slowness, load, blind)
        memory = remember(memory, latest)
    columns = columns_of(memory, latest)[0]
    rate = RATES[0]
    weights = [[(1 - rate) * rate * first, rate * second] for first, second in ((1, 1), (0.1, 0.9), (0.5, 0))]
    for site, (values, (old, new)) in enumerate(zip(((1, 2), (1, -1), (1, 9)), weights, strict=True)):
        mean = (old * values[0] + new * values[1]) / (old + new + LEAST_LOAD)
        assert columns[site, 3] == pytest.approx(mean / OCTAVES, rel=1e-5)
    assert columns[:, 0].tolist() == pytest.approx([0.5, -0.25, 2.25])
    assert columns[:, 2].tolist() == [0, 0, 1]
    assert columns.shape == (3, COLUMNS) and (columns[0, 1], columns[1, 1]) > (columns[1, 1], columns[2, 1])


def test_an_untrained_filter_believes_the_last_measurement():
    columns = torch.zeros(2, COLUMNS)
    columns[:, 0] = torch.tensor([0.25, -0.1])
    mean, deviation = SpeedFilter()(columns)
    assert mean.tolist() == pytest.approx([1.0, -0.4], rel=2e-3) and deviation.tolist() == [1, 1]


def test_a_fitted_filter_doubts_what_was_measured_on_few_requests(monkeypatch):
    monkeypatch.setattr(speed_filter, "UPDATES", 500)
    rng = np.random.default_rng(0)
    truth, idle = rng.normal(0, 0.5, 6000), rng.random(6000) < 0.5
    columns = np.zeros((6000, COLUMNS), np.float32)
    columns[:, 0] = (truth + np.where(idle, 2.0, 0.02) * rng.normal(size=6000)) / OCTAVES
    columns[:, 1] = np.where(idle, -0.9, 0.0)
    torch.manual_seed(0)
    fitted = SpeedFilter()
    fitted.fit(columns[:4000], truth[:4000], seed=0)
    with torch.no_grad():
        mean, deviation = (values.numpy() for values in fitted(torch.as_tensor(columns[4000:])))
    error, last, few = mean - truth[4000:], OCTAVES * columns[4000:, 0] - truth[4000:], idle[4000:]
    assert np.square(error[few]).mean() < 0.3 < 3 < np.square(last[few]).mean()
    assert np.square(error[~few]).mean() < 0.02
    assert deviation[few].mean() == pytest.approx(error[few].std(), rel=0.25) and deviation[~few].mean() < 0.15


def made(world=WORLD, **changes):
    """An untrained model whose filter and correction are not those of the start, and its description."""
    settings = small_settings(interface="sites", router="convex", **changes)
    meta = ppo.make_meta(settings, "routing", world, 1, None, {"constants": CONSTANTS})
    model = ppo.build(ppo.training_env(world, meta, settings), meta, settings, Clock(1, None), 1)
    scorer: Any = model.policy.mlp_extractor
    torch.nn.init.normal_(scorer.filter.weighs.weight)
    torch.nn.init.normal_(scorer.filter.doubts.weight)
    return model, meta


def test_a_belief_is_a_share_of_what_the_filter_expects_and_some_deviations():
    model, _ = made()
    scorer: Any = model.policy.mlp_extractor
    env: Any = model.env
    observation = torch.as_tensor(env.reset())
    *_, rows, measured = scorer._parts(observation)
    expected, deviation = scorer.filter(measured)
    believed = scorer.forward_actor(observation)
    assert torch.allclose(RANGE * believed, 0.8 * expected + 0.6 * deviation, atol=1e-5)
    assert expected.std() > 0 and deviation.std() > 0 and (rows[..., 0] == 1).all()
    torch.nn.init.ones_(scorer.correction.bias)
    more = scorer.forward_actor(observation) - believed
    hosts = scorer.hosts(rows) > 0
    assert hosts.any() and torch.allclose(more[hosts], torch.tensor(1.0), atol=1e-5) and (more[~hosts] == 0).all()


def test_levels_that_are_tried_are_those_that_are_then_in_force_and_a_state_brings_all_back():
    batch = NetworkVectorEnv(3, "routing", WORLD, interface="sites", flatten=True)
    env: Any = BelievedVecEnv(batch, BelievedRouter(CONSTANTS))
    env.seed(4)
    observation = env.reset()
    rng, sites = np.random.default_rng(0), int(np.prod(batch.single_action_space.shape or ()))
    beliefs = np.zeros((3, 2, sites))
    for _ in range(3):
        beliefs = rng.uniform(-0.3, 0.3, (3, 2, sites)).astype(np.float32)
        levels = env.levels_of(beliefs)
        observation, *_ = env.step(beliefs[:, 1])
        assert np.allclose(batch.simulator.state.steer, 4 * levels[:, 1], atol=1e-5)
        assert np.abs(levels[:, 0] - levels[:, 1]).max() > 0.05
    state = env.get_state()
    expected = env.step(beliefs[:, 0])[0]
    assert np.array_equal(env.set_state(state), observation)
    assert np.array_equal(env.step(beliefs[:, 0])[0], expected)
    assert observation.shape == (3, env.observation_space.shape[0])
    env.close()


def test_a_slow_belief_sends_requests_elsewhere():
    batch = NetworkVectorEnv(
        1, "routing", short_world("grey-failures", **{"router.load_penalty": 0.0}), interface="sites", flatten=True
    )
    batch.reset(seed=0)
    router = BelievedRouter(CONSTANTS)
    router.attach(batch)
    memory, _ = router.measured(None, None)
    for _ in range(4):
        batch.step(np.zeros((1, 16), np.float32))
    busiest = int(batch.simulator.state.shown_load[0].argmax())
    beliefs = np.zeros((1, 16))
    level = router.levels(beliefs, memory)[0, busiest]
    beliefs[0, busiest] = 0.5
    assert router.levels(beliefs, memory)[0, busiest] < level - 0.05


def test_a_router_that_measures_nothing_says_so():
    with pytest.raises(ValueError, match="attach"):
        BelievedRouter(CONSTANTS).measured(None, None)


def test_a_saved_policy_plays_alone_and_in_a_batch_as_the_network_in_training_does(tmp_path):
    model, meta = made()
    policy = checkpoint.load(checkpoint.save(model, tmp_path / "policy", meta), scenario=WORLD)
    env: Any = model.env
    env.together = True
    env.seed(8)
    observation, alone, state, start = (
        env.reset(),
        NetworkEnv(
            "routing", loading.override(WORLD, meta["overrides"]), split="train", interface="sites", flatten=True
        ),
        None,
        None,
    )
    seen, _ = alone.reset(seed=8)
    policy.attach(alone)
    network: Any = model.policy
    for _ in range(3):
        levels, state = policy.predict(seen, state, start)
        start = np.zeros(1, np.bool_)
        seen, *_ = alone.step(levels)
        with torch.no_grad():
            beliefs = network.mean_levels(torch.as_tensor(observation)).clamp(-1, 1).numpy()
        observation, *_ = env.step(beliefs)
        assert levels.shape == (16,)
        assert np.allclose(env.venv.env.simulator.state.steer[0], alone.simulator.state.steer[0], atol=1e-4)


def test_a_run_finds_its_filter_and_constants_and_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_filter, "UPDATES", 200)
    for name, value in (("FIT_EPISODES", 8), ("EPISODES", 2), ("POPULATION", 3), ("ROUNDS", 2)):
        monkeypatch.setattr(starting_router, name, value)
    settings = small_settings(interface="sites", router="convex", filtered=True, level_tries=4, level_horizon=2)
    out = ppo.train(WORLD, "routing", settings, seed=0, out=tmp_path / "run", quiet=True)
    card = checkpoint.read_meta(out)
    start = card["start"]
    assert start["error_octaves"]["filtered"] < start["error_octaves"]["measured"] and start["trials"] == 6
    assert card["policy_kwargs"]["beliefs"] == start["constants"]
    policy = checkpoint.load(out, scenario=WORLD)
    network: Any = policy.network
    assert network.mlp_extractor.filter.weighs.weight.abs().max() > 0
    first, second = (playing.run(policy, WORLD, "routing", 2, 0, split="validation").returns for _ in range(2))
    assert np.array_equal(first, second)
    on = ppo.train(WORLD, "routing", settings, seed=1, out=tmp_path / "on", quiet=True, begin=out)
    assert checkpoint.read_meta(on)["policy_kwargs"]["beliefs"] == start["constants"]


def test_the_search_ends_where_its_time_is_over(monkeypatch):
    monkeypatch.setattr(speed_filter, "UPDATES", 5)
    for name, value in (("FIT_EPISODES", 4), ("EPISODES", 2), ("POPULATION", 3)):
        monkeypatch.setattr(starting_router, name, value)
    constants = {"rate": 0.3, "faith": 0.7, "refused": 1.2}
    lines: list[str] = []
    start = starting_router.find(WORLD, constants, 0, 0.0, lines.append)
    assert start.trials == 3 and set(start.constants) == set(CONSTANTS) and "octaves" in lines[-1]
