"""Meaning of the columns of a fleet: their usual names, and cells that hold several things at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from og_env.scenario.domain_kinds import KINDS
from og_env.scenario.fleet_file.spellings import CONTINENT_NAMES, country_code, is_missing

ALIASES = {"asn": "transit", "city": "metro"}
"""kind of dependency of the columns that have another name than their kind"""
PLAIN = ("node", "weight", "lat", "lon", "host_class", "price")
MEANINGS = (*PLAIN, *ALIASES, *KINDS)
"""what a column can mean for the audit"""
PRICES = ("usd_per_gpu_hour", "usd_per_node_hour", "price")
"""columns of the rent: of a GPU, of a node, and of what nobody says"""
FIELDS = (
    "gpu", "gpu_count", *PRICES[:2], "use_usd_per_gpu_hour", "usd_per_vm_hour", "link_gbps", "disk_gb_per_s",
    "egress_usd_per_gb", "runs", "continent", "instance_type",
)  # fmt: skip
"""columns that a scenario uses beside MEANINGS"""
USUAL_NAMES = {
    "node": "node name|node id|nodeid|name|hostname|host|host name|id|identity|server|server name|machine|instance|instance id|"
    "validator|account|pubkey|public key|peer|peer id|vote account|device|vm|moniker",
    "provider": "provider name|cloud|cloud provider|isp|org|organisation|organization|owner|asname|as name|as org|aso|asn name|"
    "autonomous system name|operator|vendor|hoster|hosting provider|company|dc owner|data center owner",
    "asn": "as|as number|autonomous system number|autonomous system|transit asn",
    "country": "country code|countrycode|country name|cc|nation|land|iso country|geo country",
    "city": "town|metro|metro area|location city|city name|geo city|location|place",
    "region": "cloud region|region code|aws region|region name",
    "facility": "site|data center|datacenter|data centre|datacentre|dc|colo|site name|zone|availability zone|az",
    "lat": "latitude|lat deg|geo lat",
    "lon": "lng|long|longitude|lon deg|geo lon",
    "weight": "stake|power|voting power|active stake|activated stake|votes|voting weight|stake weight|"
    "effective balance|balance",
    "gpu": "gpu model|gpu type|gpu kind|gpu name|accelerator|accelerator type|card|gpu product",
    "gpu_count": "gpus|gpu count|num gpus|number of gpus|n gpus|gpus per node|accelerators|accelerator count",
    "usd_per_gpu_hour": "price per gpu hour|price per gpu per hour|gpu price per hour|usd per gpu per hour|usd gpu h|"
    "usd gpu hour|price gpu h|cost per gpu hour",
    "usd_per_node_hour": "price per node hour|price per node per hour|node price per hour|usd per node per hour|usd node hour|"
    "usd per hour|price per instance hour|price per server per hour|usd node h|cost per node hour|price per node",
    "price": "cost|rate|hourly price|price per hour|hourly cost|usd h|price usd|usd|price h",
    "tee_vendor": "tee|tee type|confidential computing",
    "host_class": "host type",
    "instance_type": "machine type|vm size|instance size|flavor|flavour",
    "continent": "continent name",
    "grid": "power grid",
    "transit": "carrier|upstream provider|transit provider",
    "image": "os image|os|machine image|client image",
    "link_gbps": "bandwidth gbps|network gbps",
    "runs": "running|serves|models",
}
"""other names of the columns, as `header_key` folds them, with | between them; earlier ones win"""
CAN_BE_MAPPED = {
    "provider": ("tenant", "node provider", "customer", "account owner"),
    "facility": ("dc id", "rack", "building", "hall", "dc key"),
}
"""columns that are hinted at, as they may mean one thing or another"""
COORDINATES = re.compile(r"\(?\s*(-?\d{1,2}(?:\.\d+)?)\s*[,;/ ]\s*(-?\d{1,3}(?:\.\d+)?)\s*\)?")
DATA_CENTER_KEY = re.compile(r"(\d{1,10})-([A-Z]{2})-(.+)")
SEEN = 200
"""cells that decide whether a column holds several things"""


class Split(NamedTuple):
    """A column whose cells hold several things."""

    words: str
    """what it holds, for a message"""
    meanings: tuple[str, ...]
    """meaning of each part"""
    parts: Callable[[str], tuple[str, ...] | None]
    """the parts of a cell; None where it is of another shape"""


def header_key(name: str) -> str:
    """The name of a column in lower case, with one blank in place of all that is no letter or digit."""
    last = name.rsplit("/", 1)[-1] if "." in name.rsplit("/", 1)[0] else name  # a label of Kubernetes
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", last)
    return re.sub(r"[^a-z0-9]+", " ", spaced.casefold().replace("$", " usd ")).strip()


def known_names() -> dict[str, str]:
    """Meaning by the folded name of a column."""
    found: dict[str, str] = {}
    for meaning in (meaning for meaning in (*MEANINGS, *FIELDS) if meaning != "site"):
        found.setdefault(header_key(meaning), meaning)
    for meaning, names in USUAL_NAMES.items():
        for name in names.split("|"):
            found.setdefault(name, meaning)
    return found


def meaning_of(column: str, known: Mapping[str, str]) -> str:
    """Meaning of a column by its usual names; empty where it has none. Of a nested key the last part counts too."""
    key = header_key(column)
    last = header_key(column.rsplit(".", 1)[-1]) if "." in column else key
    return known.get(key) or known.get(last, "")


def split_of(values: Sequence[str]) -> Split | None:
    """How to split the cells of a column, where nearly all of them have one shape."""
    seen = [value for value in values[:SEEN] if not is_missing(value)]
    for split in SPLITS:
        if seen and sum(split.parts(value) is not None for value in seen) >= 0.9 * len(seen):
            return split
    return None


def _coordinates(value: str) -> tuple[str, ...] | None:
    found = COORDINATES.fullmatch(value)
    return found.groups() if found and "." in value and abs(float(found[1])) <= 90 else None


def _data_center(value: str) -> tuple[str, ...] | None:
    found = DATA_CENTER_KEY.fullmatch(value)
    return (f"AS{found[1]}", found[2], found[3]) if found and country_code(found[2]) else None


def _continent(value: str) -> tuple[str, ...] | None:
    parts = tuple(part.strip() for part in value.split(","))
    right = len(parts) == 3 and parts[0].casefold() in CONTINENT_NAMES and bool(country_code(parts[1]))
    return parts if right else None


def _city(value: str) -> tuple[str, ...] | None:
    parts = tuple(part.strip() for part in value.split(","))
    return (parts[0], parts[-1]) if len(parts) in (2, 3) and parts[0] and country_code(parts[-1]) else None


SPLITS = (
    Split("latitude, longitude", ("lat", "lon"), _coordinates),
    Split("continent, country, city", ("continent", "country", "city"), _continent),
    Split("ASN-country-city", ("asn", "country", "city"), _data_center),
    Split("city, country", ("city", "country"), _city),
)
