"""Checkpoints: what is saved comes back, nothing pickled is loaded unasked, and every fault is one line."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

from og_agents.evaluation import playing
from og_agents.export import onnx_export
from og_agents.learning import checkpoint, ppo, resume_file
from og_agents.learning.checkpoint import LearnedPolicy
from og_agents.learning.resume_file import Progress
from og_agents.learning.training_progress import Clock
from og_agents.policy import Policy
from og_agents.sb3_adapter import make_sb3
from og_env.env import NetworkEnv
from og_env.scenario import loading
from tests.cases.short_training import SMALL, short_world, small_settings

WORLD = short_world()


def made(task: str = "placement", world=WORLD, **changes):
    """An untrained model and its description."""
    settings = small_settings(**changes)
    meta = ppo.make_meta(settings, task, world, seed=1)
    env = ppo.training_env(world, meta, settings)
    return ppo.build(env, meta, settings, Clock(1, None), 1), meta


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    model, meta = made()
    return checkpoint.save(model, tmp_path_factory.mktemp("saved") / "ppo", meta, timesteps=5)


def edited(saved: Path, tmp_path: Path, **changes) -> Path:
    """A copy of a checkpoint with another description."""
    folder = tmp_path / "edited"
    folder.mkdir(parents=True)
    (folder / checkpoint.WEIGHTS).write_bytes((saved / checkpoint.WEIGHTS).read_bytes())
    meta = json.loads((saved / checkpoint.CARD).read_text()) | changes
    (folder / checkpoint.CARD).write_text(json.dumps(meta))
    return folder


CASES = [
    ("placement", {}),
    ("placement", {"policy": "mlp"}),
    ("placement", {"interface": "operations"}),
    ("joint", {}),
    ("joint", {"policy": "mlp"}),
    ("routing", {}),
]


@pytest.mark.parametrize(("task", "changes"), CASES)
def test_what_was_saved_acts_alike(task, changes, tmp_path):
    model, meta = made(task, **changes)
    checkpoint.save(model, tmp_path / "run", meta)
    policy = checkpoint.load(tmp_path / "run", scenario=WORLD)
    assert isinstance(policy, Policy)
    assert policy.name == "run" and policy.meta["task"] == task
    weights = policy.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.policy.state_dict().items())
    env = NetworkEnv(task, WORLD, **policy.env_kwargs)
    observation, info = env.reset(seed=0)
    masks = None if task == "routing" else info["action_mask"].astype(bool)
    action, state = policy.predict(observation, action_masks=masks)
    assert state is None and env.action_space.contains(action.astype(env.action_space.dtype))
    extra = {} if masks is None else {"action_masks": masks}
    assert np.array_equal(action, model.predict(observation, deterministic=True, **extra)[0])
    assert np.isfinite(playing.run(policy, WORLD, task, episodes=2).returns).all()


def test_a_network_with_a_memory_carries_it_from_step_to_step(tmp_path):
    model, meta = made("placement", policy="lstm")
    checkpoint.save(model, tmp_path / "run", meta)
    policy = checkpoint.load(tmp_path / "run", scenario=WORLD)
    observation, _ = NetworkEnv("placement", WORLD, **policy.env_kwargs).reset(seed=0)
    _, first = policy.predict(observation, None, np.ones(1, np.bool_))
    _, second = policy.predict(observation, first, np.zeros(1, np.bool_))
    _, anew = policy.predict(observation, second, np.ones(1, np.bool_))
    assert not np.array_equal(first[0], second[0]), "the same observation moves the memory on"
    assert np.array_equal(first[0], anew[0]), "a new episode begins without one"
    with pytest.raises(ValueError, match="a network with a memory cannot be exported"):
        onnx_export.graph_of(policy)


def test_tables_and_flat_observations_give_the_same_action(saved):
    policy = checkpoint.load(saved)
    tables, flat = (NetworkEnv("placement", WORLD, flatten=flatten) for flatten in (False, True))
    single, batch = [], []
    for seed in range(5):
        observation, info = tables.reset(seed=seed)
        mask = info["action_mask"].astype(bool)
        single.append(policy.predict(observation, action_masks=mask)[0])
        batch.append((flat.reset(seed=seed)[0], mask))
    together = policy.predict(np.stack([seen for seen, _ in batch]), action_masks=np.stack([mask for _, mask in batch]))
    assert np.array_equal(np.array(single), together[0])


def test_files_are_replaced_in_one_move(saved, tmp_path, monkeypatch):
    model, meta = made()
    folder = checkpoint.save(model, tmp_path, meta, timesteps=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {checkpoint.WEIGHTS, checkpoint.CARD}

    def half(tensors, path, *_):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(model, tmp_path, meta, timesteps=2)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert checkpoint.load(folder).meta["timesteps"] == 1


@pytest.mark.parametrize("moves", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_weights_and_card_change_together_or_not_at_all(first, moves, tmp_path, monkeypatch):
    model, meta = made()
    if not first:
        checkpoint.save(model, tmp_path, meta, timesteps=0)
        before = checkpoint.load(tmp_path).network.state_dict()
    with torch.no_grad():
        next(iter(model.policy.parameters())).add_(1)
    done, replace = [], os.replace

    def killed(source, target):
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        if moves == 2:
            checkpoint.save(model, tmp_path, meta, timesteps=1)
        else:
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(model, tmp_path, meta, timesteps=1)
    if first and moves == 0:
        with pytest.raises(ValueError, match=r"policy\.json is missing"):
            checkpoint.load(tmp_path)
        return
    policy, after = checkpoint.load(tmp_path), model.policy.state_dict()
    assert policy.meta["timesteps"] == (1 if moves else 0)
    expected = after if moves else before
    assert all(torch.equal(value, expected[name]) for name, value in policy.network.state_dict().items())
    checkpoint.save(model, tmp_path, meta, timesteps=2)
    assert {path.name for path in tmp_path.iterdir()} == {checkpoint.WEIGHTS, checkpoint.CARD}
    assert checkpoint.load(tmp_path).meta["timesteps"] == 2


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_mode_that_the_umask_says(umask, mode, tmp_path):
    model, meta = made()
    before = os.umask(umask)
    try:
        checkpoint.save(model, tmp_path, meta)
        resume_file.save(tmp_path, Progress(0, 0.0, 0.0, 0.0, 0, meta), {"a": np.zeros(2)})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_weights_that_cannot_be_opened_are_not_called_damaged(saved, tmp_path, monkeypatch):
    folder = edited(saved, tmp_path)

    def denied(path, *others):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ValueError, match=r"policy\.safetensors: cannot be read: Permission denied"):
        checkpoint.read_tensors(folder / checkpoint.WEIGHTS)


def test_another_world_is_refused_with_both_names(saved, tmp_path):
    other = short_world("global-16")
    with pytest.raises(ValueError, match="trained on scenario 'toy-3', not on 'global-16': other sites and models"):
        checkpoint.load(saved, scenario=other)
    model, meta = made(policy="mlp")
    checkpoint.save(model, tmp_path, meta)
    with pytest.raises(ValueError, match=r"'toy-3', not on 'global-16'.*box.*box"):
        checkpoint.load(tmp_path, scenario=other, transfer=True)


@pytest.mark.parametrize("policy", ["mlp", "shared"])
def test_a_policy_of_another_version_of_the_observation_says_so(policy, tmp_path):
    model, meta = made(policy=policy)
    saved = checkpoint.save(model, tmp_path / "saved", meta)
    card = checkpoint.read_meta(saved)
    assert card["version"] == importlib.metadata.version("og-env")
    width = card["observation_space"]["box"][0]
    folder = edited(saved, tmp_path, observation_space={"box": [width - 10]}, version="0.1")
    words = (
        rf"version of the observation \(og-env 0\.1\): trained with {width - 10} columns, here {width}; train it anew"
    )
    with pytest.raises(ValueError, match=words):
        checkpoint.load(folder, scenario=WORLD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: names[:-1], "'operations_left' of 'globals' is new"),
        (lambda names: [*names, "wind"], "column 'wind' of 'globals' is gone"),
        (lambda names: ["wind", *names[1:]], "column 'wind' of 'globals' is 'day_sin' here"),
    ],
)
def test_other_columns_at_the_same_places_are_named(saved, tmp_path, change, message):
    columns = checkpoint.read_meta(saved)["columns"]
    folder = edited(saved, tmp_path, columns=columns | {"globals": change(columns["globals"])})
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.load(folder, scenario=WORLD)
    assert "\n" not in str(error.value)
    unread = edited(saved, tmp_path / "unread", columns=columns | {"domains": []})
    assert checkpoint.load(unread, scenario=WORLD), "tables that the policy does not read may differ"


def test_a_full_disk_is_an_error_with_the_name_of_the_file(saved, tmp_path, monkeypatch):
    model, meta = made()
    folder = checkpoint.save(model, tmp_path, meta, timesteps=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(tensors, path, *_):
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="cannot be written: No space left") as error:
        checkpoint.save(model, tmp_path, meta, timesteps=2)
    assert error.value.filename == str(tmp_path / checkpoint.WEIGHTS) and error.value.errno == 28
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_shared_scorer_reads_any_number_of_models(saved):
    other = short_world("global-16")
    policy = checkpoint.load(saved, scenario=other, transfer=True)
    assert policy.meta["observation_space"] != checkpoint.read_meta(saved)["observation_space"]
    assert np.isfinite(playing.run(policy, other, episodes=2).returns).all()


def test_a_policy_may_meet_other_failures_and_prices_in_its_world(saved, tmp_path):
    twin = loading.override(WORLD, {"failures.process": "independent", "name": "twin", "demand.requests_per_s": 4.0})
    assert checkpoint.load(saved, scenario=twin).meta["task"] == "placement"
    model, meta = made(world=short_world("random-24"))
    checkpoint.save(model, tmp_path, meta)
    checkpoint.load(tmp_path, scenario=short_world("global-24"))
    fixed, meta = made(world=short_world("global-24"))
    checkpoint.save(fixed, tmp_path, meta)
    with pytest.raises(ValueError, match="'global-24', not on 'random-24': other fleet"):
        checkpoint.load(tmp_path, scenario=short_world("random-24"))
    checkpoint.load(tmp_path, scenario=short_world("random-24"), transfer=True)


def test_another_environment_is_refused_with_both_spaces(saved):
    checkpoint.load(saved, NetworkEnv("placement", WORLD, flatten=True))
    checkpoint.load(saved, make_sb3("placement", 2, scenario=WORLD, flatten=True))
    with pytest.raises(ValueError, match=r"Discrete\(11\), but the environment has .*MultiDiscrete"):
        checkpoint.load(saved, NetworkEnv("joint", WORLD, flatten=True))


@pytest.mark.parametrize("changes", [{}, {"policy": "mlp"}, {"interface": "operations"}, {"exploration": 0.0}])
def test_the_likeliest_action_is_the_one_that_sb3_finds(changes):
    model, meta = made(**changes)
    with torch.no_grad():
        for values in model.policy.parameters():
            values.add_(torch.randn(values.shape, generator=torch.Generator().manual_seed(values.numel())))
    policy, network = LearnedPolicy(model.policy, meta, "learned"), cast(Any, model.policy)
    rng = np.random.default_rng(0)
    observations = rng.uniform(-1, 1, (200, *network.observation_space.shape)).astype(np.float32)
    masks = rng.random((200, network.action_space.n)) < 0.5
    masks[:, 0] = True
    found, _ = policy.predict(observations, action_masks=masks)
    theirs, _ = network.predict(observations, deterministic=True, action_masks=masks)
    assert (found == theirs).all() and len(np.unique(found)) > 2
    one, _ = policy.predict(observations[7], action_masks=masks[7])
    assert one == found[7] and np.shape(one) == ()


@pytest.mark.parametrize(("algorithm", "task"), [(MaskablePPO, "placement"), (PPO, "routing")])
def test_a_pickle_is_loaded_when_asked_for_only(algorithm, task, tmp_path):
    env = make_sb3(task, 2, scenario=WORLD, flatten=True)
    model = algorithm("MlpPolicy", env, n_steps=8, batch_size=16, device="cpu")
    path = tmp_path / "model.zip"
    model.save(path)
    with pytest.raises(ValueError, match="allow_pickle=True"):
        checkpoint.load(path)
    with pytest.raises(ValueError, match=r"model\.zip is pickled"):
        checkpoint.load(tmp_path)
    policy = checkpoint.load(path, allow_pickle=True)
    assert isinstance(policy, LearnedPolicy) and policy.meta["task"] == task
    assert np.isfinite(playing.run(policy, WORLD, task, episodes=2).returns).all()
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="not a model that SB3 can load"):
        checkpoint.load(path, allow_pickle=True)


def test_missing_and_damaged_files(saved, tmp_path):
    def complaint(folder) -> str:
        with pytest.raises(ValueError, match=r".") as error:
            checkpoint.load(folder)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such folder" in complaint(tmp_path / "nowhere")
    assert "policy.json is missing" in complaint(tmp_path)
    folder = edited(saved, tmp_path)
    whole = (folder / checkpoint.WEIGHTS).read_bytes()
    for damaged in (b"", b"garbage", whole[: len(whole) // 2]):
        (folder / checkpoint.WEIGHTS).write_bytes(damaged)
        assert "policy.safetensors: damaged" in complaint(folder)
    (folder / checkpoint.WEIGHTS).unlink()
    assert "policy.safetensors: missing" in complaint(folder)
    for damaged, message in (
        ("{", "policy.json: not JSON"),
        ("[]", "policy.json: must be a table"),
        ('{"format": 9}', "format 9"),
        ("\xff", "policy.json: is not UTF-8 text"),
    ):
        (folder / checkpoint.CARD).write_text(damaged, encoding="latin-1")
        assert message in complaint(folder)
    with pytest.raises(ValueError, match="no such run folder"):
        resume_file.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"resume\.safetensors: missing"):
        resume_file.read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation_space": {"box": [351]}}, "needs 10 proposals"),
        ({"policy_kwargs": {"hidden": 16, "beta": 12.0}}, "weights of another network"),
        ({"policy_kwargs": {"hiden": 32}}, "policy.json: damaged"),
        ({"policy_kwargs": 7}, "policy.json: damaged"),
        ({"action_space": {"triscrete": 3}}, "unknown space"),
        ({"observation_space": "box"}, "policy.json: damaged"),
        ({"policy": "mlp", "policy_kwargs": {"net_arch": [64, 64]}}, "weights of another network"),
    ],
)
def test_wrong_descriptions(saved, tmp_path, changes, message):
    folder = edited(saved, tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.load(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"policy\.json|weights|version|needs 10|trained on|unknown space") as error:
        checkpoint.load(folder, scenario=WORLD)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model, meta = made()
    with torch.no_grad():
        model.policy.value_net.bias.fill_(float("nan"))
    checkpoint.save(model, tmp_path, meta)
    with pytest.raises(ValueError, match=r"value_net\.bias is not finite"):
        checkpoint.load(tmp_path)


def test_small_settings_are_settings():
    assert small_settings().model_dump().items() >= SMALL.items()
