"""The arrays of the simulator: what each holds, its shape and its unit. Dimension letters are those of `binding`.

Index codes: phases, roles, status bits, effects, terms and metrics are the constants below.
"""

# An annotation `array(...)` is evaluated to an Annotated type, which a static checker cannot see.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import NamedTuple

from og_env.binding import HEADER, array, fields, viewer

ABSENT, STAGING, ON_DISK, FETCHING, LOADING, WARM = range(6)
"""a model at a site: STAGING fetches to disk only; FETCHING, LOADING and WARM hold GPUs"""

VERIFIER, STORE, GATEWAY = range(3)

DOWN, FROZEN, UNTRUSTED, SLOW = 1, 2, 4, 8
"""status bits of a site"""
WARM_UP_H = 48.0
"""simulated before an episode, so that outages are in progress when it begins; none is older"""

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


class World(NamedTuple):
    """What does not change in an episode."""

    site_valid: array("i1", "W N")  # 0 pads a smaller fleet
    gpu_count: array("i4", "W N")
    usd_per_gpu_hour: array("f4", "W N")
    usd_per_vm_hour: array("f4", "W N")
    egress_usd_per_gb: array("f4", "W N")
    link_mb_per_s: array("i4", "W N")  # link_gbps x 125
    tee: array("i1", "W N")  # 1 where the site can attest
    site_hazard: array("f4", "W N")  # expected share of time down
    hit: array("f4", "W N D")  # hit probability of the site by its d-th domain
    site_domain: array("i4", "W N D")  # its fault domains, its own (index S + site) first; -1 pads
    rtt_ms: array("f4", "W N N")
    rtt_user_ms: array("f4", "W U N")
    near_site: array("i4", "W N N")  # sites by distance from a site, itself first
    near_user: array("i4", "W U N")  # sites by distance from a user region; padded sites last
    replica_gpus: array("i4", "W M N")  # GPUs that a replica takes; 0 where the model does not fit
    capacity_rps: array("f4", "W M N")
    service_s: array("f4", "W M N")  # mean answer time
    busy_s: array("f4", "W M N")  # time that a stream is held: service x proof multiplier
    load_ms: array("i4", "W M N")  # disk to GPU plus engine start
    weights_mb: array("i4", "W M")
    weights_gb: array("f4", "W M")
    streams: array("f4", "W M")
    queue_exponent: array("f4", "W M")  # sqrt(2 (streams + 1)) - 1
    slo_s: array("f4", "W M")
    verification: array("i1", "W M")  # 0 none, 1 tee, 2 zkml
    request_gb: array("f4", "W M")
    base_rps: array("f4", "W U M")  # mean demand
    diurnal: array("f4", "W Y U")  # expected factor by step of the UTC day
    correlation: array("f4", "W N N")  # of the up indicators
    domain_size: array("i4", "W F")  # members; 0 pads
    domain_visible: array("i1", "W F")
    domain_effect: array("i1", "W F")  # its likeliest effect, a status bit
    domain_rate: array("f4", "W F")  # shocks per hour, average
    domain_mean_h: array("f4", "W F")  # mean duration
    fragile_rate: array("f4", "W S")  # shocks per hour in a fragile span, as drawn
    step_ms: array("i4", "W")
    detect_ms: array("i4", "W")
    provision_ms: array("i4", "W")
    patience_ms: array("i4", "W")
    timeout_ms: array("f4", "W")
    block_s: array("f4", "W")
    settle_s: array("f4", "W")
    utilisation_limit: array("f4", "W")
    store_streams: array("i4", "W")
    store_mb_per_s: array("i4", "W")
    storage_usd_per_gb_hour: array("f4", "W")
    queue_factor: array("f4", "W")  # (ca^2 + cs^2) / 2
    service_cv: array("f4", "W")
    weights: array("f4", "W 6")  # of TERMS
    convexity: array("f4", "W")
    budget_usd_per_hour: array("f4", "W")
    knobs: array("f4", "W 5")  # the router's defaults, in the order of KNOBS
    attack_budget: array("i4", "W")
    attack_cooldown: array("i4", "W")  # steps
    attack_steps: array("i4", "W")
    start_phase: array("i1", "W M N")
    start_role: array("i4", "W 3 N")  # role_ms at the first step
    planner: array("f4", "W 6")  # constants of the proposals, named in proposals.PLANNER


class Tape(NamedTuple):
    """All randomness of an episode. Row 0 is what is seen before the first step; step i (from 1) reads row i."""

    regional: array("f4", "B T U")  # demand factor with the diurnal curve
    model: array("f4", "B T M")  # demand factor
    status: array("u1", "B T N")  # status bits
    signal: array("u1", "B T S")  # noisy error rate, codes 0 .. 255 for -0.25 .. 1.75
    attack: array("u1", "B T")  # 1 where the opponent may strike
    start_step: array("i4", "B")  # step of the UTC day of row 0
    outages: array("u1", "B T")  # shocks active, for the metrics


class State(NamedTuple):
    """What a step changes."""

    world: array("i4", "B")  # index of the environment's world
    step: array("i4", "B")  # steps done
    phase: array("i1", "B M N")
    left: array("i4", "B M N")  # MB to fetch, or ms to load
    role_ms: array("i4", "B 3 N")  # -1 absent, above 0 provisioning, 0 running
    gpus_used: array("i4", "B N")
    undetected_ms: array("i4", "B N")  # how long the router will still use a dead site
    status: array("u1", "B N")  # at the end of the last step
    utilisation: array("f4", "B M N")
    load_rps: array("f4", "B M N")  # served by replica in the last step
    site_share: array("f4", "B N")  # of served traffic
    domain_share: array("f4", "B F")
    domain_loss: array("f4", "B F")  # N-1
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
    offer: array("i4", "B P")  # operations proposed for the next step; 0 pads
    offer_gain: array("f4", "B P 5")  # gain per step: total, service, cost, resilience; then seconds until useful


class Scratch(NamedTuple):
    """Working memory, one slot a thread."""

    wait_ms: array("i4", "C M N")  # until a replica is warm; -1 never
    rate_mb_per_s: array("i4", "C M N")  # of each fetch
    store_fetches: array("i4", "C N")
    site_fetches: array("i4", "C N")
    source: array("i4", "C N")  # nearest live store of each site; -1 none
    seen: array("u1", "C N")  # status at the end of the last step
    dead_share: array("f4", "C N")  # of the step in which a dead site is still used
    demand: array("f4", "C U M")
    gateway_of: array("i4", "C U")  # slot; -1 none
    final: array("i1", "C")  # 1 where the quorum holds
    sums: array("f8", "C 4")  # of capacity and of cold waits, over replicas
    slots: array("i4", "C")  # gateways in use
    gateways: array("i4", "C N")  # their sites
    slot_of: array("i4", "C N")
    gateway_rps: array("f8", "C M N")  # demand by model and slot
    gateway_ms: array("f8", "C M N")  # sum of demand x ms between user and gateway
    gateway_ms2: array("f8", "C M N")
    net_ms: array("f4", "C N N")  # by slot and site
    attraction: array("f8", "C N N")  # exp(-ms / temperature) by slot and site
    attracted: array("i1", "C N")  # 1 where the two above are filled in
    site_risk: array("f4", "C N")
    replicas: array("i4", "C N")  # list: sites of the model at hand
    factor: array("f4", "C N")  # list: share of the step in which the router uses it
    weight: array("f8", "C N")  # list
    replica_wait_s: array("f4", "C N")  # list
    cap_rps: array("f4", "C N")  # list
    offered_rps: array("f8", "C N")  # list
    kept: array("f8", "C N")  # list
    spare_rps: array("f8", "C N")  # list: before the second split
    flow: array("f8", "C N N")  # by slot and list position
    total_rps: array("f8", "C N")  # list: served
    room_rps: array("f8", "C N")  # list: what a warm replica could serve more, below its limit
    delay_s: array("f8", "C N")  # list: service, queue and cold wait
    delay_var: array("f8", "C N")
    load: array("f4", "C M N")  # served by replica
    asked: array("f8", "C M")  # demand by model
    unrouted: array("f8", "C M")  # of users without a gateway
    served: array("f8", "C M")
    verified: array("f8", "C M")
    latency_s: array("f8", "C M")
    latency_var: array("f8", "C M")
    timeouts: array("f8", "C M")  # served after a timeout
    spare_total: array("f8", "C M")
    spare_trusted: array("f8", "C M")
    disk_total: array("i4", "C M")
    live: array("i4", "C 3")  # running roles at sites that are up
    registered: array("i4", "C")  # running verifiers, dead ones included
    quorum_s: array("f4", "C N")  # from a site to the quorum; -1 not computed
    site_rps: array("f8", "C N")
    domain_load: array("f8", "C F M")  # served in each domain
    domain_spare: array("f8", "C F M")
    domain_disk: array("i4", "C F M")
    domain_role: array("i4", "C F 3")
    domain_part: array("f8", "C F M")  # loss by model, requests/s
    domain_risk: array("f8", "C F")  # expected share of the near future without it, as the signals have it
    domain_base: array("f8", "C F")  # nominal loss, share of demand
    column_load: array("f8", "C F")  # a candidate's columns of domain_load and domain_spare
    column_spare: array("f8", "C F")
    base: array("f8", "C 4")  # nominal demand and served requests/s, price of what is unserved, resilience cost
    trial: array("f8", "C 4")  # of the model on trial: served, verified, spare, trusted spare
    candidate: array("f8", "C N")
    digest: array("f8", "C M 8")  # of the observation, by model
    site_digest: array("f8", "C N 4")
    region_rps: array("f8", "C U")
    site_score: array("f8", "C N")
    service: array("f8", "C M")  # nominal service cost by model
    path_ms: array("f8", "C N")  # from a site to the replicas, by load


GROUPS = (World, Tape, State, Output, Scratch)
_FIRST = {}
_next = HEADER
for _group in GROUPS:
    _FIRST[_group] = _next
    _next += len(fields(_group))

world_of = viewer(World, _FIRST[World])
tape_of = viewer(Tape, _FIRST[Tape])
state_of = viewer(State, _FIRST[State])
output_of = viewer(Output, _FIRST[Output])
scratch_of = viewer(Scratch, _FIRST[Scratch])
