"""Settings of a training run: their meanings and types; configs/training/default.toml has their values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from og_env.scenario.key_errors import raise_at_key
from og_env.scenario.loading import scenarios_folder
from og_env.scenario.specs import Count, NonNegative, Positive, Share, Spec
from og_env.scenario.toml_file import read_toml

PolicyKind = Literal["shared", "sites", "operations", "mlp", "lstm"]
Device = Literal["auto", "cpu", "cuda"]
"""where a network learns (devices)"""
LARGE = 200
"""sites from which on a fleet has settings of its own (large.toml), and baselines of its own to be compared with"""


class TrainSettings(Spec):
    """Settings of PPO and of rollout policy iteration, with the names of Stable-Baselines3 where it has them."""

    policy: Literal["auto", "shared", "sites", "operations", "mlp", "lstm"]
    """shared: one scorer for all proposals, with a planner's value as prior; sites: one for all sites, which corrects a
    router; operations: one for all operations, without a planner; mlp: a plain network on the flat observation; lstm: a
    plain network with a memory, and without masks; auto: shared where there are proposals, sites in Routing with interface
    "sites", operations in Placement with interface "operations" and branches, mlp elsewhere"""
    interface: Literal["proposals", "operations", "knobs", "sites"]
    """that of the environment; where Routing is trained, all but "sites" stand for the router's knobs"""
    steering: Literal["knobs", "sites", "domains"] = "knobs"
    """what Joint sets beside its placement: the router's knobs, or how it steers to and away from sites or providers"""
    blind: Literal[
        "none", "geography", "warmth", "price", "dependencies", "verification", "stores", "scarcity", "condition"
    ] = "none"
    """the dimension of the world that training has nothing of (blind_world); validation is in the true world"""
    router: Literal["convex", "site_prices"]
    """router that the site scorer begins as: convex solves for levels on the scorer's beliefs of speeds and measures the
    environment, the other one's levels are corrected and it observes; in Joint the one that rpi places beside"""
    filtered: bool = True
    """whether the beliefs begin as those of a filter that is fitted first (starting_router), not as what was measured last"""
    level_deviation: Annotated[float, Field(gt=0, le=1)] = 0.1
    """first standard deviation of a level or a belief that is tried"""
    level_tries: Annotated[int, Field(ge=2, le=256, multiple_of=2)]
    """levels that are tried in a state, where the site scorer is trained"""
    level_horizon: Annotated[int, Field(ge=1, le=2016)]
    """steps for which they are tried"""
    proposals: Annotated[int, Field(ge=2, le=256)]
    hidden: Annotated[int, Field(ge=1, le=4096)]
    """width of the shared scorer"""
    beta: NonNegative
    """weight of the planner's value in the logits at the start; it is learned from there"""
    sharpness: Positive
    """factor of the shared scorer's logits; where it is high, samples are mostly the likeliest action"""
    exploration: Annotated[float, Field(ge=0, lt=1)]
    """share of the shared scorer's actions that are drawn from flat logits, in training; the likeliest action is the same"""
    exploration_sharpness: Positive
    """factor of those flat logits, in place of `sharpness`"""
    branch_sharpness: Positive = 0.5
    """factor of the logits in place of both, where PPO learns from branches: none of its actions is drawn there"""
    prior: Literal["best", "tuned", "gain"]
    """the planner whose value of an offer the shared scorer starts from: the tuned greedy one, the nominal gain, or the
    best of them on validation after a short search (starting_planner)"""
    timesteps: Annotated[int, Field(ge=1)]
    """environment steps, all environments together"""
    n_envs: Annotated[int, Field(ge=1, le=4096)]
    n_steps: Annotated[int, Field(ge=2, le=4096)]
    """steps of each environment between two updates"""
    batch_size: Annotated[int, Field(ge=2)]
    """most samples in a minibatch; the largest divisor of n_envs x n_steps up to it is taken"""
    n_epochs: Count
    learning_rate: Positive
    final_learning_rate_share: Share
    """share of the learning rate that is left at the end; it falls linearly with steps or, with a time limit, time"""
    gamma: Share
    gae_lambda: Share
    clip_range: Positive
    ent_coef: NonNegative
    vf_coef: NonNegative
    max_grad_norm: Positive
    target_kl: Positive
    """an update stops where the policy has moved further than 1.5 times this, but not where PPO learns from branches"""
    reward_scale: Positive
    """factor of rewards, in training only"""
    credit: Literal["branches", "planner", "reward"]
    """what PPO pays for an action, in training only. branches: what it brings against the other actions of its state
    (branch_ppo), where placement chooses among offers; elsewhere as planner. planner: its gain over the tuned planner's
    return on the same tape (shaped_reward), where there are offers. reward: the plain reward"""
    shaped_bend: Positive
    """size of a shaped reward, after scaling, beyond which about its logarithm is paid (shaped_reward.bent)"""
    evaluations: Annotated[int, Field(ge=1, le=10_000)]
    """validations, evenly over the run, beside the one before it; the best checkpoint is kept"""
    evaluation_episodes: Count

    branch_states: Annotated[int, Field(ge=1)]
    """states that rollout policy iteration branches from, where no time limit ends it before"""
    branch_horizon: Annotated[int, Field(ge=1, le=2016)]
    """steps of a branch, and of the planner's continuation that shaped rewards are relative to"""
    branch_spacing: Annotated[int, Field(ge=1, le=2016)]
    """decisions between two branched states of an environment"""
    branch_moments: Annotated[int, Field(ge=1, le=1024)]
    """branched states of each environment in a round of training"""
    branch_bend: Positive
    """difference of an action's return from the median one beyond which about its logarithm is learned"""
    branch_tries: Annotated[int, Field(ge=4, le=256)] = 16
    """operations that are tried in a branched state, doing nothing among them, where all can be chosen"""
    branch_divergence: NonNegative = 0.1
    """return that PPO on branches gives up for each unit of divergence from the start"""
    branch_rounds: Annotated[int, Field(ge=1, le=64)] = 8
    """rounds whose branches an update of PPO learns from"""
    branch_average: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """share of the averaged weights that is left after an update of PPO on branches; 0 keeps the last weights"""
    branch_parts: bool = True
    """whether validation chooses how much of what PPO has learned on branches is played (learned_share)"""

    @property
    def minibatch(self) -> int:
        """Samples in a minibatch of `n_steps` steps: all minibatches of an update are equally large."""
        return self.minibatch_of(self.n_steps)

    def minibatch_of(self, steps: int) -> int:
        """Samples in a minibatch where an update has `steps` samples of every environment."""
        total = self.n_envs * steps
        return max(size for size in range(1, min(self.batch_size, total) + 1) if total % size == 0)

    def branched(self, task: str) -> bool:
        """Whether PPO learns from branches in a task."""
        if task != "placement" or self.credit != "branches" or self.policy == "lstm":
            return False
        return self.interface == "proposals" or self.policy_kind(task) == "operations"

    def softened(self, task: str) -> TrainSettings:
        """The settings with the logits that PPO has on branches, where it learns from branches in a task."""
        soft = {"sharpness": self.branch_sharpness, "exploration": 0.0}
        return self.model_copy(update=soft) if self.branched(task) else self

    def env_kwargs(self, task: str) -> dict[str, Any]:
        """Arguments of the environment of a task; ValueError in one line for an interface or a steering of another task."""
        if self.steering != "knobs" and task != "joint":
            instead = "; take interface 'sites'" if task == "routing" else ""
            raise ValueError(f"steering {self.steering!r} is of joint, not of {task}{instead}")
        if task == "routing":
            return {"interface": "sites"} if self.interface == "sites" else {}
        if self.interface in ("knobs", "sites"):
            instead = "; take steering 'sites'" if (task, self.interface) == ("joint", "sites") else ""
            raise ValueError(f"interface {self.interface!r} is of routing, not of {task}{instead}")
        steering = {} if self.steering == "knobs" else {"steering": self.steering}
        return {"interface": self.interface, "proposals": self.proposals, **steering}

    def policy_kind(self, task: str) -> PolicyKind:
        """The network for a task; ValueError where the shared scorer has no proposals to score."""
        scored = task != "routing" and self.interface == "proposals"
        if self.policy == "shared" and not scored:
            what = "routing" if task == "routing" else f"interface {self.interface!r}"
            raise ValueError(f"policy 'shared' scores proposals, and {what} has none: take 'mlp'")
        steers = task == "routing" and self.interface == "sites"
        if self.policy == "sites" and not steers:
            raise ValueError("policy 'sites' gives levels to sites: take og_env/Routing-v1 with interface 'sites'")
        lists = task == "placement" and self.interface == "operations" and self.credit == "branches"
        if self.policy == "operations" and not lists:
            raise ValueError(
                "policy 'operations' scores all operations and learns from branches: take og_env/Placement-v1 with "
                "interface 'operations' and credit 'branches'"
            )
        usual: PolicyKind = "shared" if scored else "sites" if steers else "operations" if lists else "mlp"
        return usual if self.policy == "auto" else self.policy


def default_file() -> Path:
    """The file of the shipped settings."""
    return scenarios_folder().parent / "training" / "default.toml"


def shipped_file(name: str) -> Path:
    """The file of other shipped settings than the default ones: configs/training/NAME.toml."""
    return default_file().with_name(f"{name}.toml")


def load(path: Path | None = None, changes: Mapping[str, Any] | None = None) -> TrainSettings:
    """The shipped settings, where a TOML file and then `changes` take precedence.

    ValueError in one line for a file that cannot be read, an unknown key or an impossible value.
    """
    values = read_toml(default_file())
    if path is not None:
        values |= read_toml(path)
    return check(values | dict(changes or {}), str(path or "settings"))


def check(values: Mapping[str, Any], where: str) -> TrainSettings:
    """Settings from plain values; ValueError in one line that names `where`."""
    for key in values:
        if key not in TrainSettings.model_fields:
            raise_at_key(where, key, "unknown key", key, TrainSettings.model_fields)
    try:
        return TrainSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        given = "" if first["type"] == "missing" else f", not {first['input']!r}"
        raise_at_key(where, ".".join(map(str, first["loc"])), first["msg"][:1].lower() + first["msg"][1:] + given)
