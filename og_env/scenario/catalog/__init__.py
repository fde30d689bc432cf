"""The shipped facts: sites, GPUs, models, user regions, failure kinds and recorded incidents (folder data)."""

from __future__ import annotations

import fnmatch
import functools
from typing import get_args

from og_env.errors import nearest_valid
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.catalog.site_offer import SiteOffer
from og_env.scenario.catalog.speeds import (
    AnswerTimes,
    answer_times,
    gpus_per_replica,
    prefill_tokens_per_s,
    tokens_per_s,
)
from og_env.scenario.catalog.table_reading import read_table
from og_env.scenario.catalog.table_schemas import (
    FAILURES,
    INCIDENTS,
    MODELS,
    PHASES,
    REGIONS,
    SITES,
    conditions,
    data_file,
    gpus,
)
from og_env.scenario.specs import FailureKind, IncidentPhase, IncidentSpec, ModelSpec, RegionSpec, SiteSpec


@functools.cache
def sites() -> tuple[SiteOffer, ...]:
    """Every site, in the order of the file."""
    return tuple(site_offers().values())


@functools.cache
def site_offers() -> dict[str, SiteOffer]:
    """Sites by name, provider/region."""
    return read_table(data_file("sites.csv"), SITES)


@functools.cache
def models() -> dict[str, ModelSpec]:
    """Models by name.

    `output_tokens` of image and audio models are reads of the weights that take as long as one answer. The LLM proxy
    has no weights: a 0.05 GB container image stands for them, and the vendor behind it sets its speeds on any host.
    """
    return read_table(data_file("models.csv"), MODELS)


@functools.cache
def regions() -> dict[str, RegionSpec]:
    """User metros by name."""
    return read_table(data_file("regions.csv"), REGIONS)


@functools.cache
def failure_kinds() -> dict[str, FailureKind]:
    """The usual parameters of every kind of dependency, by kind."""
    return {key: spec for key, spec in _failure_rows().items() if ":" not in key}


def failure_kind(kind: str, name: str = "") -> FailureKind:
    """Parameters of one domain: its own row where it has one (a TEE vendor, the largest region), else its kind's.

    `name` is the domain's: sev-snp for tee_vendor, aws/us-east-1 for region. ValueError for an unknown kind.
    """
    rows = _failure_rows()
    if kind not in failure_kinds():
        raise ValueError(f"unknown kind of dependency {kind!r}{nearest_valid(kind, failure_kinds())}")
    return rows.get(f"{kind}:{name}", rows[kind])


def rate_per_year(kind: str, name: str = "") -> float:
    """Shocks a year of one domain, see `failure_kind`."""
    return failure_kind(kind, name).rate_per_year


@functools.cache
def incidents() -> dict[str, IncidentSpec]:
    """Recorded outages by id."""
    known = read_table(data_file("incidents.csv"), INCIDENTS)
    phases: dict[str, list[IncidentPhase]] = {}
    for phase in read_table(data_file("incident_phases.csv"), PHASES).values():
        if phase.incident not in known:
            raise ValueError(f"incident_phases.csv: unknown incident {phase.incident!r}")
        phases.setdefault(phase.incident, []).append(phase)
    return {
        name: incident.model_copy(update={"phases": tuple(phases.get(name, ()))}) for name, incident in known.items()
    }


def matches(incident: IncidentSpec | IncidentPhase, site: SiteSpec | SiteOffer) -> bool:
    """Whether the recorded outage (a phase: one with patterns) would have hit this site.

    One alternative must fit with all of its FIELD=GLOB patterns.
    """
    return any(
        all(fnmatch.fnmatchcase(str(getattr(site, field)), glob) for field, glob in conditions(alternative))
        for alternative in incident.match
    )


@functools.cache
def _failure_rows() -> dict[str, FailureKind]:
    """Rows of failures.csv by kind, or by kind:name where one domain has parameters of its own."""
    rows = read_table(data_file("failures.csv"), FAILURES)
    missing = [kind for kind in get_args(FailureKind.model_fields["kind"].annotation) if kind not in rows]
    if missing:
        raise ValueError(f"failures.csv: no row for the kind {missing[0]!r}")
    return rows
