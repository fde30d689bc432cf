"""The view of one environment at one moment, from which pictures are made: N sites, M models, U user regions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.dynamics.condition import GREY_SPEED, SPEED
from og_env.kernel.arrays import BLIND, DOWN, FETCHING, GATEWAY, LOADING, METRICS, WARM, Output, State, Tape, World
from og_env.scenario.loading import ResolvedScenario

Floats = NDArray[np.float64]
FIT_ROUNDS = 12
"""Rounds of the proportional fit of flows, after which shares are exact to about 1 %, finer than a line's width."""


class MapView(NamedTuple):
    """A moment as plain values; indices in `region_gateway` and `flow_rps` are positions in `site_names`."""

    scenario: str
    """name of the scenario"""
    step: int
    """steps taken in the episode"""
    steps: int
    """steps of an episode"""
    hour_utc: float
    """time of day, 0 to 24"""
    site_names: tuple[str, ...]
    """[N] names of the sites"""
    providers: tuple[str, ...]
    """[N] provider of each site"""
    lat_deg: Floats
    """float64 [N] latitude of each site"""
    lon_deg: Floats
    """float64 [N] longitude of each site"""
    status: NDArray[np.uint8]
    """uint8 [N] bits of og_env.kernel.arrays: DOWN, FROZEN, UNTRUSTED, SLOW"""
    grey: NDArray[np.bool_]
    """bool [N] whether the site is up and works below GREY_SPEED of its nominal speed, as the metric sites_grey counts"""
    blind: NDArray[np.bool_]
    """bool [N] whether its telemetry failed in the last step"""
    refused: Floats
    """float64 [N] share of what was sent to the site that it refused, as it was last shown"""
    steer: Floats
    """float64 [N] logarithm of what the router multiplies the weight of the site's replicas by; 0 where it is not steered"""
    warm: NDArray[np.int64]
    """int64 [N] warm replicas at each site"""
    loading: NDArray[np.int64]
    """int64 [N] replicas that fetch or load at each site"""
    share: Floats
    """float64 [N] share of the served traffic at each site"""
    roles: NDArray[np.bool_]
    """bool [3, N] whether a verifier, a store and a gateway run at each site"""
    region_names: tuple[str, ...]
    """[U] names of the user regions"""
    region_lat_deg: Floats
    """float64 [U] latitude of each region"""
    region_lon_deg: Floats
    """float64 [U] longitude of each region"""
    load_rps: Floats
    """float64 [U] demand of each region, requests a second"""
    region_gateway: NDArray[np.int64]
    """int64 [U] site whose gateway serves the region, -1 where there is none"""
    flow_rps: Floats
    """float64 [N, N] requests a second from the gateway at the first site to replicas at the second"""
    metrics: dict[str, float]
    """metrics by the names of og_env.kernel.arrays.METRICS; empty before the first step"""


def view_of(
    whole: ResolvedScenario, world: World, tape: Tape, state: State, output: Output, *, row: int = 0
) -> MapView:
    """The view of environment `row` of a batch; `whole` is the scenario with that environment's own fleet."""
    k, step, count = int(state.world[row]), int(state.step[row]), len(whole.sites)
    roles = state.role_ms[row][:, :count] == 0
    status = state.status[row, :count].copy()
    demand_rps = world.base_rps[k] * tape.regional[row, step][:, None] * tape.model[row, step][None, :]
    gateway = _nearest_gateway(world.near_user[k], roles[GATEWAY] & (status & DOWN == 0))
    phase = state.phase[row][:, :count]
    day_ms = (int(tape.start_step[row]) + step) * int(world.step_ms[k])
    return MapView(
        scenario=whole.spec.name,
        step=step,
        steps=tape.regional.shape[1] - 1,
        hour_utc=day_ms / 3_600_000 % 24,
        site_names=tuple(site.name for site in whole.sites),
        providers=tuple(site.provider for site in whole.sites),
        lat_deg=np.array([site.lat_deg for site in whole.sites]),
        lon_deg=np.array([site.lon_deg for site in whole.sites]),
        status=status,
        grey=(SPEED[tape.condition[row, step, :count] & (BLIND - 1)] < GREY_SPEED) & (status & DOWN == 0),
        blind=state.blind[row, :count] != 0,
        refused=state.shown_refused[row, :count].astype(np.float64),
        steer=state.steer[row, :count].astype(np.float64),
        warm=(phase == WARM).sum(axis=0),
        loading=((phase == FETCHING) | (phase == LOADING)).sum(axis=0),
        share=state.site_share[row, :count].astype(np.float64),
        roles=roles,
        region_names=tuple(region.name for region in whole.regions),
        region_lat_deg=np.array([region.lat_deg for region in whole.regions]),
        region_lon_deg=np.array([region.lon_deg for region in whole.regions]),
        load_rps=demand_rps.sum(axis=1, dtype=np.float64),
        region_gateway=gateway,
        flow_rps=_flow_rps(
            _by_gateway(demand_rps, gateway, count),
            state.load_rps[row][:, :count].astype(np.float64),
            world.rtt_ms[k][:count, :count] / max(float(state.knobs[row, 0]), 1e-3),
        ),
        metrics=dict(zip(METRICS, output.metrics[row].tolist(), strict=True)) if step else {},
    )


def _nearest_gateway(near_user: NDArray[np.int32], live: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nearest site with a live gateway for each region, int64 [U]; -1 where there is none.

    `near_user` [U, sites] lists the sites by distance from each region.
    """
    known = np.append(live, np.zeros(near_user.shape[1] - len(live), bool))
    ranked = known[near_user]
    first = near_user[np.arange(len(near_user)), ranked.argmax(axis=1)]
    return np.where(ranked.any(axis=1), first, -1).astype(np.int64)


def _by_gateway(demand_rps: Floats, gateway: NDArray[np.int64], count: int) -> Floats:
    """Demand in requests a second that arrives at each site's gateway for each model, float64 [N, M]."""
    arriving = np.zeros((count, demand_rps.shape[1]))
    np.add.at(arriving, gateway[gateway >= 0], demand_rps[gateway >= 0])
    return arriving


def _flow_rps(arriving_rps: Floats, served_rps: Floats, distance: Floats) -> Floats:
    """Flows [N, N] from demand [N, M] at gateways to load [M, N] of replicas, with `distance` [N, N] in temperatures.

    The softmax router's flow is a product of a gateway's factor, a replica's factor and exp(-distance), so both
    margins determine it: a proportional fit recovers it but for `spread` and overflow.
    """
    flow = np.zeros_like(distance, np.float64)
    at = np.flatnonzero(arriving_rps.sum(axis=1) > 0)
    for arriving, served in zip(arriving_rps[at].T, served_rps, strict=True):
        to = np.flatnonzero(served > 0)
        if not len(to) or not arriving.sum():
            continue
        near = distance[np.ix_(at, to)]
        part = np.exp(np.maximum(near.min(axis=1, keepdims=True) - near, -50.0))
        leaving = arriving * (served.sum() / arriving.sum())
        for _ in range(FIT_ROUNDS):
            part *= (leaving / part.sum(axis=1))[:, None]
            part *= served[to] / part.sum(axis=0)
        flow[np.ix_(at, to)] += part
    return flow
