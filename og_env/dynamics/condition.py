"""The hidden condition of sites: how fast each is in a step, and the figures that are measured and shown of it."""

from __future__ import annotations

import math

import numpy as np

from og_env.kernel.arrays import BLIND, CALM_SPEED, DOWN, METRIC, SLOW, SPEEDS_PER_OCTAVE, Environment
from og_env.kernel.compile import kernel
from og_env.kernel.random_streams import standard_noise
from og_env.kernel.simd import root

SPEED = 2.0 ** ((np.arange(BLIND) - CALM_SPEED) / SPEEDS_PER_OCTAVE)
"""speed of each code of a tape's condition, over the nominal one"""
OCTAVES_PER_E = 1 / math.log(2)
"""octaves in a factor of e"""
GREY_SPEED = 0.7
"""a site below this speed counts as grey in the metrics"""


@kernel
def write_speeds(env: Environment, row: int) -> None:
    """Write the speed of every site in a row of the tape to speed [N], and clear the books by site."""
    for site in range(env.scratch.speed.shape[0]):
        env.scratch.speed[site] = SPEED[env.tape.condition[row, site] & (BLIND - 1)]
        env.scratch.site_rps[site] = 0
        env.scratch.site_tried_rps[site] = 0
        env.scratch.site_refused_rps[site] = 0
        env.scratch.site_wait_rps_s[site] = 0
        env.scratch.site_listed_gpus[site] = 0
        env.scratch.site_busy_gpus[site] = 0


@kernel
def show_nothing(env: Environment) -> None:
    """Write what is shown before the first step: nominal speed, no load and nothing refused."""
    for site in range(env.state.blind.shape[0]):
        env.state.shown_slowness_log2[site] = 0
        env.state.shown_wait_s[site] = 0
        env.state.shown_refused[site] = 0
        env.state.shown_load[site] = 0
        env.state.blind[site] = 0


@kernel
def measure(env: Environment, row: int) -> None:
    """Show what was measured at every site in this step; the last values stay where telemetry fails or nothing was sent.

    The noise of a measured time falls with the root of the number of requests. Writes metrics of grey and blind sites.
    """
    grey, blind, step_s = 0, 0, env.world.step_ms / 1000
    for site in range(env.state.blind.shape[0]):
        status, unseen = env.state.status[site], env.tape.condition[row, site] & BLIND
        env.state.blind[site] = 1 if unseen else 0
        blind += env.world.site_valid[site] == 1 and unseen != 0
        if status & DOWN:
            continue
        grey += env.world.site_valid[site] == 1 and env.scratch.speed[site] < GREY_SPEED
        if unseen:
            continue
        if env.scratch.site_listed_gpus[site] > 0:
            env.state.shown_load[site] = env.scratch.site_busy_gpus[site] / env.scratch.site_listed_gpus[site]
        if env.scratch.site_tried_rps[site] > 0:
            env.state.shown_refused[site] = env.scratch.site_refused_rps[site] / env.scratch.site_tried_rps[site]
        rps = env.scratch.site_rps[site]
        if rps > 0:
            env.state.shown_wait_s[site] = env.scratch.site_wait_rps_s[site] / rps
            octaves = (CALM_SPEED - float(env.tape.condition[row, site])) / SPEEDS_PER_OCTAVE
            deviation = OCTAVES_PER_E * env.world.service_cv / root(max(rps * step_s, 1.0))
            error = deviation * standard_noise(env.tape.noise, row, site)
            env.state.shown_slowness_log2[site] = (1.0 if status & SLOW else 0.0) + octaves + error
    env.output.metrics[METRIC.sites_grey] = grey
    env.output.metrics[METRIC.sites_blind] = blind
