"""Models of round trips, where none is measured; `og-env calibrate rtt` fits and writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from og_env.scenario.backbone import MODELS, BackboneModel
from og_env.scenario.distance_model import CONTINENTS, SHIPPED, DistanceModel
from og_env.scenario.specs.catalog_entries import Spec
from og_env.scenario.specs.quantities import Factor, Milliseconds

Slope = Annotated[float, Field(ge=0, le=100)]
"""milliseconds per km"""


class BackboneSpec(Spec):
    """Round trips by the way over the hubs, for the kinds backbone and public; what is not given is that of the kind."""

    near_ms: Milliseconds | None = None
    """round trip at distance 0"""
    near_ms_per_km: Slope | None = None
    """slope of the great circle up to 500 km"""
    way_ms: Milliseconds | None = None
    """round trip at distance 0 of the line for far places"""
    way_ms_per_km: Slope | None = None
    """slope of the way over the hubs from 1,500 km on"""

    def model(self, kind: str) -> BackboneModel:
        """The model of a kind with these coefficients in place of its own."""
        return MODELS[kind]._replace(**self.model_dump(exclude_none=True))


class DistanceSpec(Spec):
    """Round trips by distance, for the kind great-circle."""

    near_ms: Milliseconds = SHIPPED.near_ms
    """round trip at distance 0"""
    near_ms_per_km: Slope = SHIPPED.near_ms_per_km
    """slope up to 500 km"""
    far_ms: Milliseconds = SHIPPED.far_ms
    """round trip at distance 0 of the line for far places"""
    far_ms_per_km: Slope = SHIPPED.far_ms_per_km
    """slope from 700 km on"""
    pair_factors: dict[str, Factor] = {"-".join(pair): factor for pair, factor in SHIPPED.pair_factors.items()}
    """factor of the round trip by pair of continents such as EU-NA; 1 for pairs that are not given"""

    @model_validator(mode="after")
    def _pairs_of_continents(self) -> DistanceSpec:
        seen: set[frozenset[str]] = set()
        for pair in self.pair_factors:
            ends = pair.split("-")
            if len(ends) != 2 or not set(ends) <= set(CONTINENTS):
                raise ValueError(f"pair_factors: {pair!r} is not a pair of {', '.join(CONTINENTS)} such as EU-NA")
            if frozenset(ends) in seen:
                raise ValueError(f"pair_factors: {pair!r} is given in both orders")
            seen.add(frozenset(ends))
        return self

    def model(self) -> DistanceModel:
        """The distance model with these coefficients, as `og_env.scenario.distance_model` takes it."""
        factors = {(pair[:2], pair[3:]): factor for pair, factor in self.pair_factors.items()}
        return DistanceModel(self.near_ms, self.near_ms_per_km, self.far_ms, self.far_ms_per_km, factors)
