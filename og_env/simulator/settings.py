"""The arguments that both environments share: defaults, valid values and what each one does."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np

Task = Literal["placement", "routing", "joint"]
Interface = Literal["proposals", "operations", "knobs", "sites"]
Steering = Literal["knobs", "sites", "domains"]
Split = Literal["train", "validation", "test", "sealed"]
Knobs = Literal["box", "levels"]
Reward = Literal["scalar", "vector"]

SPLITS: tuple[Split, ...] = get_args(Split)
MOST_WEIGHT = 1e6
"""largest weight of shared failures"""
LEVELS = 5
"""settings of a router's knob with knobs="levels", and of a site or provider that Joint steers to or away from, unless told.

The middle one is the scenario's own, and leaves a site to the knobs.
"""
MOST_LEVELS = 255
INTERFACES: dict[Task, tuple[Interface, ...]] = {
    "placement": ("proposals", "operations"),
    "routing": ("knobs", "sites"),
    "joint": ("proposals", "operations"),
}
"""interfaces of each task, its default first"""
FLAT_TABLES = {"proposals": ("globals", "models", "proposals"), "operations": ("globals", "models", "sites")}
"""tables of a flat observation, in order, by interface"""


class Settings(NamedTuple):
    """Arguments of `NetworkEnv` and `NetworkVectorEnv`, beside the scenario; `checked` says which are wrong."""

    task: Task = "placement"
    """whether an action places models and roles, sets the router's knobs, or does both"""
    interface: Interface | None = None
    """whether an action that places is one of the planner's offers ("proposals") or any operation there is; whether
    Routing sets the router's knobs or steers to and away from each site. None: the first in INTERFACES"""
    flatten: bool = False
    """one flat observation [O] of the tables in FLAT_TABLES in place of a Dict of all tables"""
    proposals: int = 10
    """P, the number of the planner's offers, 2 to 256"""
    split: Split = "train"
    """episodes to draw from; splits share no episode and no drawn fleet, and "sealed" is for published tables alone"""
    risk_weight: float = 1.0
    """weight of the shared-failure part in the offers' gains, 0 or more"""
    knobs: Knobs = "box"
    """whether Routing sets the router's knobs continuously or by levels"""
    steering: Steering = "knobs"
    """whether Joint sets the router's knobs, or steers to and away from each site or each provider, all by levels"""
    levels: int = LEVELS
    """number of levels, odd, 3 to 255. With few of them a router loses much: in global-24 `convex` loses 5 % by 5"""
    reward: Reward = "scalar"
    """whether rewards are the weighted sum of the terms, or minus every term"""


class Arguments(TypedDict, total=False):
    """Keyword arguments of both environments, for editors and type checkers: the fields of `Settings` but the task."""

    interface: Interface | None
    flatten: bool
    proposals: int
    split: Split
    risk_weight: float
    knobs: Knobs
    steering: Steering
    levels: int
    reward: Reward


def settings_of(environment: str, task: Task, arguments: Arguments) -> Settings:
    """The settings that an environment's arguments make; TypeError that names its class for an unknown argument."""
    for name in arguments:
        if name not in Arguments.__annotations__:
            raise TypeError(f"{environment}.__init__() got an unexpected keyword argument {name!r}")
    return Settings(task, **arguments)


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A number from `least` to `most`, of Python or NumPy; ValueError in one line for anything else."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}; valid are {least:,} to {most:,}, whole numbers")
    return int(value)


def checked(settings: Settings) -> Settings:
    """The settings with the task's default interface where they name none.

    Before there were interfaces of Routing, it ignored the others, and still takes them for "knobs". ValueError in one
    line that names a wrong setting and the valid ones.
    """
    for name, kind in (
        ("task", Task),
        ("interface", Interface),
        ("split", Split),
        ("knobs", Knobs),
        ("steering", Steering),
        ("reward", Reward),
    ):
        value = getattr(settings, name)
        if not isinstance(value, str | None):
            raise ValueError(f"{name} is {value!r}; valid are {', '.join(get_args(kind))}")
        if value not in get_args(kind) and not (name == "interface" and value is None):
            raise ValueError(f"{name} is {value!r}; valid are {', '.join(get_args(kind))}")
    if not isinstance(settings.flatten, bool | np.bool_):
        raise ValueError(f"flatten is {settings.flatten!r}; valid are True and False")
    whole_number("proposals", settings.proposals, 2, 256)
    if whole_number("levels", settings.levels, 3, MOST_LEVELS) % 2 == 0:
        raise ValueError(f"levels is {settings.levels}; it must be odd, for the middle one is the scenario's own")
    if not isinstance(settings.risk_weight, float | int | np.number) or not 0 <= settings.risk_weight <= MOST_WEIGHT:
        raise ValueError(f"risk_weight is {settings.risk_weight!r}; valid are 0 to {MOST_WEIGHT:,.0f}")
    if settings.steering != "knobs" and settings.task != "joint":
        instead = 'take interface="sites"' if settings.task == "routing" else "the router is fixed"
        raise ValueError(f"steering is {settings.steering!r}, an argument of joint; in {settings.task} {instead}")
    return settings._replace(interface=_interface_of(settings))


def _interface_of(settings: Settings) -> Interface:
    valid = INTERFACES[settings.task]
    if settings.interface in (None, *valid):
        return settings.interface or valid[0]
    if settings.task == "routing":
        return "knobs"
    raise ValueError(f"interface is {settings.interface!r}; {settings.task} takes {', '.join(valid)}")
