"""The arrays of the simulator: what each holds, its shape and its unit. Dimension letters are those of `views`.

Index codes: phases, roles, status bits, effects, terms and metrics are the constants below.
"""

# An annotation `array(...)` is evaluated to an Annotated type, which a static checker cannot see.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from og_env.kernel.bound_views import ViewType, binder
from og_env.kernel.columns import columns
from og_env.kernel.views import HEADER, array, fields

ABSENT, STAGING, ON_DISK, FETCHING, LOADING, WARM = range(6)
"""a model at a site: STAGING fetches to disk only; FETCHING, LOADING and WARM hold GPUs"""

VERIFIER, STORE, GATEWAY = range(3)

DOWN, FROZEN, UNTRUSTED, SLOW = 1, 2, 4, 8
"""status bits of a site"""
HALF, LOW = 4, 15
"""bits of them all"""
WARM_UP_H = 48.0
"""simulated before an episode, so that outages are in progress when it begins; none is older"""
SIGNAL_LOW, CODES_PER_UNIT = -0.25, 127.5
"""error rate of code 0 of a tape's signal, and codes per unit of error rate: 255 is an error rate of 1.75"""

PLACES, ROLES = 1, 2
"""bits of what the memo knows: figures of phases and GPUs, figures of roles and statuses"""

TERMS = ("latency", "cost", "unserved", "unverified", "exposure", "churn")
KNOBS = ("latency_temperature_ms", "cold_penalty", "load_penalty", "risk_aversion", "spread")
METRICS = (
    "latency_mean_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "finality_s",
    "demand_rps",
    "served_rps",
    "served_share",
    "verified_share",
    "usd_per_hour",
    "usd_per_1000_requests",
    "cold_starts",
    "cold_wait_s",
    "timeout_share",
    "utilisation",
    "exposure",
    "n_eff",
    "active_outages",
    "sites_down",
    "replicas_warm",
    "replicas_loading",
    "verifiers_live",
    "stores_live",
    "gateways_live",
    "quorum",
    "fetch_gb",
    "operations",
    "impossible_operations",
)
TERM, KNOB, METRIC = columns("Term", TERMS), columns("Knob", KNOBS), columns("Metric", METRICS)
"""positions of the names: `knobs[KNOB.spread]`"""

PLANNER = columns(
    "Planner", ("lookahead_steps", "horizon_steps", "hedge_weight", "threshold", "shortlist", "risk_weight")
)
"""positions of the planner's constants in World.planner; values and meaning are in og_env/world/settings.py"""
GAIN = columns("Gain", ("total", "service", "cost", "resilience"))
"""positions in Output.offer_gain of an offer's gain and of the three parts that it is the sum of"""


class World(NamedTuple):
    """What does not change in an episode."""

    site_valid: array("i1", "W N")  # 1 for a site, 0 for what pads a smaller fleet
    gpu_count: array("i4", "W N")  # GPUs at the site
    usd_per_gpu_hour: array("f4", "W N")  # rent of a GPU
    usd_per_vm_hour: array("f4", "W N")  # rent of a machine for a verifier, store or gateway
    egress_usd_per_gb: array("f4", "W N")  # price of what leaves the site
    link_mb_per_s: array("i4", "W N")  # speed of the site's link, link_gbps x 125
    tee: array("i1", "W N")  # 1 where the site can attest
    site_hazard: array("f4", "W N")  # expected share of time down
    hit: array("f4", "W N D")  # hit probability of the site by its d-th domain
    site_domain: array("i4", "W N D")  # its fault domains, its own (index S + site) first; -1 pads
    rtt_ms: array("f4", "W N N")  # round trip between two sites
    attraction: array("f8", "W N N")  # by site and gateway: exp(-rtt / temperature) at the router's default
    rtt_user_ms: array("f4", "W U N")  # round trip between a user region and a site
    near_site: array("i4", "W N N")  # sites by distance from a site, itself first
    near_user: array("i4", "W U N")  # sites by distance from a user region; padded sites last
    replica_gpus: array("i4", "W M N")  # GPUs that a replica takes; 0 where the model does not fit
    capacity_rps: array("f4", "W M N")  # requests/s at which a replica is fully loaded
    service_s: array("f4", "W M N")  # mean time of an answer without waiting
    busy_s: array("f4", "W M N")  # time that an answer holds a stream: service x proof multiplier
    load_ms: array("i4", "W M N")  # time from disk to GPU plus the start of the engine
    mean_load_ms: array("f4", "W M")  # mean of load_ms over the sites where the model fits
    weights_mb: array("i4", "W M")  # size of a model's weights
    weights_gb: array("f4", "W M")  # size of a model's weights
    streams: array("f4", "W M")  # answers that a replica works on at once
    queue_exponent: array("f4", "W M")  # exponent of the waiting probability as utilisation nears 1
    slo_s: array("f4", "W M")  # objective of the mean latency
    verification: array("i1", "W M")  # 0 none, 1 tee, 2 zkml
    request_gb: array("f4", "W M")  # what an answer sends out of its site
    base_rps: array("f4", "W U M")  # mean demand of a user region for a model
    region_rps: array("f4", "W U")  # mean demand of a user region for all models
    diurnal: array("f4", "W Y U")  # expected demand factor by step of the UTC day
    correlation: array("f4", "W N N")  # between two sites being up
    domain_size: array("i4", "W F")  # sites in a fault domain; 0 pads
    domain_visible: array("i1", "W F")  # 1 where the agent is told who shares the domain
    domain_effect: array("i1", "W F")  # likeliest effect of a shock of the domain, a status bit
    domain_rate: array("f4", "W F")  # average shocks per hour
    domain_mean_h: array("f4", "W F")  # mean duration of a shock
    fragile_rate: array("f4", "W S")  # shocks per hour while the domain is fragile, as drawn
    step_ms: array("i4", "W")  # length of a step
    detect_ms: array("i4", "W")  # time for which the router goes on using a dead site
    provision_ms: array("i4", "W")  # time until a verifier, store or gateway runs
    patience_ms: array("i4", "W")  # longest wait for a replica that is not warm yet
    timeout_ms: array("f4", "W")  # what a request to a dead site loses
    block_s: array("f4", "W")  # time of a block of the ledger
    settle_s: array("f4", "W")  # time of the settlement after a vote
    utilisation_limit: array("f4", "W")  # share of its capacity that a replica serves at most
    store_streams: array("i4", "W")  # fetches that a store serves at full speed
    store_mb_per_s: array("i4", "W")  # full speed of a fetch
    storage_usd_per_gb_hour: array("f4", "W")  # price of weights on a disk
    queue_factor: array("f4", "W")  # (ca^2 + cs^2) / 2 of Allen and Cunneen, from the variation of arrivals and service
    service_cv: array("f4", "W")  # coefficient of variation of the time of an answer
    weights: array("f4", "W 6")  # weights of the reward, in the order of TERMS
    convexity: array("f4", "W")  # of the price of the unserved share
    budget_usd_per_hour: array("f4", "W")  # spending that the cost term counts as 1
    knobs: array("f4", "W 5")  # the router's defaults, in the order of KNOBS
    attack_budget: array("i4", "W")  # attacks in an episode
    attack_cooldown: array("i4", "W")  # steps between two attacks
    attack_steps: array("i4", "W")  # steps that an attack lasts
    start_phase: array("i1", "W M N")  # phase of a model at the first step
    start_role: array("i4", "W 3 N")  # role_ms at the first step
    planner: array("f4", "W 6")  # the planner's constants, at the positions of PLANNER


class Tape(NamedTuple):
    """All randomness of an episode. Row 0 is what is seen before the first step; step i (from 1) reads row i."""

    regional: array("f4", "B T U")  # demand factor of a user region, with the diurnal curve
    model: array("f4", "B T M")  # demand factor of a model
    status_pairs: array("u1", "B R N")  # status bits of rows 2r (low half) and 2r + 1 (high half)
    signal: array("u1", "B T S")  # noisy error rate of a shared domain, codes 0 .. 255 for -0.25 .. 1.75
    attack: array("u1", "B T")  # 1 where the opponent may strike
    start_step: array("i4", "B")  # step of the UTC day of row 0
    outages: array("u1", "B T")  # number of shocks that are active, for the metrics

    @property
    def status(self) -> np.ndarray:
        """Status bits uint8 [B, T, N], unpacked and therefore read only; `write_status` changes them."""
        batch, rows = self.attack.shape
        status = np.stack([self.status_pairs & LOW, self.status_pairs >> HALF], axis=2).reshape(
            batch, -1, self.status_pairs.shape[2]
        )
        status.flags.writeable = False
        return status[:, :rows]

    def status_at(self, b: int | np.ndarray, row: np.ndarray) -> np.ndarray:
        """Status bits [..., N] of rows of environments."""
        return (self.status_pairs[b, row >> 1] >> ((row & 1) * HALF)[..., None].astype(np.uint8)) & LOW

    def write_status(self, status: np.ndarray, where: slice = slice(None)) -> None:
        """Pack status bits [B, T, N] (or what can be broadcast to it) of some environments."""
        batch, rows = self.attack[where].shape
        padded = np.zeros((batch, 2 * self.status_pairs.shape[1], self.status_pairs.shape[2]), np.uint8)
        padded[:, :rows] = status
        self.status_pairs[where] = padded[:, ::2] | (padded[:, 1::2] << HALF)


class State(NamedTuple):
    """What a step changes."""

    world: array("i4", "B")  # index of the environment's world
    step: array("i4", "B")  # steps done
    phase: array("i1", "B M N")
    fetch_left_mb: array("i4", "B M N")  # weights still to fetch; 0 outside STAGING and FETCHING
    load_left_ms: array("i4", "B M N")  # time still to load; 0 outside LOADING
    role_ms: array("i4", "B 3 N")  # -1 absent, above 0 provisioning, 0 running
    gpus_used: array("i2", "B N")
    undetected_ms: array("i4", "B N")  # how long the router will still use a dead site
    status: array("u1", "B N")  # at the end of the last step
    load_rps: array("f4", "B M N")  # served by replica in the last step
    site_share: array("f4", "B N")  # of served traffic
    model_demand_rps: array("f4", "B M")
    model_served_rps: array("f4", "B M")
    model_latency_s: array("f4", "B M")
    knobs: array("f4", "B 5")  # in effect
    attack_domain: array("i4", "B")  # -1 none
    attack_until: array("i4", "B")  # last step of the attack
    attack_ready: array("i4", "B")  # first step at which the opponent may strike again
    attacks_left: array("i4", "B")


class Output(NamedTuple):
    """What a step reports."""

    reward: array("f4", "B")
    terms: array("f4", "B 6")  # unweighted
    metrics: array("f4", "B Q")
    truncated: array("u1", "B")
    operation: array("i4", "B")  # index of the operation carried out; 0 none
    seen_loss: array("f4", "B")  # largest N-1 loss of a visible domain
    domain_loss: array("f4", "B H")  # N-1
    offer: array("i4", "B P")  # operations proposed for the next step; 0 pads
    offer_gain: array("f4", "B P 4")  # reward per step that each offer is expected to gain, at the positions of GAIN
    offer_ready_s: array("f4", "B P")  # seconds until each offer is of use


class Memo(NamedTuple):
    """What only changes when a phase, a role or a status does, kept from step to step; zeros mean: work it out."""

    known: array("u1", "B")  # bits PLACES and ROLES: which of the rest holds
    dying: array("u1", "B")  # 1 where a dead site was still in use in the last step
    moving: array("i4", "B")  # fetches, loads and roles under way
    fetching: array("i4", "B")  # fetches alone
    live: array("i2", "B 3")  # running roles at sites that are up
    registered: array("i2", "B")  # running verifiers, dead ones included
    rent_usd_per_hour: array("f8", "B")  # GPUs, machines, stored weights
    slots: array("i2", "B")  # gateways in use
    gateways: array("i2", "B N")  # their sites
    gateway_of: array("i2", "B U")  # slot; -1 none
    gateway_ms: array("f4", "B U")  # between user and gateway
    last_vote: array("i2", "B N")  # by site: the verifier that completes its quorum; -1 not looked up
    critical: array("u1", "B F")  # bits: without the domain there is no gateway, no quorum, no store
    critical_any: array("u1", "B")  # the bits of all domains together


class Scratch(NamedTuple):
    """Working memory, one slot a thread."""

    wait_ms: array("i4", "C M N")  # until a replica under way is warm; -1 never
    rate_kb_per_s: array("i4", "C M N")  # of each fetch under way
    moves: array("i4", "C")  # number of fetches and loads under way
    move_model: array("i4", "C V")  # model of each fetch or load under way
    move_site: array("i4", "C V")  # site of each fetch or load under way
    store_fetches: array("i4", "C N")  # fetches that share the store at a site
    site_fetches: array("i4", "C N")  # fetches that share the link of a site
    source: array("i4", "C N")  # nearest live store of each site; -1 none, -2 not looked up
    seen: array("u1", "C N")  # status that the router goes by: that at the end of the last step
    dead_share: array("f4", "C N")  # share of the step in which the router still uses a dead site
    alarm: array("f8", "C S")  # of the visible shared domains: 0 calm .. 1 fragile
    alarm_hour: array("f8", "C S")  # mean signal of the last hour of the visible shared domains, for the observation
    domain_share: array("f4", "C F")  # share of the served traffic of the last step by domain
    carried: array("f8", "C S")  # domain_share of the visible shared domains, 0 of hidden ones
    site_risk: array("f8", "C N")  # alarms of a site's domains plus the largest traffic share of one
    hosting: array("u1", "C N")  # 1 where net_ms, attraction and site_risk are filled in
    demand_rps: array("f8", "C U M")  # demand of the step by user region
    demand: array("f8", "C U M")  # nominal demand, for the proposals, requests/s
    asked: array("f8", "C M")  # demand by model
    slot_of: array("i4", "C N")  # slot of the gateway at a site
    votes: array("u1", "C N")  # 1 where a verifier runs at a site that is up
    gateway_rps: array("f8", "C M L")  # demand by model and slot
    gateway_rps_ms: array("f8", "C M L")  # sum of demand x ms between user and gateway, by model and slot
    gateway_rps_ms2: array("f8", "C M L")  # sum of demand x ms^2 between user and gateway, by model and slot
    net_ms: array("f8", "C X")  # between site and gateway, at site x L + slot
    attraction: array("f8", "C X")  # exp(-net_ms / temperature), at site x L + slot
    pull: array("f8", "C X")  # attraction x weight of the model at hand, at list position x L + slot
    rps_per_pull: array("f8", "C L")  # by slot: requests/s that the softmax sends per unit of pull
    rps_per_factor: array("f8", "C L")  # by slot: requests/s that the even spread sends per unit of factor
    retried_per_spare: array("f8", "C L")  # by slot: overflow that moves, per requests/s of spare capacity
    entry_ms: array("f8", "C L")  # by slot: mean time between user and gateway
    entry_var: array("f8", "C L")  # by slot: its variance, ms^2
    slot_soft: array("f8", "C L")  # by slot, for the proposals: requests/s per pull
    slot_even: array("f8", "C L")  # by slot, for the proposals: requests/s per replica
    slot_ms: array("f8", "C L")  # by slot, for the proposals: mean time between user and gateway
    placed: array("i4", "C M L")  # sites that hold GPUs for a model, in order
    placed_count: array("i4", "C M")  # number of the sites in `placed`
    replicas: array("i4", "C L")  # list: sites of the model at hand
    factor: array("f8", "C L")  # list: share of the step in which the router uses it
    burden: array("f8", "C L")  # list: load of the last step over capacity, as the router sees it
    risk: array("f8", "C L")  # list: of its domains, and 1 where its work does not count as attested
    weight: array("f8", "C L")  # list: before distance
    replica_wait_s: array("f8", "C L")  # list: until it is warm
    cap_rps: array("f8", "C L")  # list: capacity in this step, 0 where dead
    wanted_rps: array("f8", "C L")  # list: what the router sends at first, overflow included
    direct_rps: array("f8", "C L")  # list: the part of wanted_rps below the limit
    unused_rps: array("f8", "C L")  # list: what the limit leaves of wanted_rps, before the overflow moves
    kept_share: array("f8", "C L")  # list: direct_rps over wanted_rps
    replica_rps: array("f8", "C L")  # list: served, moved overflow included
    room_rps: array("f8", "C L")  # list: what a warm replica could serve more, below its limit
    path_rps_ms: array("f8", "C L")  # list: sum of requests/s x ms from user to replica
    path_rps_ms2: array("f8", "C L")  # list: sum of requests/s x second moment of these ms
    offered_rps: array("f8", "C L")  # list, for the proposals: before limits
    spare_rps: array("f8", "C L")  # list, for the proposals: before the overflow is divided
    path_first: array("f8", "C L")  # list, for the proposals: sum of requests/s x ms
    service_s: array("f8", "C L")  # list: mean time of service
    queue_s: array("f8", "C L")  # list: mean wait of those who wait, without load
    delay_s: array("f8", "C L")  # list: mean of service, queue and cold wait
    delay_var: array("f8", "C L")  # list: variance of service, queue and cold wait, s^2
    served_rps: array("f8", "C M")  # by model
    late_rps: array("f8", "C M")  # by model: served after a timeout
    listed_rps: array("f8", "C M")  # by model: capacity of the replicas that the router used
    cold_rps_s: array("f8", "C M")  # by model: sum of requests/s x mean wait for a cold replica
    egress_usd_per_s: array("f8", "C M")  # by model: for answers
    verified_rps: array("f8", "C M")  # by model
    final_rps_s: array("f8", "C M")  # by model: sum of verified requests/s x time until final
    answer_s: array("f8", "C M")  # by model: mean time to the answer
    answer_var: array("f8", "C M")  # by model: its variance, s^2
    site_rps: array("f8", "C N")  # served by site, all models
    domain_role: array("i4", "C 3 F")  # live sites of a role by domain
    domain_disk: array("i4", "C F M")  # copies of a model on disks of live sites by domain
    disk_total: array("i4", "C M")  # copies of a model on disks of live sites
    held_rps: array("f8", "C G")  # what the listed replicas in each domain serve and could serve more
    column_plain: array("f8", "C G")  # what would go with a domain's replicas, requests/s of the model at hand
    column_part: array("f8", "C G")  # what would go with a domain in all, requests/s of the model at hand
    domain_loss_rps: array("f8", "C G")  # what would go with a domain in all, of all models
    limit_rps: array("f8", "C L")  # by position on the planner's list: what a replica serves at most
    per_capacity: array("f8", "C L")  # by position on the planner's list: one over the capacity in requests/s
    trust: array("f8", "C L")  # list: 1 where its work counts as attested
    present: array("f8", "C L")  # by position on the planner's list: 1, but 0 for the replica that a trial takes out
    over_share: array("f8", "C L")  # by position on the planner's list: share of what is sent that exceeds the limit
    slot_pull: array("f8", "C X")  # a gateway's pull to a replica on the planner's list, at slot x L + position
    slot_net_ms: array("f8", "C X")  # between a gateway and a replica on the planner's list, at slot x L + position
    held: array("f8", "C G")  # limits of the replicas on the planner's list in each domain, requests/s
    held_before: array("f8", "C D")  # `held` before a trial, by domain of the trial's site
    untrusting: array("f8", "C G")  # 1 for a domain whose effect is UNTRUSTED
    critical_at: array("i4", "C F")  # list of the critical domains
    critical_count: array("i4", "C")  # length of critical_at
    shown: array("f8", "C G")  # 1 for a domain that the agent is told of
    expected_demand_rps: array("f8", "C")  # of all models, under the forecast
    expected_served_rps: array("f8", "C")  # of all models, by the present fleet
    unserved_price: array("f8", "C")  # weighted unserved term of the present fleet
    resilience_price: array("f8", "C")  # price of the present fleet's losses without each domain, reward per step
    fleet_served_rps: array("f8", "C M")  # expected of the present fleet
    fleet_verified_rps: array("f8", "C M")  # expected of the present fleet
    fleet_latency_s: array("f8", "C M")  # expected mean latency of the present fleet
    fleet_service_price: array("f8", "C M")  # weighted latency and unverified terms x requests/s of all demand
    fleet_plain_rps: array("f8", "C M F")  # column_plain of each model in the present fleet
    fleet_part_rps: array("f8", "C M G")  # column_part of each model in the present fleet
    fleet_lost_rps: array("f8", "C F")  # what the present fleet loses without each domain, all models
    other_lost_rps: array("f8", "C G")  # what the present fleet loses without each domain, but for the model on trial
    trial_lost_rps: array("f8", "C G")  # what the fleet on trial loses without each domain, all models
    broken_share: array("f8", "C G")  # share of the planner's horizon that each domain is expected to be broken
    elsewhere: array("f8", "C G")  # 0 for the domains of the site of a stage, 1 for all others
    related: array("f4", "C N")  # traffic share times correlation, by site
    candidate_site: array("i4", "C N")  # the sites that an addition could go to, in order
    candidate_score: array("f8", "C N")  # cheap estimate of the gain at each of these sites, reward per step
    can_change: array("u1", "C N")  # 1 where a site can be told to change, for the planner
    fetch_kb_per_s: array("i4", "C N")  # of one more fetch to a site
    site_score: array("f8", "C N")  # reward per step of the risk that more work at a site would carry
    gateway_path_ms: array("f8", "C N")  # mean round trip between a site and the gateways, by their demand
    user_rps: array("f8", "C U")  # expected demand of a user region
    gain_per_ms: array("f8", "C")  # reward per step of each request/s that arrives a millisecond sooner
    open_site: array("u1", "C N")  # 1 where a site can be told to change, for the mask
    free_gpus: array("i4", "C N")  # of a site, for the mask
    model_warm: array("i4", "C M")  # warm replicas at sites that are up, by model
    model_loading: array("i4", "C M")  # replicas under way at sites that are up, by model
    model_capacity_rps: array("f8", "C M")  # capacity of the warm replicas at sites that are up, by model
    site_warm: array("i4", "C N")  # models warm at a site
    site_loading: array("i4", "C N")  # models under way at a site
    expected_growth: array("f8", "C U")  # expected demand of a region after the look-ahead over the present one
    present_rps: array("f8", "C M")  # demand for a model at the end of the step
    over_mean: array("f8", "C M")  # demand for a model over its mean, minus 1
    expected_change: array("f8", "C M")  # expected demand for a model after the look-ahead over the present, minus 1
    warm_utilisation: array("f8", "C M")  # served by a model over the capacity of its warm replicas
    spare_share: array("f8", "C M")  # unused capacity of a model's warm replicas over its demand
    all_present_rps: array("f8", "C")  # demand for all models at the end of the step
    all_over_mean: array("f8", "C")  # demand for all models over its mean, minus 1
    all_expected_change: array("f8", "C")  # expected demand for all after the look-ahead over the present one, minus 1
    user_ms: array("f8", "C N")  # demand-weighted round trip between users and a site
    site_alarm: array("f8", "C N")  # highest signal among a site's visible shared domains
    free_share: array("f8", "C N")  # share of a site's GPUs that is free
    distance: array("f8", "C N")  # user_ms as the observation has it


class Environment(Protocol):
    """One environment as kernels see it. Its views lack the leading index: `env.state.phase[model, site]`."""

    b: int
    """its place in the batch"""
    k: int
    """the index of its world"""
    c: int
    """the slot of scratch memory in use"""
    world: Any
    tape: Any
    state: Any
    output: Any
    scratch: Any
    memo: Any


GROUPS = (World, Tape, State, Output, Scratch, Memo)


def _views() -> dict[str, ViewType]:
    """A view of each layout; their addresses follow one another in the table."""
    views, first = {}, HEADER
    for layout in GROUPS:
        views[layout.__name__.lower()] = ViewType(layout, first, constant=layout is World)
        first += len(fields(layout))
    return views


_VIEWS = _views()
environment = binder(_VIEWS, _VIEWS["state"].fields["world"])
"""the compiled function (table, b, c) -> one environment, from which kernels read and write"""
