"""The arrays of the simulator and the codes in them: what each field holds, its shape and its unit.

Dimension letters are those of `memory`. The constants below name phases, roles, status bits, terms, knobs and metrics.
Working memory stands in `scratch`.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np

from og_env.kernel.memory import HEADER, Array, columns, fields
from og_env.kernel.scratch import Scratch
from og_env.kernel.views import ViewType, binder

ABSENT, STAGING, ON_DISK, FETCHING, LOADING, WARM = range(6)
"""a model at a site: STAGING fetches to disk only; FETCHING, LOADING and WARM hold GPUs"""

VERIFIER, STORE, GATEWAY = range(3)

DOWN, FROZEN, UNTRUSTED, SLOW = 1, 2, 4, 8
"""status bits of a site"""
SCARCE, LEAVING, TAKEN, NO_LAUNCHES, IMPAIRED, GATEWAY_OFF, STORE_OFF = 1, 2, 4, 8, 16, 32, 64
"""supply bits of a site: launches are refused, which shows only when one is tried; what runs there will be withdrawn; it
is withdrawn; nothing can be launched or added; what loads or starts does so at half speed; its gateway, its store is off"""
BLIND, CALM_SPEED, SPEEDS_PER_OCTAVE = 128, 64, 24
"""in a tape's condition: the bit of a site whose telemetry fails, the code of nominal speed, codes per factor of 2"""
HALF, LOW = 4, 15
"""bits of them all"""
WARM_UP_H = 48.0
"""simulated before an episode, so that outages are in progress when it begins; none is older"""
SIGNAL_LOW, CODES_PER_UNIT = -0.25, 127.5
"""error rate of code 0 of a tape's signal, and codes per unit of error rate: 255 is an error rate of 1.75"""

NO_COUNT_LIMIT, NO_RENT_LIMIT = 2_000_000_000, 1e30
"""in a limit's place where the operator sets none: from here on, no limit binds"""
STEER_RANGE = 4.0
"""a site at level 1 (-1) has its replicas' weights multiplied (divided) by e to this power, which is 55"""

PLACES, ROLES = 1, 2
"""bits of what the memo knows: figures of phases and GPUs, figures of roles and statuses"""

TERMS = ("latency", "cost", "unserved", "unverified", "exposure", "churn")
KNOBS = ("latency_temperature_ms", "cold_penalty", "load_penalty", "risk_aversion", "spread")
METRICS = (
    "latency_mean_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "first_token_mean_ms",
    "first_token_p50_ms",
    "first_token_p95_ms",
    "first_token_p99_ms",
    "in_time_share",
    "finality_s",
    "demand_rps",
    "served_rps",
    "served_share",
    "verified_share",
    "usd_per_hour",
    "usd_per_1000_requests",
    "use_usd_per_hour",
    "cold_starts",
    "cold_wait_s",
    "refused_share",
    "retried_share",
    "answers_lost",
    "utilisation",
    "exposure",
    "n_eff",
    "active_outages",
    "sites_down",
    "sites_grey",
    "sites_blind",
    "replicas_warm",
    "replicas_loading",
    "verifiers_live",
    "stores_live",
    "gateways_live",
    "quorum",
    "fetch_gb",
    "operations",
    "impossible_operations",
    "refused_launches",
    "withdrawn",
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
    """The world of an environment: all that does not change in an episode."""

    site_valid: Annotated[Array, "i1", "W N"]  # 1 for a site, 0 for what pads a smaller fleet
    gpu_count: Annotated[Array, "i4", "W N"]  # GPUs at the site
    usd_per_gpu_hour: Annotated[Array, "f4", "W N"]  # rent of a GPU that is held
    usd_per_vm_hour: Annotated[Array, "f4", "W N"]  # rent of a machine for a verifier, store or gateway
    egress_usd_per_gb: Annotated[Array, "f4", "W N"]  # price of what leaves the site
    link_mb_per_s: Annotated[Array, "i4", "W N"]  # speed of the site's link, link_gbps x 125
    tee: Annotated[Array, "i1", "W N"]  # 1 where the site can attest
    payment_ms: Annotated[Array, "f4", "W N"]  # what the check of a payment adds to every request to a site
    site_hazard: Annotated[Array, "f4", "W N"]  # expected share of time down
    hit: Annotated[Array, "f4", "W N D"]  # hit probability of the site by its d-th domain
    site_domain: Annotated[Array, "i4", "W N D"]  # its fault domains, its own (index S + site) first; -1 pads
    rtt_ms: Annotated[Array, "f4", "W N N"]  # round trip between two sites
    attraction: Annotated[Array, "f8", "W N N"]  # by site and gateway: exp(-rtt / temperature) at the router's default
    rtt_user_ms: Annotated[Array, "f4", "W U N"]  # round trip between a user region and a site
    near_site: Annotated[Array, "i4", "W N N"]  # sites by distance from a site, itself first
    near_user: Annotated[Array, "i4", "W U N"]  # sites by distance from a user region; padded sites last
    replica_gpus: Annotated[Array, "i4", "W M N"]  # GPUs that a replica takes; 0 where the model does not fit
    capacity_rps: Annotated[Array, "f4", "W M N"]  # requests/s at which a replica is fully loaded
    service_s: Annotated[Array, "f4", "W M N"]  # mean time of an answer without waiting
    queue_s: Annotated[Array, "f4", "W M N"]  # mean wait of those who wait, without load, see `queue_seconds`
    proof_s: Annotated[Array, "f4", "W M N"]  # from an answer to its proof
    prefill_s: Annotated[Array, "f4", "W M N"]  # mean time to the first token without waiting
    timed_s: Annotated[Array, "f4", "W M N"]  # what the objective's clock counts of it: prefill_s or service_s
    answer_usd: Annotated[Array, "f4", "W M N"]  # price of an answer: egress and use
    use_usd: Annotated[Array, "f4", "W M N"]  # the part of it that is the price of use
    load_ms: Annotated[Array, "i4", "W M N"]  # time from disk to GPU plus the start of the engine
    mean_load_ms: Annotated[Array, "f4", "W M"]  # mean of load_ms over the sites where the model fits
    weights_mb: Annotated[Array, "i4", "W M"]  # size of a model's weights
    weights_gb: Annotated[Array, "f4", "W M"]  # size of a model's weights
    streams: Annotated[Array, "f4", "W M"]  # answers that a replica works on at once
    queue_exponent: Annotated[Array, "f4", "W M"]  # exponent of the waiting probability as utilisation nears 1
    slo_s: Annotated[Array, "f4", "W M"]  # objective that a request meets or misses, by the clock of timed_s
    verification: Annotated[Array, "i1", "W M"]  # 0 none, 1 tee, 2 zkml
    least_replicas: Annotated[Array, "i4", "W M"]  # fewest replicas of a model that an operation may leave; 0 no limit
    most_replicas: Annotated[Array, "i4", "W M"]  # most that it may bring about; NO_COUNT_LIMIT for no limit
    least_roles: Annotated[Array, "i4", "W 3"]  # fewest of a role that an operation may leave; 0 no limit
    most_roles: Annotated[Array, "i4", "W 3"]  # most that it may bring about; NO_COUNT_LIMIT for no limit
    forbidden: Annotated[Array, "i1", "W N"]  # 1 where nothing may be added
    rent_limit_usd_per_hour: Annotated[Array, "f4", "W"]  # rent that no addition may exceed; NO_RENT_LIMIT for no limit
    base_rps: Annotated[Array, "f4", "W U M"]  # mean demand of a user region for a model
    region_rps: Annotated[Array, "f4", "W U"]  # mean demand of a user region for all models
    diurnal: Annotated[Array, "f4", "W Y U"]  # expected demand factor by step of the UTC day
    correlation: Annotated[Array, "f4", "W N N"]  # between two sites being up
    domain_size: Annotated[Array, "i4", "W F"]  # sites in a fault domain; 0 pads
    domain_visible: Annotated[Array, "i1", "W F"]  # 1 where the agent is told who shares the domain
    domain_effect: Annotated[Array, "i1", "W F"]  # likeliest effect of a shock of the domain, a status bit
    domain_rate: Annotated[Array, "f4", "W F"]  # average shocks per hour
    domain_mean_h: Annotated[Array, "f4", "W F"]  # mean duration of a shock
    fragile_rate: Annotated[Array, "f4", "W S"]  # shocks per hour while the domain is fragile, as drawn
    step_ms: Annotated[Array, "i4", "W"]  # length of a step
    operations_per_step: Annotated[Array, "i4", "W"]  # decisions that a step has room for; the last one moves the clock
    detect_ms: Annotated[Array, "i4", "W"]  # time for which the router goes on using a dead site
    provision_ms: Annotated[Array, "i4", "W"]  # time until a verifier, store or gateway runs
    patience_ms: Annotated[Array, "i4", "W"]  # longest wait for a replica that is not warm yet
    timeout_ms: Annotated[Array, "f4", "W"]  # what a request to a dead site loses
    round_trips: Annotated[
        Array, "f4", "W"
    ]  # mean number of round trips between user and replica before the first byte
    round_trips2: Annotated[Array, "f4", "W"]  # mean square of that number
    tries: Annotated[Array, "i4", "W"]  # replicas that a request tries at most
    loses_answers: Annotated[Array, "i1", "W"]  # 1 where answers in progress at a site that goes down are asked again
    block_s: Annotated[Array, "f4", "W"]  # time of a block of the ledger
    settle_s: Annotated[Array, "f4", "W"]  # time of the settlement after a vote
    utilisation_limit: Annotated[Array, "f4", "W"]  # share of its capacity that a replica serves at most
    store_streams: Annotated[Array, "i4", "W"]  # fetches that a store serves at full speed
    store_mb_per_s: Annotated[Array, "i4", "W"]  # full speed of a fetch
    storage_usd_per_gb_hour: Annotated[Array, "f4", "W"]  # price of weights on a disk
    arrivals_part: Annotated[Array, "f4", "W"]  # ca^2 / (ca^2 + cs^2): the part of a wait that uneven arrivals make
    service_cv: Annotated[Array, "f4", "W"]  # coefficient of variation of the time of an answer
    batch_requests: Annotated[Array, "f4", "W"]  # requests that come to a replica at once; 1 or less for none
    cluster_requests: Annotated[Array, "f4", "W"]  # requests in a cluster; 1 or less for none
    cluster_rate: Annotated[Array, "f4", "W"]  # requests/s in a cluster over the mean
    idle_relief: Annotated[Array, "f4", "W"]  # how much fewer wait at low load; 0 for no fewer
    weights: Annotated[Array, "f4", "W 6"]  # weights of the reward, in the order of TERMS
    convexity: Annotated[Array, "f4", "W"]  # of the price of the unserved share
    budget_usd_per_hour: Annotated[Array, "f4", "W"]  # spending that the cost term counts as 1
    knobs: Annotated[Array, "f4", "W 5"]  # the router's defaults, in the order of KNOBS
    attack_budget: Annotated[Array, "i4", "W"]  # attacks in an episode
    attack_cooldown: Annotated[Array, "i4", "W"]  # steps between two attacks
    attack_steps: Annotated[Array, "i4", "W"]  # steps that an attack lasts
    region_of: Annotated[Array, "i4", "W N"]  # number of a site's region: that of its first site; -1 pads
    peer_mb_per_s: Annotated[Array, "i4", "W"]  # speed of a fetch from a warm peer of the same region; 0 is off
    spot: Annotated[Array, "i1", "W N"]  # 1 where capacity is spot: it can be withdrawn
    launch_chance: Annotated[Array, "f4", "W N"]  # expected share of time in which a launch is not refused
    kept_share: Annotated[Array, "f4", "W N"]  # expected share of time in which what runs there is not withdrawn
    announces: Annotated[Array, "i1", "W"]  # 1 where everybody is told which sites refuse launches
    retry_ms: Annotated[Array, "i4", "W"]  # time for which a site that refused a launch is not tried again
    start_phase: Annotated[Array, "i1", "W M N"]  # phase of a model at the first step
    start_role: Annotated[Array, "i4", "W 3 N"]  # role_ms at the first step
    planner: Annotated[Array, "f4", "W 6"]  # the planner's constants, at the positions of PLANNER


class Tape(NamedTuple):
    """All randomness of an episode. Row 0 is what is seen before the first step; step i (from 1) reads row i."""

    regional: Annotated[Array, "f4", "B T U"]  # demand factor of a user region, with the diurnal curve
    model: Annotated[Array, "f4", "B T M"]  # demand factor of a model
    status_pairs: Annotated[Array, "u1", "B R N"]  # status bits of rows 2r (low half) and 2r + 1 (high half)
    signal: Annotated[Array, "u1", "B T S"]  # noisy error rate of a shared domain, codes 0 .. 255 for -0.25 .. 1.75
    condition: Annotated[
        Array, "u1", "B T N"
    ]  # of a site: bit BLIND, and below it its speed as a code, CALM_SPEED nominal
    supply: Annotated[Array, "u1", "B T N"]  # supply bits of a site
    noise: Annotated[Array, "u8", "B"]  # seed of the noise of what is measured
    attack: Annotated[Array, "u1", "B T"]  # 1 where the opponent may strike
    start_step: Annotated[Array, "i4", "B"]  # step of the UTC day of row 0
    outages: Annotated[Array, "u1", "B T"]  # number of shocks that are active, for the metrics

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
    """The state of an environment: all that a step changes."""

    world: Annotated[Array, "i4", "B"]  # index of the environment's world
    step: Annotated[Array, "i4", "B"]  # steps done
    decisions: Annotated[Array, "i4", "B"]  # operations decided on in the step that has not moved yet
    changes: Annotated[Array, "i4", "B"]  # those among them that were carried out
    phase: Annotated[Array, "i1", "B M N"]
    fetch_left_mb: Annotated[Array, "i4", "B M N"]  # weights still to fetch; 0 outside STAGING and FETCHING
    load_left_ms: Annotated[Array, "i4", "B M N"]  # time still to load; 0 outside LOADING
    role_ms: Annotated[Array, "i4", "B 3 N"]  # -1 absent, above 0 provisioning, 0 running
    gpus_used: Annotated[Array, "i2", "B N"]  # GPUs that replicas hold at a site
    undetected_ms: Annotated[Array, "i4", "B N"]  # how long the router will still use a dead site
    status: Annotated[Array, "u1", "B N"]  # status bits of a site at the end of the last step
    supply: Annotated[Array, "u1", "B N"]  # supply bits of a site at the end of the last step
    refused_ms: Annotated[Array, "i4", "B N"]  # how long a site that refused a launch is still not tried again
    refusals: Annotated[Array, "i4", "B"]  # launches refused in the step that has not moved yet
    load_rps: Annotated[Array, "f4", "B M N"]  # requests/s that a replica served in the last step
    in_flight: Annotated[Array, "f4", "B M N"]  # answers that were in progress at the end of the last step
    site_share: Annotated[Array, "f4", "B N"]  # share of the served traffic of the last step
    shown_slowness_log2: Annotated[Array, "f4", "B N"]  # log2 of measured over nominal time of service, as last shown
    shown_wait_s: Annotated[
        Array, "f4", "B N"
    ]  # mean time that requests waited at a site for the first token, likewise
    shown_refused: Annotated[Array, "f4", "B N"]  # share of what was sent to a site that it refused, likewise
    shown_load: Annotated[Array, "f4", "B N"]  # share of a site's nominal capacity in use, likewise
    blind: Annotated[Array, "u1", "B N"]  # 1 where nothing was shown in the last step
    model_demand_rps: Annotated[Array, "f4", "B M"]  # demand for a model in the last step
    model_served_rps: Annotated[Array, "f4", "B M"]  # served of a model in the last step
    model_first_token_s: Annotated[Array, "f4", "B M"]  # mean time to the first token in the last step
    model_late_share: Annotated[Array, "f4", "B M"]  # share of what was served too late in the last step
    model_refused_share: Annotated[Array, "f4", "B M"]  # share of first tries that were refused in the last step
    knobs: Annotated[Array, "f4", "B 5"]  # the router's knobs in effect, in the order of KNOBS
    steer: Annotated[Array, "f4", "B N"]  # logarithm of what the router multiplies the weight of a site's replicas by
    attack_domain: Annotated[Array, "i4", "B"]  # fault domain that the opponent has broken; -1 none
    attack_until: Annotated[Array, "i4", "B"]  # last step of the attack
    attack_ready: Annotated[Array, "i4", "B"]  # first step at which the opponent may strike again
    attacks_left: Annotated[Array, "i4", "B"]  # attacks that the opponent may still make


class Output(NamedTuple):
    """The report of a step."""

    reward: Annotated[Array, "f4", "B"]  # minus the weighted sum of the terms
    terms: Annotated[Array, "f4", "B 6"]  # unweighted terms of the reward, in the order of TERMS
    last_terms: Annotated[Array, "f4", "B 6"]  # terms of the last step that moved the clock, which observations show
    metrics: Annotated[Array, "f4", "B Q"]  # in the order of METRICS
    truncated: Annotated[Array, "u1", "B"]  # 1 in the last step of an episode
    operation: Annotated[Array, "i4", "B"]  # index of the operation carried out; 0 none
    seen_loss: Annotated[Array, "f4", "B"]  # largest N-1 loss of a visible domain
    domain_loss: Annotated[Array, "f4", "B H"]  # N-1: share of demand lost without the domain
    offer: Annotated[Array, "i4", "B P"]  # operations proposed for the next step; 0 pads
    offer_gain: Annotated[
        Array, "f4", "B P 4"
    ]  # expected gain of each offer, reward per step, at the positions of GAIN
    offer_ready_s: Annotated[Array, "f4", "B P"]  # seconds until each offer is of use


class Memo(NamedTuple):
    """Figures that change only when a phase, a role or a status does, kept from step to step; zeros: work them out."""

    known: Annotated[Array, "u1", "B"]  # bits PLACES and ROLES: which of the other fields hold
    dying: Annotated[Array, "u1", "B"]  # 1 where a dead site was still in use in the last step
    moving: Annotated[Array, "i4", "B"]  # fetches, loads and roles under way
    fetching: Annotated[Array, "i4", "B"]  # fetches under way
    live: Annotated[Array, "i2", "B 3"]  # running roles at sites that are up
    registered: Annotated[Array, "i2", "B"]  # running verifiers, dead ones included
    rent_usd_per_hour: Annotated[Array, "f8", "B"]  # rent of GPUs, machines and stored weights
    slots: Annotated[Array, "i2", "B"]  # number of gateways in use
    gateways: Annotated[Array, "i2", "B N"]  # site of each gateway in use
    gateway_of: Annotated[Array, "i2", "B U"]  # slot of a user region's gateway; -1 none
    gateway_ms: Annotated[Array, "f4", "B U"]  # round trip between a user region and its gateway
    last_vote: Annotated[Array, "i2", "B N"]  # by site: the verifier that completes its quorum; -1 not looked up
    critical: Annotated[Array, "u1", "B F"]  # bits: without the domain there is no gateway, no quorum or no store
    critical_any: Annotated[Array, "u1", "B"]  # the bits of `critical` of all domains together


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
