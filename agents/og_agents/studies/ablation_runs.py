"""The trainings of a study: the words that og-env train takes for each, and whether a run folder is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from og_agents.learning import checkpoint, ppo, rollout_policy_iteration
from og_agents.learning.train_settings import shipped_file
from og_agents.pretrained import policy_folders
from og_agents.studies.ablations import VARIANTS, WORLDS, Study
from og_env import IDS
from og_env.scenario import loading
from og_env.scenario.csv_file import read_records
from og_env.scenario.json_file import read_json
from og_env.scenario.text_files import write_text
from og_env.scenario.toml_file import read_toml

OF_RPI = ("branch_states",)
"""settings that PPO does not read"""


def words_of(study: Study, variant: str, seed: int) -> list[str]:
    """Arguments of `og-env train` for a training, run in the working folder.

    Files that the words name and that are not there yet are written into the study's folder.
    """
    what = VARIANTS[variant]
    words = _world_words(study, what.trained_in)
    if what.task != "placement":
        words += ["--env", IDS[what.task]]
    if what.algorithm != "ppo":
        words += ["--algorithm", what.algorithm]
    if (path := _settings_path(study, what.settings)) is not None:
        words += ["--config", _here(path)]
    if what.start is not None:
        words += ["--start", _here(study.folder(what.start, seed))]
    length = study.length_of(variant)
    return [*words, "--timesteps", str(length), "--seed", str(seed), "--out", _here(study.folder(variant, seed))]


def _world_words(study: Study, world: str) -> list[str]:
    """--scenario and --set; a world whose changes are no plain numbers and words becomes a file."""
    changes = WORLDS[world].changes(study.spec)
    if not any(isinstance(value, list) for value in changes.values()):
        scenario = study.scenario if study.scenario in loading.names() else _here(Path(study.scenario))
        return [
            "--scenario",
            scenario,
            *(word for pair in changes.items() for word in ("--set", "=".join(map(str, pair)))),
        ]
    tables = study.world(world).model_dump(mode="json", exclude_none=True)
    source = "agents/og_agents/studies/ablations.py; scripts/ablations.py wrote this."
    head = f"# {study.spec.name} in the world {world!r} of {source}"
    text = f"{head}\n\n{tomli_w.dumps(tables)}"
    return ["--scenario", _here(_put(study.out / "worlds" / f"{world}.toml", text))]


def _settings_path(study: Study, name: str | None) -> Path | None:
    """The TOML for --config: the variant's own, the study's, or a file with both."""
    if name is None or study.settings is None:
        return study.settings if name is None else shipped_file(name)
    both = read_toml(study.settings) | read_toml(shipped_file(name))
    return _put(study.out / "settings" / f"{name}.toml", tomli_w.dumps(both))


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def _here(path: Path) -> str:
    """A path inside the working folder as seen from there."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def lacking(study: Study, variant: str, seed: int) -> str | None:
    """Reason why a run folder is no complete run with the study's settings, in a few words; None where it is one."""
    folder, what = study.folder(variant, seed), VARIANTS[variant]
    if not folder.is_dir():
        return "not trained"
    try:
        record, card = read_json(folder / "config.json"), checkpoint.read_meta(folder)
        curve = policy_folders.learning_curve(folder)
    except (ValueError, OSError):
        return "not trained to the end"
    if differs := _difference(record, wanted(study, variant, seed)):
        return f"trained with {differs}"
    length = study.length_of(variant)
    best = max((row["validation/return"] for row in curve), default=None)
    if not curve or curve[-1]["timesteps"] < length or card.get("validation_return") != best:
        return "not trained to the end"
    if what.start is not None:
        start = study.folder(what.start, seed) / checkpoint.WEIGHTS
        if start.is_file() and start.stat().st_mtime > (folder / "config.json").stat().st_mtime:
            return f"begun with an older {what.start}"
    return None


def wanted(study: Study, variant: str, seed: int) -> dict[str, Any]:
    """Facts that config.json has in a run with the study's settings."""
    what, settings = VARIANTS[variant], study.settings_of(variant)
    spec = loading.load(study.world(what.trained_in))
    if what.algorithm == "rpi":
        return rollout_policy_iteration.described(settings, spec, seed, None)
    return ppo.make_meta(settings, what.task, spec, seed)


def _difference(record: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """The first thing of a record that is not as expected, in words."""
    for key, value in expected.items():
        had = record.get(key)
        if key == "policy_kwargs" and isinstance(had, dict) and "start" in record:
            value = {**value, "prior": had.get("prior")}  # which the run itself has found
        if had == value:
            continue
        if key == "settings" and isinstance(had, dict):
            idle = () if expected["algorithm"] == "rpi" else OF_RPI
            name = next((name for name in value if had.get(name) != value[name] and name not in idle), None)
            if name is None:
                continue
            return f"{name} = {had.get(name)}"
        return f"another {key.replace('_', ' ')}"
    return None


def facts_of(study: Study, variant: str, seed: int) -> dict[str, Any]:
    """Seconds that a complete run took, None where it does not say, and the commit of its sources."""
    folder = study.folder(variant, seed)
    rows = read_records(folder / "metrics.csv")
    seconds = [float(row["time/elapsed_s"]) for _, row in rows if row.get("time/elapsed_s")]
    return {"training_s": max(seconds, default=None), "commit": read_json(folder / "config.json").get("commit")}
