"""What the tuned greedy planner thinks of an offer, written once: for observations, raw states and torch tensors alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CALM = 0.3
"""a signal up to which is taken for noise"""
FULL_MARGIN = 0.34
"""live verifiers beyond the quorum over registered ones, where more than two thirds must vote: no fleet has more"""
TINY = 1e-6
GAIN_SCALE = 0.05
"""of the observed gains g / (|g| + 0.05)"""


class Offers(NamedTuple):
    """What is known of a batch of offers [B, P]; arrays of NumPy or torch, kinds are 0 or 1."""

    service: Any
    """parts of the nominal gain, reward per step"""
    cost: Any
    resilience: Any
    adds: Any
    launches: Any
    retires: Any
    fetches: Any
    """weights must come from a store"""
    verifiers: Any
    alarm: Any
    """highest signal among the visible shared dependencies of the site"""
    share: Any
    """of demand, of the offer's model"""
    busy: Any
    """expected utilisation of the model's warm replicas"""
    unserved: Any
    """share of the model's demand that is not served"""
    loading: Any
    """replicas on their way over all of the model's at sites that are up, 0 where it has none"""
    queue: Any
    """[B, 1] fetches under way over what the stores can do, as observations have it"""
    margin: Any
    """[B, 1] of the verifiers, as observations have it"""


def observed(column: Callable[[str], Any], queue: Any, margin: Any) -> Offers:
    """Offers from the columns of the observation's proposals [B, P] and two of its globals [B, 1]."""
    launches = column("is_launch")
    loading = column("model_loading")
    return Offers(
        service=unsquashed(column("gain_service")),
        cost=unsquashed(column("gain_cost")),
        resilience=unsquashed(column("gain_resilience")),
        adds=column("is_add"),
        launches=launches,
        retires=column("is_retire"),
        fetches=(launches + column("is_stage")) * (1 - column("on_disk")),
        verifiers=column("is_verifier"),
        alarm=column("alarm"),
        share=column("model_share"),
        busy=column("model_utilisation") * (1 + column("model_forecast").clip(min=0)),
        unserved=column("model_unserved"),
        loading=loading / (column("model_replicas") + loading + TINY),
        queue=queue,
        margin=margin,
    )


def tuned_value(offers: Offers, constants: Mapping[str, float]) -> Any:
    """Reward per step [B, P]: the nominal gain with its parts weighed anew and five prices that it leaves out.

    risk and rent weigh the parts; add and remove are what a change must gain (churn); congestion is the price of a
    fetch while the stores' queue is full, so that a mass move does not slow itself; alarm that of a place whose
    dependencies signal trouble; reserve what an expected utilisation above `target` is worth to a launch, and costs a
    retirement, where unserved demand counts as `backlog` times its share and what is on its way relieves by `arriving`;
    quorum what votes missing from a full margin are worth to a verifier, and cost its removal.
    """
    value = offers.service + constants["rent"] * offers.cost + constants["risk"] * offers.resilience
    value = value - constants["add"] * offers.adds - constants["remove"] * (1 - offers.adds)
    value = value - constants["congestion"] * offers.fetches * offers.queue
    value = value - constants["alarm"] * offers.adds * (offers.alarm - CALM).clip(min=0)
    load = (offers.busy + constants["backlog"] * offers.unserved) * (1 - constants["arriving"] * offers.loading)
    tight = constants["reserve"] * offers.share * (load - constants["target"]).clip(min=0)
    value = value + tight * (offers.launches - offers.retires)
    votes = constants["quorum"] * (FULL_MARGIN - offers.margin).clip(min=0)
    return value + votes * offers.verifiers * (2 * offers.adds - 1)


def unsquashed(values: Any) -> Any:
    """Reward per step of an observed gain g / (|g| + 0.05)."""
    values = values.clip(-0.999, 0.999)
    return GAIN_SCALE * values / (1 - abs(values))
