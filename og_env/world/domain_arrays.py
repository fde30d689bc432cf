"""Fault domains as arrays: members, hit probabilities, shock rates and durations; and what follows for sites.

For every site that is its expected down-time and the correlation of its failures with those of other sites.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from og_env.kernel.arrays import WARM_UP_H, World
from og_env.scenario.loading import ResolvedScenario
from og_env.trust import availability, correlation_matrix
from og_env.trust.failure_correlation import FACILITATOR_H, Floats
from og_env.world.fault_domains import Domain, is_own
from og_env.world.shock_sources import EFFECTS, Risk, Source, drawn_fragile_rate, effect_bit, hit_probabilities


def fill_domains(
    world: World,
    domains: Sequence[Domain],
    risks: Sequence[Risk],
    index: Mapping[Domain, int],
    resolved: ResolvedScenario,
) -> None:
    """Write size and effect of every domain, and every site's domains with their hit probabilities.

    A site's own domain comes first. `index` maps the shared domains to their indices.
    """
    hidden = resolved.spec.failures.hidden
    shared = world.fragile_rate.shape[1]
    world.site_domain[0] = -1
    last = [0] * len(resolved.sites)
    for domain, risk in zip(domains, risks, strict=True):
        own = is_own(domain, resolved.sites)
        if not own and domain not in index:
            continue
        f = shared + domain.members[0] if own else index[domain]
        world.domain_size[0, f] = len(domain.members)
        world.domain_visible[0, f] = domain.kind not in hidden
        world.domain_effect[0, f] = effect_bit(risk)
        for member, hit in zip(domain.members, hit_probabilities(domain, risk, resolved.sites), strict=True):
            if not own:
                last[member] += 1
            place = 0 if own else last[member]
            world.site_domain[0, member, place] = f
            world.hit[0, member, place] = hit


def fill_hazards(world: World, sources: Sequence[Source], resolved: ResolvedScenario) -> None:
    """Write rates and durations of domains, expected down-time of sites and the correlation of their up indicators.

    A shock that hits one site alone counts as one of the site's own domain. Correlations are those of the stationary
    common-shock model, as far as the agent can know: a site's share of a hidden domain's shocks counts as its own.
    Down-time is that of the middle of an episode, when no shock is older than the warm-up and half the episode. It
    takes shocks as Poisson, so where they come in clusters, which overlap more, it is an upper bound.
    """
    n = len(resolved.sites)
    shared = world.fragile_rate.shape[1]
    episode = resolved.spec.episode
    episode_h, step_h = episode.steps * episode.step_s / 3600, episode.step_s / 3600
    hidden = world.domain_visible[0, :shared] == 0
    rate, hours = np.zeros(shared + n), np.zeros(shared + n)
    for source in sources:
        f, share = _counts_in(source, shared)
        rate[f] += source.rate_per_h * share
        hours[f] += source.rate_per_h * share * min(source.mean_h, episode_h)
        if f < shared:
            world.fragile_rate[0, f] = drawn_fragile_rate(source)
    world.domain_rate[0, : shared + n] = rate
    world.domain_mean_h[0, : shared + n] = np.divide(hours, rate, out=np.zeros_like(rate), where=rate > 0)
    hit, load = down_loads(sources, n, shared, age_h=WARM_UP_H + episode_h / 2, step_h=step_h)
    world.site_hazard[0, :n] = 1 - availability(load, hit)
    hit, load = down_loads(sources, n, shared)
    load[shared:] += hit[:, :shared][:, hidden] @ load[:shared][hidden]
    load[:shared][hidden] = 0
    world.correlation[0, :n, :n] = correlation_matrix(hit, load)


def down_loads(
    sources: Sequence[Source], sites: int, shared: int, *, age_h: float = math.inf, step_h: float = 0.0
) -> tuple[Floats, Floats]:
    """Hit probabilities [N, S + N] and mean numbers [S + N] of active shocks that keep sites DOWN, for og_env.trust.

    Shocks older than `age_h` are left out, as on a tape that begins that long ago. On a tape with rows of `step_h` a
    shock counts in every row that it touches. A shock of a registry (facilitator) takes its clients down FACILITATOR_H
    after it began.
    """
    hit, load = np.zeros((sites, shared + sites)), np.zeros(shared + sites)
    hit[np.arange(sites), shared + np.arange(sites)] = 1.0
    down, frozen = EFFECTS.index("DOWN"), EFFECTS.index("FROZEN")
    for source in sources:
        f, share = _counts_in(source, shared)
        if f < shared:
            hit[list(source.members), f] = source.hit
        hours, effect = source.mean_until_h(age_h) + step_h, source.effects[down]
        if source.kind == "facilitator":
            lapse_h = source.mean_until_h(FACILITATOR_H)
            still_broken_h = source.mean_until_h(FACILITATOR_H + step_h) - lapse_h
            hours, effect = source.mean_until_h(age_h) - lapse_h + still_broken_h, effect + source.effects[frozen]
        load[f] += source.rate_per_h * share * effect * hours
    return hit, load


def _counts_in(source: Source, shared: int) -> tuple[int, float]:
    """Index of the domain that a source counts in, and the share of its shocks that count there.

    A source that hits one site alone counts in the site's own domain.
    """
    first, *others = source.members
    return (source.shared, 1.0) if others else (shared + first, source.hit[0])
