"""Tapes drawn from made-up worlds, for tests of the drawing.

Statistical tests compare with closed forms at 5 standard errors: right code fails one comparison for one choice of
seeds in 1.7 million. Seeds are fixed, so a test that passes once passes always.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_env.kernel.arrays import Tape
from og_env.kernel.memory import allocate
from og_env.scenario.specs import ConditionSpec, ScarcitySpec
from og_env.tape.condition import ConditionProcess, condition_process
from og_env.tape.demand import DemandProcess
from og_env.tape.draw import FACILITATOR, Drawing, draw_row
from og_env.tape.failures import ShockProcess
from og_env.tape.scarcity import scarcity_process
from og_env.tape.scripted_outages import Scripts
from og_env.world import Source
from og_env.world.scarcity import SpellArrays
from og_env.world.shock_sources import flatten_sources

SIGMAS = 5.0
NO_SCRIPTS = Scripts(
    *[np.zeros(0, np.int64)] * 2, *[np.zeros(0)] * 2, *[np.zeros(size, np.int64) for size in (0, 0, 0, 1, 0)]
)


def steady(**changes: float) -> DemandProcess:
    """Demand without chance."""
    usual = DemandProcess(
        burst_sd=0.0, burst_memory_steps=24.0, flashes_per_step=0.0, flash_factor=4.0, flash_length_steps=12.0
    )
    return usual._replace(**changes)


NO_SPELLS = SpellArrays(np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64))


class Shared(NamedTuple):
    """The parameters that all sources of a drawn world have in common."""

    process: ShockProcess
    regime: dict[str, float]


def shocks(**changes: float) -> Shared:
    """Steps of 0.1 h, no aftershocks, no noise."""
    regime = {"fragile_share": 0.05, "fragile_dwell_h": 4.0, "aftershock": 0.0}
    regime |= {name: changes.pop(name) for name in list(changes) if name in regime}
    usual = ShockProcess(step_h=0.1, signal_noise=0.0, facilitator=FACILITATOR)
    return Shared(usual._replace(**changes), regime)


def condition(step_h: float = 0.1, **changes: Any) -> ConditionProcess:
    """Nothing but what the changes of a ConditionSpec say: no drift, no grey failures, no blind spans."""
    still: dict[str, Any] = {"drift_sd": 0.0, "grey_per_day": 0.0, "blind_per_day": 0.0}
    return condition_process(ConditionSpec(**(still | changes)), step_h)


def source(members: tuple[int, ...] = (0,), **changes: Any) -> Source:
    """One shock in 10 hours, of one hour exactly, DOWN, hitting every member; without regimes."""
    rate = changes.pop("rate_per_h", 0.1)
    usual = Source(
        kind="provider",
        name="p",
        rate_per_h=rate,
        members=members,
        hit=(1.0,) * len(members),
        median_h=1.0,
        sigma=0.0,
        heavy_median_h=1.0,
        heavy_sigma=0.0,
        heavy_weight=0.0,
        effects=(1.0, 0.0, 0.0, 0.0),
        shared=0,
        calm_rate_per_h=rate,
        fragile_rate_per_h=rate,
        fragile_share=0.05,
        fragile_dwell_h=4.0,
        aftershock=0.0,
    )
    return usual._replace(**changes)


def with_regimes(plain: Source, factor: float = 30.0, share: float = 0.05) -> Source:
    """The same average rate in two regimes."""
    calm = plain.rate_per_h / (1 - share + share * factor)
    return plain._replace(calm_rate_per_h=calm, fragile_rate_per_h=factor * calm)


def drawing(
    *sources: Source, demand: DemandProcess | None = None, process: Shared | None = None, **changes: Any
) -> Drawing:
    """A world of these sources; every shared domain's signal is the mean over the sources that name it."""
    of_domain = [sum(other.shared == one.shared for other in sources) for one in sources]
    shared = max((one.shared for one in sources), default=-1) + 1
    process = process or shocks()
    made = Drawing(
        diurnal=np.ones((24, 1)),
        trace=np.zeros((0, 1)),
        sources=flatten_sources([one._replace(**process.regime) for one in sources]),
        signal_share=np.array([1 / number for number in of_domain], np.float64),
        visible=np.ones(shared, np.bool_),
        demand=demand or steady(),
        shocks=process.process,
        start_step=-1,
        attack_chance=0.0,
        sites=1,
        condition=condition(),
        scarcity=scarcity_process(ScarcitySpec(), NO_SPELLS, process.process.step_h),
    )
    return made._replace(**changes)


def episodes(
    count: int, rows: int, world: Drawing, scripts: Scripts = NO_SCRIPTS, *, models: int = 1, padding: int = 0
) -> Tape:
    """Tapes [count, rows, ...] of the seeds 0 to count - 1; padding: sites that are none, after the others."""
    members = [*world.sources.member_site.tolist(), *scripts.member_site.tolist()]
    sizes = {"B": count, "T": rows, "N": max([*members, world.sites - 1]) + 1 + padding, "S": len(world.visible)}
    tape = allocate(Tape, sizes | {"M": models, "U": world.diurnal.shape[1]})
    for b in range(count):
        draw_row(tape, b, np.uint64(b), world, scripts)
    return tape


def off_by(values: np.ndarray, expected: float) -> float:
    """Standard errors between the mean of independent values and what it should be."""
    return abs(values.mean() - expected) / (values.std(ddof=1) / np.sqrt(values.size))
