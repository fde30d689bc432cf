"""The fields of the observation: every table and every column, with its sentence.

Spaces, encoding, slices and documentation follow from this one place. All values are float32 in [-1, 1].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from og_env.kernel.memory import columns


class Field(NamedTuple):
    """A column of a table."""

    name: str
    """its name, unique in the table"""
    doc: str
    """its meaning, as the documentation prints it"""


def _fields(text: str) -> tuple[Field, ...]:
    """The fields that lines of the form "name: sentence" declare."""
    pairs = (line.split(":", 1) for line in text.strip().splitlines())
    return tuple(Field(name.strip(), doc.strip()) for name, doc in pairs)


GLOBALS = _fields("""
    day_sin: sine of the UTC hour
    day_cos: cosine of the UTC hour
    episode_left: share of the episode that is left
    served: share of demand served in the last step
    unverified: share of demand served without a valid proof
    exposure: share of demand that the worst single domain would take along
    cost: spending over the budget
    latency: latency term of the reward: share of demand that was served late
    refused: share of first tries that were refused
    demand: demand over its mean, minus 1
    forecast: expected demand after the look-ahead over the present one, minus 1
    n_eff: effective independent nodes of the traffic over the number of sites
    sites_down: share of sites that are down
    alarm: highest error-rate signal of a visible shared domain
    store_queue: fetches under way over the full-speed streams of all live stores, halved
    verifiers_margin: live verifiers beyond the quorum over registered ones
    stores: live stores over 8
    gateways: live gateways over 8
    utilisation: served over the capacity in use
    weight_latency: log10 of the latency's weight in the reward over 2, here and below -1 at 0.01
    weight_cost: of the cost's weight
    weight_unserved: of that of unserved requests
    weight_unverified: of that of unverified requests
    weight_exposure: of that of the exposure
    operations_left: share of the step's operations that are left
""")
MODELS = _fields("""
    share: of the present demand
    demand: over its mean, minus 1
    served: share of its demand served
    utilisation: served over the capacity of its warm replicas
    replicas: warm ones over the number of sites
    loading: replicas on their way, at sites that are up, over the number of sites
    late: share of what was served that missed its objective
    first_token: mean time to the first token F in seconds as F / (F + 1)
    refused: share of first tries that were refused
    spare: unused capacity of warm replicas over its demand
    forecast: expected demand after the look-ahead over the present one, minus 1
    size: weights over 200 GB
    load_time: mean time from disk to warm over 1 h
    tee: 1 where work must be attested
    zkml: 1 where work is proved
""")
PROPOSALS = _fields("""
    valid: 1 where there is an offer
    gain: nominal gain g per step as g / (|g| + 0.05)
    gain_service: its part from latency, unserved and unverified requests, likewise
    gain_cost: its part from rent and one-off cost, likewise
    gain_resilience: its part from exposure and hedge, likewise
    is_launch: 1 for launching a replica
    is_retire: 1 for retiring one
    is_stage: 1 for fetching weights to disk
    is_verifier: 1 for a verifier
    is_store: 1 for a store
    is_gateway: 1 for a gateway
    is_add: 1 where something is added
    ready: time until it is useful over 1 h
    price: rent an hour over the budget, times 10
    distance: demand-weighted RTT to the site over 300 ms
    alarm: highest signal among the site's visible shared domains
    site_share: share of the traffic that the site serves
    site_free: share of its GPUs that is free
    site_hazard: expected share of time down, times 10
    domain_share: traffic share of the most loaded visible shared domain of the site
    domain_loss: largest N-1 loss among the site's visible domains
    model_share: the model's share of demand
    model_utilisation: of the model's warm replicas
    model_unserved: share of the model's demand not served
    model_forecast: expected demand after the look-ahead over the present one, minus 1
    model_replicas: the model's warm replicas over the number of sites
    model_loading: the model's replicas on their way, at sites that are up, over the number of sites
    on_disk: 1 where the weights are on the site's disk
    tee: 1 where the site can attest
    alarm_hour: highest mean signal of the last hour among the site's visible shared domains
""")
SITES = _fields("""
    valid: 1 for a site, 0 for padding
    free: share of its GPUs that is free
    gpus: number of GPUs over 8
    price: rent of one GPU over the budget, times 10
    down: 1 while down
    frozen: 1 while nothing can be changed there
    untrusted: 1 while its attestations do not count
    slow: 1 while slow
    verifier: 1 running, 0.5 starting
    store: 1 running, 0.5 starting
    gateway: 1 running, 0.5 starting
    warm: warm replicas over the number of models
    loading: replicas on their way over the number of models
    share: of the served traffic
    alarm: highest signal among its visible shared domains
    tee: 1 where it can attest
    distance: demand-weighted RTT to it over 300 ms
    hazard: expected share of time down, times 10
    slowness: measured time of service over the nominal one as log2 of it over 2, as last shown
    wait: mean wait W in seconds for a stream or for warmth as W / (W + 1), as last shown
    refused: share of the requests sent to it that it refused, as last shown
    load: share of its replicas' nominal capacity in use, as last shown
    blind: 1 while its telemetry fails, so that what was shown last stays
    steer: bias of the router for or against it, over its range
""")
REGIONS = _fields("""
    load: demand over its mean, minus 1
    expected: of the hour, over the mean, minus 1
    expected_hour: the same after the look-ahead
    gateway_ms: RTT to the gateway in use over 300 ms, 1 where there is none
    weight: share of the mean demand
""")
DOMAINS = _fields("""
    valid: 1 for a visible domain with members
    signal: noisy error rate, 0 calm and 1 fragile
    down: share of its members that are down
    share: of the served traffic
    loss: share of demand lost, unverified or unfetchable without it
    size: members over the number of sites
    hazard: expected share of time broken, times 10
""")
SUPPLY = _fields("""
    spot: 1 where capacity is spot and can be withdrawn
    open: 1 while a launch may succeed, as far as is known
    leaving: 1 while what runs there is about to be withdrawn
    taken: 1 while spot capacity is withdrawn
    chance: expected share of time in which a launch is not refused
    kept: expected share of the planner's horizon for which what runs there is kept
""")
OFFER_SUPPLY = (
    *SUPPLY,
    *_fields("region: share of the sites of its region where no launch can succeed, as far as is known"),
)
TABLES: dict[str, tuple[Field, ...]] = {
    "globals": GLOBALS,
    "models": MODELS,
    "proposals": PROPOSALS,
    "sites": SITES,
    "regions": REGIONS,
    "domains": DOMAINS,
}
"""the tables by name, in the order in which they stand in the flat observation"""
SCARCITY_TABLES: dict[str, tuple[Field, ...]] = {"supply": SUPPLY, "offer_supply": OFFER_SUPPLY}
"""tables that a Dict observation has besides, of the sites and of the offers, where the scenario has scarcity or spot"""
ALL_TABLES = TABLES | SCARCITY_TABLES
ROWS = {
    **{"globals": "", "models": "M", "proposals": "P", "sites": "N", "regions": "U", "domains": "F"},
    **{"supply": "N", "offer_supply": "P"},
}
"""dimension letter of each table's rows; "" for a single row"""


def column(table: str, name: str) -> int:
    """Position of a column in a table; KeyError or ValueError where there is none."""
    return [field.name for field in ALL_TABLES[table]].index(name)


def columns_of(table: str) -> Any:
    """Positions of a table's columns by name, for compiled code."""
    return columns(table.title(), [field.name for field in ALL_TABLES[table]])


class Slices(NamedTuple):
    """Places of the tables in the flat observation."""

    offsets: np.ndarray
    """int64 [8] first column of each table in the order of ALL_TABLES; -1 for a table that is left out"""
    shapes: dict[str, tuple[int, ...]]
    """shape of each table that is there, by name"""
    width: int
    """number of columns O of the flat observation"""


def slices(sizes: dict[str, int], tables: tuple[str, ...]) -> Slices:
    """Lay out the named tables in the order of ALL_TABLES, for the sizes of a world."""
    offsets, shapes, width = np.full(len(ALL_TABLES), -1, np.int64), {}, 0
    for index, (table, declared) in enumerate(ALL_TABLES.items()):
        if table in tables:
            rows = ROWS[table]
            shapes[table] = (sizes[rows], len(declared)) if rows else (len(declared),)
            offsets[index] = width
            width += int(np.prod(shapes[table]))
    return Slices(offsets, shapes, width)
