"""Hard limits that an operator sets, whatever an operation would gain."""

from __future__ import annotations

from og_env.scenario.specs.catalog_entries import Role, Spec
from og_env.scenario.specs.quantities import NonNegative, Number


class LimitsSpec(Spec):
    """Hard limits of the operator; what is not given has none.

    They bind operations, whoever chooses them, and neither outages nor the start: a starting fleet that breaks a limit
    is no mistake, and only operations that would break it further are impossible.
    """

    least_replicas: dict[str, Number] = {}
    """fewest replicas by model name, whether they fetch, load or are warm: nothing retires one of the last so many"""
    most_replicas: dict[str, Number] = {}
    """most replicas by model name, whether they fetch, load or are warm: nothing launches another one"""
    least_roles: dict[Role, Number] = {}
    """fewest verifiers, stores or gateways, running or provisioning: nothing removes one of the last so many"""
    most_roles: dict[Role, Number] = {}
    """most verifiers, stores or gateways, running or provisioning: nothing adds another one"""
    forbidden_sites: tuple[str, ...] = ()
    """sites where nothing is launched, staged or added; what stands there may go on and may be removed"""
    rent_usd_per_hour: NonNegative | None = None
    """no operation lifts the rent of the fleet above this: GPUs and machines at all sites, also those that are down, and
    the storage of weights, also those under way; egress is not rent"""
