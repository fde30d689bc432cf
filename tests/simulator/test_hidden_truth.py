"""Hidden dependencies act on the tape, stay out of observation, offers and mask, and are told in info["truth"] alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN
from og_env.scenario import loading
from og_env.simulator import Interface
from og_env.vector_env import NetworkVectorEnv

BUILDING = {"latitude/fra", "equinix/fr"}
CARRIER = {"latitude/fra", "equinix/fr", "cherry-servers/lt-siauliai", "teraswitch/lon"}
STEPS = 40


def played(scenario: Any, outages: list[dict], interface: Interface = "proposals") -> tuple[list[Any], list[dict]]:
    """Observations with masks [STEPS + 1], and infos, of a run whose actions follow from the masks alone."""
    spec = loading.override(loading.load(scenario), {"episode.operations_per_step": 1})
    env = NetworkEnv("placement", spec, interface=interface, flatten=True)
    seen, infos = [], []
    observation, info = env.reset(seed=3, options={"outages": outages, "background": False})
    for step in range(STEPS + 1):
        seen.append((observation, env.action_masks()))
        infos.append(info)
        possible = np.flatnonzero(seen[-1][1])
        observation, _, _, _, info = env.step(possible[step * 7 % len(possible)])
    return seen, infos


def same(one: list[Any], other: list[Any]) -> list[bool]:
    return [all(np.array_equal(a, b) for a, b in zip(x, y, strict=True)) for x, y in zip(one, other, strict=True)]


def outage(domain: str, start_h: float = 1.0) -> dict[str, Any]:
    return {"domain": domain, "start_h": start_h, "duration_h": 1.0, "effect": "DOWN"}


def test_the_shipped_scenario_hides_a_building_and_a_carrier_that_providers_share():
    env = NetworkEnv("placement", "hidden-facility")
    truth = env.reset(seed=0)[1]["truth"]
    sites = {site.name: site for site in env.simulator.world_of(0).resolved.sites}
    for name, members in (("facility:equinix-fr2", BUILDING), ("transit:arelion", CARRIER)):
        assert set(truth[name]["sites"]) == members
        assert len({sites[site].provider for site in members}) == len(members)
    assert {name.split(":")[0] for name in truth} == {"facility", "transit", "speed"}


@pytest.mark.parametrize("interface", ["proposals", "operations"])
def test_a_hidden_outage_looks_like_one_of_each_of_its_sites(interface):
    hidden, infos = played("hidden-facility", [outage("facility:equinix-fr2")], interface)
    apart, _ = played("hidden-facility", [outage(f"site:{name}") for name in sorted(BUILDING)], interface)
    quiet, _ = played("hidden-facility", [], interface)
    assert all(same(hidden, apart))
    assert same(hidden, quiet)[:12] == [True] * 12 and not any(same(hidden, quiet)[12:])
    down = [info["truth"]["facility:equinix-fr2"]["down"] for info in infos]
    assert down[:12] == [0.0] * 12 and down[12:24] == [1.0] * 12 and down[24:] == [0.0] * (STEPS - 23)


def test_a_visible_outage_shows_where_its_sites_alone_do_not():
    told = loading.override(loading.load("hidden-facility"), {"failures.hidden": ()})
    together, infos = played(told, [outage("facility:equinix-fr2")])
    apart, _ = played(told, [outage(f"site:{name}") for name in sorted(BUILDING)])
    assert not all(same(together, apart))
    assert not any("truth" in info for info in infos)


@pytest.mark.parametrize("interface", ["proposals", "operations"])
def test_who_shares_a_building_changes_nothing_that_is_seen(interface):
    """Two pairs of sites in two hidden buildings, paired in another way."""
    first, second = (
        loading.override(loading.load("hidden-facility"), {"sites": paired(buildings)})
        for buildings in (("x", "x", "y", "y"), ("x", "y", "x", "y"))
    )
    one, infos = played(first, [], interface)
    other, others = played(second, [], interface)
    assert all(same(one, other))
    losses = [[info["truth"]["facility:x"]["loss"] for info in of] for of in (infos, others)]
    assert losses[0] != losses[1]
    told = [loading.override(spec, {"failures.hidden": ()}) for spec in (first, second)]
    assert not all(same(*(played(spec, [], interface)[0] for spec in told)))


def paired(buildings: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    sites = [site.model_dump() for site in loading.load("hidden-facility").sites]  # type: ignore[union-attr]
    for site, building in zip(sites, buildings, strict=False):
        site["facility"] = building
    return tuple(sites)


def test_truth_follows_status_traffic_and_losses():
    env = NetworkEnv("placement", "hidden-facility")
    env.reset(seed=3, options={"outages": [outage("site:equinix/fr", 0.0)]})
    for _ in range(3):
        info = env.step(0)[4]
    state, world = env.simulator.state, env.simulator.world_of(0)
    for f, domain in enumerate(world.domains[: env.simulator.sizes["S"]]):
        told = info["truth"].get(f"{domain.kind}:{domain.name}")
        assert (told is not None) == (domain.kind in ("facility", "transit"))
        if told:
            members = list(domain.members)
            assert told["sites"] == tuple(world.resolved.sites[s].name for s in members)
            assert told["down"] == np.mean([state.status[0, s] & DOWN != 0 for s in members])
            assert told["traffic"] == pytest.approx(sum(state.site_share[0, s] for s in members), abs=1e-6)
            assert told["loss"] == env.simulator.output.domain_loss[0, f]
    assert info["truth"]["facility:equinix-fr2"]["down"] == 0.5


def test_a_batch_tells_what_single_environments_tell():
    batch = NetworkVectorEnv(2, "placement", "hidden-facility")
    singles = [NetworkEnv("placement", "hidden-facility") for _ in range(2)]
    _, infos = batch.reset(seed=7)
    told = [env.reset(seed=7 + i)[1]["truth"] for i, env in enumerate(singles)]
    assert infos["truth"].tolist() == told and infos["_truth"].all()
    for _ in range(3):
        infos = batch.step(np.zeros(2, np.int64))[4]
        told = [env.step(0)[4]["truth"] for env in singles]
    assert infos["truth"].tolist() == told
    random = loading.override(loading.load("random-24"), {"failures.hidden": ("transit",)})
    _, infos = NetworkVectorEnv(3, "placement", random).reset(seed=1)
    assert len({tuple(truth) for truth in infos["truth"]}) > 1


def test_truth_tells_the_speeds_of_the_present_row():
    env = NetworkEnv("placement", "hidden-facility")
    told = [env.reset(seed=3)[1]["truth"]["speed"]]
    told += [env.step(0)[4]["truth"]["speed"] for _ in range(5)]
    condition = env.simulator.tape.condition
    condition[0, 6] = 64
    condition[0, 6, :4] = 40, 40 | 128, 88, 1
    assert len(told[0]) == condition.shape[2] and len(set(told[0])) > 3
    for row, speeds in enumerate(told):
        assert speeds == pytest.approx(2.0 ** (((condition[0, row] & 127).astype(float) - 64) / 24))
    assert env.step(0)[4]["truth"]["speed"][:5] == pytest.approx((0.5, 0.5, 2.0, 2 ** (-63 / 24), 1.0))


def test_hidden_failures_are_drawn_like_visible_ones():
    spec = loading.load("hidden-facility")
    hidden, told = (NetworkEnv("placement", one) for one in (spec, loading.override(spec, {"failures.hidden": ()})))
    struck = 0
    for seed in range(40):
        hidden.reset(seed=seed)
        told.reset(seed=seed)
        a, b = hidden.simulator.tape, told.simulator.tape
        assert np.array_equal(a.status, b.status) and np.array_equal(a.regional, b.regional)
        struck += ((a.status[0, :, :2] & DOWN) != 0).all(axis=1).any()
    assert struck >= 2
