"""Who is better after training: the policy or the best baseline, in a line and on the card."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from og_agents import heuristics, planners
from og_agents.evaluation import playing
from og_agents.learning import against_baselines, checkpoint
from og_agents.learning.ppo import train
from og_env.scenario import loading
from tests.cases.short_training import small_settings

WORLD = loading.override(loading.load("toy-3"), {"episode.steps": 24})
SMALL = small_settings(timesteps=48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(WORLD, "placement", SMALL, seed=0, out=tmp_path_factory.mktemp("run"), quiet=True)


@pytest.mark.parametrize("task", ["placement", "routing", "joint"])
def test_the_baselines_of_a_task_can_play_it_and_none_reads_the_tape(task: str) -> None:
    found = against_baselines.baselines(WORLD, task)
    assert len(found) > 4 and not set(found) & set(planners.ORACLES)
    for policy in found.values():
        assert playing.run(policy, WORLD, task, 2, 0, split="validation").returns.shape == (2,)


def test_the_standing_is_that_of_the_best_baseline_and_stands_on_the_card(folder: Path) -> None:
    told: list[str] = []
    standing = against_baselines.stand(folder, WORLD, "placement", episodes=4, played=told.append)
    first = against_baselines.FIRST_SEED

    def returns(policy: object) -> np.ndarray:
        return playing.run(policy, WORLD, "placement", 4, first, split="validation").returns  # type: ignore[arg-type]

    every = {name: returns(rule) for name, rule in against_baselines.baselines(WORLD, "placement").items()}
    assert every[standing.baseline].mean() == max(each.mean() for each in every.values())
    difference = (returns(checkpoint.load(folder)) - every[standing.baseline]).mean()
    assert standing.pair.difference.value == pytest.approx(difference)
    entry = checkpoint.read_meta(folder)["against_baselines"]
    assert (entry["baseline"], entry["episodes"], len(told)) == (standing.baseline, 4, 1)
    assert entry["mean_diff"] == pytest.approx(difference)
    assert checkpoint.load(folder).meta["against_baselines"] == entry


@pytest.mark.parametrize(("by", "word", "instead"), [(5.0, "better than", None), (-5.0, "worse than", "static")])
def test_a_policy_that_is_not_better_names_what_to_use_instead(
    by: float, word: str, instead: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        against_baselines, "baselines", lambda spec, task, router: {"static": heuristics.make("static", task)}
    )
    play = playing.run

    def shifted(policy: object, *arguments: object, name: str, **settings: object) -> object:
        result = play(policy, *arguments, name=name, **settings)  # type: ignore[arg-type]
        static = play(heuristics.make("static"), *arguments, **settings)  # type: ignore[arg-type]
        return result._replace(returns=static.returns + by) if name == "learned" else result

    monkeypatch.setattr(playing, "run", shifted)
    standing = against_baselines.stand(folder, WORLD, "placement", episodes=4)
    assert standing.verdict.startswith(f"{word} static, the best baseline: {by:+.2f}")
    assert ("use static instead" in standing.verdict) == (instead is not None)
    assert checkpoint.read_meta(folder)["against_baselines"]["use_instead"] == instead


def test_constants_that_a_training_has_found_stand_among_the_baselines(tmp_path: Path) -> None:
    out = train(WORLD, "placement", small_settings(timesteps=32, prior="best"), seed=0, out=tmp_path, quiet=True)
    card = checkpoint.read_meta(out)
    found = against_baselines._found(card, WORLD, "placement")
    searched = card["start"]["constants_from"] == "searched"
    assert [policy.constants for policy in found.values()] == ([card["start"]["constants"]] if searched else [])  # type: ignore[attr-defined]
    card["start"]["constants_from"] = "searched"
    assert len(against_baselines._found(card, WORLD, "placement")) == 1


@pytest.mark.parametrize(("validated", "compared"), [(3, 3), (96, 5)])
def test_as_many_episodes_as_a_validation_had_and_no_more_than_usual(
    validated: int, compared: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        against_baselines, "baselines", lambda spec, task, router: {"static": heuristics.make("static", task)}
    )
    monkeypatch.setattr(against_baselines, "EPISODES", 5)
    run = shutil.copytree(folder, tmp_path / "run")
    card = checkpoint.read_meta(run)
    card["settings"]["evaluation_episodes"] = validated
    checkpoint.write_json(run / checkpoint.CARD, card)
    assert against_baselines.stand(run, WORLD, "placement").pair.episodes == compared


def test_rules_that_take_minutes_on_a_large_fleet_are_left_out_there() -> None:
    every, few = (set(against_baselines.baselines(loading.load(name), "placement")) for name in ("toy-3", "global-512"))
    assert every - few == {"greedy", "constant"} and "offer_autoscaler" in few


def test_one_episode_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="1 episodes give no interval"):
        against_baselines.stand(folder, WORLD, "placement", episodes=1)
