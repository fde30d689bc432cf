"""The trained policies that come with the package, and how a run becomes one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from og_agents import heuristics, load_policies
from og_agents.commands import train
from og_agents.learning import checkpoint, ppo, train_settings
from og_agents.pretrained import policy_folders
from og_agents.pretrained.recipes import RECIPES, RUN, USUAL, command, recipe_of
from og_agents.studies import learning_curves
from og_env.scenario import loading
from scripts import pretrain
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    settings = small_settings(credit="reward")
    return [
        ppo.train(WORLD, "placement", settings, seed=seed, out=folder / f"toy-{seed}", quiet=True) for seed in (0, 1)
    ]


def test_the_best_run_on_validation_is_packed_with_its_record(runs, tmp_path):
    best = policy_folders.best_of(runs)
    returns = [checkpoint.read_meta(run)["validation_return"] for run in runs]
    assert best == runs[int(np.argmax(returns))]
    folder = policy_folders.pack(best, "python scripts/train.py --seed 0", tmp_path)
    card = json.loads((folder / checkpoint.CARD).read_text(encoding="utf-8"))
    assert (
        folder == tmp_path / "ppo" / WORLD.name and card["command"].endswith("--seed 0") and card["versions"]["numpy"]
    )
    assert max(point["validation/return"] for point in card["learning_curve"]) == pytest.approx(
        card["validation_return"]
    )
    assert checkpoint.load(folder, scenario=WORLD).name == WORLD.name


def test_a_packed_policy_stays_where_no_new_seed_is_better(runs, tmp_path):
    def says(folder: Path, **changes: object) -> None:
        checkpoint.write_json(folder / checkpoint.CARD, checkpoint.read_meta(folder) | changes)

    run = runs[0]
    assert policy_folders.surpassing(run, tmp_path) is None, "nothing is packed yet"
    folder = policy_folders.pack(run, "python scripts/train.py", tmp_path)
    mean = checkpoint.read_meta(run)["validation_return"]
    for validation_return, stays in ((mean + 1, True), (mean, True), (mean - 1, False)):
        says(folder, validation_return=validation_return, seed=7)
        assert (policy_folders.surpassing(run, tmp_path) == folder) is stays
    says(folder, validation_return=mean + 1, minutes=3.0)
    assert policy_folders.surpassing(run, tmp_path) is None, "another training"


@pytest.fixture
def shipped(runs, tmp_path, monkeypatch) -> Path:
    """A folder of policies that come along for WORLD: one of each recipe, `rpi` the best on validation."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(policy_folders, "FOLDER", folder)
    kinds = ({}, {"algorithm": "rpi"}, {"begun_from": "rpi"})
    for recipe, kind, mean in zip(USUAL, kinds, (-3.0, -1.0, -2.0), strict=True):
        run = tmp_path / recipe
        shutil.copytree(runs[0], run)
        checkpoint.write_json(run / checkpoint.CARD, checkpoint.read_meta(run) | kind | {"validation_return": mean})
        assert policy_folders.pack(run, "python scripts/train.py") == folder / recipe / WORLD.name
    return folder


def test_what_is_shipped_is_small_and_of_the_present_world():
    """A shipped policy of another world would never be brought along: run scripts/pretrain.py."""
    for recipe in RECIPES:
        for name in policy_folders.names(recipe):
            folder = policy_folders.folder_of(recipe, name)
            assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000
            card = checkpoint.read_meta(folder)
            assert policy_folders.folders_for(loading.load(name), card["task"])[recipe] == folder
            assert len(card["learning_curve"]) > 1 and card["commit"]
            assert card["command"].startswith("og-env train")
            assert recipe_of(checkpoint.load(folder, scenario=name).meta) == recipe


@pytest.mark.parametrize(("policy", "recipe"), [("sites", "ppo_routing"), ("operations", "ppo_operations")])
def test_networks_of_their_own_have_a_recipe_of_their_own(policy, recipe):
    assert recipe_of({"algorithm": "PPO", "policy": policy}) == recipe
    assert RUN.fullmatch(f"global-24-{recipe}-3")["recipe"] == recipe  # type: ignore[index]
    assert policy[:4] in " ".join(command(Path("runs"), "global-24", recipe, "3"))


def test_what_comes_along_is_in_the_order_of_its_validation(shipped):
    assert [policy_folders.names(recipe) for recipe in RECIPES] == [(WORLD.name,)] * len(USUAL) + [()] * 2
    assert list(policy_folders.folders_for(WORLD)) == ["rpi", "ppo_from_rpi", "ppo"]


def test_all_brings_it_along_after_folders_and_only_in_its_own_world(shipped, runs):
    policies, learned = load_policies.load_policies(["all", str(runs[0])], WORLD, "placement")
    assert learned == ["toy-0", "rpi", "ppo_from_rpi", "ppo"] and "greedy" in policies
    assert load_policies.load_policies(["ppo"], WORLD, "placement")[1] == ["ppo"]
    other = loading.override(loading.load("one-cloud"), {"sites.count": 19})
    assert load_policies.load_policies(["all"], other, "placement")[1] == []
    assert load_policies.load_policies(["all"], WORLD, "joint")[1] == []
    with pytest.raises(ValueError, match="ppo: no trained policy comes with the scenario 'one-cloud'"):
        load_policies.load_policies(["ppo"], loading.load("one-cloud"), "placement")


def test_where_nothing_comes_along_all_is_every_heuristic(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_folders, "FOLDER", tmp_path)
    policies, learned = load_policies.load_policies(["all"], WORLD, "placement")
    assert tuple(policies) == heuristics.NAMES and learned == []
    for recipe in RECIPES:
        with pytest.raises(ValueError, match=f"{recipe}: no trained policy comes with the scenario 'toy-3'"):
            load_policies.load_policies([recipe], WORLD, "placement")


def test_a_run_folder_named_like_a_recipe_keeps_its_name(shipped, tmp_path):
    mine = tmp_path / "mine" / "ppo"
    shutil.copytree(shipped / "rpi" / WORLD.name, mine)
    policies, learned = load_policies.load_policies([str(mine), "ppo"], WORLD, "placement")
    assert learned == ["ppo", "shipped ppo"] and len(policies) == 2
    assert [recipe_of(policies[name].meta) for name in learned] == ["rpi", "ppo"]  # type: ignore[attr-defined]


def test_the_clairvoyant_planner_goes_on_with_the_best_that_comes_along(shipped):
    followed: Any = load_policies.make_planner("clairvoyant", WORLD)
    assert recipe_of(followed.follow.meta) == "rpi"
    other = loading.override(loading.load("one-cloud"), {"sites.count": 19})
    for spec, task in ((other, "placement"), (WORLD, "joint")):
        planner: Any = load_policies.make_planner("clairvoyant", spec, task)
        assert planner.follow is None


def test_seeds_of_one_training_are_told_from_other_trainings(runs, tmp_path):
    other = ppo.train(
        WORLD, "placement", small_settings(credit="reward", gamma=0.9), seed=2, out=tmp_path / "x", quiet=True
    )
    fewer = shutil.copytree(runs[1], tmp_path / "fewer")  # episodes in its validations, for want of time
    card = json.loads((fewer / checkpoint.CARD).read_text(encoding="utf-8"))
    card["settings"]["evaluation_episodes"] += 1
    checkpoint.write_json(fewer / checkpoint.CARD, card)
    names = [str(runs[0]), str(fewer), str(other), "greedy"]
    policies, _ = load_policies.load_policies(names, WORLD, "placement")
    assert load_policies.seeds_of_one_training(policies) == [["toy-0", "fewer"]]
    one, two = map(str, runs[:2])
    pairs, _ = load_policies.load_policies([f"{one}+convex", f"{one}+site_prices", f"{two}+convex"], WORLD, "joint")
    again = {**pairs, "again": pairs[f"{one}+convex"]}
    assert load_policies.seeds_of_one_training(again) == [[f"{one}+convex", f"{two}+convex"]]


def test_curves_hold_what_the_runs_met_and_the_baselines(runs):
    found = learning_curves.read(runs, ["greedy", "greedy_tuned"])
    assert set(found.baselines) == {"greedy", "greedy_tuned"}
    lines = learning_curves.table(found).splitlines()
    metrics = (runs[0] / "metrics.csv").read_text(encoding="utf-8")
    assert lines[1].split(",")[0] == "toy-0" and f"{float(lines[1].split(',')[3]):.3f}"[:5] in metrics
    grid, mean = learning_curves.average(found.runs)
    last = [run.rows[-1]["validation/return"] for run in found.runs]
    assert mean[-1] == pytest.approx(np.mean(last)) and grid[-1] == 96
    assert learning_curves.picture(found)[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no such folder"):
        learning_curves.read([Path("nowhere")], [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0"], "must be above 0"),
        (["--seeds", "a"], "whole numbers"),
        (["--scenarios", "one-clod"], "nearest valid: one-cloud"),
        (["--recipes", "pp"], "nearest valid: ppo"),
        (["--blind", "prise"], "nearest valid: price"),
    ],
)
def test_bad_input_of_pretrain_is_one_line(words, message, capsys):
    try:
        code = pretrain.main(words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and message in capsys.readouterr().err


def test_a_blind_recipe_begins_with_the_blind_one_it_goes_on_from(tmp_path):
    words = command(tmp_path, "one-cloud", "ppo_from_rpi_blind_price", "3")
    assert words[words.index("--blind") + 1] == "price"
    start = Path(words[words.index("--start") + 1])
    assert start == tmp_path / "one-cloud-rpi_blind_price-3"
    match = RUN.fullmatch(start.name)
    assert match is not None and match.groups() == ("one-cloud", "rpi_blind_price", "3")
    assert "--blind" not in command(tmp_path, "one-cloud", "ppo", "3")


def test_ppo_has_careful_settings_where_outages_are_rare(tmp_path):
    words = command(tmp_path, "grid-blackout", "ppo", "0")
    run = train.fresh(train.parse(words[2:]))
    assert (run.settings.branch_horizon, run.settings.branch_divergence) == (144, 1.0)
    for scenario, recipe in (("global-24", "ppo"), ("grid-blackout", "rpi")):
        usual = train.fresh(train.parse(command(tmp_path, scenario, recipe, "0")[2:]))
        assert usual.settings == train_settings.load()


def test_blind_recipes_are_trained_after_those_that_see_and_are_not_packed(tmp_path, monkeypatch):
    trained: list[str] = []
    packed: list[list[str]] = []

    def best_of(folders):
        packed.append([folder.name for folder in folders])
        raise ValueError("enough")

    monkeypatch.setattr(pretrain, "train", lambda scenario, recipe, *_: trained.append(recipe) or 0)
    monkeypatch.setattr(policy_folders, "best_of", best_of)
    words = [
        "--scenarios",
        "toy-3",
        "--recipes",
        "rpi",
        "--seeds",
        "0",
        "--blind",
        "price,stores",
        "--out",
        str(tmp_path),
    ]
    assert pretrain.main(words) == 2
    assert trained == ["rpi", "rpi_blind_price", "rpi_blind_stores"]
    assert packed == [["toy-3-rpi-0"]]
