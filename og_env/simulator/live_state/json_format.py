"""The fields of a live state, checked like a scenario file: one line says what is wrong and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from og_env.dynamics.alarm_signals import hour_begins
from og_env.kernel.arrays import DOWN, FETCHING, FROZEN, LOADING, ON_DISK, SLOW, STAGING, STEER_RANGE, UNTRUSTED, WARM
from og_env.scenario.json_file import read_json
from og_env.scenario.parsing import parse_part
from og_env.scenario.specs import (
    ClockSeconds,
    Effect,
    NonNegative,
    Positive,
    RequestSeconds,
    Role,
    RouterSpec,
    Share,
    Spec,
)

Phase = Literal["staging", "on_disk", "fetching", "loading", "warm"]
PHASES: dict[Phase, int] = {
    "staging": STAGING,
    "on_disk": ON_DISK,
    "fetching": FETCHING,
    "loading": LOADING,
    "warm": WARM,
}
Steer = Annotated[float, Field(ge=-STEER_RANGE, le=STEER_RANGE)]
ROLE_NAMES: tuple[Role, ...] = get_args(Role)
BITS: dict[Effect, int] = {"DOWN": DOWN, "FROZEN": FROZEN, "UNTRUSTED": UNTRUSTED, "SLOW": SLOW}


SupplyWord = Literal["SCARCE", "LEAVING", "TAKEN", "NO_LAUNCHES", "IMPAIRED", "GATEWAY_OFF", "STORE_OFF"]
SUPPLY_BITS: dict[SupplyWord, int] = {word: 1 << bit for bit, word in enumerate(get_args(SupplyWord))}


def last_hour(step: int, step_s: int) -> slice:
    """Rows of a tape whose mean signal is observed, `step` the last of them."""
    return slice(hour_begins.py_func(step, 1000 * step_s), step + 1)


class LiveReplica(Spec):
    """A model at a site."""

    model: str
    site: str
    phase: Phase
    left_gb: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """weights that are still to be fetched, while staging or fetching"""
    left_s: ClockSeconds | None = None
    """time until it is warm, while loading"""
    load_rps: NonNegative | None = None
    """requests that it served in the last step; worked out where no replica has it"""
    in_flight: NonNegative | None = None
    """answers in progress now; worked out where no replica has it"""


class LiveRole(Spec):
    """A verifier, store or gateway at a site."""

    role: Role
    site: str
    ready_in_s: ClockSeconds = 0.0


class LiveMeasures(Spec):
    """Telemetry of a site. What is left out is worked out, for a site that nothing but its status slows down."""

    slowness: Annotated[Positive, Field(le=1000)] | None = None
    """time of service over the nominal one"""
    wait_s: RequestSeconds | None = None
    """mean time that requests waited for the first token"""
    refused_share: Share | None = None
    """share of what was sent to the site that it refused"""
    load_share: NonNegative | None = None
    """share of its nominal capacity in use"""
    blind: bool = False
    """whether telemetry fails now, and the values are the last ones that were seen"""


MEASURED = {"wait_s": "shown_wait_s", "refused_share": "shown_refused", "load_share": "shown_load"}
"""fields of State that hold what LiveMeasures has as it is; of its slowness they hold the logarithm"""


class LiveState(Spec):
    """A live fleet of one scenario; the package's documentation says what each field means."""

    format: Literal[1]
    scenario: str | dict[str, Any]
    hour_utc: Annotated[float, Field(ge=0, lt=24)]
    demand_rps: dict[str, NonNegative]
    demand_mix: dict[str, NonNegative] = {}
    replicas: tuple[LiveReplica, ...]
    roles: tuple[LiveRole, ...]
    status: dict[str, tuple[Effect, ...]] = {}
    supply: dict[str, tuple[SupplyWord, ...]] = {}
    refused_s: dict[str, ClockSeconds] = {}
    undetected_s: dict[str, ClockSeconds] = {}
    measured: dict[str, LiveMeasures] = {}
    alarms: dict[str, Share] = {}
    alarms_hour: dict[str, Share] | None = None
    """mean of the last hour; None: as `alarms`"""
    knobs: dict[str, float] = {}
    steer: dict[str, Steer] = {}
    steps_done: Annotated[int, Field(ge=1)] = 1
    decisions: Annotated[int, Field(ge=0)] = 0
    """operations decided on since the last step, where a step has several"""
    changes: Annotated[int, Field(ge=0)] = 0
    """those among them that were carried out"""

    @model_validator(mode="after")
    def _knobs_are_those_of_a_scenario(self) -> LiveState:
        for name, value in self.knobs.items():
            if name in RouterSpec.model_fields:
                try:
                    RouterSpec.model_validate({name: value})
                except ValidationError as error:
                    raise ValueError(f"knobs.{name}: {error.errors()[0]['msg']}, not {value:g}") from None
        return self

    @classmethod
    def parse(cls, value: Any, where: str = "state") -> LiveState:
        """From plain tables; ValueError in one line that names `where` and the key."""
        return value if isinstance(value, cls) else parse_part(cls, value, where, ())

    @classmethod
    def read(cls, path: Path) -> LiveState:
        """From a JSON file; ValueError in one line that names it. A scenario's path is meant relative to the file."""
        value = read_json(path)
        state = cls.parse(value, str(path))
        beside = path.parent / state.scenario if isinstance(state.scenario, str) else None
        if beside is not None and beside.suffix == ".toml" and beside.is_file():
            state = state.model_copy(update={"scenario": str(beside)})
        return state
