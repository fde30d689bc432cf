"""Exported policies: onnxruntime gives what torch gives, the file says what it is for, mistakes are one line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from og_agents.commands import export as script
from og_agents.evaluation import playing
from og_agents.export import onnx_export
from og_agents.learning import checkpoint, ppo
from og_agents.learning.networks import SharedScorerPolicy
from og_agents.pretrained import policy_folders
from og_agents.sb3_adapter import make_sb3
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import small_settings

KINDS = {
    "shared": ("placement", {}),
    "joint": ("joint", {}),
    "routing": ("routing", {}),
    "mlp": ("placement", {"policy": "mlp", "interface": "operations"}),
}
SCENARIO = "global-16"


def modules():
    """The exporter and its check."""
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from og_agents.export import onnx_check, onnx_export

    return onnx_export, onnx_check


def trained(kind: str, folder) -> checkpoint.LearnedPolicy:
    """A policy whose weights are far from where they started, so that its scores differ."""
    task, changes = KINDS[kind]
    settings = small_settings(timesteps=32, **changes)
    ppo.train(SCENARIO, task, settings, seed=0, out=folder, quiet=True)
    learned = checkpoint.load(folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in learned.network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    checkpoint.save(learned.network, folder, {key: learned.meta[key] for key in learned.meta if "space" not in key})
    return checkpoint.load(folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_and_torch_agree_on_a_thousand_observations(kind, tmp_path):
    onnx_export, onnx_check = modules()
    learned = trained(kind, tmp_path)
    path = onnx_export.export(learned, tmp_path / "policy.onnx")
    agreement = onnx_check.compare(learned, path, 1000)
    assert agreement.observations == 1000 and agreement.largest < script.TOLERANCE
    assert agreement.equal == agreement.as_predicted == 1000
    seen, masks = onnx_check.observations(learned, 1000)
    assert len(np.unique(seen, axis=0)) > 900, "observations differ"
    if kind == "shared":
        feed = {"observation": seen, "action_mask": masks}
        action, scores, value = onnx_check.session(path).run(None, feed)
        assert len(set(action)) > 3 and scores.std() > 0 and value.shape == (1000,)
        assert masks[np.arange(1000), action].all() and (scores[~masks] < -1e7).all()
        assert np.array_equal(action[:1], onnx_check.session(path).run(None, {k: v[:1] for k, v in feed.items()})[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_exported_policy_plays_the_same_episodes(tmp_path):
    onnx_export, onnx_check = modules()
    learned = trained("shared", tmp_path)
    run = onnx_check.session(onnx_export.export(learned, tmp_path / "policy.onnx"))

    class Exported:
        env_kwargs = learned.env_kwargs

        def predict(self, observation, state=None, episode_start=None, deterministic=True, action_masks=None):
            return run.run(["action"], {"observation": observation, "action_mask": action_masks})[0], state

    spec = loading.override(loading.load(SCENARIO), {"episode.steps": 40})
    one, other = (playing.run(policy, spec, episodes=4) for policy in (learned, Exported()))
    assert np.array_equal(one.returns, other.returns)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_policy_on_tables_is_exported_on_the_flat_observation(tmp_path):
    onnx_export, onnx_check = modules()
    env = make_sb3("placement", 2, scenario="toy-3")
    model = MaskablePPO(SharedScorerPolicy, env, n_steps=8, batch_size=16, seed=0)
    meta = {"task": "placement", "env_kwargs": {}, "policy": "shared", "policy_kwargs": {"hidden": 32, "beta": 40.0}}
    spec = loading.load("toy-3")
    meta["scenario"] = spec.model_dump(mode="json", exclude_unset=True)
    checkpoint.save(model, tmp_path, meta)
    learned = checkpoint.load(tmp_path)
    agreement = onnx_check.compare(learned, onnx_export.export(learned, tmp_path / "policy.onnx"), 200)
    assert agreement.largest < script.TOLERANCE and agreement.as_predicted == 200
    flat = NetworkVectorEnv(1, scenario="toy-3", flatten=True)
    assert onnx_export.width_of(learned) == flat.observation_space.shape[1]  # type: ignore[index]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_command(tmp_path, capsys, monkeypatch):
    modules()
    onnx = pytest.importorskip("onnx")

    trained("shared", tmp_path)
    assert script.main(["--policy", str(tmp_path), "--check", "100"]) == 0
    assert "on 100 observations" in capsys.readouterr().out
    assert script.main(["--policy", str(tmp_path), "--check", "100", "--json"]) == 0
    out, error = capsys.readouterr()
    found, path = json.loads(out), tmp_path / "policy.onnx"
    assert (found["file"], found["bytes"]) == (str(path), path.stat().st_size) and f"exported: {path}" in error
    assert (
        found["check"]["observations"] == found["check"]["equal"] == 100
        and found["check"]["largest"] < script.TOLERANCE
    )
    model = onnx.load(str(tmp_path / "policy.onnx"))
    facts = json.loads({prop.key: prop.value for prop in model.metadata_props}["og_env"])
    assert facts["task"] == "placement" and loading.load(facts["scenario"]).name == SCENARIO
    assert not list(tmp_path.glob("*.part"))
    assert script.main(["--policy", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_without_the_extra_it_says_which(tmp_path, capsys, monkeypatch):
    trained("shared", tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert script.main(["--policy", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "'og_env[onnx]'" in error and error.count("\n") == 1


def test_beliefs_without_their_router_are_not_exported():
    folder = policy_folders.folder_of("ppo_routing", "grey-failures")
    with pytest.raises(ValueError, match="its levels need the router"):
        onnx_export.graph_of(checkpoint.load(folder))
