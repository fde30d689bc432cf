"""How requests are paid for and what GPUs cost, as frozen, strict specs; every field is followed by its sentence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from og_env.scenario.specs.catalog_entries import Spec
from og_env.scenario.specs.quantities import RequestSeconds


class PaymentSpec(Spec):
    """How users pay: beforehand, or by x402, where every request carries a payment that a facilitator verifies."""

    mode: Literal["prepaid", "x402"] = "prepaid"
    """x402 adds a round trip (challenge and resend, by the protocol) and the check of the payment to every request"""
    facilitator_lat_deg: Annotated[float, Field(ge=-90, le=90)] = 39.04
    """place of the facilitator; the default is Ashburn, Virginia (assumed)"""
    facilitator_lon_deg: Annotated[float, Field(ge=-180, le=180)] = -77.49
    facilitator_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "US"
    """ISO 3166-1 alpha-2; round trips to the facilitator follow the distance model"""
    verify_s: RequestSeconds = 0.35
    """time of the check at the facilitator: 0.2 to 0.5 s by a forum of blockeden (weak)"""


class PricesSpec(Spec):
    """The shares of a site's on-demand price that are paid; rent_share = 1 and use_share = 0 make it plain rent.

    A GPU that is in use all the time costs rent_share + use_share = 1.4 times the on-demand price, as serverless GPUs do
    (1.2 to 1.75, RunPod and Modal); one that only waits costs rent_share.
    """

    rent_share: Annotated[float, Field(ge=0, le=10)] = 0.65
    """price of holding a GPU: a committed one over an on-demand one (0.4 to 0.85)"""
    use_share: Annotated[float, Field(ge=0, le=10)] = 0.75
    """price of using it for an hour, in proportion to its busy streams; a site's `use_usd_per_gpu_hour` overrides it"""
