"""Playing episodes: seeds, batches, sums, and what a policy asks of its environment."""

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.evaluation import playing
from og_env.env import NetworkEnv
from og_env.kernel.arrays import METRICS, TERMS
from og_env.scenario import loading

SCENARIO = "toy-3"


class Recorder:
    """Does nothing and keeps what it was called with."""

    name = "recorder"

    def __init__(self, overrides=None, env_kwargs=None):
        self.calls = []
        self.overrides, self.env_kwargs = overrides or {}, env_kwargs or {}

    def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
        start = np.array(episode_start)
        self.calls.append((observation, state, start, action_masks))
        rows = len(start)
        return np.zeros(rows, np.int64), (0 if state is None else state + 1)


@pytest.fixture(scope="module")
def short():
    """Twelve steps of the smallest world, with demand and outages that differ between episodes."""
    changes = {
        "episode.steps": 12,
        "demand.burst_sd": 0.3,
        "failures.process": "correlated",
        "failures.intensity": 200.0,
        "start.replica_sites": {"unit": ["a", "b"]},
    }
    return loading.override(loading.load(SCENARIO), changes)


def test_episodes_add_up_to_what_the_single_environment_says(short):
    result = playing.run(heuristics.make("greedy"), short, episodes=3, seed=5, split="validation")
    env = NetworkEnv(scenario=short, split="validation")
    policy = heuristics.make("greedy")
    for row in range(3):
        observation, info = env.reset(seed=5 + row)
        rewards, terms, metrics, truncated = [], [], [], False
        while not truncated:
            action, _ = policy.predict(observation, action_masks=info["action_mask"])
            observation, reward, _, truncated, info = env.step(action)
            rewards.append(reward)
            terms.append([info[f"term_{term}"] for term in TERMS])
            metrics.append([info[metric] for metric in METRICS])
        assert len(rewards) == result.steps == 12
        assert result.returns[row] == pytest.approx(sum(rewards), rel=1e-9)
        assert result.terms[row] == pytest.approx(np.mean(terms, axis=0), rel=1e-6)
        assert result.metrics[row] == pytest.approx(np.mean(metrics, axis=0), rel=1e-6)
        served = [each[METRICS.index("served_share")] for each in metrics]
        assert result.traces["served_share"][row] == pytest.approx(served, rel=1e-6)
    assert result.seeds.tolist() == [5, 6, 7]


def test_options_of_reset_hold_in_every_episode(short, monkeypatch):
    monkeypatch.setattr(playing, "MAX_ROWS", 2)
    outage = {"outages": [{"domain": "site:a", "start_h": 0.0, "duration_h": 1.0}], "background": False}
    result = playing.run(heuristics.make("greedy"), short, episodes=3, seed=5, options=outage)
    assert (result.traces["sites_down"] == 1).all()
    env, policy = NetworkEnv(scenario=short, split="test"), heuristics.make("greedy")
    observation, info = env.reset(seed=7, options=outage)
    total, truncated = 0.0, False
    while not truncated:
        action, _ = policy.predict(observation, action_masks=info["action_mask"])
        observation, reward, _, truncated, info = env.step(action)
        total += reward
    assert result.returns[2] == pytest.approx(total, rel=1e-9)


def test_returns_do_not_depend_on_the_batches(short, monkeypatch):
    for name in ("greedy", "opengradient"):
        whole = playing.run(heuristics.make(name), short, episodes=7, seed=3)
        monkeypatch.setattr(playing, "MAX_ROWS", 3)
        parts = playing.run(heuristics.make(name), short, episodes=7, seed=3)
        monkeypatch.undo()
        assert np.array_equal(whole.returns, parts.returns)
        assert np.array_equal(whole.metrics, parts.metrics)
        assert np.array_equal(whole.seeds, parts.seeds)
        assert whole.traces["exposure"].shape == parts.traces["exposure"].shape == (7, 12)


def test_splits_and_seeds_give_other_episodes(short):
    def demand(**kwargs):
        return playing.run(heuristics.make("static"), short, episodes=4, **kwargs).metric("demand_rps")

    test = demand(split="test", seed=0)
    assert np.array_equal(test, demand(split="test", seed=0))
    assert np.array_equal(test[1:], demand(split="test", seed=1)[:3])
    assert not np.any(np.isin(test, demand(split="train", seed=0)))
    assert not np.any(np.isin(test, demand(split="validation", seed=0)))


def test_policies_meet_the_same_outages_whatever_router_they_bring(short):
    """Demand is the same too where nobody asks again for answers that were lost at the sites of a router's choice."""
    spec = loading.override(short, {"failures.lose_answers": False})
    runs = [playing.run(heuristics.make(name), spec, episodes=8) for name in ("static", "opengradient", "nearest")]
    for run in runs[1:]:
        for trace in ("sites_down", "active_outages"):
            assert np.array_equal(run.traces[trace], runs[0].traces[trace])
        assert np.array_equal(run.metric("demand_rps"), runs[0].metric("demand_rps"))
    assert not np.array_equal(runs[1].returns, runs[0].returns)


def test_state_start_and_masks_are_handed_on(short):
    policy = Recorder()
    playing.run(policy, short, episodes=2)
    assert [state for _, state, _, _ in policy.calls] == [None, *range(11)]
    assert [start.all() for _, _, start, _ in policy.calls] == [True] + [False] * 11
    assert all(mask.shape == (2, 11) and mask.dtype == bool for _, _, _, mask in policy.calls)


def test_a_policy_gets_the_environment_it_asks_for(short):
    flat = Recorder(env_kwargs={"flatten": True})
    playing.run(flat, short, episodes=2)
    assert flat.calls[0][0].ndim == 2
    with pytest.raises(ValueError, match=r"router\.sprea"):
        playing.run(Recorder(overrides={"router.sprea": 1.0}), short, episodes=1)


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
@pytest.mark.parametrize("name", heuristics.NAMES)
def test_every_heuristic_plays_every_task(name, task, short):
    result = playing.run(heuristics.make(name, task), short, task, episodes=2)
    assert np.isfinite(result.returns).all()
    assert (result.returns < 0).all()
    assert result.decisions_per_s > 0
    if name in ("static", "opengradient") and task == "placement":
        assert result.metric("operations").sum() == 0
    assert result.metric("impossible_operations").sum() == 0


def test_progress_counts_episodes(short, monkeypatch):
    monkeypatch.setattr(playing, "MAX_ROWS", 2)
    done = []
    playing.run(heuristics.make("static"), short, episodes=5, progress=done.append)
    assert done == sorted(done) and done[-1] == 5
    assert [count for count in dict.fromkeys(done) if count == int(count)] == [1, 2, 3, 4, 5]
    assert len(set(done)) > 5, "it counts within an episode as well"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"episodes": 0}, "episodes must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"split": "tset"}, "split is 'tset'"),
        ({"task": "placing"}, "task is 'placing'"),
        ({"scenario": "toy-4"}, "nearest valid: toy-3"),
    ],
)
def test_bad_input_is_one_line(kwargs, message):
    with pytest.raises(ValueError, match=message) as error:
        playing.run(heuristics.make("static"), **({"scenario": SCENARIO, "episodes": 1} | kwargs))
    assert "\n" not in str(error.value)
