"""The front of latency, cost and resilience: what each policy reaches when the reward's weights say what is wanted.

A preference is a factor for each of the three, with product 1, as `og_env.tape` draws them. Every policy
plays the same held-out episodes under every preference of a grid; its front is the points that none of its others
dominates. The offers of a step are priced with the weights, so that rules that take the best offer follow a preference
as well; their constants stay those of the scenario's own weights.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents import planners
from og_agents.evaluation import comparison_pictures, results_table, statistics
from og_agents.evaluation.episode_results import Episodes
from og_agents.evaluation.hypervolume import hypervolume, non_dominated
from og_agents.policy import Policy
from og_agents.studies import robustness
from og_env.scenario import loading
from og_env.scenario.specs import RewardWeights, ScenarioSpec
from og_env.simulator import TERMS
from og_env.tape import RESILIENCE, preferred_weights

Floats = npt.NDArray[np.float64]
Json = dict[str, Any]

OBJECTIVES = ("latency", "cost", "resilience")
"""all to be small"""
MARGIN = 0.1
"""distance of the reference point beyond the worst of the common front, in ranges of that front"""
HEADER = (
    "policy",
    "points",
    "hypervolume",
    "vs best",
    "95 % interval",
    "verdict",
    *(f"least {it}" for it in OBJECTIVES),
)
COLUMNS = ("policy", *(f"{it}_factor" for it in OBJECTIVES), "episodes", *OBJECTIVES, "return", "non_dominated")
PREFERENCE = "latency, cost, resilience"
"""title of the first column of the table of returns"""


class Preference(NamedTuple):
    """Factors of the reward's weights."""

    latency: float
    cost: float
    resilience: float

    @property
    def name(self) -> str:
        """The three factors in words."""
        return ", ".join(f"x{factor:.3g}" for factor in self)


class Front(NamedTuple):
    """One policy under G preferences, in E episodes each."""

    policy: str
    outcomes: Floats
    """[G, E, 3] objectives, each a mean over the steps, in the order of OBJECTIVES"""
    returns: Floats
    """[G, E] returns under each preference's own weights"""

    @property
    def points(self) -> Floats:
        """Means [G, 3] of the objectives over the episodes."""
        return self.outcomes.mean(axis=1)


class Scale(NamedTuple):
    """Units of the objectives that a hypervolume is of.

    0 is the best and 1 the worst value on the front that all policies have together.
    """

    best: Floats
    """[3]"""
    worst: Floats
    """[3]"""

    @property
    def span(self) -> Floats:
        """[3] what counts as 1; where all of the common front is equal, 1."""
        return np.where(self.worst > self.best, self.worst - self.best, 1.0)

    def apply(self, points: Floats) -> Floats:
        """Points [..., 3] in these units."""
        return (points - self.best) / self.span

    @property
    def reference(self) -> Floats:
        """The reference point [3], in the units of the outcomes."""
        return self.best + (1 + MARGIN) * self.span


def grid_of(widest: float, steps: int) -> list[Preference]:
    """All preferences whose factors are powers of widest^(1/steps), from 1/widest to widest, with product 1.

    They are 3 steps (steps + 1) + 1, a hexagon in the logarithms; that of factors 1 is in the middle.
    """
    side = range(-steps, steps + 1)
    powers = [(a, b, -a - b) for a in side for b in side if abs(a + b) <= steps]
    return [Preference(*(float(widest ** (power / steps)) for power in each)) for each in powers]


def world_of(spec: ScenarioSpec, preference: Preference) -> robustness.ChangedWorld:
    """The scenario with the weights of a preference, in every episode the same."""
    weights = preferred_weights(spec.reward, *preference)
    changes = {f"reward.{term}": weight for term, weight in weights.items()} | {"reward.weights": "fixed"}
    words = ", ".join(f"{term} {weight:.3g}" for term, weight in weights.items())
    return robustness.ChangedWorld(preference.name, words, loading.override(spec, changes), {})


def outcomes_of(run: Episodes, reward: RewardWeights) -> Floats:
    """Objectives [E, 3] of episodes: mean terms; resilience is the mean of its terms by the scenario's own weights.

    ValueError where the scenario gives these no weight.
    """
    weights = np.array([getattr(reward, term) if term in RESILIENCE else 0.0 for term in TERMS])
    if weights.sum() <= 0:
        raise ValueError(f"resilience has no weight in this scenario: {', '.join(RESILIENCE)} are all 0")
    latency, cost = (run.terms[:, TERMS.index(term)] for term in OBJECTIVES[:2])
    return np.stack([latency, cost, run.terms @ weights / weights.sum()], axis=1)


def play(
    policies: Mapping[str, Policy],
    learned: Sequence[str],
    spec: ScenarioSpec,
    grid: Sequence[Preference],
    *,
    task: str = "placement",
    episodes: int = 100,
    seed: int = 0,
    done: Callable[[Preference], None] = lambda _: None,
) -> tuple[list[Front], list[Json]]:
    """Every policy's front, and a summary of returns for each preference (`robustness.play`)."""
    outcomes: dict[str, list[Floats]] = {name: [] for name in policies}
    returns: dict[str, list[Floats]] = {name: [] for name in policies}

    def keep(run: Episodes) -> None:
        outcomes[run.policy].append(outcomes_of(run, spec.reward))
        returns[run.policy].append(run.returns)

    summaries = []
    for preference in grid:
        world = world_of(spec, preference)
        summaries.append(
            robustness.play(world, policies, learned, task=task, episodes=episodes, seed=seed, played=keep)
        )
        done(preference)
    return [Front(name, np.stack(outcomes[name]), np.stack(returns[name])) for name in policies], summaries


def scale_of(fronts: Sequence[Front]) -> Scale:
    """Units in which the common front of all policies spans 0 to 1."""
    points = np.concatenate([front.points for front in fronts])
    common = points[non_dominated(points)]
    return Scale(common.min(axis=0), common.max(axis=0))


def volumes(front: Front, scale: Scale, rows: Floats) -> Floats:
    """Hypervolumes [R] of a front, each of other episodes: rows [R, E] of their numbers."""
    samples, episodes = rows.shape
    drawn = np.zeros((samples, episodes))
    np.add.at(drawn, (np.arange(samples)[:, None], rows.astype(np.intp)), 1 / episodes)
    scaled = scale.apply(front.outcomes)
    points = np.einsum("re,ged->rgd", drawn, scaled)
    return hypervolume(points, np.full(3, 1 + MARGIN))


def compare(fronts: Sequence[Front], learned: Sequence[str], *, seed: int = 0) -> Json:
    """Hypervolumes, and their differences to the best baseline's with bootstrap intervals over the episodes.

    The best baseline is the one with the largest hypervolume on these very episodes; planners that look ahead are none.
    `returns` compares the mean return over all preferences in the same way, with the baseline that is best in that.
    """
    scale = scale_of(fronts)
    whole = {front.policy: float(volumes(front, scale, _episodes(front)[None])[0]) for front in fronts}
    baselines = [front for front in fronts if front.policy not in (*learned, *planners.REFERENCES)]
    best = max(baselines, key=lambda front: whole[front.policy]) if baselines else None
    policies = {}
    for front in fronts:
        points = front.points
        own = non_dominated(points)
        policies[front.policy] = {
            "hypervolume": whole[front.policy],
            "against_best": None if best is None or best is front else _difference(front, best, scale, seed),
            "points": [dict(zip(OBJECTIVES, point, strict=True)) for point in points[own].tolist()],
            "return_mean": float(front.returns.mean()),
        }
    return {
        "best_baseline": None if best is None else best.policy,
        "reference": dict(zip(OBJECTIVES, scale.reference.tolist(), strict=True)),
        "best": dict(zip(OBJECTIVES, scale.best.tolist(), strict=True)),
        "policies": policies,
        "returns": _returns(fronts, learned, baselines, seed),
    }


def _episodes(front: Front) -> Floats:
    """Numbers [E] of the episodes, from which the bootstrap draws."""
    return np.arange(front.returns.shape[1], dtype=np.float64)


def _difference(front: Front, best: Front, scale: Scale, seed: int) -> Json:
    def gained(rows: Floats) -> Floats:
        return volumes(front, scale, rows) - volumes(best, scale, rows)

    return _pair(statistics.bootstrap(_episodes(front), gained, seed=seed))


def _pair(difference: statistics.Interval) -> Json:
    pair = {"mean_diff": difference.value, "ci_low": difference.low, "ci_high": difference.high}
    return pair | {"verdict": results_table.verdict_of(pair)}


def _returns(fronts: Sequence[Front], learned: Sequence[str], baselines: Sequence[Front], seed: int) -> Json | None:
    if not baselines or not learned:
        return None
    best = max(baselines, key=lambda front: front.returns.mean())
    usual = best.returns.mean(axis=0)
    learned_fronts = [front for front in fronts if front.policy in learned]
    pairs = {
        front.policy: _pair(statistics.paired(front.returns.mean(axis=0), usual, seed=seed).difference)
        for front in learned_fronts
    }
    return {"best_baseline": best.policy, "learned": pairs}


def text(result: Json) -> str:
    """The table of hypervolumes, largest first; the best baseline is marked with *."""
    rows = []
    for name, one in sorted(result["policies"].items(), key=lambda item: -item[1]["hypervolume"]):
        pair, versus = one["against_best"], ("", "", "")
        if pair is not None:
            versus = (f"{pair['mean_diff']:+.4f}", results_table.interval_text(pair, "+.4f"), pair["verdict"])
        least = (f"{min(point[it] for point in one['points']):.4f}" for it in OBJECTIVES)
        marked = f"{name} *" if name == result["best_baseline"] else name
        rows.append((marked, str(len(one["points"])), f"{one['hypervolume']:.4f}", *versus, *least))
    return results_table.aligned(HEADER, rows)


def verdict_lines(result: Json, rows: Sequence[Json], learned: Sequence[str]) -> list[str]:
    """A line for each learned policy: preferences won (`robustness.records`), mean return over them, hypervolume."""
    lines = []
    for name in learned:
        count = Counter(row["verdict"] for row in rows if row["learned"] == name)
        parts = [
            f"{name} wins under {count['win']} of {count.total()} preferences, ties under {count['tie']}, loses under "
            f"{count['loss']}"
        ]
        pair, best = result["returns"]["learned"][name], result["returns"]["best_baseline"]
        parts.append(f"mean return over all of them {_words(pair, '+.2f')} against {best}")
        pair, best = result["policies"][name]["against_best"], result["best_baseline"]
        parts.append(f"hypervolume {_words(pair, '+.4f')} against {best}")
        lines.append("; ".join(parts))
    return lines


def _words(pair: Json, form: str) -> str:
    return f"{pair['mean_diff']:{form}} {results_table.interval_text(pair, form)} ({pair['verdict']})"


def training_notes(policies: Mapping[str, Policy], spec: ScenarioSpec) -> list[str]:
    """A line for each trained policy that has not seen all of these preferences in training."""
    lines = []
    for name, policy in policies.items():
        reward = getattr(policy, "meta", {}).get("scenario", {}).get("reward")
        if reward is None:
            continue
        if reward.get("weights") != "random":
            lines.append(f"{name} was trained with one preference alone (reward.weights = fixed)")
        elif reward["weights_range"] < spec.reward.weights_range:
            lines.append(f"{name} was trained with a weights_range of {reward['weights_range']:g} only")
    return lines


def table(fronts: Sequence[Front], grid: Sequence[Preference]) -> str:
    """CSV by COLUMNS: a row for every policy and preference."""
    buffer = io.StringIO()
    writer: Any = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for front in fronts:
        points, own = front.points, non_dominated(front.points)
        for at, preference in enumerate(grid):
            episodes, mean = front.returns.shape[1], float(front.returns[at].mean())
            writer.writerow((front.policy, *preference, episodes, *points[at].tolist(), mean, int(own[at])))
    return buffer.getvalue()


def picture(fronts: Sequence[Front], learned: Sequence[str]) -> bytes:
    """PNG of all fronts, the learned ones first; see `comparison_pictures.fronts`."""
    scale = scale_of(fronts)
    ordered = sorted(fronts, key=lambda front: front.policy not in learned)
    points = {front.policy: front.points[non_dominated(front.points)] for front in ordered}
    labels = ("latency, mean term", "cost, mean term", "resilience, mean term")
    return comparison_pictures.fronts(points, labels, scale.best.tolist(), scale.reference.tolist(), learned)
