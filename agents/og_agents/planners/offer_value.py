"""The value of an offer to the tuned greedy planner, one formula for observations, raw states and torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CALM = 0.3
"""size of a trouble signal up to which it counts as noise"""
FULL_MARGIN = 0.34
"""the most live verifiers beyond the quorum, as a share of registered ones: more than two thirds of them must vote"""
TINY = 1e-6
"""replicas that are added to a denominator, so that it is never 0"""
GAIN_SCALE = 0.05
"""gain, reward per step, that is observed as one half: observed gains are g / (|g| + 0.05)"""


class Offers(NamedTuple):
    """Facts about a batch of offers, arrays of NumPy or torch [B, P] unless another shape is given."""

    service: Any
    """service part of the nominal gain, reward per step"""
    cost: Any
    """cost part of the nominal gain, reward per step"""
    resilience: Any
    """resilience part of the nominal gain, reward per step"""
    adds: Any
    """1 where the offer adds a replica, weights or a role"""
    launches: Any
    """1 where the offer launches a replica"""
    retires: Any
    """1 where the offer retires a replica"""
    fetches: Any
    """1 where weights must come from a store"""
    verifiers: Any
    """1 where the offer adds or removes a verifier"""
    alarm: Any
    """highest trouble signal among the visible shared dependencies of the site"""
    share: Any
    """share of all demand that is for the offer's model"""
    busy: Any
    """expected utilisation of the model's warm replicas"""
    unserved: Any
    """share of the model's demand that is not served"""
    loading: Any
    """share of the model's replicas at sites that are up that are on their way, 0 where it has none"""
    queue: Any
    """[B, 1] fetches under way relative to what the stores can do, as the observation has it"""
    margin: Any
    """[B, 1] live verifiers beyond the quorum, as a share of registered ones"""


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
    """Value [B, P], reward per step: the nominal gain with other weights of its parts, and five prices that it leaves out.

    - `risk` and `rent` weigh the parts for resilience and cost.
    - `add` and `remove` are the gains that a change must bring, against churn.
    - `congestion` is the price of a fetch while the stores' queue is full, so that a mass move does not slow itself.
    - `alarm` is the price of a place whose dependencies signal trouble.
    - `reserve` is the value of a launch, and the price of a retirement, for a load above `target`. Load is the expected
      utilisation plus `backlog` times the unserved share, less `arriving` times the share that is on its way.
    - `quorum` is the value of a verifier, and the price of its removal, for each vote missing from a full margin.
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
    """The gains g, reward per step, of observed ones, which are g / (|g| + GAIN_SCALE)."""
    values = values.clip(-0.999, 0.999)
    return GAIN_SCALE * values / (1 - abs(values))
