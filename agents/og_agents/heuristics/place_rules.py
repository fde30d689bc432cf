"""Rules of thumb that place by their own trigger, among all sites: each says where, from what is measured and priced.

A rule looks at one environment at a time, a `Scene`, and gives every site a preference [N]: where a replica of a model
is wanted most, which of its replicas is wanted least, and where a verifier, a store or a gateway is wanted. When
something is added or removed is the same for all rules, see `operation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.heuristics.tuned_constants import Constants
from og_env.simulator import (
    ABSENT,
    DOWN,
    FETCHING,
    GATEWAY,
    LAUNCH,
    ON_DISK,
    RETIRE,
    STAGING,
    STORE,
    VERBS,
    WARM,
    Simulator,
)

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

TEE = 1
"""code of World.verification for a model whose answers must be attested"""
SMALL = 1e-6
"""weight of what decides between places that are otherwise alike"""
HOUR_S, MS = 3600.0, 1000.0


class Scene:
    """One environment as a rule sees it: the fleet, what is placed, and what was measured in the last step."""

    def __init__(self, simulator: Simulator, b: int) -> None:
        self.simulator, self.b, self.index = simulator, b, int(simulator.state.world[b])
        self.up: Bools = (self.of_state("status") & DOWN) == 0
        self.phase = self.of_state("phase")
        self.held: Bools = (self.phase >= FETCHING) & self.up
        self.roles = self.of_state("role_ms")

    def of_world(self, name: str) -> npt.NDArray[Any]:
        """A field of the environment's world."""
        return getattr(self.simulator.world, name)[self.index]

    def of_state(self, name: str) -> npt.NDArray[Any]:
        """A field of the environment's state."""
        return getattr(self.simulator.state, name)[self.b]

    def demand_rps(self) -> Floats:
        """Demand [U, M] of the last step by user region and model."""
        tape, row = self.simulator.tape, int(self.simulator.state.step[self.b])
        return self.of_world("base_rps") * tape.regional[self.b, row][:, None] * tape.model[self.b, row]

    def entry_ms(self) -> Floats:
        """Round trip [U, N] from the gateway of each user region to every site; the region's own without a gateway."""
        live = np.flatnonzero((self.roles[GATEWAY] == 0) & self.up)
        from_users = self.of_world("rtt_user_ms")
        if not live.size:
            return from_users
        return self.of_world("rtt_ms")[live[from_users[:, live].argmin(axis=1)]]

    def live(self, role: int) -> Bools:
        """Sites [N] that have a role, or will, and are up."""
        return (self.roles[role] >= 0) & self.up

    def shared_domains(self, sites: Bools) -> Floats:
        """For every site [N], the fault domains that it is seen to share with `sites`, counted once for each; not itself."""
        domain = self.of_world("site_domain")
        seen = self.of_world("domain_visible")
        member = np.zeros((len(domain), len(seen)), np.float32)
        rows, places = np.nonzero(domain >= 0)
        member[rows, domain[rows, places]] = seen[domain[rows, places]]
        together = member @ member[sites].sum(axis=0)
        return together - np.where(sites, (member * member).sum(axis=1), 0)


class Where(NamedTuple):
    """Preferences of a rule, each [N] and higher where more wanted."""

    launch: Callable[[Scene, int, float], Floats]
    """for one more replica of a model; the float is the load above which a replica has no room"""
    keep: Callable[[Scene, int], Floats]
    """for the replicas of a model: the lowest goes first"""
    role: Callable[[Scene, int], Floats]
    """for a verifier, a store or a gateway: the highest is added, the lowest goes first"""


def _mean_ms(rps: Floats, ms: Floats) -> Floats:
    """Round trip [N] to every site, the mean over requests; rps [U], ms [U, N]."""
    return rps @ ms / max(float(rps.sum()), SMALL)


def _saved_ms(rps: Floats, ms: Floats, near: Floats) -> Floats:
    """The saving by a further site in the mean round trip [N], where users have `near` ms [U] so far."""
    saved = rps @ np.maximum(near[:, None] - ms, 0) / max(float(rps.sum()), SMALL)
    return saved - SMALL * _mean_ms(rps, ms)


def _nearest_launch(scene: Scene, model: int, high: float) -> Floats:
    """The saving by a replica in the mean round trip of demand that no replica with room is near to."""
    rps, ms = scene.demand_rps()[:, model], scene.entry_ms()
    capacity = scene.of_world("capacity_rps")[model]
    room = scene.held[model] & (scene.of_state("load_rps")[model] < high * capacity)
    near = ms[:, room].min(axis=1) if room.any() else np.full(len(rps), float(ms.max()))
    return _saved_ms(rps, ms, near)


def _nearest_keep(scene: Scene, model: int) -> Floats:
    """Growth of the mean round trip without each replica."""
    rps, ms = scene.demand_rps()[:, model], scene.entry_ms()
    sites = np.flatnonzero(scene.held[model])
    worth = -SMALL * _mean_ms(rps, ms)
    for site in sites:
        others = sites[sites != site]
        near = ms[:, others].min(axis=1) if others.size else np.full(len(rps), float(ms.max()))
        worth[site] += _saved_ms(rps, ms[:, [site]], near)[0]
    return worth


def _nearest_role(scene: Scene, role: int) -> Floats:
    """The saving by a gateway in the mean round trip from users; for the rest, nearness to users."""
    rps, ms = scene.demand_rps().sum(axis=1), scene.of_world("rtt_user_ms")
    if role != GATEWAY:
        return -_mean_ms(rps, ms)
    sites = np.flatnonzero(scene.live(role))
    far = np.full(len(rps), float(ms.max()))
    worth = _saved_ms(rps, ms, ms[:, sites].min(axis=1) if sites.size else far)
    for site in sites:
        others = sites[sites != site]
        worth[site] = _saved_ms(rps, ms[:, [site]], ms[:, others].min(axis=1) if others.size else far)[0]
    return worth


def _cheapest(scene: Scene, model: int, _: float = 0.0) -> Floats:
    """Minus the dollars of a request there: rent of a replica in full use, and the price of the answer."""
    rent = scene.of_world("usd_per_gpu_hour") * scene.of_world("replica_gpus")[model] / HOUR_S
    return -(rent / np.maximum(scene.of_world("capacity_rps")[model], SMALL) + scene.of_world("answer_usd")[model])


def _cheapest_role(scene: Scene, role: int) -> Floats:
    """Minus the rent of a machine."""
    return -scene.of_world("usd_per_vm_hour")


def ready_s(scene: Scene, model: int) -> Floats:
    """Seconds [N] until a replica would be warm: the fetch at the stores' present pace, if needed, and the load."""
    phase = scene.phase[model]
    stores = int(((scene.roles[STORE] == 0) & scene.up).sum())
    left_mb = scene.of_state("fetch_left_mb")
    fetches = int((left_mb > 0).sum()) + 1
    share = min(1.0, stores * int(scene.of_world("store_streams")) / fetches)
    speed = np.minimum(scene.of_world("link_mb_per_s"), float(scene.of_world("store_mb_per_s")) * share)
    left = np.where(phase == ABSENT, scene.of_world("weights_mb")[model], left_mb[model])
    left = np.where((phase == STAGING) | (phase == FETCHING) | (phase == ABSENT), left, 0)
    load_ms = np.where(phase > FETCHING, scene.of_state("load_left_ms")[model], scene.of_world("load_ms")[model])
    return left / np.maximum(speed, SMALL) + load_ms / MS


def _warm_launch(scene: Scene, model: int, _: float) -> Floats:
    """Minus the time until a replica is warm."""
    return -ready_s(scene, model)


def _warm_keep(scene: Scene, model: int) -> Floats:
    """Warm replicas stay; of those, the ones that take longest to get back."""
    return scene.of_world("load_ms")[model] / MS - np.where(scene.phase[model] == WARM, 0.0, HOUR_S)


def _warm_role(scene: Scene, role: int) -> Floats:
    """Number of models whose weights lie at the site."""
    return ((scene.phase >= ON_DISK) & (scene.phase != FETCHING)).sum(axis=0).astype(np.float64)


def _idle(scene: Scene, *_: Any) -> Floats:
    """Minus the share of the site's GPUs in use, as measured; among equals, the one with most free GPUs."""
    gpus, used = scene.of_world("gpu_count"), scene.of_state("gpus_used")
    return -scene.of_state("shown_load") * used / np.maximum(gpus, 1) + SMALL * (gpus - used)


def _apart(scene: Scene, model: int, _: float = 0.0) -> Floats:
    """Minus the fault domains that a site is seen to share with the model's replicas, then with those of all models."""
    return -scene.shared_domains(scene.held[model]) - SMALL * scene.shared_domains(np.asarray(scene.held.any(axis=0)))


def _apart_role(scene: Scene, role: int) -> Floats:
    """The same for the sites that have the role."""
    return -scene.shared_domains(scene.live(role))


PLACES: Mapping[str, Where] = MappingProxyType(
    {
        "nearest": Where(_nearest_launch, _nearest_keep, _nearest_role),
        "cheapest": Where(_cheapest, _cheapest, _cheapest_role),
        "warm_first": Where(_warm_launch, _warm_keep, _warm_role),
        "least_loaded": Where(_idle, _idle, _idle),
        "spread": Where(_apart, _apart, _apart_role),
    }
)
"""the rules by name"""


class Possible(NamedTuple):
    """Which operations are possible in an environment, in the form of their numbers less 1."""

    models: Bools
    """[3, M, N] by verb"""
    roles: Bools
    """[3, 2, N] by role, added and removed"""


def possible_of(mask: npt.NDArray[Any], models: int, sites: int) -> Possible:
    """The parts of a mask of operations [V]."""
    cut = 1 + len(VERBS) * models * sites
    flags = np.asarray(mask, np.bool_)
    return Possible(flags[1:cut].reshape(len(VERBS), models, sites), flags[cut:].reshape(-1, 2, sites))


def pressure(scene: Scene, arriving: float) -> Floats:
    """Load [M] of each model: demand of the last step over what its replicas serve, one that loads as `arriving` of it."""
    capacity = scene.of_world("capacity_rps")
    there = np.where(scene.phase == WARM, 1.0, arriving) * scene.held
    return scene.of_state("model_demand_rps") / np.maximum((capacity * there).sum(axis=1), SMALL)


def operation(name: str, scene: Scene, possible: Possible, constants: Constants) -> int:
    """The operation of a rule in an environment; 0 does nothing.

    First a role of which fewer live than at the start is added. Then a replica, for the most loaded model above `high`,
    or where a share above `refused` of first tries is refused and no replica is on its way. Then the least wanted replica
    is retired of a model that would stay below `low` (and `high`, so that it is not missed) without it, and at last a role
    beyond those of the start.
    """
    place, (models, sites) = PLACES[name], scene.phase.shape
    surplus = 0
    for role in range(len(possible.roles)):
        live = scene.live(role)
        more = int(live.sum()) - int((scene.of_world("start_role")[role] >= 0).sum())
        if more == 0:
            continue
        way = 0 if more < 0 else 1
        open_ = possible.roles[role, way] & (scene.up if way == 0 else live)
        if open_.any():
            wanted = place.role(scene, role)
            best = int(np.where(open_, wanted if way == 0 else -wanted, -np.inf).argmax())
            number = 1 + (len(VERBS) * models + 2 * role + way) * sites + best
            if way == 0:
                return number
            surplus = surplus or number
    load, refused = pressure(scene, constants["arriving"]), scene.of_state("model_refused_share")
    coming = (scene.held & (scene.phase != WARM)).any(axis=1)
    short = (load > constants["high"]) | ((refused > constants["refused"]) & ~coming)
    for model in np.argsort(-load, kind="stable") if short.any() else ():
        open_ = _attested(scene, int(model), possible.models[LAUNCH, model])
        if short[model] and open_.any():
            wanted = place.launch(scene, int(model), constants["high"])
            best = int(np.where(open_, wanted, -np.inf).argmax())
            return 1 + (LAUNCH * models + int(model)) * sites + best
    idle = _idle_replicas(scene, min(constants["low"], constants["high"]))
    open_ = possible.models[RETIRE] & scene.held
    settled = (scene.held.sum(axis=1) > 1) & ~coming & (refused <= constants["refused"]) & (open_ & idle).any(axis=1)
    for model in np.argsort(load, kind="stable") if settled.any() else ():
        if settled[model]:
            site = int(np.where(open_[model], place.keep(scene, int(model)), np.inf).argmin())
            if idle[model, site]:
                return 1 + (RETIRE * models + int(model)) * sites + site
    return surplus


def _idle_replicas(scene: Scene, low: float) -> Bools:
    """Replicas [M, N] without which the others of their model would stay below a load of `low`."""
    capacity = scene.of_world("capacity_rps")
    rest = (capacity * scene.held).sum(axis=1, keepdims=True) - capacity
    return scene.held & (scene.of_state("model_demand_rps")[:, None] < low * rest)


def _attested(scene: Scene, model: int, open_: Bools) -> Bools:
    """The sites of `open_` that can attest, where the model's answers must be attested and there are any."""
    able = open_ & (scene.of_world("tee") == 1)
    return able if scene.of_world("verification")[model] == TEE and able.any() else open_
