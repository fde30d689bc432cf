"""Ablation studies: variants of the learner and of the world it learns in, and what each changes.

A learner variant is trained and tested in the scenario as it is. A world variant is trained and tested in a changed
world, where its difference to the best baseline says what learning is worth there; the baselines' constants are those
tuned in the scenario as it is. The transfer variant is trained in one world and tested in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from og_agents.learning import train_settings
from og_agents.learning.train_settings import TrainSettings
from og_env.errors import nearest_valid
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.scenario.toml_file import read_toml

FULL = "full"
"""the variant that others are held against"""
AS_IS = "as it is"
"""the world of the scenario file"""
INSTANT_GBPS, INSTANT_GB_PER_S = 1e4, 1e5
"""links and disks that bring 100 GB in a tenth of a second"""


class Variant(NamedTuple):
    """A training, the world that it happens in, and the world of the test."""

    doc: str
    settings: str | None = None
    """a file of configs/training, without .toml; where it has a length of its own, in that proportion"""
    algorithm: str = "ppo"
    task: str = "placement"
    start: str | None = None
    """the variant whose policy of the same seed the training begins with"""
    trained_in: str = AS_IS
    tested_in: str = AS_IS
    trained_as: str | None = None
    """the variant whose runs it plays; None: it has its own"""


VARIANTS: Mapping[str, Variant] = {
    FULL: Variant("the shipped recipe"),
    "no-prior": Variant("the planner's value of an offer has weight 0 at the start", "no-prior"),
    "gain-prior": Variant("the prior is the nominal gain, not the tuned planner's value", "gain-prior"),
    "mlp": Variant("a plain network on the flat observation, without prior and exploration", "mlp"),
    "lstm": Variant("a plain network with a memory (RecurrentPPO), without masks", "lstm"),
    "sharp": Variant("logits on branches as sharp as elsewhere", "sharp"),
    "unshaped": Variant("plain rewards in training", "unshaped"),
    "unshaped-long": Variant("plain rewards in training, for 25 times as many steps", "unshaped-long"),
    "rpi": Variant("rollout policy iteration in place of PPO", algorithm="rpi"),
    "ppo-from-rpi": Variant("PPO that begins with the policy of the same seed's rpi", "from-rpi", start="rpi"),
    "more-outages": Variant("trained under twice as many outages", trained_in="more-outages"),
    "curriculum": Variant("PPO that begins with the policy of the same seed's more-outages", start="more-outages"),
    "joint": Variant("placement and the router's knobs", task="joint"),
    "no-warmth": Variant(
        "fetching, loading and starting a model take no time", trained_in="no-warmth", tested_in="no-warmth"
    ),
    "independent": Variant(
        "sites fail at random as often, but not together", trained_in="independent", tested_in="independent"
    ),
    "no-exposure": Variant("the reward has no exposure term", trained_in="no-exposure", tested_in="no-exposure"),
    "twin": Variant(
        "trained with independent failures, tested with shared ones", trained_in="independent", trained_as="independent"
    ),
}


class World(NamedTuple):
    """A change of a scenario."""

    changes: Callable[[ScenarioSpec], dict[str, Any]]
    """other values by dotted key"""
    obstacle: Callable[[ScenarioSpec], str | None]
    """why a scenario has no such world, in a few words; None where it has"""


def _instant(spec: ScenarioSpec) -> dict[str, Any]:
    """No time from the decision to a warm replica: every site and model is written out with fast disks, links and engines."""
    fast = {"link_gbps": INSTANT_GBPS, "disk_gb_per_s": INSTANT_GB_PER_S}
    whole = loading.resolve(spec)
    return {
        "sites": [site.model_copy(update=fast).model_dump() for site in whole.sites],
        "models": [model.model_copy(update={"engine_start_s": 0.0}).model_dump() for model in whole.models],
        "network.store_gbps": INSTANT_GBPS,
    }


def _random_fleet(spec: ScenarioSpec) -> str | None:
    return "the fleet is random" if spec.fleet == "random" else None


def _no_random_failures(spec: ScenarioSpec) -> str | None:
    failures = spec.failures
    rate = failures.intensity if failures.shocks_per_day is None else failures.shocks_per_day
    return "no random failures" if failures.process == "none" or rate == 0 else None


def _nothing_shared(spec: ScenarioSpec) -> str | None:
    if spec.failures.process == "independent":
        return "failures are independent as it is"
    return _no_random_failures(spec)


def _twice(spec: ScenarioSpec) -> dict[str, Any]:
    """Random failures twice as often."""
    failures = spec.failures
    if failures.shocks_per_day is None:
        return {"failures.intensity": 2 * failures.intensity}
    return {"failures.shocks_per_day": 2 * failures.shocks_per_day}


def _no_exposure(spec: ScenarioSpec) -> str | None:
    return "exposure weighs 0 as it is" if spec.reward.exposure == 0 else None


WORLDS: Mapping[str, World] = {
    AS_IS: World(lambda _: {}, lambda _: None),
    "no-warmth": World(_instant, _random_fleet),
    "independent": World(lambda _: {"failures.process": "independent"}, _nothing_shared),
    "more-outages": World(_twice, _no_random_failures),
    "no-exposure": World(lambda _: {"reward.exposure": 0.0}, _no_exposure),
}


class Study(NamedTuple):
    """A scenario, and how long and how often each variant is trained."""

    scenario: str
    """shipped name or file"""
    spec: ScenarioSpec
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    timesteps: int
    states: int
    """length of rollout policy iteration, in states"""
    out: Path
    """folder that holds a run folder VARIANT-SEED for every training"""
    settings: Path | None = None
    """TOML with other settings than the shipped ones, for every variant"""

    def world(self, name: str) -> ScenarioSpec:
        """The scenario with the changes of a world."""
        return loading.override(self.spec, WORLDS[name].changes(self.spec))

    def folder(self, variant: str, seed: int) -> Path:
        """The run that a variant plays."""
        return self.out / f"{runs_of(variant)}-{seed}"

    def length_of(self, variant: str) -> int:
        """Steps of PPO or states of rollout policy iteration that a variant is trained for."""
        if VARIANTS[variant].algorithm == "rpi":
            return self.states
        usual = train_settings.load().timesteps
        return max(1, round(self.timesteps * _own(variant).get("timesteps", usual) / usual))

    def settings_of(self, variant: str) -> TrainSettings:
        """Settings of a variant's training; ValueError in one line where they do not fit."""
        what = VARIANTS[variant]
        length = {"branch_states" if what.algorithm == "rpi" else "timesteps": self.length_of(variant)}
        settings = train_settings.load(self.settings, _own(variant) | length)
        settings.policy_kind(what.task)
        return settings

    def obstacle(self, variant: str) -> str | None:
        """Why the scenario has no such variant; None where it has."""
        what = VARIANTS[variant]
        reasons = [WORLDS[world].obstacle(self.spec) for world in (what.trained_in, what.tested_in)]
        if what.start is not None:
            reasons.append(self.obstacle(what.start))
        return next(filter(None, reasons), None)

    def shown(self) -> list[str]:
        """The variants of the table: those asked for and, where one is held against it, the full recipe."""
        needed = [FULL] if any(against_full(name) for name in self.variants) else []
        return [name for name in VARIANTS if name in {*needed, *self.variants}]

    def waves(self) -> tuple[list[str], list[str]]:
        """Variants to train, first those that begin anew, then those that begin with the policy of one of these."""
        possible = [name for name in self.shown() if self.obstacle(name) is None]
        runs = {runs_of(name) for name in possible}
        starts = {start for name in runs if (start := VARIANTS[name].start) is not None}
        ordered = [name for name in VARIANTS if name in runs | starts]
        first = [name for name in ordered if VARIANTS[name].start is None]
        return first, [name for name in ordered if VARIANTS[name].start is not None]


def _own(variant: str) -> dict[str, Any]:
    """The settings of a variant that differ from the shipped ones."""
    name = VARIANTS[variant].settings
    return {} if name is None else read_toml(train_settings.shipped_file(name))


def states_for(timesteps: int) -> int:
    """States of rollout policy iteration beside so many steps of PPO, in the proportion of the shipped settings."""
    shipped = train_settings.load()
    return max(1, round(timesteps * shipped.branch_states / shipped.timesteps))


def runs_of(variant: str) -> str:
    """The variant whose runs a variant plays."""
    return VARIANTS[variant].trained_as or variant


def against_full(variant: str) -> bool:
    """Whether a variant is held against the full recipe: it is tested in the same world."""
    return variant != FULL and VARIANTS[variant].tested_in == AS_IS


def chosen(words: Iterable[str]) -> tuple[str, ...]:
    """Variants by name, `all` for every one, in their usual order; ValueError in one line for an unknown name or none."""
    names = [word for word in map(str.strip, words) if word]
    for name in names:
        if name != "all" and name not in VARIANTS:
            raise ValueError(f"--variants: unknown variant {name!r}{nearest_valid(name, ('all', *VARIANTS))}")
    if not names:
        raise ValueError("--variants names no variant")
    return tuple(name for name in VARIANTS if "all" in names or name in names)
