"""Spells of scarcity on a tape: rows in which sites refuse launches, and in which spot capacity is withdrawn."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import LEAVING, SCARCE, TAKEN, WARM_UP_H
from og_env.kernel.compile import array_kernel
from og_env.kernel.random_streams import exponential, uniform
from og_env.scenario.specs import ScarcitySpec
from og_env.tape.failures import touched_rows
from og_env.world.scarcity import SpellArrays


class Scarcity(NamedTuple):
    """All that the drawing of spells reads."""

    spells: SpellArrays
    """their sources"""
    mean_h: float
    """mean length"""
    withdrawn_share: float
    """share of the spells at spot sites in which what runs there is withdrawn"""
    notice_rows: int
    """rows in which that is known before"""
    step_h: float
    """length of a row, hours"""


def scarcity_process(spec: ScarcitySpec, spells: SpellArrays, step_h: float) -> Scarcity:
    """The numbers that `draw_scarcity` takes, for steps of this length."""
    return Scarcity(spells, float(spec.mean_h), float(spec.withdrawn_share), notice_rows(spec, step_h), step_h)


def notice_rows(spec: ScarcitySpec, step_h: float) -> int:
    """The notice in whole steps, rounded up."""
    return math.ceil(spec.notice_s / 3600 / step_h - 1e-9)


@array_kernel
def withdraw_rows(supply: np.ndarray, site: int, first: int, last: int, notice: int) -> None:
    """Write that what runs at a site is withdrawn in rows first to last - 1, and announced in those before."""
    for row in range(max(first - notice, 0), min(first, supply.shape[0])):
        supply[row, site] |= LEAVING
    for row in range(first, last):
        supply[row, site] |= TAKEN


@array_kernel
def draw_scarcity(supply: np.ndarray, random_state: np.ndarray, process: Scarcity) -> None:
    """Draw the spells of all sources into the supply [T, N] of an episode."""
    spells, rows = process.spells, supply.shape[0]
    end_h = rows * process.step_h
    for source in range(len(spells.rate_per_h)):
        start_h = -WARM_UP_H + exponential(random_state) / spells.rate_per_h[source]
        while start_h < end_h:
            stop_h = start_h + exponential(random_state) * process.mean_h
            first, last = touched_rows(start_h, stop_h, process.step_h, rows)
            for member in range(spells.member_start[source], spells.member_start[source + 1]):
                if uniform(random_state) >= spells.member_hit[member]:
                    continue
                site = spells.member_site[member]
                if spells.spot[site] == 1 and uniform(random_state) < process.withdrawn_share:
                    notice = process.notice_rows if start_h >= 0 else 0
                    withdraw_rows(supply, site, first + notice, min(last + notice, rows), notice)
                else:
                    for row in range(first, last):
                        supply[row, site] |= SCARCE
            start_h += exponential(random_state) / spells.rate_per_h[source]
