"""The evidence of learning: trained policies by recipe and seed beside all baselines and the clairvoyant, as one record.

An entry is of one scenario and task. It has the best baseline, the median over training seeds of every recipe's gain on
it with an interval over seeds and episodes, scores, gains by term of the reward, and what a policy loses that was trained
blind to one dimension of the world. `overall` has the figures of each recipe over all scenarios. The same folders and
episodes give the same record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from og_agents import planners
from og_agents.evaluation import playing, scores, term_gains
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.results_table import verdict_of
from og_agents.evaluation.scores import Gains
from og_agents.learning import checkpoint
from og_agents.learning.router_beside import as_played
from og_agents.load_policies import baseline_names, load_policies, make_planner
from og_agents.pretrained.recipes import BLIND, RUN
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.json_file import read_json
from og_env.scenario.specs import ScenarioSpec

Json = dict[str, Any]
Told = Callable[[str], None]
PlayingOn = Callable[[float, str], None]
"""called with the plays that are done and who plays"""
RECORD = loading.scenarios_folder().parent / "benchmarks" / "evidence.json"
"""the record of the sealed episodes, which the documentation shows"""
PARTS = ("entries", "overall")
PROFILE = (-0.5, 0.0, 0.25, 0.5, 0.75)
"""scores at which the record has the performance profile"""
DIGITS = 4
"""decimals of returns that a record keeps by episode"""


def unseen(done: float, name: str) -> None:
    """Show no progress."""


class Asked(NamedTuple):
    """The episodes that are played."""

    split: str
    episodes: int
    """of baselines and learned policies, from `seed` on"""
    clairvoyant: int
    """how many of them, the first ones, the clairvoyant plays as well; 0 for none"""
    seed: int = 0
    baselines: tuple[str, ...] = ()
    """names of those that play; empty for all that the task has"""


class Group(NamedTuple):
    """The training runs of one scenario and task."""

    trained_on: str
    """name of the scenario of the training"""
    spec: ScenarioSpec
    """the scenario that is played"""
    task: str
    folders: tuple[Path, ...]

    @property
    def key(self) -> str:
        """Name of the entry."""
        words = f"{self.spec.name}, {self.task}"
        return words if self.trained_on == self.spec.name else f"{words}, trained on {self.trained_on}"


def found(folder: Path) -> list[Group]:
    """Folders SCENARIO-RECIPE-SEED with a trained policy, by scenario and task; ValueError where there is none."""
    groups: dict[tuple[str, str], Group] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = RUN.fullmatch(path.name)
        if match is None or not (path / checkpoint.CARD).is_file():
            continue
        meta = checkpoint.read_meta(path)
        spec, task = loading.load(meta["scenario"]), meta["task"]
        group = groups.setdefault((spec.name, task), Group(spec.name, spec, task, ()))
        if group.spec != spec:
            raise ValueError(f"{path}: trained in another world than {group.folders[0].name}: keep them apart")
        groups[spec.name, task] = group._replace(folders=(*group.folders, path))
    if not groups:
        raise ValueError(
            f"{folder}: no folder SCENARIO-RECIPE-SEED with a trained policy in it: run scripts/pretrain.py"
        )
    return list(groups.values())


def read(path: Path) -> Json:
    """A record; ValueError in one line where the file is none."""
    record = read_json(path)
    if not isinstance(record, dict) or any(not isinstance(record.get(part), dict) for part in PARTS):
        raise ValueError(f"{path}: no record of scripts/evidence.py: {' and '.join(PARTS)} are needed")
    return record


def measure(
    groups: Sequence[Group], asked: Asked, path: Path, told: Told = print, playing_on: PlayingOn = unseen
) -> Json:
    """Play all groups and keep an entry of each in the record at `path`, which is written after each of them.

    An entry that the record has of the same policies and episodes stays as it is. ValueError for a record of another
    split, as of `playing.run`, and where a policy fits another scenario.
    """
    record = read(path) if path.exists() else {part: {} for part in PARTS}
    if others := sorted({made["asked"]["split"] for made in record["entries"].values()} - {asked.split}):
        raise ValueError(f"{path}: holds {others[0]} episodes, not {asked.split}: choose another --record")
    keys = [group.key for group in groups]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"{twice} is asked for twice: scenarios of the same name need names of their own")
    done = 0
    for group in groups:
        before_it, done = done, done + plays(group, asked)
        described = description(group, asked)
        before = record["entries"].get(group.key)
        if before is not None and all(before[name] == value for name, value in described.items()):
            told(f"{group.key}: as it was")
        else:
            told(f"{group.key}: {len(group.folders)} policies ...")
            record["entries"][group.key] = described | entry(
                group, asked, lambda count, name, first=before_it: playing_on(first + count, name)
            )
        record["entries"] = dict(sorted(record["entries"].items()))
        record["overall"] = overall(record["entries"], asked.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_json(path, record)
    return record


def description(group: Group, asked: Asked) -> Json:
    """The facts that an entry depends on, as JSON holds them."""
    return {
        "scenario": group.spec.name,
        "task": group.task,
        "trained_on": group.trained_on,
        "asked": {**asked._asdict(), "baselines": list(asked.baselines)},
        "world": world_of(group.spec),
        "weights": {path.name: _hash((path / checkpoint.WEIGHTS).read_bytes()) for path in group.folders},
    }


def world_of(spec: ScenarioSpec) -> str:
    """A hash of a scenario, the same from its file and from a policy's card; fields of their usual value do not count."""
    return _hash(spec.model_dump_json(exclude_defaults=True).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def plays(group: Group, asked: Asked) -> int:
    """How many policies play for the entry of a group."""
    baselines = asked.baselines or baseline_names(group.spec, group.task)
    return len(baselines) + len(group.folders) + (asked.clairvoyant > 0)


def entry(group: Group, asked: Asked, playing_on: PlayingOn = unseen) -> Json:
    """The figures of a group."""
    spec, task, done = group.spec, group.task, 0

    def play(policy: Any, name: str, episodes: int = asked.episodes) -> Episodes:
        nonlocal done
        told = lambda count: playing_on(done + count / episodes, f"{group.key}, {name}")  # noqa: E731
        result = playing.run(policy, spec, task, episodes, asked.seed, split=asked.split, name=name, progress=told)
        done += 1
        return result

    names = baseline_names(spec, task)
    for name in asked.baselines:
        if name not in names:
            raise ValueError(
                f"--baselines: {name!r} is no baseline of {task} in {spec.name}{nearest_valid(name, names)}"
            )
    rules, _ = load_policies(asked.baselines or names, spec, task, seed=asked.seed)
    baselines = [play(policy, name) for name, policy in rules.items()]
    best = max(baselines, key=lambda run: run.returns.mean())
    learned: dict[str, dict[int, Episodes]] = {}
    for path in group.folders:
        placer = checkpoint.load(path, scenario=spec, transfer=group.trained_on != spec.name)
        policy = as_played(placer, placer.meta, spec, placer.name)
        match = RUN.fullmatch(path.name)
        assert match is not None
        learned.setdefault(match["recipe"], {})[int(match["seed"])] = play(policy, path.name)
    oracle = None
    if asked.clairvoyant:
        name = planners.SCORED_BY[task][-1]
        oracle = play(make_planner(name, spec, task, seed=asked.seed), name, asked.clairvoyant)
    return {
        "best_baseline": best.policy,
        "best_mean": float(best.returns.mean()),
        "baselines": {run.policy: float(run.returns.mean()) for run in baselines},
        "clairvoyant": None if oracle is None else {"name": oracle.policy, "mean": float(oracle.returns.mean())},
        "room": None if oracle is None else _rounded(oracle.returns - best.returns[: asked.clairvoyant]),
        "recipes": {
            recipe: recipe_entry(runs, best, oracle, spec, asked.seed)
            for recipe, runs in learned.items()
            if BLIND not in recipe
        },
        "blind": blindness(learned, asked.seed),
    }


def _rounded(values: Any) -> Any:
    return np.round(values, DIGITS).tolist()


def recipe_entry(
    runs: Mapping[int, Episodes], best: Episodes, oracle: Episodes | None, spec: ScenarioSpec, seed: int
) -> Json:
    """The figures of a recipe's training seeds against the best baseline."""
    in_order = [runs[number] for number in sorted(runs)]
    gains = None if oracle is None else scores.gains_of(in_order, best, oracle)
    terms = term_gains.gains(in_order, best, spec.reward, seed=seed)
    return {
        "seeds": sorted(runs),
        "mean_diffs": [float((run.returns - best.returns).mean()) for run in in_order],
        **terms["return"],
        "score": None if gains is None else scores.entry(scores.score([gains], seed=seed)),
        "gained": None if gains is None else _rounded(gains.gained),
        "terms": {term: found for term, found in terms.items() if term != "return"},
        "improved": term_gains.improved(terms),
    }


def blindness(learned: Mapping[str, Mapping[int, Episodes]], seed: int) -> Json:
    """The cost in the true world of training blind to a dimension, by recipe and dimension, over the seeds that both have.

    Above 0 the policy that was trained on the whole world earns more.
    """
    result: dict[str, Json] = {}
    for name, runs in learned.items():
        recipe, _, dimension = name.partition(BLIND)
        numbers = sorted(set(runs) & set(learned.get(recipe, {})))
        if dimension and numbers:
            lost = np.stack([learned[recipe][number].returns - runs[number].returns for number in numbers])
            result.setdefault(recipe, {})[dimension] = {"seeds": numbers, **term_gains.pair(lost, seed)}
    return result


def overall(entries: Mapping[str, Json], seed: int) -> Json:
    """By task and recipe: scenarios above, level and below the best baseline, score, profile, probability of improvement.

    Only entries that were trained where they play count. Scores are over the scenarios with room to the clairvoyant.
    """
    result: dict[str, Json] = {}
    for made in entries.values():
        for recipe in made["recipes"] if made["trained_on"] == made["scenario"] else ():
            result.setdefault(made["task"], {}).setdefault(recipe, []).append(made)
    return {
        task: {recipe: _over_scenarios(recipe, of, seed) for recipe, of in recipes.items()}
        for task, recipes in sorted(result.items())
    }


def _over_scenarios(recipe: str, entries: Sequence[Json], seed: int) -> Json:
    verdicts = [verdict_of(made["recipes"][recipe]) for made in entries]
    scored = [
        Gains(np.asarray(made["recipes"][recipe]["gained"]), np.asarray(made["room"]))
        for made in entries
        if made["room"] is not None and np.mean(made["room"]) > 0
    ]
    profile = scores.profile(scored, PROFILE, seed=seed) or []
    return {
        "scenarios": len(entries),
        **{verdict: verdicts.count(verdict) for verdict in ("win", "tie", "loss")},
        "scored": len(scored),
        "score": scores.entry(scores.score(scored, seed=seed)),
        "improvement": scores.entry(scores.improvement(scored, seed=seed)),
        "profile": {f"{tau:g}": scores.entry(found) for tau, found in zip(PROFILE, profile, strict=False)},
    }
