"""A live state: what an episode writes is what a simulator reads, and mistakes are one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from og_env import IDS
from og_env.kernel.arrays import GAIN, LEAVING, SLOW
from og_env.scenario import loading
from og_env.simulator.live_state import LiveState, describe, place
from og_env.vector_env import NetworkVectorEnv

STORMY = {"failures.intensity": 30.0, "episode.steps": 60, "episode.operations_per_step": 1}


def world(name: str = "global-24"):
    fewer = {"failures.shocks_per_day": 8.0} if name == "global-24" else {}  # some sites stay up
    return loading.override(loading.load(name), STORMY | fewer)


def play(env: NetworkVectorEnv, steps: int, seed: int = 3):
    """Steps of an episode in which the best offers and chance take turns."""
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        best = int(env.simulator.output.offer_gain[0, :, GAIN.total].argmax()) + 1
        possible = np.flatnonzero(env.action_masks()[0])
        env.step(np.array([best if step % 3 == 0 and best in possible else rng.choice(possible)]))
        yield json.loads(json.dumps(describe(env.simulator)))


@pytest.mark.parametrize("name", ["global-24", "tee-break", "random-24"])
def test_offers_of_a_written_state_are_those_of_the_episode(name):
    env = NetworkVectorEnv(1, scenario=world(name))
    twin = None
    offers, gains, seen = 0, [], []
    for state in play(env, 40):
        if twin is None:
            twin = NetworkVectorEnv(1, scenario=state["scenario"])
        place(twin.simulator, LiveState.parse(state))
        one, other = env.simulator.output, twin.simulator.output
        offers += np.array_equal(one.offer, other.offer)
        gains.append(np.abs(one.offer_gain[..., GAIN.total] - other.offer_gain[..., GAIN.total]).max())
        tables = [each.simulator.tables(each.simulator.observation) for each in (env, twin)]
        seen.append(max(np.abs(tables[0][key] - tables[1][key]).mean() for key in ("globals", "models", "proposals")))
    assert offers >= 26 and np.median(gains) < 1e-3, (
        "loads, which routing rests on, are worked out at the speed that shows"
    )
    assert np.median(seen) < 2e-2, "what the fleet serves is worked out, nearly as in the step before"


def test_an_episode_with_everything_in_it_is_written_and_read_back():
    found = set()
    for store_gbps, seed in ((10.0, 5), (0.05, 7), (1.0, 9)):
        spec = loading.override(world(), {"network.store_gbps": store_gbps})
        env, twin = NetworkVectorEnv(1, scenario=spec), NetworkVectorEnv(1, scenario=spec)
        domains = {f"{domain.kind}:{domain.name}" for domain in env.simulator.world_of(0).domains}
        for state in play(env, 59, seed=seed):
            place(twin.simulator, LiveState.parse(state))
            again = describe(twin.simulator)
            for name in ("hour_utc", "replicas", "roles", "status", "undetected_s", "knobs", "steps_done"):
                assert again[name] == state[name], name
            assert again["demand_rps"] == pytest.approx(state["demand_rps"], rel=1e-5)
            assert again["alarms"] == pytest.approx(state["alarms"], abs=1e-6)
            hours = [{name: each["alarms_hour"].get(name, 0.0) for name in domains} for each in (state, again)]
            assert hours[1] == pytest.approx(hours[0], abs=5e-3)
            found |= {replica["phase"] for replica in state["replicas"]} | {key for key in state if state[key]}
            found |= {"ready_in_s" for role in state["roles"] if "ready_in_s" in role}
    assert {"warm", "loading", "fetching", "on_disk", "status", "alarms", "alarms_hour", "ready_in_s"} <= found


@pytest.mark.parametrize("task", IDS)
def test_nothing_moves_while_a_state_is_placed(task):
    env = NetworkVectorEnv(1, scenario=world())
    *_, state = play(env, 20)
    other = NetworkVectorEnv(1, task, world())
    other.reset(seed=0)
    place(other.simulator, LiveState.parse(state))
    assert describe(other.simulator)["replicas"] == state["replicas"]
    assert np.array_equal(other.simulator.output.offer, env.simulator.output.offer)
    assert np.isfinite(other.simulator.observation).all() and np.abs(other.simulator.observation).max() <= 1
    shapes = [table.shape for table in other.simulator.state]
    other.step(np.zeros(other.action_space.shape or (1,), other.action_space.dtype))
    assert [table.shape for table in other.simulator.state] == shapes


def test_what_serves_is_worked_out_without_loads():
    env = NetworkVectorEnv(1, scenario="toy-3")
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(1, np.int64))
    state = describe(env.simulator)
    for replica in state["replicas"]:
        replica.pop("load_rps", None)
    served = env.simulator.state.model_served_rps.copy()
    loads = env.simulator.state.load_rps.copy()
    place(env.simulator, LiveState.parse(state))
    assert served.any() and env.simulator.state.model_served_rps == pytest.approx(served, rel=1e-3)
    assert env.simulator.state.load_rps == pytest.approx(loads, rel=0.05)


def test_an_episode_goes_on_beside_a_placed_state():
    env, alone = (NetworkVectorEnv(2, scenario=world(), threads=1) for _ in range(2))
    env.reset(seed=1)
    alone.reset(seed=1)
    *_, state = play(NetworkVectorEnv(1, scenario=world()), 5)
    place(env.simulator, LiveState.parse(state), 0)
    for _ in range(3):
        for one in (env, alone):
            one.step(np.ones(2, np.int64))
    assert np.array_equal(env.simulator.observation[1], alone.simulator.observation[1])


def test_what_is_measured_is_written_and_read_back():
    env, twin = NetworkVectorEnv(1, scenario=world()), NetworkVectorEnv(1, scenario=world())
    *_, state = play(env, 8)
    arrays, tape = env.simulator.state, env.simulator.tape
    rng = np.random.default_rng(0)
    for field, low, high in (("slowness_log2", -1, 2), ("wait_s", 0, 9), ("refused", 0, 1), ("load", 0, 2)):
        getattr(arrays, f"shown_{field}")[:] = rng.uniform(low, high, (1, 24))
    arrays.shown_slowness_log2[0, 5], arrays.shown_wait_s[0, 5], arrays.shown_refused[0, 5] = 0, 0, 0
    arrays.shown_load[0, 5] = 0
    arrays.blind[0] = 0
    arrays.blind[0, [5, 7]] = 1
    arrays.in_flight[0] = (arrays.load_rps[0] > 0) * 7.5
    state = json.loads(json.dumps(describe(env.simulator)))
    assert len(state["measured"]) == 24 and sum("blind" in site for site in state["measured"].values()) == 2
    twin.simulator.state.in_flight[0] = 3.0
    place(twin.simulator, LiveState.parse(state))
    again = describe(twin.simulator)
    assert again["measured"] == state["measured"] and again["replicas"] == state["replicas"]
    assert any(replica.get("in_flight") == 7.5 for replica in state["replicas"])
    codes = twin.simulator.tape.condition[0]
    slowed = np.where(arrays.status[0] & SLOW, 2, 1) / np.exp2(arrays.shown_slowness_log2[0])
    assert np.abs((codes[0] & 127).astype(int) - 64 - 24 * np.log2(slowed)).max() < 0.51 and (codes == codes[0]).all()
    assert np.flatnonzero(codes[0] & 128).tolist() == [5, 7]
    assert (tape.condition[0] != codes).any()


def test_a_site_that_is_not_measured_is_nominal(toy):
    env, state = toy
    names = [site.name for site in env.simulator.world_of(0).resolved.sites]
    env.simulator.tape.condition[0] = 40 | 128
    place(env.simulator, LiveState.parse(changed(state, measured={})))
    assert (env.simulator.tape.condition[0] == 64).all() and not env.simulator.state.blind.any()
    given = {names[0]: {"slowness": 2.0}, names[1]: {"blind": True, "wait_s": 3.0}}
    place(env.simulator, LiveState.parse(changed(state, measured=given, status={names[0]: ["SLOW"]})))
    assert env.simulator.tape.condition[0, 0].tolist()[:2] == [64, 64 | 128]
    arrays = env.simulator.state
    assert (
        arrays.shown_slowness_log2[0, 0] == 1
        and arrays.shown_wait_s[0, 1] == 3
        and arrays.blind[0].tolist()[:2] == [0, 1]
    )
    assert arrays.shown_slowness_log2[0, 1] == 0


def changed(state: dict, **changes):
    return {**state, **changes}


@pytest.fixture(scope="module")
def toy():
    env = NetworkVectorEnv(1, scenario="toy-3")
    env.reset(seed=0)
    env.step(np.zeros(1, np.int64))
    return env, describe(env.simulator)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hour_utc": 24.0}, "state: hour_utc: must be < 24"),
        ({"fromat": 1}, "state: fromat: unknown key .nearest valid: format."),
        ({"replicas": [{"model": "x", "site": "y", "phase": "hot"}]}, "replicas.*phase.*'hot' is not valid"),
        ({"replicas": [{"model": "x", "site": "y", "phase": "warm"}]}, "'x' is not in the scenario"),
        ({"demand_rps": {}}, "demand_rps: is 0 everywhere"),
        ({"demand_rps": {"atlantis": 1.0}}, "demand_rps.*'atlantis' is not in the scenario"),
        ({"status": {"atlantis": ["DOWN"]}}, "status.*'atlantis' is not in the scenario"),
        ({"alarms": {"provider:nobody": 0.5}}, "no shared fault domain"),
        ({"alarms_hour": {"provider:nobody": 0.5}}, "alarms_hour.provider:nobody.*no shared fault domain"),
        ({"knobs": {"spred": 0.5}}, "'spred' is not in the scenario .nearest valid: spread."),
        ({"measured": {"atlantis": {"wait_s": 1.0}}}, "measured.*'atlantis' is not in the scenario"),
        ({"measured": {"x": {"slownes": 1.0}}}, "measured.x.slownes: unknown key .nearest valid: slowness."),
        ({"measured": {"x": {"slowness": 0.0}}}, "measured.x.slowness: must be > 0"),
        ({"measured": {"x": {"refused_share": 1.5}}}, "measured.x.refused_share: must be <= 1"),
        ({"steps_done": 10_000}, "an episode has"),
    ],
)
def test_a_mistake_is_one_line(toy, change, message):
    env, state = toy
    with pytest.raises(ValueError, match=message) as error:
        place(env.simulator, LiveState.parse(changed(state, **change)))
    assert "\n" not in str(error.value)


def test_what_no_fleet_can_be(toy):
    env, state = toy
    replica, role = state["replicas"][0], state["roles"][0]
    wrong = [
        ({"replicas": [replica, replica]}, "listed twice"),
        ({"roles": [role, role]}, "listed twice"),
        ({"status": {replica["site"]: ["DOWN"]}}, "cannot be warm where the site is DOWN"),
        ({"undetected_s": {replica["site"]: 20}}, "is not DOWN"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            place(env.simulator, LiveState.parse(changed(state, **change)))
    many = loading.override(loading.load("toy-3"), {"fleet": "fixed"})
    sites, models = [s.name for s in loading.resolve(many).sites], [m.name for m in loading.resolve(many).models]
    everything = [{"model": model, "site": site, "phase": "warm"} for model in models for site in sites]
    held = env.simulator.world.replica_gpus[0].sum(axis=0)
    if (held > env.simulator.world.gpu_count[0]).any():
        with pytest.raises(ValueError, match="GPUs at"):
            place(env.simulator, LiveState.parse(changed(state, replicas=everything)))


def test_files(tmp_path, toy):
    _, state = toy
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(state), encoding="utf-8")
    assert LiveState.read(path) == LiveState.parse(state)
    (tmp_path / "mine.toml").write_text(
        (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    path.write_text(json.dumps(changed(state, scenario="mine.toml")), encoding="utf-8")
    assert loading.load(LiveState.read(path).scenario).name == "toy-3"
    for text, message in (("{", "not JSON"), ("[]", "must be a table"), ('{"format": 2}', "format")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"fleet.json.*{message}"):
            LiveState.read(path)
    with pytest.raises(ValueError, match="no such file"):
        LiveState.read(tmp_path / "none.json")


def test_supply_is_written_and_read_back():
    env, twin = NetworkVectorEnv(1, scenario="scarcity"), NetworkVectorEnv(1, scenario="scarcity")
    env.reset(seed=1)
    state = env.simulator.state
    state.supply[0, :2], state.refused_ms[0, 2] = LEAVING, 600_000
    written = json.loads(json.dumps(describe(env.simulator)))
    assert written["supply"]["aws/us-east-1"] == ["LEAVING"] and written["refused_s"]["aws/us-east-1/spot-b"] == 600
    place(twin.simulator, LiveState.parse(written))
    assert np.array_equal(twin.simulator.state.supply, state.supply)
    assert np.array_equal(twin.simulator.state.refused_ms, state.refused_ms)
    assert np.array_equal(twin.simulator.state.phase, state.phase), "what leaves is still there"
    calm = NetworkVectorEnv(1, scenario="toy-3")
    calm.reset(seed=1)
    assert not {"supply", "refused_s"} & set(describe(calm.simulator))
