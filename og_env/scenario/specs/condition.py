"""How fast sites really are: the part of a scenario that nobody is told, but that measurements hint at.

"Assumed" marks a number for which no measurement was found, with the range that is plausible.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from og_env.scenario.specs.catalog_entries import Spec
from og_env.scenario.specs.quantities import YEAR_H, Positive, Share

Slowed = Annotated[float, Field(gt=0, le=1)]
"""a speed that is nominal at most"""
Sd = Annotated[float, Field(ge=0, le=2)]
"""a standard deviation of logarithms; the codes of a tape hold factors of 6 both ways"""
Times = Annotated[float, Field(ge=0, le=1000)]
"""events of a site a day"""
Hours = Annotated[float, Field(gt=0, le=48)]
"""a length that outages before an episode may have, see WARM_UP_H of the kernels"""


class ConditionSpec(Spec):
    """The speed of each site over time, and failures of its telemetry. With rates and deviation 0 all is as stated.

    Speed 1 is the nominal one; a site at speed 0.5 takes twice as long for everything and has half the capacity.
    """

    drift_sd: Sd = 0.25
    """stationary standard deviation of the log of a site's speed, whose median is 1; 0 is off. Assumed (0.1-0.4): equal
    GPUs differ by 8 % on average and 22 % at most (arXiv 2208.11035), and the 95th percentile of probed times to first
    token is 1.5 to 4.2 times the median"""
    drift_memory_h: Annotated[Positive, Field(le=YEAR_H)] = 2.0
    """time constant of the AR(1) process of that log. Assumed (0.5-6)"""
    grey_per_day: Times = 0.3
    """grey failures of a site a day: it answers, but slowly; 0 is off. Assumed (0.05-1)"""
    grey_speed: Slowed = 0.75
    """factor of the speed in a grey failure (1.34 times longer: Greyhound, ATC 2025). Assumed for other jobs (0.5-0.9)"""
    grey_median_min: Annotated[Positive, Field(le=2880)] = 15.0
    """median length of a grey failure, lognormal. Assumed; means of 10 and 24 min are reported on Greyhound"""
    grey_sigma: Annotated[float, Field(ge=0, le=5)] = 1.2
    """standard deviation of the log of that length. Assumed; Greyhound saw less than a minute to 10 hours"""
    severe_share: Share = 0.1
    """share of the grey failures that are severe. Assumed"""
    severe_speed: Slowed = 0.33
    """factor of the speed in a severe one. Assumed"""
    severe_h: tuple[Hours, Hours] = (1.0, 3.0)
    """shortest and longest length of a severe one, uniform. Assumed"""
    blind_per_day: Times = 0.1
    """failures of a site's telemetry a day, in which nothing that is measured there shows; 0 is off. Assumed"""
    blind_h: Hours = 0.5
    """mean length of these, exponential. Assumed"""

    @model_validator(mode="after")
    def _severe_is_worse(self) -> ConditionSpec:
        shortest, longest = self.severe_h
        if shortest > longest:
            raise ValueError(f"severe_h is ({shortest:g}, {longest:g}): the shortest length comes first")
        if self.severe_speed > self.grey_speed:
            raise ValueError(
                f"severe_speed is {self.severe_speed:g}; it must be at most grey_speed, {self.grey_speed:g}"
            )
        return self
