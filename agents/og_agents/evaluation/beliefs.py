"""Beliefs of a planner that is blind to one dimension of the world: changes of worlds and states, in place.

Only times, prices and failures change in a belief, not what anybody can see: who enters at which gateway, and which
store a site fetches from, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_env.simulator import FETCHING, GATEWAY, KNOBS, LEAVING, SCARCE, TAKEN, TERM, UNTRUSTED, State, World
from og_env.world import attraction

Floats = npt.NDArray[np.floating]
TINY = 1e-12
"""least sum of weights, and the weight of sites that have none beside those that have"""


class Belief(NamedTuple):
    """A world in which one dimension does not exist."""

    doc: str
    """what is believed, in a few words"""
    change_worlds: Callable[[World], None]
    """writes it to worlds, for all of their leading index"""
    change_states: Callable[[State], None] | None = None
    """writes it to states; None leaves them as they are"""


def _nothing(world: World) -> None:
    """Change nothing."""


def _mean(values: Floats, weights: Floats) -> Floats:
    """Weighted mean over the last axis, [..., 1] for values [..., N]; 0 where no weight is above 0."""
    weights = np.broadcast_to(weights, values.shape).astype(np.float64)
    total = (values * weights).sum(axis=-1, keepdims=True)
    return total / np.maximum(weights.sum(axis=-1, keepdims=True), TINY)


def _equal_round_trips(world: World) -> None:
    """Set all round trips to the means that demand meets in the starting fleet, from users and from gateways.

    The round trip within the check of a payment is its mean over sites. The orders of sites by distance stay.
    """
    valid = world.site_valid.astype(np.float64)
    share = world.region_rps / np.maximum(world.region_rps.sum(axis=1, keepdims=True), TINY)
    running = np.take_along_axis(world.start_role[:, GATEWAY, None] >= 0, world.near_user, axis=2)
    entry = np.take_along_axis(world.near_user, running.argmax(axis=2)[:, :, None], axis=2)
    from_users = _mean(np.take_along_axis(world.rtt_user_ms, entry, axis=2)[:, :, 0], share)
    replicas = (world.start_phase >= FETCHING).sum(axis=1) + TINY * valid
    pull = np.take_along_axis(world.attraction.swapaxes(1, 2), entry, axis=1) * replicas[:, None]
    from_entry = _mean(_mean(np.take_along_axis(world.rtt_ms, entry, axis=1), pull)[:, :, 0], share)
    world.rtt_user_ms[:] = from_users[:, :, None] * valid[:, None]
    world.rtt_ms[:] = from_entry[:, :, None] * valid[:, None] * valid[:, :, None]
    world.payment_ms[:] = _mean(world.payment_ms, valid) * valid
    for rtt_ms, knobs, target in zip(world.rtt_ms, world.knobs, world.attraction, strict=True):
        target[:] = attraction(rtt_ms, knobs[KNOBS.index("latency_temperature_ms")])


def _no_loads(world: World) -> None:
    """Let fetches and loads take no time; what a fetch costs stays."""
    world.load_ms[:] = 0
    world.mean_load_ms[:] = 0
    world.weights_mb[:] = 0


def _all_but_loaded(state: State) -> None:
    """Leave nothing to fetch or load of what is under way."""
    state.fetch_left_mb[:] = 0
    state.load_left_ms[:] = 0


def _equal_prices(world: World) -> None:
    """Set rent of a GPU and of a machine, egress, use and answers of a model to their means over sites."""
    valid, fits = world.site_valid, (world.replica_gpus > 0).astype(np.float64)
    world.usd_per_gpu_hour[:] = _mean(world.usd_per_gpu_hour, world.gpu_count * valid) * valid
    world.usd_per_vm_hour[:] = _mean(world.usd_per_vm_hour, valid) * valid
    world.egress_usd_per_gb[:] = _mean(world.egress_usd_per_gb, valid) * valid
    for prices in (world.use_usd, world.answer_usd):
        prices[:] = _mean(prices, fits) * fits


def _independent_failures(world: World) -> None:
    """Count every shock of a visible shared domain that hits a site as one of the site's own, and give exposure no weight.

    Sites are then expected to be broken as much as before, but never together.
    """
    shared = world.fragile_rate.shape[1]
    others = world.site_domain[:, :, 1:]
    member = others >= 0
    domain = np.maximum(others, 0)
    worlds = np.arange(len(others))[:, None, None]
    counts = world.hit[:, :, 1:] * (member & (world.domain_visible[worlds, domain] > 0))
    rate = (counts * world.domain_rate[worlds, domain]).sum(axis=2)
    hours = (counts * world.domain_rate[worlds, domain] * world.domain_mean_h[worlds, domain]).sum(axis=2)
    own_rate = world.domain_rate[:, shared:]
    own_hours = own_rate * world.domain_mean_h[:, shared:] + hours
    own_rate += rate
    world.domain_mean_h[:, shared:] = np.divide(own_hours, own_rate, out=np.zeros_like(own_hours), where=own_rate > 0)
    for values in (world.domain_size, world.domain_visible, world.domain_effect, world.domain_rate):
        values[:, :shared] = 0
    world.domain_mean_h[:, :shared] = 0
    world.fragile_rate[:] = 0
    world.site_domain[:, :, 1:] = -1
    world.hit[:, :, 1:] = 0
    world.weights[:, TERM.exposure] = 0


def _all_attested(world: World) -> None:
    """Let every site attest."""
    world.tee[:] = world.site_valid


def _all_trusted(state: State) -> None:
    """Let all attestations count."""
    state.status[:] &= ~np.uint8(UNTRUSTED)


def _unlimited_stores(world: World) -> None:
    """Let stores serve every fetch that there can be at the speed of its link."""
    models, sites = world.capacity_rps.shape[1:]
    world.store_streams[:] = models * sites
    world.store_mb_per_s[:] = world.link_mb_per_s.max(axis=1)


def _all_to_be_had(world: World) -> None:
    """Let no launch be refused and nothing be withdrawn; what spot capacity costs stays."""
    world.launch_chance[:] = 1
    world.kept_share[:] = 1
    world.announces[:] = 0


def _all_at_hand(state: State) -> None:
    """Forget which sites refused, which lose their capacity and which have lost it."""
    state.supply[:] &= ~np.uint8(SCARCE | LEAVING | TAKEN)
    state.refused_ms[:] = 0


UNCHANGED = Belief("the world as it is", _nothing)
BELIEFS: Mapping[str, Belief] = MappingProxyType(
    {
        "geography": Belief("all round trips are equal", _equal_round_trips),
        "warmth": Belief("nothing loads", _no_loads, _all_but_loaded),
        "price": Belief("rent, use and egress cost the same everywhere", _equal_prices),
        "dependencies": Belief("sites fail as often, but alone", _independent_failures),
        "verification": Belief("all sites are attested", _all_attested, _all_trusted),
        "stores": Belief("stores are never busy", _unlimited_stores),
        "scarcity": Belief("all that is launched is to be had, and kept", _all_to_be_had, _all_at_hand),
    }
)
"""beliefs of a planner of placements, by the dimension that it is blind to"""
