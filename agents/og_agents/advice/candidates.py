"""Nodes that a fleet could be given: sites of the catalogue, with what each would change before anything is played."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.advice.fleet_changes import Concrete, trust_fleet
from og_agents.advice.places import Place
from og_env.render.world_text import replica_rps
from og_env.scenario import catalog
from og_env.scenario.catalog import SiteOffer, continent_of
from og_env.scenario.distance_model import rtt_matrix_ms
from og_env.scenario.specs import FailureSpec, ScenarioSpec, SiteSpec
from og_env.trust import correlation_matrix, dense, fleet_n_eff, n_eff, quorum_outage

Floats = npt.NDArray[np.float64]
MOST_WORK = 100_000_000
"""square of the sites of the fleet times candidates whose independence is worked out; beyond, the nearest ones are"""
LEAST_WORK = 0.5
"""a candidate serves at least this share of what the fleet's median node does"""
HOURS_PER_DAY = 24


class Candidate(NamedTuple):
    """A node that could be added."""

    site: SiteSpec
    usd_per_hour: float
    """rent of all its GPUs at list price"""
    nearer_ms: float
    """by how much users' mean round trip to their nearest node shrinks"""
    n_eff_gain: float
    """effective independent nodes that the fleet gains"""


def candidates(fleet: Concrete, budget_usd_per_day: float | None, near: Place | None) -> list[Candidate]:
    """Sites of the catalogue that the fleet lacks, within the budget and the place; ValueError where there is none."""
    here = {(site.provider, site.region) for site in fleet.sites} | {("", site.name) for site in fleet.sites}
    offered = _comparable(
        fleet,
        [
            offer
            for offer in catalog.sites()
            if not (
                (offer.provider, offer.region) in here or ("", offer.name) in here or (near and not near.holds(offer))
            )
        ],
    )
    if not offered:
        raise ValueError(
            f"next-node: no further site of the catalogue in {near.words if near else 'the world'} has room"
        )
    cost = {site.name: site.gpu_count * site.usd_per_gpu_hour for site in offered}
    if budget_usd_per_day is not None:
        cheap = [site for site in offered if cost[site.name] * HOURS_PER_DAY <= budget_usd_per_day]
        if not cheap:
            least = min(cost.values()) * HOURS_PER_DAY
            raise ValueError(f"--budget: the cheapest candidate rents for ${least:,.2f} a day")
        offered = cheap
    nearer = _nearer_ms(fleet, offered)
    keep = max(MOST_WORK // len(fleet.sites) ** 2, 20)
    if len(offered) > keep:
        best = np.argsort(-nearer, kind="stable")[:keep]
        offered, nearer = [offered[i] for i in best], nearer[best]
    gains = _n_eff_gains(fleet, offered)
    return [
        Candidate(site, cost[site.name], float(ms), float(gain))
        for site, ms, gain in zip(offered, nearer, gains, strict=True)
    ]


def _comparable(fleet: Concrete, offers: list[SiteOffer]) -> list[SiteSpec]:
    """Nodes at these places with GPUs that can do about as much as those of the fleet: its own kinds, or the cheapest."""
    count = max(int(np.median([site.gpu_count for site in fleet.sites])), 1)
    usual = [gpu for gpu, _ in Counter(site.gpu for site in fleet.sites).most_common()]
    needed = LEAST_WORK * float(np.median([work_of(fleet, site) for site in fleet.sites]))
    able = [
        [(site, work_of(fleet, site)) for gpu, _ in offer.offers for site in [offer.site(gpu, count)]]
        for offer in offers
    ]
    most = max((work for options in able for _, work in options), default=0.0)
    found = []
    for options in able:
        good = [site for site, work in options if work >= min(needed, LEAST_WORK * most) and work > 0]
        good.sort(key=lambda site: (usual.index(site.gpu) if site.gpu in usual else len(usual), site.usd_per_gpu_hour))
        found += good[:1]
    return found


def work_of(fleet: Concrete, site: SiteSpec) -> float:
    """Requests/s that one replica serves at a site, as a mean over models by their share; 0 for those that do not fit."""
    whole = fleet.world.resolved
    total = sum(model.share for model in whole.models)
    rates = [model.share * replica_rps(model, site, whole.gpus[site.gpu]) for model in whole.models]
    return sum(rates) / max(total, 1e-12)


def shortlist(found: list[Candidate], most: int) -> list[Candidate]:
    """A few to play: the best for users and for independence, the cheapest that is both or either, no two alike.

    Two of one provider in one country count as alike.
    """
    orders = [
        sorted(found, key=lambda one: (-one.n_eff_gain, one.usd_per_hour)),
        sorted(found, key=lambda one: (-one.nearer_ms, one.usd_per_hour)),
        sorted(found, key=lambda one: _rank_sum(one, found)),
    ]
    chosen: list[Candidate] = []
    for place in range(len(found)):
        for order in orders:
            one = order[place]
            alike = any((one.site.provider, one.site.country) == (it.site.provider, it.site.country) for it in chosen)
            if len(chosen) < most and not alike:
                chosen.append(one)
    return chosen


def n_eff_of(fleet: Concrete) -> float:
    """Effective independent nodes of the fleet, by the catalogue's failure rates."""
    return fleet_n_eff(trust_fleet(_by_catalogue(fleet), fleet.sites))


def quorum_hours(fleet: Concrete, extra: SiteSpec | None = None) -> float:
    """Expected hours a year without a quorum of all nodes, by the catalogue's failure rates."""
    sites = fleet.sites if extra is None else (*fleet.sites, extra)
    return float(quorum_outage(trust_fleet(_by_catalogue(fleet), sites), seed=0).hours_per_year)


def _by_catalogue(fleet: Concrete) -> ScenarioSpec:
    """The scenario with the failure rates of the catalogue."""
    return fleet.spec.model_copy(update={"failures": FailureSpec()})


def _rank_sum(one: Candidate, found: list[Candidate]) -> float:
    """Sum of the ranks by independence, nearness and price."""
    return (
        sum(other.n_eff_gain > one.n_eff_gain for other in found)
        + sum(other.nearer_ms > one.nearer_ms for other in found)
        + sum(other.usd_per_hour < one.usd_per_hour for other in found)
    )


def _nearer_ms(fleet: Concrete, offered: list[SiteSpec]) -> Floats:
    """[C] by how much the mean round trip of users to their nearest node shrinks."""
    arrays, regions = fleet.world.arrays, fleet.world.resolved.regions
    asked = arrays.region_rps[0].astype(float)
    now = arrays.rtt_user_ms[0].astype(float)[:, : len(fleet.sites)].min(axis=1)
    way = rtt_matrix_ms(
        [region.lat_deg for region in regions],
        [region.lon_deg for region in regions],
        [continent_of(region.country) for region in regions],
        [site.lat_deg for site in offered],
        [site.lon_deg for site in offered],
        [continent_of(site.country) for site in offered],
        fleet.spec.network.distance.model(),
    )
    saved = (now[:, None] - np.asarray(way)).clip(0)
    return asked @ saved / max(asked.sum(), 1e-12)


def _n_eff_gains(fleet: Concrete, offered: list[SiteSpec]) -> Floats:
    """[C] effective independent nodes that each candidate alone adds."""
    hit, load = dense(trust_fleet(_by_catalogue(fleet), (*fleet.sites, *offered)))
    rho, count = correlation_matrix(hit, load), len(fleet.sites)

    def of(rows: npt.NDArray[np.int64]) -> float:
        return float(n_eff(np.ones(len(rows)), rho[np.ix_(rows, rows)]))

    here = np.arange(count)
    return np.array([of(np.append(here, count + c)) for c in range(len(offered))]) - of(here)
