"""Trust in a fleet of nodes: how many independent nodes it amounts to, and which dependency can stop its quorum.

- `fleet`: the nodes as arrays, with the fault domains they depend on; `scenario_fleet`: the fleet of a scenario's sites.
- `failure_correlation`: availability, failure correlation and effective independent nodes (n_eff) in closed form.
- `pair_sums`: the same n_eff for tens of thousands of nodes, without a matrix of pairs.
- `origin`: one fleet from a table of nodes and from the scenario made of it, with and without what the catalogue assumes.
- `concentration`: Herfindahl-Hirschman index, Nakamoto coefficient and other measures of one kind of dependency.
- `limits`: most nodes by provider, country and so on, and what breaks them; `replacement`: the best swaps of nodes.
- `quorum_survival`: N-1 and N-2, that is the quorum after the worst one or two dependencies break.
- `quorum_downtime`: expected hours a year without a quorum; `live_weight`: the probability of that in a given state.
- `marginal_contribution`: the Shapley value and the leave-one-out figure of each node.
- `growth`: n_eff as nodes are added, and which candidate nodes to add first.
- `audit`: all of this for one fleet as a JSON object; `audit_text` and `audit_picture` show it.
"""

from og_env.trust.audit import additions_json, audit
from og_env.trust.concentration import Concentration, concentration, measures_of, nakamoto, nakamoto_at
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
from og_env.trust.limits import broken_limits, limits_from_words
from og_env.trust.marginal_contribution import Shapley, leave_one_out, shapley
from og_env.trust.origin import Fleets, fleet_of_table, fleets_of_scenario, fleets_of_table, with_assumptions
from og_env.trust.pair_sums import Pairs, fleet_n_eff, pairs, prefix_n_eff
from og_env.trust.quorum_downtime import Cause, Outage, quorum_outage
from og_env.trust.quorum_survival import Survival, has_quorum, n1_live_without, survival
from og_env.trust.replacement import Replacement, best_replacements
from og_env.trust.scenario_fleet import fleet_of_scenario, scenario_kind, site_columns
