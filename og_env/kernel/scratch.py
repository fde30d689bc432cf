"""Working memory of a step: fields that its kernels write and read, and that mean nothing afterwards.

"list" in a comment means: by position on the list of the replicas of the model at hand. "for the proposals" means that
the planner writes and reads the field. A slot is the place of a gateway among those in use.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from og_env.kernel.memory import Array


class Scratch(NamedTuple):
    """Working memory, one slot a thread."""

    may_launch: Annotated[Array, "u1", "C M"]  # 1 where the operator's limits leave room for one more replica
    may_retire: Annotated[Array, "u1", "C M"]  # 1 where they let one replica go
    may_start: Annotated[Array, "u1", "C N"]  # 1 where a replica may be launched, as far as supply is known
    may_rent: Annotated[Array, "u1", "C N"]  # 1 where a machine may be added
    may_add: Annotated[Array, "u1", "C 3"]  # 1 where they leave room for one more of a role
    may_remove: Annotated[Array, "u1", "C 3"]  # 1 where they let one of a role go
    spare_rent_usd_per_hour: Annotated[Array, "f8", "C"]  # what an operation may add to the rent
    wait_ms: Annotated[Array, "i4", "C M N"]  # until a replica under way is warm; -1 never
    rate_kb_per_s: Annotated[Array, "i4", "C M N"]  # of each fetch under way
    moves: Annotated[Array, "i4", "C"]  # number of fetches and loads under way
    move_model: Annotated[Array, "i4", "C V"]  # model of each fetch or load under way
    move_site: Annotated[Array, "i4", "C V"]  # site of each fetch or load under way
    move_peer: Annotated[Array, "u1", "C V"]  # 1 for a fetch from a warm peer
    store_fetches: Annotated[Array, "i4", "C N"]  # fetches that share the store at a site
    site_fetches: Annotated[Array, "i4", "C N"]  # fetches that share the link of a site
    source: Annotated[Array, "i4", "C N"]  # nearest live store of each site; -1 none, -2 not looked up
    seen: Annotated[Array, "u1", "C N"]  # status that the router goes by: that at the end of the last step
    dead_share: Annotated[Array, "f4", "C N"]  # share of the step in which the router still uses a dead site
    alarm: Annotated[Array, "f8", "C S"]  # of the visible shared domains: 0 calm .. 1 fragile
    alarm_hour: Annotated[
        Array, "f8", "C S"
    ]  # mean signal of the last hour of the visible shared domains, for the observation
    domain_share: Annotated[Array, "f4", "C F"]  # share of the served traffic of the last step by domain
    carried: Annotated[Array, "f8", "C S"]  # domain_share of the visible shared domains, 0 of hidden ones
    site_risk: Annotated[Array, "f8", "C N"]  # alarms of a site's domains plus the largest traffic share of one
    speed: Annotated[Array, "f8", "C N"]  # of a site in this step, over its nominal speed; only where `hosting`
    asked_again: Annotated[Array, "f8", "C M"]  # answers lost in this step, which are asked again
    again_share: Annotated[Array, "f8", "C M"]  # share of a model's demand that is asked again
    hosting: Annotated[Array, "u1", "C N"]  # 1 where net_ms, attraction and site_risk are filled in
    demand_rps: Annotated[Array, "f8", "C U M"]  # demand of the step by user region
    demand: Annotated[Array, "f8", "C U M"]  # nominal demand, for the proposals, requests/s
    asked: Annotated[Array, "f8", "C M"]  # demand by model
    slot_of: Annotated[Array, "i4", "C N"]  # slot of the gateway at a site
    votes: Annotated[Array, "u1", "C N"]  # 1 where a verifier runs at a site that is up
    gateway_rps: Annotated[Array, "f8", "C M L"]  # demand by model and slot
    gateway_rps_ms: Annotated[Array, "f8", "C M L"]  # sum of demand x ms between user and gateway, by model and slot
    gateway_rps_ms2: Annotated[Array, "f8", "C M L"]  # sum of demand x ms^2 between user and gateway, by model and slot
    net_ms: Annotated[Array, "f8", "C X"]  # between site and gateway, at site x L + slot
    attraction: Annotated[Array, "f8", "C X"]  # exp(-net_ms / temperature), at site x L + slot
    pull: Annotated[Array, "f8", "C X"]  # attraction x weight of the model at hand, at list position x L + slot
    rps_per_pull: Annotated[Array, "f8", "C L"]  # by slot: requests/s that the softmax sends per unit of pull
    rps_per_factor: Annotated[Array, "f8", "C L"]  # by slot: requests/s that the even spread sends per unit of factor
    per_gateway_rps: Annotated[Array, "f8", "C L"]  # by slot: one over its demand, 0 without any
    refused_slot_rps: Annotated[Array, "f8", "C L"]  # by slot: refused in a round, over the others' share
    refused_slot_ms: Annotated[Array, "f8", "C L"]  # by slot: sum of these requests/s x ms lost
    refused_slot_ms2: Annotated[Array, "f8", "C L"]  # by slot: sum of these requests/s x ms^2
    tried_rps: Annotated[
        Array, "f8", "C X"
    ]  # what a gateway sends a replica in a round of tries, at list position x L + slot
    tried_rps_ms: Annotated[Array, "f8", "C X"]  # sum of these requests/s x ms lost by earlier tries, likewise
    tried_rps_ms2: Annotated[Array, "f8", "C X"]  # sum of these requests/s x ms^2, likewise
    entry_ms: Annotated[Array, "f8", "C L"]  # by slot: mean time between user and gateway
    entry_var: Annotated[Array, "f8", "C L"]  # by slot: its variance, ms^2
    slot_soft: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: requests/s per pull
    slot_even: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: requests/s per replica
    slot_pulls: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: sum of the pulls of all replicas
    slot_ms: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: mean time between user and gateway
    placed: Annotated[Array, "i4", "C M L"]  # sites that hold GPUs for a model, in order
    placed_count: Annotated[Array, "i4", "C M"]  # number of the sites in `placed`
    replicas: Annotated[Array, "i4", "C L"]  # list: sites of the model at hand
    factor: Annotated[Array, "f8", "C L"]  # list: share of the step in which the router uses it
    burden: Annotated[Array, "f8", "C L"]  # list: load of the last step over capacity, as the router sees it
    risk: Annotated[Array, "f8", "C L"]  # list: of its domains, and 1 where its work does not count as attested
    bias: Annotated[Array, "f8", "C L"]  # list: `steer` of its site
    weight: Annotated[Array, "f8", "C L"]  # list: before distance
    weight_scale: Annotated[Array, "f8", "C"]  # logarithm of what all weights of the list are divided by; 0 as a rule
    replica_wait_s: Annotated[Array, "f8", "C L"]  # list: until it is warm
    cap_rps: Annotated[Array, "f8", "C L"]  # list: capacity in this step, 0 where dead
    wanted_rps: Annotated[Array, "f8", "C L"]  # list: what the router sends in a round of tries
    left_rps: Annotated[Array, "f8", "C L"]  # list: what its limit leaves for further rounds
    turned_away: Annotated[
        Array, "f8", "C N"
    ]  # for the proposals: requests/s that nobody serves if all enter at a site
    entry_pull: Annotated[Array, "f8", "C N"]  # for the proposals: sum of a model's weights at a site
    entry_refused: Annotated[Array, "f8", "C N"]  # for the proposals: the part of it that refuses
    take_share: Annotated[Array, "f8", "C L"]  # list: share of all its tries that it can take on, see `compete`
    tries_rps: Annotated[Array, "f8", "C L"]  # list: what the router sends in all rounds of tries
    competing_rps: Annotated[Array, "f8", "C L"]  # list, in `compete`: what comes in a round of tries
    competing_refused_rps: Annotated[Array, "f8", "C L"]  # list, in `compete`: refused in it, over the others' share
    all_competing_rps: Annotated[Array, "f8", "C L"]  # list, in `compete`: what comes in all rounds
    kept_share: Annotated[Array, "f8", "C L"]  # list: share of a round's requests that it takes on
    try_lost_ms: Annotated[Array, "f8", "C L"]  # list: timeout of a dead one, 0 of a live one
    payment_ms: Annotated[Array, "f8", "C L"]  # list: check of the payment
    retried_rps: Annotated[Array, "f8", "C L"]  # list: the part of replica_rps that was refused elsewhere first
    retried_rps_ms: Annotated[Array, "f8", "C L"]  # list: its sum of requests/s x ms from user to replica
    retried_rps_ms2: Annotated[Array, "f8", "C L"]  # list: its sum of requests/s x ms^2
    replica_rps: Annotated[Array, "f8", "C L"]  # list: served, in all rounds of tries
    room_rps: Annotated[Array, "f8", "C L"]  # list: what a warm replica could serve more, below its limit
    path_rps_ms: Annotated[Array, "f8", "C L"]  # list: sum of requests/s x ms from user to replica, of first tries
    path_rps_ms2: Annotated[Array, "f8", "C L"]  # list: sum of requests/s x second moment of these ms, likewise
    offered_rps: Annotated[Array, "f8", "C L"]  # list, for the proposals: before limits
    path_first: Annotated[Array, "f8", "C L"]  # list, for the proposals: sum of first tries' requests/s x ms
    path_first2: Annotated[Array, "f8", "C L"]  # list, for the proposals: sum of first tries' requests/s x ms^2
    again_rps: Annotated[Array, "f8", "C L"]  # list: offered after a refusal elsewhere
    again_rps_ms: Annotated[Array, "f8", "C L"]  # list: sum of these requests/s x ms
    again_rps_ms2: Annotated[Array, "f8", "C L"]  # list: sum of these requests/s x ms^2
    going_rps: Annotated[Array, "f8", "C L"]  # list, for the proposals: refused by a replica, over the others' share
    answer_price: Annotated[Array, "f8", "C L"]  # list, for the proposals: dollars of an answer
    slot_var: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: variance of the time between user and gateway
    slot_rps: Annotated[Array, "f8", "C L"]  # by slot, for the proposals: one over the demand, 0 without any
    service_s: Annotated[Array, "f8", "C L"]  # list: mean time of service
    prefill_s: Annotated[Array, "f8", "C L"]  # list: mean time to the first token without waiting
    timed_s: Annotated[Array, "f8", "C L"]  # list: what the clock of the objective counts of an answer
    replica_wait_mean_s: Annotated[
        Array, "f8", "C L"
    ]  # list: mean time that a request waits for a stream or for warmth
    late_share: Annotated[Array, "f8", "C L"]  # list: share of what it serves on a first try that misses the objective
    late_again_share: Annotated[Array, "f8", "C L"]  # list: share of retried_rps that does
    queue_s: Annotated[Array, "f8", "C L"]  # list: mean wait of those who wait, without load
    cluster_s: Annotated[Array, "f8", "C L"]  # list: mean wait of all because they come in clusters
    served_rps: Annotated[Array, "f8", "C M"]  # by model
    refused_rps: Annotated[Array, "f8", "C M"]  # by model: first tries that were refused
    patient_rps: Annotated[Array, "f8", "C M"]  # by model: served after more than one try
    late_rps: Annotated[Array, "f8", "C M"]  # by model: served, but after the objective
    first_rps_s: Annotated[
        Array, "f8", "C M"
    ]  # by model: sum of requests/s x time to the first token, less waits for a stream
    first_rps_s2: Annotated[Array, "f8", "C M"]  # by model: sum of requests/s x its square
    answer_rps_s: Annotated[Array, "f8", "C M"]  # by model: sum of requests/s x time of the answer, likewise
    answer_rps_s2: Annotated[Array, "f8", "C M"]  # by model: sum of requests/s x its square
    waiting_rps: Annotated[Array, "f8", "C M"]  # by model: those who wait for a stream
    waiting_rps_s: Annotated[Array, "f8", "C M"]  # by model: sum of their requests/s x wait
    percentile_tail: Annotated[Array, "f8", "C 8"]  # of the percentiles in the metrics: share of requests beyond it
    percentile_mean_s: Annotated[Array, "f8", "C 8"]  # mean on its clock, without waits for a stream
    percentile_var: Annotated[Array, "f8", "C 8"]  # variance likewise, s^2
    percentile_s: Annotated[Array, "f8", "C 8"]  # the percentile
    answers_usd_per_s: Annotated[Array, "f8", "C M"]  # by model: price of answers, use included
    use_usd_per_s: Annotated[Array, "f8", "C M"]  # by model: price of use
    site_tried_rps: Annotated[Array, "f8", "C N"]  # sent to a site, all models and rounds
    site_refused_rps: Annotated[Array, "f8", "C N"]  # refused by a site
    site_wait_rps_s: Annotated[Array, "f8", "C N"]  # sum of requests/s x wait at a site
    site_listed_gpus: Annotated[Array, "f8", "C N"]  # GPUs of a site's live replicas
    site_busy_gpus: Annotated[Array, "f8", "C N"]  # these times the load over the nominal capacity
    listed_rps: Annotated[Array, "f8", "C M"]  # by model: capacity of the replicas that the router used
    cold_rps_s: Annotated[Array, "f8", "C M"]  # by model: sum of requests/s x mean wait for a cold replica
    verified_rps: Annotated[Array, "f8", "C M"]  # by model
    final_rps_s: Annotated[Array, "f8", "C M"]  # by model: sum of verified requests/s x time until final
    site_rps: Annotated[Array, "f8", "C N"]  # served by site, all models
    domain_role: Annotated[Array, "i4", "C 3 F"]  # live sites of a role by domain
    domain_disk: Annotated[Array, "i4", "C F M"]  # copies of a model on disks of live sites by domain
    disk_total: Annotated[Array, "i4", "C M"]  # copies of a model on disks of live sites
    held_rps: Annotated[Array, "f8", "C G"]  # what the listed replicas in each domain serve and could serve more
    column_plain: Annotated[
        Array, "f8", "C G"
    ]  # what would go with a domain's replicas, requests/s of the model at hand
    column_part: Annotated[Array, "f8", "C G"]  # what would go with a domain in all, requests/s of the model at hand
    domain_loss_rps: Annotated[Array, "f8", "C G"]  # what would go with a domain in all, of all models
    limit_rps: Annotated[Array, "f8", "C L"]  # by position on the planner's list: what a replica serves at most
    per_capacity: Annotated[
        Array, "f8", "C L"
    ]  # by position on the planner's list: one over the capacity in requests/s
    trust: Annotated[Array, "f8", "C L"]  # list: 1 where its work counts as attested
    present: Annotated[
        Array, "f8", "C L"
    ]  # by position on the planner's list: 1, but 0 for the replica that a trial takes out
    slot_pull: Annotated[
        Array, "f8", "C X"
    ]  # a gateway's pull to a replica on the planner's list, at slot x L + position
    slot_net_ms: Annotated[
        Array, "f8", "C X"
    ]  # between a gateway and a replica on the planner's list, at slot x L + position
    settled: Annotated[Array, "f8", "C M N"]  # burden of each replica at which the present fleet comes to rest
    next_burden: Annotated[Array, "f8", "C L"]  # list: the burden that a replica is given next
    trial_gateway: Annotated[Array, "i4", "C 4"]  # of the trials of gateways: the site
    trial_change: Annotated[Array, "i4", "C 4"]  # 1 to add it, -1 to remove it
    trial_slot_of: Annotated[Array, "i2", "C 4 U"]  # slot where a user region would enter; -1 none
    trial_ms: Annotated[Array, "f8", "C 4 U"]  # its round trip to there
    entry_slot_of: Annotated[Array, "i2", "C U"]  # trial_slot_of of the trial at hand
    entry_region_ms: Annotated[Array, "f8", "C U"]  # trial_ms of the trial at hand
    trial_price: Annotated[Array, "f8", "C 4"]  # price of service beyond that of the fleet as it is, reward per step
    trial_served_rps: Annotated[Array, "f8", "C 4"]  # requests/s served, of the models so far
    held: Annotated[Array, "f8", "C G"]  # limits of the replicas on the planner's list in each domain, requests/s
    held_before: Annotated[Array, "f8", "C D"]  # `held` before a trial, by domain of the trial's site
    untrusting: Annotated[Array, "f8", "C G"]  # 1 for a domain whose effect is UNTRUSTED
    critical_at: Annotated[Array, "i4", "C F"]  # list of the critical domains
    critical_count: Annotated[Array, "i4", "C"]  # length of critical_at
    shown: Annotated[Array, "f8", "C G"]  # 1 for a domain that the agent is told of
    expected_demand_rps: Annotated[Array, "f8", "C"]  # of all models, under the forecast
    expected_served_rps: Annotated[Array, "f8", "C"]  # of all models, by the present fleet
    unserved_price: Annotated[Array, "f8", "C"]  # weighted unserved term of the present fleet
    resilience_price: Annotated[
        Array, "f8", "C"
    ]  # price of the present fleet's losses without each domain, reward per step
    fleet_served_rps: Annotated[Array, "f8", "C M"]  # expected of the present fleet
    fleet_verified_rps: Annotated[Array, "f8", "C M"]  # expected of the present fleet
    fleet_answers_usd_per_s: Annotated[Array, "f8", "C M"]  # expected price of the present fleet's answers
    fleet_late_per_ms: Annotated[
        Array, "f8", "C M"
    ]  # requests/s that would be late if every path took a millisecond longer
    fleet_service_price: Annotated[
        Array, "f8", "C M"
    ]  # weighted latency and unverified terms x requests/s of all demand
    fleet_plain_rps: Annotated[Array, "f8", "C M F"]  # column_plain of each model in the present fleet
    fleet_part_rps: Annotated[Array, "f8", "C M G"]  # column_part of each model in the present fleet
    fleet_lost_rps: Annotated[Array, "f8", "C F"]  # what the present fleet loses without each domain, all models
    other_lost_rps: Annotated[
        Array, "f8", "C G"
    ]  # what the fleet loses without each domain, but for the model on trial
    trial_lost_rps: Annotated[Array, "f8", "C G"]  # what the fleet on trial loses without each domain, all models
    broken_share: Annotated[
        Array, "f8", "C G"
    ]  # share of the planner's horizon that each domain is expected to be broken
    elsewhere: Annotated[Array, "f8", "C G"]  # 0 for the domains of the site of a stage, 1 for all others
    related: Annotated[Array, "f4", "C N"]  # traffic share times correlation, by site
    candidate_site: Annotated[Array, "i4", "C N"]  # the sites that an addition could go to, in order
    candidate_score: Annotated[Array, "f8", "C N"]  # cheap estimate of the gain at each of these sites, reward per step
    can_change: Annotated[Array, "u1", "C N"]  # 1 where a site can be told to change, for the planner
    fetch_kb_per_s: Annotated[Array, "i4", "C N"]  # of one more fetch to a site
    site_score: Annotated[Array, "f8", "C N"]  # reward per step of the risk that more work at a site would carry
    gateway_path_ms: Annotated[Array, "f8", "C N"]  # mean round trip between a site and the gateways, by their demand
    user_rps: Annotated[Array, "f8", "C U"]  # expected demand of a user region
    entry_mean_ms: Annotated[Array, "f8", "C"]  # mean round trip between users and their gateway
    gain_per_ms: Annotated[Array, "f8", "C"]  # reward per step of each request/s that arrives a millisecond sooner
    open_site: Annotated[Array, "u1", "C N"]  # 1 where a site can be told to change, for the mask
    open_to_more: Annotated[Array, "u1", "C N"]  # 1 where one can be told to take more on, for the mask
    free_gpus: Annotated[Array, "i4", "C N"]  # of a site, for the mask
    model_warm: Annotated[Array, "i4", "C M"]  # warm replicas at sites that are up, by model
    model_loading: Annotated[Array, "i4", "C M"]  # replicas under way at sites that are up, by model
    model_capacity_rps: Annotated[Array, "f8", "C M"]  # capacity of the warm replicas at sites that are up, by model
    site_warm: Annotated[Array, "i4", "C N"]  # models warm at a site
    site_loading: Annotated[Array, "i4", "C N"]  # models under way at a site
    expected_growth: Annotated[
        Array, "f8", "C U"
    ]  # expected demand of a region after the look-ahead over the present one
    present_rps: Annotated[Array, "f8", "C M"]  # demand for a model at the end of the step
    over_mean: Annotated[Array, "f8", "C M"]  # demand for a model over its mean, minus 1
    expected_change: Annotated[
        Array, "f8", "C M"
    ]  # expected demand for a model after the look-ahead over the present, minus 1
    warm_utilisation: Annotated[Array, "f8", "C M"]  # served by a model over the capacity of its warm replicas
    spare_share: Annotated[Array, "f8", "C M"]  # unused capacity of a model's warm replicas over its demand
    all_present_rps: Annotated[Array, "f8", "C"]  # demand for all models at the end of the step
    all_over_mean: Annotated[Array, "f8", "C"]  # demand for all models over its mean, minus 1
    all_expected_change: Annotated[
        Array, "f8", "C"
    ]  # expected demand for all models after the look-ahead over the present, minus 1
    user_ms: Annotated[Array, "f8", "C N"]  # demand-weighted round trip between users and a site
    site_alarm: Annotated[Array, "f8", "C N"]  # highest signal among a site's visible shared domains
    free_share: Annotated[Array, "f8", "C N"]  # share of a site's GPUs that is free
    distance: Annotated[Array, "f8", "C N"]  # user_ms as the observation has it
