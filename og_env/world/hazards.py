"""Fault domains, rates and correlations as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from og_env.config import ResolvedScenario
from og_env.layout import World
from og_env.trust import availability, correlation_matrix
from og_env.world.domains import Domain, is_own
from og_env.world.sources import EFFECTS, Risk, Source, effect_bit, hit_probabilities


def fill_domains(
    world: World,
    domains: Sequence[Domain],
    risks: Sequence[Risk],
    index: Mapping[Domain, int],
    resolved: ResolvedScenario,
) -> None:
    """Who stands in which domain, its own first; and what the domains are."""
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
    """Rates and durations of domains, expected down-time of sites and the correlation of their up indicators.

    What hits one site alone counts as the site's own domain. Down-time is that of the stationary common-shock model. The
    correlation is what the agent can know: a site's share of a hidden domain's shocks counts as its own.
    """
    n = len(resolved.sites)
    shared = world.fragile_rate.shape[1]
    spec = resolved.spec
    episode_h = spec.episode.steps * spec.episode.step_s / 3600
    hit, load = np.zeros((n, shared + n)), np.zeros(shared + n)
    hit[np.arange(n), shared + np.arange(n)] = 1.0
    hidden = world.domain_visible[0, :shared] == 0
    rate, hours = np.zeros(shared + n), np.zeros(shared + n)
    down = EFFECTS.index("DOWN")
    for source in sources:
        mean_h = source.mean_h
        first, *others = source.members
        if others:
            f, share = source.shared, 1.0
            hit[list(source.members), f] = source.hit
            world.fragile_rate[0, f] = source.fragile_rate_per_h
        else:
            f, share = shared + first, source.hit[0]
        rate[f] += source.rate_per_h * share
        hours[f] += source.rate_per_h * share * min(mean_h, episode_h)
        load[f] += source.rate_per_h * share * mean_h * source.effects[down]
    world.domain_rate[0, : shared + n] = rate
    world.domain_mean_h[0, : shared + n] = np.divide(hours, rate, out=np.zeros_like(rate), where=rate > 0)
    world.site_hazard[0, :n] = 1 - availability(load, hit)
    load[shared:] += hit[:, :shared][:, hidden] @ load[:shared][hidden]
    load[:shared][hidden] = 0
    world.correlation[0, :n, :n] = correlation_matrix(hit, load)
