"""Trust: what the nodes of a fleet share, and what each of them really adds."""

from og_env.trust.audit import additions_json, audit
from og_env.trust.concentration import Concentration, concentration, nakamoto
from og_env.trust.failure_correlation import (
    active_shocks,
    availability,
    correlation_matrix,
    joint_down,
    mean_duration_h,
    n_eff,
)
from og_env.trust.fleet import Fleet, build_fleet, dense, join, select
from og_env.trust.growth import Addition, Curve, best_additions, curve_as_listed, curve_greedy
from og_env.trust.marginal_contribution import Shapley, leave_one_out, shapley
from og_env.trust.pair_sums import Pairs, fleet_n_eff, pairs, prefix_n_eff
from og_env.trust.quorum_downtime import Outage, quorum_outage
from og_env.trust.quorum_survival import Survival, has_quorum, n1_live_without, survival
from og_env.trust.scenario_fleet import fleet_of_scenario, scenario_kind, site_columns

__all__ = [
    "Addition",
    "Concentration",
    "Curve",
    "Fleet",
    "Outage",
    "Pairs",
    "Shapley",
    "Survival",
    "active_shocks",
    "additions_json",
    "audit",
    "availability",
    "best_additions",
    "build_fleet",
    "concentration",
    "correlation_matrix",
    "curve_as_listed",
    "curve_greedy",
    "dense",
    "fleet_n_eff",
    "fleet_of_scenario",
    "has_quorum",
    "join",
    "joint_down",
    "leave_one_out",
    "mean_duration_h",
    "n1_live_without",
    "n_eff",
    "nakamoto",
    "pairs",
    "prefix_n_eff",
    "quorum_outage",
    "scenario_kind",
    "select",
    "shapley",
    "site_columns",
    "survival",
]
