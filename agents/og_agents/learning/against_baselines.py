"""How a trained policy stands against the best baseline of its scenario, on validation episodes that chose no checkpoint.

A policy that is not better says so on its card, and names the baseline that does better or as well for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from og_agents import heuristics, planners
from og_agents.evaluation import playing, statistics
from og_agents.learning import checkpoint, starting_planner, train_settings
from og_agents.learning.router_beside import KEY as ROUTER
from og_agents.learning.router_beside import as_played, beside
from og_agents.planners.offer_rules import RULES
from og_agents.planners.place_and_route import AND
from og_agents.policy import Policy
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec

FIRST_SEED = 100_000
"""of the episodes: checkpoints are chosen on those from 0 on"""
EPISODES = 32
"""of the comparison, and fewer where a validation of the training had fewer"""
OFFER_RULES = ("greedy", "offer_autoscaler", "n1_reserve")
"""heuristics that choose among offers: the others come far behind and decide a hundred times more slowly"""
BUSY = ("greedy", "constant")
"""those that take minutes for an episode of a large fleet: they act where little is gained"""
KEY = "against_baselines"
"""of the card"""
WORDS = {"win": "better than", "tie": "level with", "loss": "worse than"}


class Standing(NamedTuple):
    """A trained policy beside the best baseline on the same episodes."""

    baseline: str
    """name of the baseline with the highest mean return"""
    pair: statistics.Paired
    """returns of the policy minus those of the baseline"""

    @property
    def verdict(self) -> str:
        """Better, level or worse, in one line."""
        low, value, high = self.pair.difference.low, self.pair.difference.value, self.pair.difference.high
        line = f"{WORDS[self.pair.verdict]} {self.baseline}, the best baseline: {value:+.2f} [{low:+.2f}, {high:+.2f}]"
        advice = "" if self.pair.verdict == "win" else f": use {self.baseline} instead"
        return f"{line} on {self.pair.episodes} fresh validation episodes{advice}"


def baselines(spec: ScenarioSpec, task: str, router: str | None = None) -> dict[str, Policy]:
    """The baselines of a task that decide quickly, by name; where the fleet is large, without those that do not there.

    With a router those of Placement beside it, which play Joint.
    """
    if router is not None:
        return _beside(baselines(spec, "placement"), router, spec)
    if task == "routing":
        names = [name for name in planners.ROUTERS if name not in planners.ORACLES]
        return {name: planners.make(name, spec, task) for name in names}
    left_out = BUSY if len(loading.sites_of(spec)) >= train_settings.LARGE else ()
    rules: dict[str, Policy] = {name: heuristics.make(name, task) for name in OFFER_RULES if name not in left_out}
    pairs = {name: planners.make_pair(name, spec) for name in planners.PAIRS} if task == "joint" else {}
    return rules | {name: planners.make(name, spec, task) for name in RULES if name not in left_out} | pairs


def _beside(placers: Mapping[str, Policy], router: str, spec: ScenarioSpec) -> dict[str, Policy]:
    named = {f"{name}{AND}{router}": placer for name, placer in placers.items()}
    return {name: beside(placer, router, spec, name) for name, placer in named.items()}


def _found(card: Mapping[str, Any], spec: ScenarioSpec, task: str) -> dict[str, Policy]:
    """The planner with the constants that the training has found for itself, where it has; its card has them."""
    start, router = card.get("start", {}), card.get(ROUTER)
    if start.get("constants_from") != starting_planner.SEARCHED:
        return {}
    name, words = starting_planner.PLANNER, "with the constants in its card"
    placer = planners.make(name, spec, task if router is None else "placement", constants=start["constants"])
    if router is None:
        return {f"{name} {words}": placer}
    pair = f"{name}{AND}{router} {words}"
    return {pair: beside(placer, router, spec, pair)}


def stand(
    folder: Path, spec: ScenarioSpec, task: str, *, episodes: int | None = None, played: Callable[[str], None] = print
) -> Standing:
    """Play a run's policy and the baselines, and write the standing to the policy's card.

    `episodes` None is EPISODES, or as many as a validation of the training had where that is fewer. `played` is told
    what is about to be played. Raises ValueError for a folder without a policy, or no episodes.
    """
    settings = checkpoint.read_meta(folder)["settings"]
    episodes = max(2, min(EPISODES, settings["evaluation_episodes"])) if episodes is None else episodes
    if episodes < 2:
        raise ValueError(f"{episodes} episodes give no interval: take 2 or more")

    def play(policy: Policy, name: str) -> Any:
        return playing.run(policy, spec, task, episodes, FIRST_SEED, split="validation", name=name)

    card = checkpoint.read_meta(folder)
    policy = as_played(checkpoint.load(folder, scenario=spec), card, spec)
    candidates = baselines(spec, task, card.get(ROUTER)) | _found(card, spec, task)
    played(f"beside {len(candidates)} baselines on {episodes} validation episodes ...")
    learned = play(policy, "learned")
    best = max((play(rule, name) for name, rule in candidates.items()), key=lambda run: run.returns.mean())
    standing = Standing(best.policy, statistics.paired(learned.returns, best.returns))
    card = checkpoint.read_meta(folder)
    checkpoint.write_json(folder / checkpoint.CARD, {**card, KEY: _entry(standing)})
    return standing


def _entry(standing: Standing) -> dict[str, Any]:
    difference = standing.pair.difference
    return {
        "baseline": standing.baseline,
        "verdict": WORDS[standing.pair.verdict].split(maxsplit=1)[0],
        "mean_diff": difference.value,
        "ci_low": difference.low,
        "ci_high": difference.high,
        "episodes": standing.pair.episodes,
        "first_seed": FIRST_SEED,
        "use_instead": None if standing.pair.verdict == "win" else standing.baseline,
    }
