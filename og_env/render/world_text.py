"""The world of a scenario as text of at most 120 columns, printed by `og-env show NAME`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Dict as DictSpace
from gymnasium.spaces import Discrete, MultiDiscrete, Space
from numpy.typing import NDArray

from og_env.scenario import catalog
from og_env.scenario.catalog import answer_times, gpus_per_replica
from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.checks import fits
from og_env.scenario.distance_model import rtt_matrix_ms
from og_env.scenario.domain_kinds import KINDS, domain_of
from og_env.scenario.loading import ResolvedScenario, resolve
from og_env.scenario.specs import GpuSpec, ModelSpec, RegionSpec, ScenarioSpec, SiteSpec

WIDTH = 120
"""Characters of a line."""
MAX_SITES_SHOWN = 64
"""Sites that are listed; of more, the text gives the number of the others."""
MAX_DOMAINS_SHOWN = 40
"""Shared fault domains that are listed; of more, the text gives the number of the others."""


def scenarios_table(specs: Sequence[ScenarioSpec]) -> str:
    """A table with one line for each scenario: its size, its fleet and the problem it poses."""
    rows = []
    for spec in specs:
        whole = resolve(spec)
        size = (len(whole.sites), len(whole.regions), len(whole.models))
        rows.append((spec.name, *map(str, size), spec.fleet, _first_line(spec.description)))
    return table(("scenario", "sites", "regions", "models", "fleet", "what it poses"), rows, right=(1, 2, 3))


def incidents_table() -> str:
    """A table of the recorded outages that can be replayed."""
    rows = [
        (incident.id, f"{incident.duration_h:g}", incident.kind, incident.effect, " | ".join(incident.match))
        for incident in catalog.incidents().values()
    ]
    return table(("incident", "hours", "kind", "effect", "what it hits"), rows, right=(1,))


def world_text(whole: ResolvedScenario) -> str:
    """The text of a whole world: sites, shared fault domains, models, regions, demand, failures, reward."""
    spec = whole.spec
    gpu_count = sum(site.gpu_count for site in whole.sites)
    hours = spec.episode.steps * spec.episode.step_s / 3600
    size = (
        f"fleet {spec.fleet} - {len(whole.sites)} sites, {gpu_count} GPUs - {len(whole.models)} models - "
        f"{len(whole.regions)} user regions - {spec.episode.steps} steps of {spec.episode.step_s} s ({hours:g} h)"
    )
    head = [*textwrap.wrap(f"{spec.name}: {spec.description}", WIDTH), size]
    parts = [
        "\n".join(head),
        "SITES\n" + _sites(whole),
        "FAULT DOMAINS that two sites or more share\n" + _domains(whole),
        "MODELS\n" + _models(whole),
        "USER REGIONS\n" + _regions(whole),
        "DEMAND\n" + _demand(whole),
        "FAILURES\n" + _failures(spec),
        "REWARD = minus the sum of weight x term\n" + _fields(spec.reward.model_dump()),
        "NETWORK\n" + _fields(spec.network.model_dump()),
        "PAYMENT\n" + _fields(spec.payment.model_dump()),
        "PRICES of the on-demand ones above\n" + _fields(spec.prices.model_dump()),
        "ROUTER (fixed in Placement)\n" + _fields(spec.router.model_dump()),
        "START\n" + _fields({k: v for k, v in spec.start.model_dump().items() if v}),
    ]
    limits = {key: value for key, value in spec.limits.model_dump().items() if value not in (None, (), {})}
    if limits:
        parts.append("LIMITS, which no operation breaks\n" + _fields(limits))
    return "\n\n".join(parts)


def spaces_text(spaces: Mapping[str, tuple[Space[Any], Space[Any]]]) -> str:
    """Action and observation space of each environment, by id."""
    lines = ["SPACES"]
    for name, (action, observation) in spaces.items():
        lines.append(f"{name}: action {_space_word(action)}; observation")
        parts = observation.spaces.items() if isinstance(observation, DictSpace) else [("", observation)]
        text = "  ".join(f"{key} {_space_word(space)}".strip() for key, space in parts)
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _space_word(space: Space[Any]) -> str:
    if isinstance(space, Discrete):
        return f"Discrete({space.n})"
    if isinstance(space, MultiDiscrete):
        return f"MultiDiscrete({space.nvec.tolist()})"
    return f"{type(space).__name__}{list(space.shape or ())}"


def replica_rps(model: ModelSpec, site: SiteSpec, gpu: GpuSpec) -> float:
    """Requests a second that one replica of the model can answer at the site; 0 where it does not fit."""
    if not fits(model, gpu, site.gpu_count):
        return 0.0
    return model.streams / answer_times(model, gpu, gpus_per_replica(model, gpu)).busy_s


def gpus_for_load(whole: ResolvedScenario, load_factor: float = 1.0) -> float:
    """GPUs that the demand needs at the utilisation limit, with every model on the fleet's average host."""
    spec = whole.spec
    total_share = sum(model.share for model in whole.models)
    needed = 0.0
    for model in whole.models:
        per_gpu = [
            replica_rps(model, site, whole.gpus[site.gpu]) / gpus_per_replica(model, whole.gpus[site.gpu])
            for site in whole.sites
            if site.gpu_count and fits(model, whole.gpus[site.gpu], site.gpu_count)
        ]
        rps = spec.demand.requests_per_s * load_factor * model.share / total_share
        needed += rps / spec.network.utilisation_limit / (sum(per_gpu) / len(per_gpu))
    return needed


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Aligned columns; the last one is cut so that a line has at most WIDTH characters."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    out = []
    for line in lines:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append(_cut("  ".join(cells).rstrip()))
    return "\n".join(out)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _fields(values: dict[str, object]) -> str:
    text = "  ".join(f"{key}={_word(value)}" for key, value in values.items())
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_word(part)}" for key, part in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_word(part) for part in value) + "]"
    return str(value)


def _sites(whole: ResolvedScenario) -> str:
    rows = []
    for site in whole.sites[:MAX_SITES_SHOWN]:
        gpus = f"{site.gpu_count} x {site.gpu}" if site.gpu_count else "none"
        price = f"{site.usd_per_gpu_hour:.2f}"
        place = f"{site.city[:14]}, {site.country}"
        stands_on = (site.host_class, site.tee_vendor, site.grid[:23], site.transit)
        rows.append((site.name[:24], place, gpus, price, *stands_on))
    header = ("site", "city", "GPUs", "$/GPU-h", "host class", "TEE", "grid", "transit")
    text = table(header, rows, right=(3,))
    hidden = len(whole.sites) - len(rows)
    return f"{text}\n... and {hidden} more" if hidden else text


def _domains(whole: ResolvedScenario) -> str:
    members: dict[tuple[str, str], list[str]] = {}
    gpus: dict[tuple[str, str], int] = {}
    for site in whole.sites:
        for kind in KINDS:
            if name := domain_of(site, kind):
                members.setdefault((kind, name), []).append(site.name)
                gpus[kind, name] = gpus.get((kind, name), 0) + site.gpu_count
    by_name = {site.name: site for site in whole.sites}
    for domain in whole.domains:
        members[domain.kind, domain.name] = list(domain.sites)
        gpus[domain.kind, domain.name] = sum(by_name[name].gpu_count for name in domain.sites)
    total = max(1, sum(site.gpu_count for site in whole.sites))
    shared = sorted((key for key, sites in members.items() if len(sites) > 1), key=lambda key: -gpus[key])
    rows = [
        (f"{kind}:{name}", str(len(members[kind, name])), f"{gpus[kind, name] / total:.0%}",
         "all" if len(members[kind, name]) == len(whole.sites) else ", ".join(members[kind, name]))
        for kind, name in shared[:MAX_DOMAINS_SHOWN]
    ]  # fmt: skip
    text = table(("domain", "sites", "GPUs", "who shares it"), rows, right=(1, 2))
    more = f"\n... and {len(shared) - len(rows)} more" if len(shared) > len(rows) else ""
    hidden = whole.spec.failures.hidden
    return text + more + (f"\nhidden from the agent: {', '.join(hidden)}" if hidden else "")


def _models(whole: ResolvedScenario) -> str:
    total_share = sum(model.share for model in whole.models)
    rows = []
    for model in whole.models:
        hosts = [site for site in whole.sites if site.gpu_count and fits(model, whole.gpus[site.gpu], site.gpu_count)]
        needs = [gpus_per_replica(model, whole.gpus[site.gpu]) for site in hosts]
        rates = [replica_rps(model, site, whole.gpus[site.gpu]) for site in hosts]
        fetch_s = 8 * model.weights_gb / whole.spec.network.store_gbps
        load_s = [model.weights_gb / site.disk_gb_per_s + model.engine_start_s for site in hosts]
        rows.append((
            model.name, f"{model.share / total_share:.0%}", f"{model.weights_gb:g}", f"{model.memory_gb:g}",
            str(len(hosts)), _span(needs), _span(rates), f"{fetch_s:.0f}", _span(load_s), model.verification,
            f"{model.slo_s:g} {'first' if model.slo_clock == 'first_token' else 'all'}",
        ))  # fmt: skip
    header = (
        "model",
        "share",
        "GB",
        "GPU GB",
        "fits at",
        "GPUs",
        "req/s a replica",
        "fetch s",
        "load s",
        "proof",
        "SLO s",
    )
    return table(header, rows, right=range(1, 9))


def _regions(whole: ResolvedScenario) -> str:
    people_m = sum(region.population_m for region in whole.regions)
    user_ms = _rtt_ms(whole, whole.regions)
    site_ms = _rtt_ms(whole, whole.sites)
    rows = [
        (region.name, region.country, f"{region.population_m / people_m:.1%}", f"{region.utc_offset_h:+g}",
         whole.sites[int(row.argmin())].name, f"{row.min():.0f}", f"{row.max():.0f}")
        for region, row in zip(whole.regions, user_ms, strict=True)
    ]  # fmt: skip
    header = ("region", "country", "demand", "UTC", "nearest site", "RTT ms", "farthest ms")
    apart = site_ms[~np.eye(len(whole.sites), dtype=bool)] if len(whole.sites) > 1 else site_ms
    measured = whole.spec.network.rtt_csv
    source = "distance model" + (f" (measured pairs: {measured})" if measured else "")
    summary = f"RTT by the {source}: users to sites {_span(user_ms)} ms, site to site {_span(apart)} ms"
    return table(header, rows, right=(2, 3, 5, 6)) + "\n" + summary


def _rtt_ms(whole: ResolvedScenario, places: Sequence[RegionSpec | SiteSpec]) -> NDArray[np.float64]:
    """Round-trip times in ms by the distance model, float64 [places, sites]."""
    ends = [
        ([p.lat_deg for p in some], [p.lon_deg for p in some], [continent_of(p.country) for p in some])
        for some in (places, whole.sites)
    ]
    return rtt_matrix_ms(*ends[0], *ends[1], whole.spec.network.distance.model())


def _demand(whole: ResolvedScenario) -> str:
    demand = whole.spec.demand
    fleet_gpus = sum(site.gpu_count for site in whole.sites)
    peak = peak_factor(whole)
    mean_gpus, peak_gpus = gpus_for_load(whole), gpus_for_load(whole, peak)
    load = (
        f"the mean load needs about {mean_gpus:.0f} of {fleet_gpus} GPUs ({mean_gpus / fleet_gpus:.0%}), the diurnal "
        f"peak of all regions (x {peak:.2f}) about {peak_gpus:.0f} ({peak_gpus / fleet_gpus:.0%}); bursts come on top"
    )
    return _fields(demand.model_dump()) + "\n" + "\n".join(textwrap.wrap(load, WIDTH))


def peak_factor(whole: ResolvedScenario) -> float:
    """Highest total demand of a day over its mean, without bursts and flash crowds; regions peak at their own hours."""
    people = np.array([region.population_m for region in whole.regions])
    offset_h = np.array([region.utc_offset_h for region in whole.regions])
    hours = np.arange(0, 24, 0.25)[:, None]
    phase = 2 * np.pi * (hours + offset_h - whole.spec.demand.peak_hour) / 24
    amplitude = whole.spec.demand.diurnal_amplitude if whole.spec.demand.trace_csv is None else 0.0
    rate = 1 + amplitude * np.cos(phase)
    return float((rate @ people / people.sum()).max())


def _failures(spec: ScenarioSpec) -> str:
    failures = spec.failures.model_dump()
    outages = failures.pop("outages")
    opponent = failures.pop("opponent")
    if not opponent["attacks_per_day"]:
        opponent = {"opponent": "off"}
    lines = [_fields({key: value for key, value in failures.items() if value not in (None, (), {})})]
    lines.append(_fields({f"opponent.{key}" if key != "opponent" else key: value for key, value in opponent.items()}))
    for outage in outages:
        end_h = outage["start_h"] + outage["duration_h"]
        lines.append(f"outage: {outage['domain']} {outage['effect']} from hour {outage['start_h']:g} to {end_h:g}")
    return "\n".join(lines)


def _span(values: Sequence[float] | NDArray[np.float64]) -> str:
    """The least and the largest value as text, or the one value where they are equal."""
    if len(values) == 0:
        return "-"
    least, most = _short(float(np.min(values))), _short(float(np.max(values)))
    return least if least == most else f"{least} to {most}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
