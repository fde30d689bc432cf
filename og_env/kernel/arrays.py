"""The arrays of the simulator: what each holds, its shape and its unit. Dimension letters are those of `binding`.

Index codes: phases, roles, status bits, effects, terms and metrics are the constants below.
"""

# An annotation `array(...)` is evaluated to an Annotated type, which a static checker cannot see.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from og_env.kernel.bound_views import EnvType, binder
from og_env.kernel.columns import columns
from og_env.kernel.views import HEADER, array, fields, viewer

ABSENT, STAGING, ON_DISK, FETCHING, LOADING, WARM = range(6)
"""a model at a site: STAGING fetches to disk only; FETCHING, LOADING and WARM hold GPUs"""

VERIFIER, STORE, GATEWAY = range(3)

DOWN, FROZEN, UNTRUSTED, SLOW = 1, 2, 4, 8
"""status bits of a site"""
HALF, LOW = 4, 15
"""bits of them all"""
WARM_UP_H = 48.0
"""simulated before an episode, so that outages are in progress when it begins; none is older"""

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

PLANNER = columns(
    "Planner", ("lookahead_steps", "horizon_steps", "hedge_weight", "threshold", "shortlist", "risk_weight")
)
"""positions of the planner's constants in World.planner; values and meaning are in og_env/world/settings.py"""
GAIN = columns("Gain", ("total", "service", "cost", "resilience"))
"""positions in Output.offer_gain of an offer's gain and of the three parts that it is the sum of"""


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
    attraction: array("f8", "W N N")  # by site and gateway: exp(-rtt / temperature), at the router's default
    rtt_user_ms: array("f4", "W U N")
    near_site: array("i4", "W N N")  # sites by distance from a site, itself first
    near_user: array("i4", "W U N")  # sites by distance from a user region; padded sites last
    replica_gpus: array("i4", "W M N")  # GPUs that a replica takes; 0 where the model does not fit
    capacity_rps: array("f4", "W M N")
    service_s: array("f4", "W M N")  # mean answer time
    busy_s: array("f4", "W M N")  # time that a stream is held: service x proof multiplier
    load_ms: array("i4", "W M N")  # disk to GPU plus engine start
    mean_load_ms: array("f4", "W M")  # over the sites where the model fits
    weights_mb: array("i4", "W M")
    weights_gb: array("f4", "W M")
    streams: array("f4", "W M")
    queue_exponent: array("f4", "W M")  # of the waiting probability at rho near 1
    slo_s: array("f4", "W M")
    verification: array("i1", "W M")  # 0 none, 1 tee, 2 zkml
    request_gb: array("f4", "W M")
    base_rps: array("f4", "W U M")  # mean demand
    region_rps: array("f4", "W U")  # mean demand of all models
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
    planner: array("f4", "W 6")  # the planner's constants, at the positions of PLANNER


class Tape(NamedTuple):
    """All randomness of an episode. Row 0 is what is seen before the first step; step i (from 1) reads row i."""

    regional: array("f4", "B T U")  # demand factor with the diurnal curve
    model: array("f4", "B T M")  # demand factor
    status_pairs: array("u1", "B R N")  # status bits of rows 2r (low half) and 2r + 1 (high half)
    signal: array("u1", "B T S")  # noisy error rate, codes 0 .. 255 for -0.25 .. 1.75
    attack: array("u1", "B T")  # 1 where the opponent may strike
    start_step: array("i4", "B")  # step of the UTC day of row 0
    outages: array("u1", "B T")  # shocks active, for the metrics

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
    left: array("i4", "B M N")  # MB to fetch, or ms to load
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
    criticals: array("u1", "B")  # the bits of all domains


class Scratch(NamedTuple):
    """Working memory, one slot a thread."""

    wait_ms: array("i4", "C M N")  # until a replica under way is warm; -1 never
    rate_kb_per_s: array("i4", "C M N")  # of each fetch
    moves: array("i4", "C")  # fetches and loads under way
    move_model: array("i4", "C V")  # and where
    move_site: array("i4", "C V")
    store_fetches: array("i4", "C N")
    site_fetches: array("i4", "C N")
    source: array("i4", "C N")  # nearest live store of each site; -1 none, -2 not looked up
    seen: array("u1", "C N")  # status at the end of the last step
    dead_share: array("f4", "C N")  # of the step in which a dead site is still used
    alarm: array("f8", "C S")  # of the visible shared domains
    alarm_hour: array("f8", "C S")  # mean of the last hour
    domain_share: array("f4", "C F")  # of served traffic
    carried: array("f8", "C S")  # the same of the visible shared domains
    site_risk: array("f8", "C N")
    hosting: array("u1", "C N")  # 1 where attraction and risk are filled in
    demand: array("f8", "C U M")
    asked: array("f8", "C M")  # demand by model
    slot_of: array("i4", "C N")
    votes: array("u1", "C N")  # 1 where a verifier runs at a site that is up
    gateway_rps: array("f8", "C N M")  # demand by slot and model
    gateway_ms: array("f8", "C N M")  # sum of demand x ms between user and gateway
    gateway_ms2: array("f8", "C N M")
    net_ms: array("f8", "C X")  # by site and slot, at site x L + slot
    attraction: array("f8", "C X")  # exp(-ms / temperature), likewise
    pull: array("f8", "C X")  # of the model at hand, by list position and slot, at position x L + slot
    slot_rps: array("f8", "C L")  # by slot: demand for the model at hand
    slot_soft: array("f8", "C L")  # by slot: requests/s per pull, and per factor
    slot_even: array("f8", "C L")
    slot_ms: array("f8", "C L")  # by slot: mean and variance of the ms between user and gateway
    slot_var: array("f8", "C L")
    placed: array("i4", "C M L")  # sites that hold GPUs for a model, in order
    placed_count: array("i4", "C M")
    replicas: array("i4", "C L")  # list: sites of the model at hand
    factor: array("f8", "C L")  # list: share of the step in which the router uses it
    burden: array("f8", "C L")  # list: load of the last step over capacity, as the router sees it
    risk: array("f8", "C L")  # list: of its domains, and 1 where its work does not count as attested
    weight: array("f8", "C L")  # list: before distance
    replica_wait_s: array("f8", "C L")  # list
    cap_rps: array("f8", "C L")  # list
    offered_rps: array("f8", "C L")  # list
    kept: array("f8", "C L")  # list: share of the offered load below the limit
    spare_rps: array("f8", "C L")  # list: before the overflow is divided
    path_first: array("f8", "C L")  # list: sum of flow x ms from user to replica
    path_second: array("f8", "C L")  # list: sum of flow x its second moment
    total_rps: array("f8", "C L")  # list: served
    room_rps: array("f8", "C L")  # list: what a warm replica could serve more, below its limit
    service_s: array("f8", "C L")  # list
    queue_s: array("f8", "C L")  # list: mean wait of those who wait, without load
    delay_s: array("f8", "C L")  # list: service, queue and cold wait
    delay_var: array("f8", "C L")
    served: array("f8", "C M")
    verified: array("f8", "C M")
    latency_s: array("f8", "C M")
    latency_var: array("f8", "C M")
    timeouts: array("f8", "C M")  # served after a timeout
    site_rps: array("f8", "C N")
    domain_role: array("i4", "C 3 F")
    domain_disk: array("i4", "C F M")
    disk_total: array("i4", "C M")
    column_plain: array("f8", "C G")  # what would go with its replicas, requests/s
    column_part: array("f8", "C G")  # its loss in all
    domain_lost: array("f8", "C G")  # the same of all models
    limit_rps: array("f8", "C L")  # by position on the planner's list: what a replica serves at most
    per_capacity: array("f8", "C L")  # by position on the planner's list: one over the capacity in requests/s
    trust: array("f8", "C L")  # list: 1 where its work counts as attested
    over_share: array("f8", "C L")  # by position on the planner's list: share of what is sent that exceeds the limit
    slot_pull: array("f8", "C X")  # a gateway's pull to a replica on the planner's list, at slot x L + position
    slot_net_ms: array("f8", "C X")  # between a gateway and a replica on the planner's list, at slot x L + position
    held: array("f8", "C G")  # what the listed replicas in each domain serve and could serve more, requests/s
    held_before: array("f8", "C D")  # `held` before a trial, by domain of the trial's site
    untrusting: array("f8", "C G")  # 1 for a domain whose effect is UNTRUSTED
    shown: array("f8", "C G")  # 1 for a domain that the agent is told of
    critical_at: array("i4", "C F")  # the critical ones
    criticals: array("i4", "C")  # their number
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
    path_ms: array("f8", "C N")  # from a site to the gateways, by load
    open: array("u1", "C N")  # 1 where a site can be told to change
    free: array("i4", "C N")  # its free GPUs
    sums: array("f8", "C 4")
    tally: array("f8", "C M 4")  # by model: warm replicas, those under way, capacity and load of the warm ones
    site_warm: array("i4", "C N")  # models warm, and under way, by site
    site_loading: array("i4", "C N")
    digest: array("f8", "C M 8")  # of the observation, by model
    site_alarm: array("f8", "C N")  # highest signal among its visible shared domains
    free_share: array("f8", "C N")  # of its GPUs
    distance: array("f8", "C N")  # demand-weighted, as the observation has it
    growth: array("f8", "C U")  # expected demand after the look-ahead over the present one


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
_FIRST = {}
_next = HEADER
for _group in GROUPS:
    _FIRST[_group] = _next
    _next += len(fields(_group))

world_of = viewer(World, _FIRST[World], constant=True)
tape_of = viewer(Tape, _FIRST[Tape])
state_of = viewer(State, _FIRST[State])
output_of = viewer(Output, _FIRST[Output])
scratch_of = viewer(Scratch, _FIRST[Scratch])
memo_of = viewer(Memo, _FIRST[Memo])

_VIEWS = {
    "world": world_of.view,
    "tape": tape_of.view,
    "state": state_of.view,
    "output": output_of.view,
    "scratch": scratch_of.view,
    "memo": memo_of.view,
}
environment = binder(EnvType(_VIEWS), state_of.view.fields["world"])
"""the compiled function (table, b, c) -> one environment, from which kernels read and write"""
