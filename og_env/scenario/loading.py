"""Scenarios by name or path: `load` reads and checks one, `resolve` makes its sites, models and regions concrete."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from og_env.errors import nearest_valid
from og_env.scenario import catalog
from og_env.scenario.checks import check_concrete, check_names
from og_env.scenario.key_errors import raise_at_key
from og_env.scenario.parsing import parse
from og_env.scenario.random_fleet import priced_site, sample_regions, sample_sites
from og_env.scenario.specs import (
    DomainSpec,
    GpuSpec,
    ModelEntry,
    ModelSpec,
    RegionSpec,
    SampledRegions,
    SampledSites,
    ScenarioSpec,
    SiteEntry,
    SiteSpec,
)
from og_env.scenario.toml_file import read_toml

DEFAULT_GPU_COUNT = 4
"""GPUs at a catalogue site that is named without `gpu_count`: half an 8-GPU server"""


class ResolvedScenario(NamedTuple):
    """A scenario with everything concrete: N sites, M models, U user regions."""

    spec: ScenarioSpec
    sites: tuple[SiteSpec, ...]
    """[N] the fleet"""
    models: tuple[ModelSpec, ...]
    """[M] models that users ask for"""
    regions: tuple[RegionSpec, ...]
    """[U] where users are"""
    gpus: dict[str, GpuSpec]
    """GPU kinds of the catalogue and of the scenario itself, by name"""
    domains: tuple[DomainSpec, ...]
    """fault domains added by hand; those that follow from site attributes are derived from `sites`"""


def scenarios_folder() -> Path:
    """The folder of the shipped scenario files, in the source tree or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    in_tree = package.parent / "configs" / "scenarios"
    if (in_tree / "toy-3.toml").is_file():
        return in_tree
    return package / "configs" / "scenarios"


def names() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(path.stem for path in scenarios_folder().glob("*.toml"))


def load(scenario: str | Path | ScenarioSpec | Mapping[str, Any]) -> ScenarioSpec:
    """A checked scenario from a shipped name, a TOML file, tables, or a spec made in Python.

    Raises ValueError with one line `FILE: KEY.PATH: what is wrong (nearest valid: X)`.
    """
    if isinstance(scenario, ScenarioSpec | Mapping):
        tables = scenario.model_dump(warnings=False) if isinstance(scenario, ScenarioSpec) else scenario
        spec, where = parse(tables, "scenario"), "scenario"
    else:
        path = _find(scenario)
        spec, where = parse(read_toml(path), str(path)), str(path)
        spec = _files_beside(spec, path)
    check_names(spec, where)
    whole = resolve(spec)
    check_concrete(spec, whole.sites, whole.models, whole.regions, gpus=whole.gpus, where=where)
    return spec


def override(spec: ScenarioSpec, changes: Mapping[str, Any]) -> ScenarioSpec:
    """The scenario with other values at dotted keys, such as `{"failures.process": "independent"}`.

    It is checked like a file, with the same errors.
    """
    if not changes:
        return spec
    tables = spec.model_dump()
    for key, value in changes.items():
        *parents, last = key.split(".")
        table = tables
        for depth, parent in enumerate(parents):
            if not isinstance(table.get(parent), dict):
                valid = [name for name, part in table.items() if isinstance(part, dict)]
                raise_at_key("scenario", ".".join(parents[: depth + 1]), "is not a table", parent, valid)
            table = table[parent]
        table[last] = value
    return load(tables)


def resolve(spec: ScenarioSpec, fleet_seed: int | None = None) -> ResolvedScenario:
    """The scenario with everything concrete; `fleet_seed` draws another fleet where sites are sampled."""
    gpus = catalog.gpus()
    return ResolvedScenario(
        spec=spec,
        sites=sites_of(spec, fleet_seed),
        models=tuple(_model(model) for model in spec.models),
        regions=_regions(spec),
        gpus={**gpus, **{gpu.name: gpu for gpu in spec.gpus}} if spec.gpus else gpus,
        domains=spec.domains,
    )


def sites_of(spec: ScenarioSpec, fleet_seed: int | None = None) -> tuple[SiteSpec, ...]:
    """The fleet: sites as listed, or drawn with `fleet_seed` (None: the spec's own seed)."""
    if isinstance(spec.sites, SampledSites):
        return sample_sites(spec.sites, fleet_seed)
    own = {gpu.name: gpu for gpu in spec.gpus}
    return tuple(site if isinstance(site, SiteSpec) else _catalogue_site(site, own) for site in spec.sites)


def _find(scenario: object) -> Path:
    """The file of a scenario given by name or path; ValueError in one line for anything else."""
    if not isinstance(scenario, str | Path):
        raise_at_key("scenario", "", f"must be a name, a path, tables or a ScenarioSpec, not {type(scenario).__name__}")
    if isinstance(scenario, str) and scenario in names():
        return scenarios_folder() / f"{scenario}.toml"
    path = Path(scenario)
    looks_like_path = isinstance(scenario, Path) or path.suffix == ".toml" or len(path.parts) > 1
    if "\0" not in str(scenario) and (looks_like_path or os.path.isfile(path)):
        return path
    hint = nearest_valid(str(scenario), names()) or f" (valid: {', '.join(names())})"
    raise ValueError(f"unknown scenario {str(scenario)[:80]!r}{hint}")


def _files_beside(spec: ScenarioSpec, path: Path) -> ScenarioSpec:
    """The scenario with `rtt_csv` and `trace_csv`, where they are relative, taken relative to the scenario file."""
    for table, key in (("network", "rtt_csv"), ("demand", "trace_csv")):
        part = getattr(spec, table)
        if getattr(part, key) is not None:
            beside = str((path.parent / getattr(part, key)).resolve())
            spec = spec.model_copy(update={table: part.model_copy(update={key: beside})})
    return spec


def _catalogue_site(entry: str | SiteEntry, own_gpus: dict[str, GpuSpec]) -> SiteSpec:
    name = entry if isinstance(entry, str) else entry.name
    offer = catalog.site_offers()[name]
    first_gpu = offer.offers[0][0]
    if isinstance(entry, str):
        return priced_site(name, first_gpu, DEFAULT_GPU_COUNT, 1.0)
    gpu = entry.gpu or first_gpu
    gpu_count = DEFAULT_GPU_COUNT if entry.gpu_count is None else entry.gpu_count
    changes = {key: value for key, value in entry.model_dump().items() if value is not None}
    changes["name"] = changes.pop("called", name)
    if gpu not in dict(offer.offers):
        table = own_gpus.get(gpu) or catalog.gpus()[gpu]
        changes.setdefault("usd_per_gpu_hour", table.usd_per_hour.get(offer.host_class))
        return offer.site(first_gpu, gpu_count).model_copy(update=changes)
    return offer.site(gpu, gpu_count).model_copy(update=changes)


def _model(entry: str | ModelEntry | ModelSpec) -> ModelSpec:
    if isinstance(entry, ModelSpec):
        return entry
    if isinstance(entry, str):
        return catalog.models()[entry]
    changes = {key: value for key, value in entry.model_dump().items() if value is not None}
    return catalog.models()[entry.name].model_copy(update=changes)


def _regions(spec: ScenarioSpec) -> tuple[RegionSpec, ...]:
    if isinstance(spec.regions, SampledRegions):
        return sample_regions(spec.regions)
    return tuple(catalog.regions()[region] if isinstance(region, str) else region for region in spec.regions)
