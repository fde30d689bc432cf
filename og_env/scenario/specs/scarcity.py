"""How hard capacity is to get, and what becomes of spot capacity; every field is followed by its sentence.

"Assumed" marks a number for which no measurement was found, with the range that is plausible.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from og_env.scenario.specs.catalog_entries import Spec
from og_env.scenario.specs.quantities import ClockSeconds, Share

Refused = Annotated[float, Field(ge=0, le=0.9)]
"""a share of time in which a site refuses launches"""


class ScarcitySpec(Spec):
    """Spells in which sites refuse launches, and in which spot sites lose what runs there. Off where nothing is refused.

    Spells of a site are its own, those of its region, or those of all sites; they come at random and their lengths are
    exponential. Who holds GPUs keeps them, but on spot sites (`market = "spot"`).
    """

    refused_share: Refused = 0.0
    """share of time in which an on-demand site refuses launches; 0 is off. Assumed for H100 0.2 (0.05-0.5)"""
    refused_by_gpu: dict[str, Refused] = {}
    """that share for GPU kinds that are scarcer or less so. Assumed: A100 0.1, L40S 0.05"""
    spot_factor: Annotated[float, Field(ge=0, le=100)] = 2.0
    """times that share at a spot site, 0.9 at most. Assumed"""
    mean_h: Annotated[float, Field(gt=0.01, le=12)] = 3.0
    """mean length of a spell; "hours" in what is reported"""
    within_region: Share = 0.43
    """correlation of two like sites of a region being scarce: spot capacity of 9 zones over 45 days"""
    between_regions: Share = 0.14
    """correlation of two like sites of different regions, from the same record"""
    withdrawn_share: Share = 0.25
    """share of the spells at a spot site in which what runs there is withdrawn. Assumed (0.05-1)"""
    notice_s: ClockSeconds = 120.0
    """warning before it is withdrawn, rounded up to whole steps: AWS 120 s, GCP and Azure 30 s"""
    announced: bool = False
    """whether everybody is told which sites refuse; false: it shows only when a launch is refused"""
    retry_s: ClockSeconds = 1800.0
    """time for which a site that refused is not tried again"""
    spot_share: Annotated[float, Field(ge=0, le=10)] = 0.45
    """rent of a spot GPU over the on-demand price: 0.35 to 0.8 at nine sellers of H100 and A100 (2026)"""

    @property
    def acts(self) -> bool:
        """Whether any site can refuse a launch."""
        return self.refused_share > 0 or any(share > 0 for share in self.refused_by_gpu.values())

    @model_validator(mode="after")
    def _closer_is_more_alike(self) -> ScarcitySpec:
        if self.between_regions > self.within_region:
            raise ValueError(
                f"between_regions is {self.between_regions:g}; it must be at most within_region, {self.within_region:g}"
            )
        return self
