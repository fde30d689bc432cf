"""A site of the catalogue before it is decided which of its GPUs are rented, and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from og_env.scenario.catalog.countries import continent_of
from og_env.scenario.specs import HostClass, NonNegative, Positive, SiteSpec, Spec, TeeVendor


class SiteOffer(Spec):
    """One region of one provider: a SiteSpec before it is decided which GPU and how many."""

    name: str
    """provider/region"""
    provider: str
    region: str
    city: str
    """metro area, the same word for every site in it"""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    lat_deg: Annotated[float, Field(ge=-90, le=90)]
    lon_deg: Annotated[float, Field(ge=-180, le=180)]
    grid: str
    """synchronous power grid, or the part of one that has gone dark by itself"""
    transit: str
    """the cloud's own backbone, or the main carrier"""
    tee_vendor: TeeVendor
    host_class: HostClass
    offers: Annotated[tuple[tuple[str, Positive], ...], Field(min_length=1)]
    """(GPU kind, usd_per_gpu_hour), the usual one first"""
    usd_per_vm_hour: NonNegative
    link_gbps: Positive
    disk_gb_per_s: Positive
    egress_usd_per_gb: NonNegative
    facility: str = ""
    image: str = "default"
    facilitator: str = ""
    upstream: str = ""

    @property
    def continent(self) -> str:
        """Continent of the site: AF AS EU ME NA OC SA."""
        return continent_of(self.country)

    def site(self, gpu: str, gpu_count: int) -> SiteSpec:
        """The site with `gpu_count` of one kind at the price asked here. ValueError if the kind is not offered."""
        prices = dict(self.offers)
        if gpu not in prices:
            raise ValueError(f"{self.name} does not offer {gpu!r} (offered: {', '.join(prices)})")
        fields = {name: getattr(self, name) for name in SiteOffer.model_fields if name != "offers"}
        return SiteSpec(**fields, gpu=gpu, gpu_count=gpu_count, usd_per_gpu_hour=prices[gpu])
