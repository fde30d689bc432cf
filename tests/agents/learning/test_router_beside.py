"""A placer that learns beside a router: branches repeat its levels, and the run plays with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.commands import benchmark, decide, train
from og_agents.evaluation import playing
from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning import (
    against_baselines,
    branch_slices,
    checkpoint,
    resume_file,
    rollout_policy_iteration,
    run_folder,
    starting_planner,
)
from og_agents.learning.branch_slices import Slice, turns
from og_agents.learning.counterfactual_branches import Round, Trials, every_offer
from og_agents.learning.router_beside import (
    FRESH,
    MEMORY,
    RouterBeside,
    as_played,
    env_kwargs_of,
    overrides_of,
    refuse_other_start,
)
from og_agents.load_policies import load_policies
from og_agents.planners.place_and_route import PlaceAndRoute
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.simulator import operations_of
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_files, short_world, small_settings

WORLD = short_world("near-but-cold")
TINY = {"branch_states": 32, "branch_horizon": 4, "branch_spacing": 3}


def described(world: ScenarioSpec = WORLD, task: str = "joint", **changes: Any) -> dict[str, Any]:
    return rollout_policy_iteration.described(small_settings(**{**TINY, **changes}), world, 0, None, task)


def trained(out: Path, **changes: Any) -> Path:
    settings = small_settings(**{**TINY, **changes})
    return rollout_policy_iteration.train(WORLD, settings, seed=1, out=out, quiet=True, task="joint")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read_tensors(folder / checkpoint.WEIGHTS)[0]


def returns(policy: Any, task: str = "joint") -> np.ndarray:
    return playing.run(policy, WORLD, task, 4, split="validation").returns


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "beside")


@pytest.mark.parametrize(("router", "operations"), [("convex", 1), ("convex", 3), ("site_prices", 1)])
def test_the_branch_of_the_action_that_was_taken_is_what_was_earned_with_the_levels_of_the_router(router, operations):
    horizon, batch, rng = 5, 6, np.random.default_rng(0)
    world = short_world("near-but-cold", **{"episode.operations_per_step": operations})
    env = branch_slices.worlds(described(world, router=router), batch)
    beside = RouterBeside(env, router)
    observation, info = env.reset(seed=3)
    played = Round(env, spacing=4, horizon=horizon, moments=2)
    taken, rewards, moved = [], [], []
    while not played.complete:
        masks = info["action_mask"][:, :11].astype(np.bool_)
        chosen = np.where(masks, rng.random(masks.shape), -1.0).argmax(axis=1)
        offered = every_offer(env, masks) if played.due else None
        played.before(observation, offered, operations_of(env.simulator.output.offer, chosen))
        actions, levels = beside.route(observation, chosen)
        observation, reward, _, ended, info = env.step(actions)
        played.after(info["moved"], levels)
        beside.after(ended)
        taken.append(chosen)
        rewards.append(np.where(info["moved"], reward, 0.0))
        moved.append(info["moved"])
    trials = Trials(env, horizon)
    tried = played.branches(trials)
    assert np.ptp(tried.returns, axis=1).max() > 1e-3
    for number, begin in enumerate((0, 4)):
        steps = np.cumsum(moved[begin:], axis=0) - moved[begin:]
        ends = 12 - (np.cumsum(moved[:begin], axis=0)[-1] if begin else 0)
        earned = (np.array(rewards[begin:]) * ((steps < horizon) & (steps < ends))).sum(axis=0)
        rows = slice(number * batch, (number + 1) * batch)
        assert np.allclose(tried.returns[rows][np.arange(batch), taken[begin]], earned, atol=1e-5)
    for moment in played.moments:
        moment.levels = None
    assert not np.allclose(played.branches(trials).returns, tried.returns, atol=1e-3), "levels matter here"
    trials.close()
    env.close()


def test_the_placer_sees_what_it_sees_in_placement():
    meta = described()
    world = loading.override(WORLD, overrides_of(meta))
    joint = NetworkVectorEnv(3, "joint", world, split="train", **env_kwargs_of(meta))
    alone = NetworkVectorEnv(3, "placement", world, split="train", **described(task="placement")["env_kwargs"])
    assert np.array_equal(joint.reset(seed=2)[0], alone.reset(seed=2)[0])
    networks = [rollout_policy_iteration.untrained(env, meta) for env in (joint, alone)]
    assert networks[0].action_space == networks[1].action_space == alone.single_action_space
    for env in (joint, alone):
        env.close()


def test_a_run_repeats_itself_and_depends_on_its_router(run, tmp_path):
    again = weights(trained(tmp_path / "again"))
    assert all(torch.equal(value, again[name]) for name, value in weights(run).items())
    other = weights(trained(tmp_path / "other", router="site_prices"))
    assert not all(torch.equal(value, other[name]) for name, value in weights(run).items())


def test_a_router_begins_anew_where_an_episode_does():
    env = branch_slices.worlds(described(), 2)
    observation, _ = env.reset(seed=5)
    one, two = RouterBeside(env, "convex"), RouterBeside(env, "convex")
    nothing, memory = np.zeros(2, np.int64), np.tile(np.linspace(-1, 1, env.simulator.sizes["N"]), (2, 1))
    began, _ = two.route(observation, nothing)
    one.set_state({MEMORY: memory, FRESH: np.zeros(2, np.bool_)})
    one.after(np.array([True, False]))
    actions, _ = one.route(observation, nothing)
    assert np.array_equal(actions[0], began[0]) and not np.array_equal(actions[1], began[1])
    env.close()


@pytest.mark.parametrize("router", ["convex", "site_prices"])
def test_the_world_of_training_is_the_one_that_the_pair_is_played_in(router):
    meta = described(router=router)
    env = branch_slices.worlds(meta, 2)
    learned = checkpoint.LearnedPolicy(rollout_policy_iteration.untrained(env, meta), meta, "learned")
    played = playing.stage(as_played(learned, meta, WORLD), WORLD, "joint", 2, split="train")
    assert env.simulator.spec == played.simulator.spec != WORLD
    assert env.simulator.settings == played.simulator.settings
    assert np.array_equal(env.reset(seed=1)[0], played.reset(seed=1)[0])
    for each in (env, played):
        each.close()


def test_a_slice_goes_on_with_the_memory_of_its_router():
    meta = described()
    torch.manual_seed(0)
    part, turn = Slice(meta, 2), turns(meta, 0)[0]
    policy = rollout_policy_iteration.untrained(part.env, meta)
    part.play(policy, turn)
    state = part.get_state()
    expected = part.play(policy, turn)
    part.set_state(state)
    assert np.array_equal(part.play(policy, turn).returns, expected.returns)
    part.set_state({**state, MEMORY: state[MEMORY] + np.linspace(-1, 1, state[MEMORY].shape[1])})
    assert not np.array_equal(part.play(policy, turn).returns, expected.returns)
    part.set_state(None)
    begun = part.play(policy, turn).returns
    other = Slice(meta, 2)
    assert np.array_equal(other.play(policy, turn).returns, begun), "an episode that begins has no memory"


def test_a_run_is_played_with_its_router_or_another_one(run):
    card = checkpoint.read_meta(run)
    assert (card["task"], card["router"], card["algorithm"]) == ("joint", "convex", "rpi")
    assert set(run_folder.RUN_FILES) <= {path.name for path in run.iterdir()}
    words = [str(run), f"{run}+convex", f"{run}+site_prices"]
    policies, judged = load_policies(words, WORLD, "joint")
    assert all(isinstance(policy, PlaceAndRoute) for policy in policies.values()) and len(judged) == 3
    own, named, other = (returns(policy) for policy in policies.values())
    assert np.array_equal(own, named) and not np.array_equal(own, other)
    validated = playing.run(policies[judged[0]], WORLD, "joint", 2, split="validation").returns.mean()
    assert card["validation_return"] == pytest.approx(validated), "the pair is what was validated"
    (alone,) = load_policies([str(run)], WORLD, "placement")[0].values()
    assert np.isfinite(returns(alone, "placement")).all()
    with pytest.raises(ValueError, match="trained for og_env/Joint-v1, not og_env/Routing-v1"):
        load_policies([str(run)], WORLD, "routing")


def test_a_placer_of_either_task_begins_a_run_of_the_other(run, tmp_path):
    settings = small_settings(**{**TINY, "branch_states": 16})
    train = rollout_policy_iteration.train
    alone = train(WORLD, settings, seed=0, out=tmp_path / "alone", quiet=True, begin=run)
    beside = train(WORLD, settings, seed=0, out=tmp_path / "beside", quiet=True, begin=alone, task="joint")
    assert "router" not in checkpoint.read_meta(alone) and checkpoint.read_meta(beside)["router"] == "convex"


def test_the_standing_is_among_planners_beside_the_same_router(run):
    found = against_baselines.baselines(WORLD, "joint", "convex")
    assert "greedy_tuned+convex" in found and all(name.endswith("+convex") for name in found)
    standing = against_baselines.stand(run, WORLD, "joint", episodes=2, played=lambda line: None)
    assert standing.baseline in found
    assert checkpoint.read_meta(run)["against_baselines"]["baseline"] == standing.baseline


def test_constants_that_a_training_has_found_are_compared_beside_the_same_router():
    start = {"constants_from": starting_planner.SEARCHED, "constants": constants_of("near-but-cold", "greedy_tuned")}
    ((name, policy),) = against_baselines._found({"start": start, "router": "convex"}, WORLD, "joint").items()
    assert name == "greedy_tuned+convex with the constants in its card"
    pair = against_baselines.baselines(WORLD, "joint", "convex")["greedy_tuned+convex"]
    assert np.array_equal(returns(policy), returns(pair))


def test_routing_has_nothing_to_place():
    with pytest.raises(ValueError, match="routing does not: take placement or joint"):
        described(task="routing")


def test_the_command_trains_goes_on_and_compares_and_the_benchmark_plays_the_pair(tmp_path, capsys):
    scenario, config = short_files(tmp_path)
    out, changed = tmp_path / "run", ["--set", "episode.operations_per_step=4"]
    words = ["--scenario", scenario, "--env", "og_env/Joint-v1", "--algorithm", "rpi", "--router", "site_prices"]
    words += ["--config", config, "--timesteps", "16", "--compare", "2", "--out", str(out), "--quiet"]
    assert train.main([*words, *changed]) == 0
    captured = capsys.readouterr().out
    assert "verdict: " in captured and f"--env og_env/Joint-v1 --policies all,{out}" in captured
    card = checkpoint.read_meta(out)
    assert (card["task"], card["router"], card["algorithm"]) == ("joint", "site_prices", "rpi")
    assert card["against_baselines"]["baseline"].endswith("+site_prices")
    assert train.main(["--resume", str(out), "--quiet", "--timesteps", "32", "--compare", "0"]) == 0
    assert resume_file.read(out)[1].timesteps == 32
    policies = f"greedy_tuned+convex,{out},{out}+convex"
    played = ["--scenario", scenario, "--env", "og_env/Joint-v1", "--policies", policies, "--episodes", "2"]
    assert benchmark.main([*played, *changed, "--out", str(tmp_path / "played"), "--quiet"]) == 0
    assert "greedy_tuned+convex" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--env", "og_env/Joint-v1", "--interface", "operations"], "tries offers alone"),
        (["--env", "og_env/Joint-v1", "--steering", "knobs"], "beside a router of sites"),
        (["--env", "og_env/Joint-v1", "--router", "ppo_routing"], "argument --router"),
        (["--router", "convex"], "--router convex needs --env og_env/Joint-v1"),
        (["--algorithm", "ppo", "--env", "og_env/Joint-v1", "--router", "convex"], "needs --env og_env/Joint-v1"),
        (["--resume", "nowhere", "--router", "convex"], "--router cannot change"),
    ],
)
def test_what_a_router_cannot_be_beside_is_one_line(given, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    algorithm = [] if {"--algorithm", "--resume"} & set(given) else ["--algorithm", "rpi"]
    try:
        code = train.main([*given, *algorithm])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(
    ("card", "algorithm", "task", "message"),
    [
        ({"task": "joint", "router": "convex"}, "ppo", "joint", "--algorithm rpi goes on with it beside a router"),
        ({"task": "placement"}, "ppo", "joint", "--algorithm rpi goes on with it beside a router"),
        ({"task": "joint", "router": "convex"}, "ppo", "routing", "and this run is one of og_env/Routing-v1"),
        ({"task": "routing"}, "rpi", "joint", "and this run is one of og_env/Joint-v1"),
        ({"task": "joint"}, "ppo", "placement", "and this run is one of og_env/Placement-v1"),
    ],
)
def test_a_start_of_another_task_is_refused(card, algorithm, task, message):
    with pytest.raises(ValueError, match=message):
        refuse_other_start(Path("run"), card, algorithm, task)


@pytest.mark.parametrize(
    ("card", "algorithm", "task"),
    [
        ({"task": "joint", "router": "convex"}, "ppo", "placement"),
        ({"task": "placement"}, "rpi", "joint"),
        ({"task": "joint"}, "ppo", "joint"),
        ({"task": "routing"}, "ppo", "routing"),
    ],
)
def test_a_start_that_fits_is_taken(card, algorithm, task):
    refuse_other_start(Path("run"), card, algorithm, task)


def test_the_command_refuses_a_start_and_makes_no_folder(run, tmp_path, capsys):
    words = ["--scenario", "near-but-cold", "--env", "og_env/Joint-v1", "--start", str(run), "--out"]
    assert train.main([*words, str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"--start {run}: a policy of og_env/Joint-v1: --algorithm rpi" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_decide_asks_a_placer_of_a_pair_for_both_tasks(run):
    assert decide.task_of(str(run), None) == decide.task_of(str(run), "og_env/Joint-v1") == "joint"
    assert decide.task_of(str(run), "og_env/Placement-v1") == "placement"
    with pytest.raises(ValueError, match="trained for og_env/Joint-v1, not og_env/Routing-v1"):
        decide.task_of(str(run), "og_env/Routing-v1")


def test_what_is_left_where_a_run_ends_at_once(run, tmp_path):
    (tmp_path / checkpoint.WEIGHTS).touch()
    assert "holds the best policy so far" in str(run_folder.stopped_at_once(tmp_path, run_folder.Stop()))
    assert "nothing was saved" in str(run_folder.stopped_at_once(tmp_path / "none", run_folder.Stop()))
    with pytest.raises(ValueError, match=f"missing, so nothing can go on; --start {tmp_path} begins anew"):
        resume_file.read(tmp_path)
