"""The metrics n_eff and exposure of the environments are those of og_env.trust on the traffic of the moment."""

from __future__ import annotations

import numpy as np
import pytest

from og_env.scenario import catalog, loading
from og_env.trust import correlation_matrix, dense, fleet_n_eff, fleet_of_scenario, n_eff, survival
from og_env.vector_env import NetworkVectorEnv
from og_env.world import CompiledWorld

ENVS, STEPS = 6, 24


def fleet_of(world: CompiledWorld, **changes):
    """The scenario's sites as trust has them, DOWN alone, as traffic needs a site that is up."""
    sites = [site.model_copy(update=changes) for site in world.resolved.sites]
    failures = world.resolved.spec.failures
    return fleet_of_scenario(sites, failures, catalog.failure_kind, world.resolved.domains, effects=("DOWN",))


def played(scenario, seed: int):
    """(world, shares of traffic [N], infos) after every step of masked random operations."""
    env = NetworkVectorEnv(ENVS, "placement", scenario, interface="operations", threads=1)
    _, infos = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        action = [rng.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]]
        *_, infos = env.step(np.array(action))
        for b in range(ENVS):
            world = env.simulator.world_of(b)
            shares = env.simulator.state.site_share[b, : len(world.resolved.sites)].astype(float)
            if shares.sum() > 0:
                yield world, shares, {k: v[b] for k, v in infos.items()}
    env.close()


@pytest.mark.parametrize("scenario", ["global-16", "opengradient", "one-cloud", "near-but-cold", "random-24"])
def test_effective_nodes_are_those_of_trust_on_the_traffic(scenario):
    values = set()
    fleets = {}
    for world, shares, info in played(scenario, seed=3):
        fleet = fleets.setdefault(id(world), fleet_of(world))._replace(weight=shares)
        assert info["n_eff"] == pytest.approx(fleet_n_eff(fleet), rel=1e-4)
        assert info["n_eff"] == pytest.approx(float(n_eff(shares, correlation_matrix(*dense(fleet)))), rel=1e-4)
        most = max(shares[list(domain.members)].sum() for domain in world.domains)
        assert most == pytest.approx(survival(fleet).worst.weight, rel=1e-4)
        values.add(round(float(info["n_eff"]), 3))
    assert len(values) > 20


def saturated(name: str):
    """No room anywhere, nothing to prove, gateways and stores at every site: what breaks is lost."""
    spec = loading.load(name)
    models = [
        {"name": model if isinstance(model, str) else model.name, "verification": "none"} for model in spec.models
    ]
    count = len(loading.sites_of(spec))
    changes = {"models": models, "demand.requests_per_s": 1e5, "start.gateways": count, "start.stores": count}
    return loading.override(spec, changes | {"start.verifiers": 0, "episode.operations_per_step": 1})


@pytest.mark.parametrize("name", ["global-16", "one-cloud", "global-24"])
def test_exposure_without_room_is_the_worst_single_loss_of_trust(name):
    seen = set()
    for world, shares, info in played(saturated(name), seed=5):
        fleet = fleet_of(world, tee_vendor="none")._replace(weight=shares)
        lost = 1 - survival(fleet).n1_live
        assert info["exposure"] == pytest.approx(lost * info["served_rps"] / info["demand_rps"], rel=1e-3)
        seen.add(round(lost, 3))
    assert len(seen) > 5


@pytest.mark.parametrize("name", ["global-16", "global-24"])
def test_room_elsewhere_only_lowers_exposure(name):
    """With spare capacity less is lost than what stands on the worst dependency, roles aside."""
    spec = saturated(name)
    spec = loading.override(spec, {"demand.requests_per_s": loading.load(name).demand.requests_per_s})
    lower = 0
    for world, shares, info in played(spec, seed=7):
        fleet = fleet_of(world, tee_vendor="none")._replace(weight=shares)
        most = (1 - survival(fleet).n1_live) * info["served_rps"] / info["demand_rps"]
        assert info["exposure"] <= most * (1 + 1e-4)
        lower += info["exposure"] < 0.9 * most
    assert lower > 0
