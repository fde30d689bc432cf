"""Studies: every variant changes what it names, is trained once, and its row holds paired differences on test episodes."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from og_agents.commands import train
from og_agents.evaluation import comparison, playing
from og_agents.learning import checkpoint, train_settings
from og_agents.studies import ablation_runs, ablations
from og_agents.studies.ablations import AS_IS, FULL, VARIANTS, WORLDS, Study, chosen
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv
from scripts import ablations as script
from tests.cases.short_training import SMALL, STEPS

ROOT = Path(__file__).parents[3]
ASKED = "no-prior,ppo-from-rpi,joint,no-warmth,twin"
TRAINED = ["full", "no-prior", "rpi", "joint", "no-warmth", "independent", "ppo-from-rpi"]
EPISODES = 6


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[str, str]:
    """A short scenario and small settings as files."""
    folder = tmp_path_factory.mktemp("files")
    text = (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8")
    for old, new in (
        ("steps = 60", f"steps = {STEPS}"),
        ("burst_sd = 0.0", "burst_sd = 0.3"),
        ('process = "none"', 'process = "correlated"\nintensity = 100.0'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "short.toml").write_text(text, encoding="utf-8")
    (folder / "small.toml").write_text(tomli_w.dumps(SMALL), encoding="utf-8")
    return str(folder / "short.toml"), str(folder / "small.toml")


@pytest.fixture
def in_process(monkeypatch) -> list[str]:
    """Trainings run here, which is quicker than in processes of their own; the names of those that ran."""
    names: list[str] = []
    quick(monkeypatch, names)
    return names


def quick(patch: pytest.MonkeyPatch, names: list[str]) -> None:
    def here(name: str, words: list[str]) -> int:
        names.append(name)
        return train.main([*words, "--quiet"])

    patch.setattr(script, "train", here)


def arguments(files: tuple[str, str], out: Path, *more: str) -> list[str]:
    length = ["--timesteps", "128", "--states", "8", "--episodes", str(EPISODES), "--side-by-side", "1"]
    return ["--scenario", files[0], "--config", files[1], "--out", str(out), *length, *more]


@pytest.fixture(scope="module")
def study(files, tmp_path_factory) -> tuple[Path, dict, list[str]]:
    """The folder of a study with two seeds, its summary, and the trainings in the order in which they ran."""
    out, names = tmp_path_factory.mktemp("ablations"), []
    with pytest.MonkeyPatch.context() as patch:
        quick(patch, names)
        assert script.main(arguments(files, out, "--variants", ASKED)) == 0
    return out / "toy-3", json.loads((out / "toy-3" / "summary.json").read_text(encoding="utf-8")), names


def row_of(summary: dict, variant: str) -> dict:
    (row,) = (row for row in summary["rows"] if row["variant"] == variant)
    return row


def returns(folder: Path, world: object, task: str = "placement") -> np.ndarray:
    return playing.run(checkpoint.load(folder), world, task, EPISODES, split="test").returns  # type: ignore[arg-type]


def test_what_is_needed_is_trained_once_and_rpi_before_what_begins_with_it(study):
    folder, summary, names = study
    assert sorted(names) == sorted(f"{name}-{seed}" for name in TRAINED for seed in (0, 1))
    assert names.index("rpi-1") < names.index("ppo-from-rpi-0")
    assert names.index("independent-0") < names.index("full-1"), "all variants of a seed before the next seed"
    assert [row["variant"] for row in summary["rows"]] == [FULL, *ASKED.split(",")]
    assert not list(folder.rglob("*.part"))


def test_every_run_has_the_change_that_its_variant_names(study, files):
    folder, spec = study[0], loading.load(files[0])
    records = {name: json.loads((folder / f"{name}-1" / "config.json").read_text()) for name in TRAINED}
    full = records[FULL]
    assert full["settings"] == train_settings.load(Path(files[1]), {"timesteps": 128}).model_dump(mode="json")
    assert full["seed"] == 1 and loading.load(full["scenario"]) == spec
    assert records["no-prior"]["settings"] == full["settings"] | {"beta": 0.0}
    assert records["no-prior"]["policy_kwargs"]["beta"] == 0
    assert records["rpi"]["algorithm"] == "rpi" and records["rpi"]["settings"]["branch_states"] == 8
    assert records["ppo-from-rpi"]["begun_from"] == "rpi" and full["begun_from"] is None
    assert records["joint"]["task"] == "joint"
    assert loading.load(records["independent"]["scenario"]) == loading.override(
        spec, {"failures.process": "independent"}
    )
    assert loading.load(records["no-warmth"]["scenario"]).models[0].engine_start_s == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("variant", ["no-prior", "ppo-from-rpi", "twin"])
def test_differences_are_paired_over_episodes_and_training_seeds(study, files, variant):
    """Also of the twin: trained with independent failures, played with shared ones."""
    folder, summary, _ = study
    row, name = row_of(summary, variant), ablations.runs_of(variant)
    own = np.stack([returns(folder / f"{name}-{seed}", files[0]) for seed in (0, 1)])
    full = np.stack([returns(folder / f"full-{seed}", files[0]) for seed in (0, 1)])
    assert row["to_full"]["mean_diffs"] == pytest.approx((own - full).mean(axis=1).tolist(), abs=1e-9)
    test = summary["tests"]["toy-3, og_env/Placement-v1"]
    best = test["policies"][row["best_baseline"]]["return_mean"]
    assert row["best_baseline"] not in test["seeds"][0]["policies"] and row["best_baseline_mean"] == best
    assert row["to_best"]["mean_diffs"] == pytest.approx((own.mean(axis=1) - best).tolist(), abs=1e-9)
    for group in (row["to_best"], row["to_full"]):
        assert group["ci_low"] <= group["mean_diff"] <= group["ci_high"]


def test_the_policies_of_the_table_differ(study):
    rows = study[1]["rows"]
    assert len({tuple(row["to_best"]["mean_diffs"]) for row in rows}) >= 3, "else the tests above could not fail"
    assert row_of(study[1], FULL)["to_full"] is None


def test_joint_control_and_changed_worlds_have_baselines_of_their_own(study, files):
    folder, summary, _ = study
    assert set(summary["tests"]) == {
        "toy-3, og_env/Placement-v1",
        "toy-3, og_env/Joint-v1",
        "no-warmth, og_env/Placement-v1",
    }
    joint, instant = row_of(summary, "joint"), row_of(summary, "no-warmth")
    played = returns(folder / "joint-0", files[0], "joint") - returns(folder / "full-0", files[0])
    assert joint["to_full"]["mean_diffs"][0] == pytest.approx(played.mean(), abs=1e-9)
    assert instant["to_full"] is None and instant["tested_in"] == instant["trained_in"] == "no-warmth"
    world = loading.override(loading.load(files[0]), WORLDS["no-warmth"].changes(loading.load(files[0])))
    mean = returns(folder / "no-warmth-0", world).mean()
    assert instant["to_best"]["mean_diffs"][0] == pytest.approx(mean - instant["best_baseline_mean"], abs=1e-9)


@pytest.mark.slow
def test_a_recorded_command_trains_the_same_weights_in_a_process_of_its_own(study, tmp_path):
    folder, summary, _ = study
    run = row_of(summary, "no-prior")["runs"]["1"]
    words = shlex.split(run["command"])
    assert words[:2] == ["og-env", "train"] and run["training_s"] > 0
    words = [str(tmp_path) if word == str(folder / "no-prior-1") else word for word in words[2:]]
    assert str(tmp_path) in words
    assert script.train("again", words) == 0
    assert (tmp_path / checkpoint.WEIGHTS).read_bytes() == (folder / "no-prior-1" / checkpoint.WEIGHTS).read_bytes()


def test_the_table_in_csv_has_the_same_figures(study):
    folder, summary, _ = study
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    assert list(lines) == [row["variant"] for row in summary["rows"]]
    twin = row_of(summary, "twin")
    assert float(lines["twin"]["to_full_ci_low"]) == twin["to_full"]["ci_low"]
    assert lines["twin"]["command"].count("og-env train") == 2
    assert "failures.process=independent" in lines["twin"]["command"]


@pytest.mark.slow
def test_a_stopped_study_goes_on_with_what_is_not_complete(study, files, tmp_path, in_process, capsys):
    """Left: a run cut off before its last validation, and one that began with an older policy."""
    folder = tmp_path / "toy-3"
    shutil.copytree(study[0], folder)
    again = arguments(files, tmp_path, "--variants", "no-prior,ppo-from-rpi", "--episodes", "2")
    metrics = folder / "no-prior-0" / "metrics.csv"
    metrics.write_text("\n".join(metrics.read_text().splitlines()[:-1]) + "\n")
    (folder / "rpi-1" / checkpoint.WEIGHTS).touch()
    capsys.readouterr()
    assert script.main([*again, "--only-report"]) == 0 and in_process == []
    printed = capsys.readouterr().out
    assert "no-prior: seed 0 is not in it: not trained to the end" in printed
    assert "fewer than 3 training seeds" in printed and "constants" not in printed
    assert row_of(json.loads((folder / "summary.json").read_text()), "no-prior")["seeds"] == [1]
    assert script.main(again) == 0
    assert in_process == ["no-prior-0", "ppo-from-rpi-1"]
    for seed in (0, 1):
        weights = f"no-prior-{seed}/{checkpoint.WEIGHTS}"
        assert (folder / weights).read_bytes() == (study[0] / weights).read_bytes()


def test_a_run_with_other_settings_is_not_taken(study, files):
    folder = study[0]
    spec = loading.load(files[0])
    usual = Study(files[0], spec, (FULL,), (0,), 128, 8, folder, Path(files[1]))
    assert ablation_runs.lacking(usual, FULL, 0) is None
    assert ablation_runs.lacking(usual._replace(timesteps=256), FULL, 0) == "trained with timesteps = 128"
    assert ablation_runs.lacking(usual._replace(settings=None), FULL, 0) == "trained with filtered = False"
    assert ablation_runs.lacking(usual._replace(states=9), FULL, 0) is None, "PPO branches from no states"
    assert ablation_runs.lacking(usual._replace(states=9), "rpi", 0) == "trained with branch_states = 8"
    assert ablation_runs.lacking(usual, FULL, 7) == "not trained"
    other = usual._replace(spec=loading.override(spec, {"demand.burst_sd": 0.2}))
    assert ablation_runs.lacking(other, FULL, 0) == "trained with another scenario"


def test_rows_say_why_they_are_left_out(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--only-report", "--episodes", "2"]
    assert script.main(["--scenario", "toy-3", "--variants", "mlp,independent,twin", *out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [FULL, "mlp", "independent", "twin"]
    assert "left out: not trained" in lines[1] and "left out: not trained" in lines[2]
    assert "left out: no random failures" in lines[3] and "left out: no random failures" in lines[4]
    spec = loading.load("toy-3")
    study = Study("toy-3", spec, chosen(["all"]), (0,), 1, 1, tmp_path)
    assert "independent" not in study.waves()[0], "what has no such world is not trained"
    assert study.obstacle("curriculum") == study.obstacle("more-outages") == "no random failures"
    assert study.waves()[1] == ["ppo-from-rpi"], "nor what would begin there"
    silent = study._replace(spec=loading.override(spec, {"reward.exposure": 0.0}))
    assert silent.obstacle("no-exposure") == "exposure weighs 0 as it is" and study.obstacle("no-exposure") is None
    fleets = study._replace(spec=loading.load("random-24"))
    assert fleets.obstacle("no-warmth") == "the fleet is random" and fleets.obstacle("twin") is None


@pytest.mark.parametrize(("code", "expected"), [(1, 2), (130, 130)])
def test_a_training_that_fails_or_is_stopped_ends_the_study(code, expected, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "train", lambda name, words: code if name == "mlp-1" else 0)
    assert script.main(arguments(files, tmp_path, "--variants", "mlp")) == expected
    error = capsys.readouterr().err
    assert ("mlp-1: og-env train" if code == 1 else "the same command goes on") in error
    assert not (tmp_path / "toy-3" / "summary.json").exists()


def test_without_warmth_every_load_takes_no_time(tmp_path):
    """Fetches and loads of the largest model end within the first second; the written file is the same world."""
    spec = loading.load("one-cloud")
    study = Study("one-cloud", spec, ("no-warmth",), (0,), 1, 1, tmp_path)
    words = ablation_runs.words_of(study, "no-warmth", 0)
    world = loading.load(words[words.index("--scenario") + 1])
    assert world == study.world("no-warmth") and world.name == "one-cloud"
    usual, instant = (NetworkVectorEnv(1, scenario=each).simulator.world for each in (spec, world))
    assert usual.load_ms.max() > 60_000 and instant.load_ms.max() <= 5
    slowest_mb_per_s = min(int(instant.store_mb_per_s.min()), int(instant.link_mb_per_s[instant.site_valid > 0].min()))
    assert instant.weights_mb.max() / slowest_mb_per_s < 1
    assert (instant.usd_per_gpu_hour == usual.usd_per_gpu_hour).all(), "nothing else changes"


def test_worlds_change_what_they_name():
    spec = loading.load("one-cloud")
    study = Study("one-cloud", spec, chosen(["all"]), (0,), 1, 1, Path("none"))
    assert study.world(AS_IS) == spec
    assert study.world("no-exposure") == loading.override(spec, {"reward.exposure": 0.0}) != spec
    assert study.world("independent") == loading.override(spec, {"failures.process": "independent"}) != spec
    assert {what.trained_in for what in VARIANTS.values()} == set(WORLDS)


def test_commands_name_the_shipped_settings(monkeypatch):
    monkeypatch.chdir(ROOT)
    study = Study(
        "one-cloud", loading.load("one-cloud"), chosen(["all"]), (0,), 1000, 50, Path("runs/ablations/one-cloud")
    )
    words = ablation_runs.words_of(study, "no-prior", 3)
    assert words[:4] == ["--scenario", "one-cloud", "--config", "configs/training/no-prior.toml"]
    assert words[4:] == ["--timesteps", "1000", "--seed", "3", "--out", "runs/ablations/one-cloud/no-prior-3"]
    assert ablation_runs.words_of(study, "rpi", 3)[2:6] == ["--algorithm", "rpi", "--timesteps", "50"]
    start = ablation_runs.words_of(study, "ppo-from-rpi", 3)
    assert start[2:6] == ["--config", "configs/training/from-rpi.toml", "--start", "runs/ablations/one-cloud/rpi-3"]
    steps = {name: study.settings_of(name).timesteps for name in ("full", "ppo-from-rpi", "unshaped-long")}
    assert steps == {"full": 1000, "ppo-from-rpi": 500, "unshaped-long": 25_000}, "each in its own proportion"


def test_settings_files_change_what_they_are_named_for():
    shipped = train_settings.load().model_dump()
    names = {path.stem for path in train_settings.default_file().parent.glob("*.toml")} - {
        "default",
        "routing",
        "operations",
        "large",
        "careful",
    }
    assert names == {what.settings for what in VARIANTS.values()} - {None}
    found = {}
    for name in names:
        settings = train_settings.load(train_settings.shipped_file(name)).model_dump()
        found[name] = {key: value for key, value in settings.items() if value != shipped[key]}
    assert found == {
        "no-prior": {"beta": 0.0},
        "gain-prior": {"prior": "gain"},
        "mlp": {"policy": "mlp"},
        "lstm": {"policy": "lstm"},
        "sharp": {"branch_sharpness": 20.0},
        "unshaped": {"credit": "reward"},
        "unshaped-long": {"credit": "reward", "timesteps": 5_000_000, "evaluations": 25},
        "from-rpi": {
            "learning_rate": 1e-4,
            "sharpness": 2.0,
            "exploration_sharpness": 0.03,
            "timesteps": 100_000,
            "branch_divergence": 0.0,
        },
    }


def test_seeds_are_compared_on_the_same_episodes_alone(files):
    from og_agents import heuristics

    one, other = (playing.run(heuristics.make("static"), files[0], episodes=2, seed=seed) for seed in (0, 1))
    with pytest.raises(ValueError, match="did not play the same episodes"):
        comparison.over_seeds([one], [other])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--variants", "no-pior"], "unknown variant 'no-pior' (nearest valid: no-prior)"),
        (["--variants", ","], "--variants names no variant"),
        (["--scenario", "one-clod"], "nearest valid: one-cloud"),
        (["--seeds", "0,x"], "--seeds is '0,x'"),
        (["--seeds", "1,1"], "different whole numbers"),
        (["--timesteps", "0"], "--timesteps is 0"),
        (["--states", "0"], "--states is 0"),
        (["--side-by-side", "0"], "--side-by-side is 0"),
        (["--config", "nowhere.toml"], "nowhere.toml: no such file"),
        (["--only"], "unrecognized arguments"),
    ],
)
def test_bad_input_is_one_line_and_code_2(given, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = script.main(given)
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2 and message in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_wrong_input_is_found_before_torch_is_loaded():
    code = "import sys\nfrom scripts import ablations\ncode = ablations.main(['--variants', 'nothing'])\n"
    code += "print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
