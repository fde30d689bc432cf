"""Scripted outages: the sites that each of them hits, as arrays, and their rows of a tape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from og_env.kernel.arrays import GATEWAY_OFF, IMPAIRED, NO_LAUNCHES, SCARCE, STORE_OFF, TAKEN
from og_env.kernel.compile import array_kernel
from og_env.scenario.checks import KINDS
from og_env.scenario.specs import AnyEffect, OutageSpec, PartEffect
from og_env.tape.failures import Outages, count_outage, hit_site, raise_level, touched_rows
from og_env.tape.scarcity import notice_rows, withdraw_rows
from og_env.world import EFFECT_BITS, EFFECTS, CompiledWorld, find_members

PART_BITS: dict[PartEffect, int] = {
    "SCARCE": SCARCE,
    "WITHDRAWN": TAKEN,
    "NO_LAUNCHES": NO_LAUNCHES,
    "IMPAIRED": IMPAIRED,
    "GATEWAY_OFF": GATEWAY_OFF,
    "STORE_OFF": STORE_OFF,
}
"""supply bit of each effect on a part of a site"""
OF_SUPPLY = 8
"""supply bits stand above the status bits of an outage by so many places"""
FULL_LEVEL = 1.0
"""error level of a domain under a scripted outage, however many sources share the domain"""


class SiteOutage(NamedTuple):
    """One outage of given sites."""

    kind: str
    """kind of the domain that breaks"""
    name: str
    """name of that domain; its signal shows the outage where the fleet shares it"""
    effect: AnyEffect
    """effect on every site"""
    start_h: float
    """hours since the episode began"""
    stop_h: float
    """hours since the episode began"""
    sites: tuple[int, ...]
    """indices of the sites"""
    incident: str = ""
    """what the outage is a phase of; the phases of an incident show as one source in a signal"""


class Scripts(NamedTuple):
    """K scripted outages as arrays.

    The sites of outage k are the entries member_start[k] to member_start[k + 1] - 1 of `member_site`.
    """

    kind: np.ndarray
    """[K] index in KINDS"""
    bit: np.ndarray
    """[K] status bit"""
    start_h: np.ndarray
    """[K] hours since the episode began"""
    stop_h: np.ndarray
    """[K] hours since the episode began"""
    source: np.ndarray
    """[K] number of the source in signals: the same for all phases of an incident in a domain"""
    notice: np.ndarray
    """[K] rows in which a withdrawal is announced before"""
    shared: np.ndarray
    """[K] index of the shared domain, -1 none"""
    member_start: np.ndarray
    """[K + 1] first entry of each outage's sites, and the end of the last one's"""
    member_site: np.ndarray
    """[sites of all outages] indices of sites"""


def site_outages_of(outages: Iterable[OutageSpec], compiled: CompiledWorld) -> list[SiteOutage]:
    """The scripted outages with the sites that they hit: every member of their domain."""
    result = []
    for outage in outages:
        kind, _, name = outage.domain.partition(":")
        stop_h = outage.start_h + outage.duration_h
        sites = find_members(compiled, kind, name)
        result.append(SiteOutage(kind, name, outage.effect, outage.start_h, stop_h, sites))
    return result


def write_script(outages: Iterable[SiteOutage], compiled: CompiledWorld) -> Scripts:
    """The outages that hit a site, as arrays."""
    shared = {(domain.kind, domain.name): f for f, domain in enumerate(compiled.domains[: compiled.sizes["S"]])}
    felt = [outage for outage in outages if outage.sites]
    names = [(outage.incident or str(at), outage.kind, outage.name) for at, outage in enumerate(felt)]
    spec = compiled.resolved.spec
    notice = notice_rows(spec.scarcity, spec.episode.step_s / 3600)
    return Scripts(
        source=np.array([names.index(name) for name in names], np.int64),
        notice=np.full(len(felt), notice, np.int64),
        kind=np.array([KINDS.index(outage.kind) for outage in felt], np.int64),
        bit=np.array([bit_of(outage.effect) for outage in felt], np.int64),
        start_h=np.array([outage.start_h for outage in felt], np.float64),
        stop_h=np.array([outage.stop_h for outage in felt], np.float64),
        shared=np.array([shared.get((outage.kind, outage.name), -1) for outage in felt], np.int64),
        member_start=np.cumsum([0, *(len(outage.sites) for outage in felt)], dtype=np.int64),
        member_site=np.array([site for outage in felt for site in outage.sites], np.int64),
    )


def bit_of(effect: AnyEffect) -> int:
    """Bit of an effect: a status bit, or a supply bit OF_SUPPLY places higher."""
    return PART_BITS[effect] << OF_SUPPLY if effect in PART_BITS else EFFECT_BITS[EFFECTS.index(effect)]


@array_kernel
def hit_supply(outages: Outages, site: int, start_h: float, stop_h: float, bit: int, notice: int) -> None:
    """Set a supply bit in the rows that a time span touches; a withdrawal is announced in the rows before."""
    first, last = touched_rows(start_h, stop_h, outages.step_h, len(outages.active))
    if bit == TAKEN:
        withdraw_rows(outages.supply, site, first, last, notice)
        return
    for row in range(first, last):
        outages.supply[row, site] |= np.uint8(bit)


@array_kernel
def add_scripted(outages: Outages, scripts: Scripts, sources: int, facilitator: int) -> None:
    """Write the scripted outages, which show in signals as sources of their own after the drawn ones."""
    for script in range(len(scripts.kind)):
        start_h, stop_h = scripts.start_h[script], scripts.stop_h[script]
        is_facilitator = scripts.kind[script] == facilitator
        for member in range(scripts.member_start[script], scripts.member_start[script + 1]):
            site, bit = scripts.member_site[member], scripts.bit[script]
            if bit >> OF_SUPPLY:
                hit_supply(outages, site, start_h, stop_h, bit >> OF_SUPPLY, scripts.notice[script])
            else:
                hit_site(outages, site, start_h, stop_h, bit, is_facilitator)
        count_outage(outages, start_h, stop_h)
        raise_level(outages, scripts.shared[script], start_h, stop_h, sources + scripts.source[script], FULL_LEVEL)
