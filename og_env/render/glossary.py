"""The glossary: a sentence for every term, metric, knob, operation and key of info; the documentation's tables come from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from og_env.dynamics.operations import ROLE_VERBS, VERBS
from og_env.kernel.arrays import KNOBS, METRICS, TERMS


def _glossary(names: tuple[str, ...], text: str) -> Mapping[str, str]:
    """Sentences by name from lines "name: sentence"; ValueError unless they are those of `names`, in the same order."""
    pairs = [line.split(":", 1) for line in text.strip().splitlines()]
    found = {name.strip(): sentence.strip() for name, sentence in pairs}
    if tuple(found) != names:
        raise ValueError(f"the glossary has {', '.join(found)} where the names are {', '.join(names)}")
    return MappingProxyType(found)


TERM_MEANINGS = _glossary(
    TERMS,
    """
    latency: share of demand that was served later than its objective: a first token or an answer, by model
    cost: dollars an hour over the budget; the one term that may exceed 1
    unserved: u (1 + k u) / (1 + k) of the unserved share u, k = `unserved_convexity`
    unverified: share of demand served without a valid proof, of models that want one
    exposure: share of demand that the worst single shared dependency would take along now
    churn: number of operations carried out in the step
    """,
)
METRIC_MEANINGS = _glossary(
    METRICS,
    """
    latency_mean_ms: mean time to the end of the answer, of served requests: round trips, tries, queue, cold waits, service
    latency_p50_ms: its median, over all models
    latency_p95_ms: its 95th percentile
    latency_p99_ms: its 99th percentile
    first_token_mean_ms: mean time to the first token, of served requests, with all that comes before it
    first_token_p50_ms: its median, over all models
    first_token_p95_ms: its 95th percentile
    first_token_p99_ms: its 99th percentile
    in_time_share: share of the answered that met their objective
    finality_s: mean time until an answer is served, verified by the quorum and settled, of verified requests
    demand_rps: requests a second that users send
    served_rps: requests a second that are answered
    served_share: answered over sent
    verified_share: verified over answered, of models that want a proof; 1 where none is wanted
    usd_per_hour: spending: rent of GPUs and machines, price of use, stored weights, egress
    usd_per_1000_requests: spending over what is answered
    use_usd_per_hour: the part of the spending that is the price of use
    cold_starts: replicas that became warm in the step
    cold_wait_s: mean wait of an answered request for a replica that was not warm yet
    refused_share: share of requests that the first replica they tried refused, or that met a dead site first
    retried_share: share of the answered that took more than one try
    answers_lost: answers in progress that outages of the step cut off, and that are asked again
    utilisation: answered over the capacity in use
    exposure: the term of the reward
    n_eff: effective independent nodes of the traffic: (sum w)^2 / sum w_i rho_ij w_j over sites
    active_outages: shocks in force, an attack included
    sites_down: sites that are down at the end of the step
    sites_grey: sites that are up and work at less than 0.7 of their nominal speed
    sites_blind: sites whose telemetry fails
    replicas_warm: warm replicas, those at sites that are down included
    replicas_loading: replicas that fetch or load, likewise
    verifiers_live: running verifiers at sites that are up
    stores_live: running stores at sites that are up
    gateways_live: running gateways at sites that are up
    quorum: verifiers that must agree, of those registered
    fetch_gb: weights fetched in the step
    operations: number of operations carried out in the step
    impossible_operations: number of those that were impossible, for which nothing was done
    refused_launches: those among them that a site refused because capacity is scarce there
    withdrawn: replicas that the step took away because spot capacity was withdrawn
    """,
)
KNOB_MEANINGS = _glossary(
    KNOBS,
    """
    latency_temperature_ms: how much farther a replica may be before its share falls by e; small is nearest only
    cold_penalty: reluctance to wait for a replica that loads, per second
    load_penalty: reluctance to use a busy replica, per unit of utilisation
    risk_aversion: reluctance to use a site whose dependencies show trouble or carry much, per unit of risk
    spread: share of the traffic divided evenly over all replicas; 1 is uniform random routing
    """,
)
OPERATION_MEANINGS = _glossary(
    (*VERBS, *ROLE_VERBS),
    """
    launch: fetch a model's weights where they are missing, load them and keep a replica warm; per model and site
    retire: free a replica's GPUs, also while it loads; per model and site
    stage: fetch weights to disk without GPUs, for a quick launch later; per model and site
    add verifier: rent a machine that checks proofs; per site
    remove verifier: give it back; per site
    add store: rent a machine that hands out the weights of all models; per site
    remove store: give it back; per site
    add gateway: rent a machine through which users nearby enter; per site
    remove gateway: give it back; per site
    """,
)
INFO_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "term_NAME": "a term of the reward, unweighted; one key for each",
        "action_mask": "int8: 1 where an action is possible; Joint: all levels, always possible, appended; not in Routing",
        "moved": "whether the clock moved; it stands where `episode.operations_per_step` leaves room for more",
        "truth": "where `failures.hidden` is set: hidden domains by KIND:NAME (sites, down, traffic, loss), and `speed`",
        "incident": "at reset with `options={'incident': ID}`: id, sites hit, start_h, stop_h, cut_h, phases",
        "final_obs": "vector environment: what the episodes that ended would have returned; `final_info` likewise",
    }
)
"""Keys of info other than the metrics, which have their own names there; the vector environment adds masks `_KEY`."""
