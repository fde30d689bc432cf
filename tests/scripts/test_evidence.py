"""The evidence of learning from the command line, on tiny trainings of a short world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.learning import checkpoint, ppo
from og_agents.studies import evidence, evidence_tables
from og_env.scenario import loading
from og_env.simulator import TERMS
from scripts import evidence as script
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
KEY = f"{WORLD.name}, placement"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two seeds of a recipe, and one that was trained blind to prices."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("ppo-0", 0), ("ppo-1", 1), ("ppo_blind_price-1", 5)):
        settings = small_settings(policy="mlp", blind="price" if "blind" in name else "none")
        ppo.train(WORLD, "placement", settings, seed=seed, out=folder / f"{WORLD.name}-{name}", quiet=True)
    (folder / "notes").mkdir()
    return folder


def arguments(runs: Path, record: Path, *more: str) -> list[str]:
    few = ["--episodes", "4", "--clairvoyant", "2", "--baselines", "static,random"]
    return ["--runs", str(runs), "--record", str(record), *few, *more]


@pytest.fixture(scope="module")
def record(runs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("record") / "new" / "evidence.json"
    assert script.main(arguments(runs, path, "--sealed")) == 0
    return path


def test_an_entry_is_what_the_sealed_episodes_say(record, runs):
    made = evidence.read(record)["entries"][KEY]
    assert made["asked"]["split"] == "sealed"
    of = {"split": "sealed", "episodes": 4}
    baselines = {name: playing.run(heuristics.make(name), WORLD, **of).returns for name in ("static", "random")}
    best = max(baselines, key=lambda name: baselines[name].mean())
    assert made["best_baseline"] == best and made["best_mean"] == baselines[best].mean()
    names = [f"{WORLD.name}-ppo-{seed}" for seed in (0, 1)]
    ours = [playing.run(checkpoint.load(runs / name), WORLD, **of).returns for name in names]
    recipe = made["recipes"]["ppo"]
    differences = [float((returns - baselines[best]).mean()) for returns in ours]
    assert recipe["seeds"] == [0, 1] and recipe["mean_diffs"] == pytest.approx(differences)
    assert recipe["mean_diff"] == pytest.approx(np.median(differences))
    assert recipe["ci_low"] <= recipe["mean_diff"] <= recipe["ci_high"]
    assert sum(recipe["terms"][term]["mean_diff"] for term in TERMS) == pytest.approx(recipe["mean_diff"], abs=1e-3)
    told = planners.make("clairvoyant_quick", WORLD)
    oracle = playing.run(told, WORLD, split="sealed", episodes=2).returns
    assert made["room"] == pytest.approx((oracle - baselines[best][:2]).tolist(), abs=1e-3)
    share = [(returns[:2] - baselines[best][:2]).mean() / (oracle - baselines[best][:2]).mean() for returns in ours]
    assert recipe["score"]["value"] == pytest.approx(np.median(share))


def test_a_blind_training_is_beside_the_seed_that_saw(record, runs):
    made = evidence.read(record)["entries"][KEY]
    assert set(made["recipes"]) == {"ppo"}, "a blind policy is no recipe of its own"
    saw, blind = (
        playing.run(checkpoint.load(runs / f"{WORLD.name}-{name}"), WORLD, split="sealed", episodes=4).returns
        for name in ("ppo-1", "ppo_blind_price-1")
    )
    assert made["blind"]["ppo"]["price"]["seeds"] == [1]
    assert made["blind"]["ppo"]["price"]["mean_diff"] == pytest.approx((saw - blind).mean())
    header, [row] = evidence_tables.learned_table(evidence.read(record))
    assert header[-1] == "blind to price" and len(row) == len(header)


def test_the_same_command_goes_on_and_gives_the_same_record(record, runs, tmp_path, capsys):
    before = record.read_bytes()
    assert script.main(arguments(runs, record, "--sealed")) == 0
    assert f"{KEY}: as it was" in capsys.readouterr().out and record.read_bytes() == before
    fresh = tmp_path / "fresh.json"
    assert script.main(arguments(runs, fresh, "--sealed")) == 0
    assert "3 policies ..." in capsys.readouterr().out and fresh.read_bytes() == before
    values = json.loads(before)
    values["entries"][KEY]["weights"][f"{WORLD.name}-ppo-0"] = "other weights"
    fresh.write_text(json.dumps(values), encoding="utf-8")
    assert script.main(arguments(runs, fresh, "--sealed")) == 0
    assert fresh.read_bytes() == before, "other weights are played anew"
    joined = json.loads(before) | {"overall": {}}  # of entries that were played apart
    fresh.write_text(json.dumps(joined), encoding="utf-8")
    assert script.main(arguments(runs, fresh, "--sealed")) == 0
    assert fresh.read_bytes() == before, "the figures over all scenarios are those of the entries"


def test_tables_say_what_was_played(record, capsys):
    found = evidence.read(record)
    text = evidence_tables.markdown(found)
    assert text.startswith("4 sealed episodes of each policy, and of the clairvoyant the first 2.")
    assert f"| `{WORLD.name}` | placement | " in text and "| `ppo` | 2 | " in text
    of = found["overall"]["placement"]["ppo"]
    assert of["win"] + of["tie"] + of["loss"] == of["scenarios"] == 1
    assert evidence_tables.markdown({"entries": {}, "overall": {}}) == evidence_tables.NOTHING


def test_the_published_record_is_of_the_scenarios_as_they_are():
    entries = evidence.read(evidence.RECORD)["entries"]
    now = {name: evidence.world_of(loading.load(name)) for name in {made["scenario"] for made in entries.values()}}
    other = [key for key, made in entries.items() if made["world"] != now[made["scenario"]]]
    assert not other, "another world was played: run scripts/evidence.py again"


def test_policies_play_elsewhere_as_they_are(runs, tmp_path):
    path = tmp_path / "evidence.json"
    scenario = tmp_path / "calm.toml"
    text = (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8")
    scenario.write_text(text.replace("steps = 60", "steps = 8").replace('"toy-3"', '"toy-calm"'), encoding="utf-8")
    given = arguments(runs, path, "--transfer", f"{WORLD.name}:{scenario}", "--clairvoyant", "0", "--episodes", "2")
    assert script.main(given) == 0
    found = evidence.read(path)
    name = loading.load(scenario).name
    made = found["entries"][f"{name}, placement, trained on {WORLD.name}"]
    best = playing.run(heuristics.make(made["best_baseline"]), str(scenario), split="validation", episodes=2)
    assert made["best_mean"] == best.returns.mean() and made["recipes"]["ppo"]["score"] is None
    assert found["overall"]["placement"]["ppo"]["scenarios"] == 1, "what plays elsewhere is no scenario of the recipe"
    assert f"`{name}`, trained on `{WORLD.name}`" in evidence_tables.markdown(found)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--split", "sealed"), "say --sealed"),
        (("--split", "test"), "holds sealed episodes, not test: choose another --record"),
        (("--sealed", "--scenarios", "toy-4"), "no trained policy of the scenario 'toy-4' (nearest valid: toy-3)"),
        (("--sealed", "--transfer", "toy-3"), "it must be TRAINED:PLAYED"),
        (
            ("--sealed", "--baselines", "greddy"),
            "'greddy' is no baseline of placement in toy-3 (nearest valid: greedy)",
        ),
        (("--sealed", "--transfer", "toy-3:toy-3"), "toy-3, placement is asked for twice"),
        (("--sealed", "--clairvoyant", "5"), "--clairvoyant from 0 to --episodes"),
    ],
)
def test_bad_input_is_one_line(more, message, runs, record, capsys):
    try:
        code = script.main(arguments(runs, record, *more))
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1


def test_an_empty_folder_is_one_line(tmp_path, capsys):
    assert script.main(["--runs", str(tmp_path), "--record", str(tmp_path / "x.json")]) == 2
    assert "no folder SCENARIO-RECIPE-SEED" in capsys.readouterr().err
