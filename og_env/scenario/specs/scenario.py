"""The parts of a scenario as frozen, strict specs. Units are in the names; every field is followed by its sentence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from og_env.scenario.specs.catalog_entries import (
    AnyEffect,
    GpuSpec,
    HostClass,
    Kind,
    ModelSpec,
    RegionSpec,
    SiteSpec,
    Spec,
)
from og_env.scenario.specs.changed_entries import ModelEntry, SiteEntry
from og_env.scenario.specs.condition import ConditionSpec
from og_env.scenario.specs.distance import BackboneSpec, DistanceSpec
from og_env.scenario.specs.limits import LimitsSpec
from og_env.scenario.specs.quantities import (
    LARGEST,
    YEAR_H,
    ClockSeconds,
    Count,
    Dwell,
    Factor,
    FileName,
    Gbps,
    Hours,
    NonNegative,
    Number,
    Penalty,
    PerDay,
    Positive,
    RequestSeconds,
    RequestsPerS,
    Seed,
    Share,
    Usd,
    Variation,
    Weight,
)
from og_env.scenario.specs.scarcity import ScarcitySpec
from og_env.scenario.specs.serving import PaymentSpec, PricesSpec

MOST_DAYS = 3660
"""longest episode"""


MOST_EVENTS = 1_000_000
"""most random events of an episode"""


class SampledSites(Spec):
    """A fleet drawn from the catalogue."""

    count: Annotated[int, Field(ge=1, le=4096)]
    providers: Count = 6
    seed: Seed = 0
    host_classes: tuple[HostClass, ...] = ("hyperscale", "gpu_cloud", "bare_metal", "home")
    gpus: tuple[str, ...] = ()
    """GPU kinds allowed; empty means all that are offered"""
    gpu_count: tuple[Annotated[int, Field(ge=0, le=64)], Annotated[int, Field(ge=0, le=64)]] = (2, 4)
    """fewest and most GPUs at a site"""
    dominant_share: Share = 0.0
    """share of the sites that one provider owns"""
    dominant_price_factor: Factor = 1.0
    """factor of the prices of the provider that owns dominant_share"""
    continents: tuple[str, ...] = ()
    """continents allowed, of AF AS EU ME NA OC SA; empty means all"""


class SampledRegions(Spec):
    """User regions drawn from the catalogue: the most populous, spread over continents."""

    count: Annotated[int, Field(ge=1, le=512)]


class DomainSpec(Spec):
    """A fault domain added by hand."""

    kind: Kind
    name: str
    sites: tuple[str, ...]


class DemandSpec(Spec):
    """Requests of the users over time."""

    requests_per_s: RequestsPerS = 100.0
    """mean rate over the day, all regions and models together"""
    diurnal_amplitude: Share = 0.6
    """rate = mean x (1 + amplitude x cos(local hour - peak_hour))"""
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = 15.0
    burst_sd: Annotated[float, Field(ge=0, le=3)] = 0.2
    """stationary standard deviation of the log of the regional and model factors"""
    burst_memory_h: Hours = 2.0
    """time constant of the AR(1) process of the regional and model factors"""
    flashes_per_day: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """sudden crowds; each lifts one region and one model"""
    flash_factor: Annotated[float, Field(ge=1, le=1000)] = 3.0
    flash_h: Annotated[float, Field(ge=1e-3, le=168)] = 1.0
    """mean length of a sudden crowd, exponential; a week at most"""
    arrival_cv: Annotated[Variation, Field(gt=0)] = 1.1
    """coefficient of variation of inter-arrival times within a step; where arrivals come in clusters, the root of the
    variance over the mean of their number in a window, as `og-env calibrate demand` measures it"""
    service_cv: Variation = 0.8
    """coefficient of variation of service times (answer lengths)"""
    batch_requests: Annotated[float, Field(ge=1, le=10_000)] = 1.0
    """requests that come to a replica at once: a replica of c streams has the queue of one with c / batch_requests"""
    cluster_requests: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    """requests in a cluster at a replica; 1 for none. What a cluster brings beyond capacity and idle streams waits"""
    cluster_rate: Annotated[float, Field(ge=1, le=1e6)] = 4.0
    """rate of the requests in a cluster over the mean rate"""
    idle_relief: Annotated[float, Field(ge=0, le=100)] = 0.0
    """how much fewer requests wait at low load because arrivals are evenly spaced: at utilisation u, the share that waits
    for a stream has a factor exp(-idle_relief x (1 - u) / u); 0 for none"""
    trace_csv: str | None = None
    """recorded requests timestamp_s,model,input_tokens,output_tokens: their rate, scaled to a mean of requests_per_s and
    repeated from a moment that each episode draws, takes the place of the diurnal curve and of the bursts; a model that
    the trace names has its own rate, any other that of all requests"""


class OutageSpec(Spec):
    """A scripted outage."""

    domain: str
    """kind:name, e.g. provider:aws"""
    start_h: NonNegative
    duration_h: Positive
    effect: AnyEffect = "DOWN"


class OpponentSpec(Spec):
    """Breaks the domain that carries most served traffic."""

    attacks_per_day: PerDay = 0.0
    """chances to strike; 0 is off"""
    budget: Number = 3
    cooldown_h: Annotated[float, Field(ge=0, le=YEAR_H)] = 4.0
    duration_h: Hours = 2.0


class FailureSpec(Spec):
    """The random process of outages, scripted outages and the opponent."""

    process: Literal["correlated", "independent", "none"] = "correlated"
    """independent: every site keeps its own failure marginals, nothing coincides"""
    intensity: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """multiplies every rate, of the catalogue or of shocks_per_day"""
    shocks_per_day: PerDay | None = None
    """where given, all domains together have this many shocks a day, divided by kind_shares"""
    kind_shares: dict[Kind, Share] = {}
    """share of the shocks by kind; they sum to 1, and within a kind every domain has the same share"""
    duration_scale: Factor = 1.0
    frozen_share: Share | None = None
    """where given, the share of FROZEN among effects of control planes (region, provider)"""
    fragile_factor: Annotated[float, Field(ge=1, le=1e4)] = 30.0
    """shock rate in the fragile regime over the calm one's; the average rate is unchanged"""
    fragile_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """stationary share of time in the fragile regime"""
    fragile_dwell_h: Dwell = 4.0
    aftershock: Share = 0.4
    """probability that a repaired domain stays fragile for another dwell"""
    signal_noise: Variation = 0.15
    """standard deviation of the error-rate signal around 0 (calm) and 1 (fragile)"""
    hidden: tuple[Kind, ...] = ()
    """kinds that act, but whose members the agent is not told"""
    detect_s: ClockSeconds = 60.0
    """how long the router goes on using a dead site"""
    lose_answers: bool = True
    """answers in progress at a site that goes down are asked again; false: they are finished as if nothing happened"""
    outages: tuple[OutageSpec, ...] = ()
    opponent: OpponentSpec = OpponentSpec()

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> FailureSpec:
        if self.kind_shares and abs(sum(self.kind_shares.values()) - 1) > 1e-9:
            raise ValueError(f"kind_shares sum to {sum(self.kind_shares.values()):g}, not 1")
        if self.shocks_per_day is not None and not self.kind_shares:
            raise ValueError("shocks_per_day needs kind_shares")
        return self


class RewardWeights(Spec):
    """Reward = minus the weighted sum of the terms; in every term 1 is as bad as serving nothing."""

    latency: Weight = 0.3
    cost: Weight = 0.25
    unserved: Weight = 1.0
    unverified: Weight = 0.25
    exposure: Weight = 0.2
    churn: Weight = 0.01
    unserved_convexity: Weight = 5.0
    """k in u (1 + k u) / (1 + k)"""
    budget_usd_per_hour: Annotated[float, Field(ge=1e-3, le=LARGEST)] | None = None
    """spending that counts as 1 in the cost term; None: the rent of every GPU of the fleet at its
    on-demand price, whatever `[prices]` makes of it"""
    weights: Literal["fixed", "random"] = "fixed"
    """random: every episode multiplies those of latency, of cost and of resilience (unserved, unverified, exposure) by
    factors of its own, which the observation shows"""
    weights_range: Annotated[float, Field(ge=1, le=100)] = 4.0
    """how far such a factor goes up and down before all three are divided by their geometric mean"""


class NetworkSpec(Spec):
    """Distances, serving and finality."""

    utilisation_limit: Annotated[float, Field(gt=0, le=0.999)] = 0.9
    patience_s: ClockSeconds = 60.0
    """a replica that is warm within this time already gets requests"""
    timeout_s: RequestSeconds = 2.0
    """what a request to a dead, undetected site costs before its retry"""
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    """other replicas that a refused request tries; the default is Envoy's"""
    kept_alive_share: Share = 0.8
    """share of the requests on a connection that is open already (assumed, 0.5 to 0.95)"""
    new_connection_round_trips: Annotated[float, Field(ge=0, le=10)] = 2.0
    """round trips that open another one: TCP and TLS 1.3; 3 with TLS 1.2, 1 with QUIC"""
    block_s: RequestSeconds = 10.0
    settle_s: RequestSeconds = 0.0
    """mean wait for a settlement batch"""
    store_streams: Count = 2
    """fetches that a store feeds at full link speed; more share it"""
    store_gbps: Gbps = 10.0
    """link speed of a store"""
    peer_gb_per_s: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """speed of weights from a warm replica of the same region, beside store and links, and free; 0 is off. Measured: 9
    (16 GB by EFA), 28 (140 GB) and 45 (681 GB) with ModelExpress (2026-08)"""
    provision_s: ClockSeconds = 600.0
    """start of a verifier, a store or a gateway"""
    storage_usd_per_gb_month: Usd = 0.023
    kind: Literal["great-circle", "backbone", "public"] = "great-circle"
    """model of round trips: lines of the great circle; the way over hubs as clouds have it; the same over the Internet"""
    distance: DistanceSpec = DistanceSpec()
    backbone: BackboneSpec = BackboneSpec()
    rtt_csv: str | None = None
    """measured matrix src,dst,rtt_ms by names of sites and user regions, or provider,src,dst,rtt_ms by names within a
    provider; missing pairs fall back to the distance model"""


class RouterSpec(Spec):
    """Routing knobs, in Placement fixed at these values."""

    latency_temperature_ms: Annotated[Positive, Field(le=1e6)] = 40.0
    cold_penalty: Penalty = 0.1
    """penalty of a second of expected cold wait"""
    load_penalty: Penalty = 2.0
    """penalty of a unit of utilisation, which is the load of the last step over capacity"""
    risk_aversion: Penalty = 0.5
    """penalty of a unit of dependency risk"""
    spread: Share = 0.1
    """share of the traffic divided evenly over all replicas; 1 is uniform random routing"""


class StartSpec(Spec):
    """The fleet at the first step."""

    replicas_per_model: Number = 3
    verifiers: Number = 5
    stores: Number = 3
    gateways: Number = 4
    placement: Literal["cheapest", "spread", "named"] = "spread"
    """how the starting sites are chosen"""
    replica_sites: dict[str, tuple[str, ...]] = {}
    """sites of the replicas by model name, for placement = "named" """
    verifier_sites: tuple[str, ...] = ()
    store_sites: tuple[str, ...] = ()
    gateway_sites: tuple[str, ...] = ()


class EpisodeSpec(Spec):
    """Length of a step, number of steps, operations in a step and hour of the start."""

    step_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    steps: Annotated[int, Field(ge=1, le=100_000)] = 288
    operations_per_step: Annotated[int, Field(ge=1, le=1000)] = 1
    """most operations that are decided on one after another while the clock stands; doing nothing ends the step early"""
    start_hour_utc: Annotated[float, Field(ge=0, lt=24)] | None = None
    """None: each episode starts at an hour of its own"""

    @model_validator(mode="after")
    def _ends_in_this_life(self) -> EpisodeSpec:
        days = self.steps * self.step_s / 86_400
        if days > MOST_DAYS:
            raise ValueError(f"{self.steps} steps of {self.step_s} s are {days:,.0f} days; at most {MOST_DAYS:,}")
        return self


class OriginSpec(Spec):
    """The table of nodes that the sites were made from: for audits alone, no simulation reads it."""

    kinds: tuple[str, ...]
    """columns of the table that name dependencies, in its order"""
    assumed: dict[str, tuple[str, ...]] = {}
    """names of the sites by kind of dependency (and host_class) of which the table says nothing; "*" for all"""
    weights: dict[str, Annotated[float, Field(ge=0, le=1e100)]] = {}
    """weight or stake by site"""


class ScenarioSpec(Spec):
    """A whole scenario, as a TOML file describes it."""

    version: Literal[1] = 1
    name: FileName
    """names folders and files of results as well"""
    description: Annotated[str, Field(max_length=10_000)]
    fleet: Literal["fixed", "random"] = "fixed"
    sites: SampledSites | tuple[str | SiteEntry | SiteSpec, ...]
    models: tuple[str | ModelEntry | ModelSpec, ...]
    regions: SampledRegions | tuple[str | RegionSpec, ...]
    gpus: tuple[GpuSpec, ...] = ()
    """GPU kinds beside those of the catalogue"""
    domains: tuple[DomainSpec, ...] = ()
    demand: DemandSpec = DemandSpec()
    failures: FailureSpec = FailureSpec()
    condition: ConditionSpec = ConditionSpec()
    scarcity: ScarcitySpec = ScarcitySpec()
    reward: RewardWeights = RewardWeights()
    network: NetworkSpec = NetworkSpec()
    payment: PaymentSpec = PaymentSpec()
    prices: PricesSpec = PricesSpec()
    router: RouterSpec = RouterSpec()
    start: StartSpec = StartSpec()
    limits: LimitsSpec = LimitsSpec()
    episode: EpisodeSpec = EpisodeSpec()
    origin: OriginSpec | None = None

    @model_validator(mode="after")
    def _events_can_be_drawn(self) -> ScenarioSpec:
        days = 2 + self.episode.steps * self.episode.step_s / 86_400
        sites = self.sites.count if isinstance(self.sites, SampledSites) else len(self.sites)
        flashes = self.demand.flashes_per_day * (days + 10 * self.demand.flash_h / 24)
        of_sites = sites * (self.condition.grey_per_day + self.condition.blind_per_day) * days
        events = flashes + of_sites + (self.failures.shocks_per_day or 0.0) * self.failures.intensity * days
        if events > MOST_EVENTS:
            raise ValueError(
                f"an episode has {events:.3g} random events on average (crowds, shocks, failures of sites); at most "
                f"{MOST_EVENTS:,}"
            )
        return self
