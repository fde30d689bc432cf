"""One name for the spellings of one thing: countries, companies with their legal form, GPUs, cloud providers and regions."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable

from og_env.scenario import catalog
from og_env.scenario.catalog.countries import country_codes, country_key

MISSING = frozenset({
    "", "-", "--", "\u2013", "\u2014", "?", "??", "unknown", "n/a", "n.a.", "na", "#n/a", "null", "nil", "nan", "none", "tbd",
    "tba", "todo", "undefined", "not set", "not available",
})  # fmt: skip
"""cells that say nothing, in lower case"""
LEGAL_FORMS = frozenset({
    "ab", "ag", "aps", "asa", "bv", "bvba", "co", "company", "corp", "corporation", "doo", "eood", "gmbh", "inc",
    "incorporated", "kft", "kg", "kk", "limited", "llc", "llp", "lp", "ltd", "ltda", "nv", "ou", "oy", "oyj", "plc",
    "pte", "pty", "sa", "sarl", "sas", "sl", "spa", "spol", "srl", "sro", "ug", "as", "sp", "zoo",
})  # fmt: skip
"""last words of a company's name that say its legal form, without dots"""
GENERIC = frozenset({
    "american", "china", "cloud", "data", "digital", "global", "hosting", "internet", "national", "network", "online",
    "telecom", "the",
})  # fmt: skip
"""first words that many unrelated companies share"""
PROVIDER_NAMES = {
    "alibaba": "alibaba", "aliyun": "alibaba", "amazon": "aws", "amazonaws": "aws", "aws": "aws", "azure": "azure",
    "digitalocean": "digitalocean", "equinix": "equinix", "gce": "gcp", "gcp": "gcp", "google": "gcp", "hetzner": "hetzner",
    "ibm": "ibm", "lambda": "lambda", "latitude.sh": "latitude", "leaseweb": "leaseweb", "microsoft": "azure", "oci": "oci",
    "oracle": "oci", "ovh": "ovh", "ovhcloud": "ovh", "scaleway": "scaleway", "tencent": "tencent", "vultr": "vultr",
}  # fmt: skip
"""provider of the catalogue by the first word of the names that its company goes by"""
GPU_NOISE = re.compile(
    r"nvidia|geforce|tesla|quadro|amd|instinct|radeon|sxm\d?|pcie|hbm\de?|tensor ?core|gpu|generation|[^a-z0-9]"
)
GPU_NAMES = {
    "a100": "A100-80GB", "a10": "A10G", "ada4000": "RTX-4000-Ada", "rtx4000": "RTX-4000-Ada", "rtxa6000": "A6000",
    "ada6000": "RTX-6000-Ada", "rtx6000": "RTX-6000-Ada", "3090": "RTX-3090", "4090": "RTX-4090", "5090": "RTX-5090",
    "l40": "L40S", "pro6000": "RTX-PRO-6000", "h100nvl": "H100",
}  # fmt: skip
"""GPU of the catalogue by other spellings, as `gpu_key` folds them; several stand for the nearest kind"""
NUMBER = re.compile(
    r"(?:USD|EUR|US\$|[$\u20ac\u00a3])?\s*(-?[\d.,_ '\u00a0\u202f]*\d(?:e[+-]?\d+)?)\s*(?:USD|EUR|[$\u20ac\u00a3%]|/h|/hr)*",
    re.I,
)
"""a number with or without separators of thousands, a currency and a unit"""
INSTANCE_TYPES = {
    "p4d.24xlarge": ("A100-40GB", 8), "p4de.24xlarge": ("A100-80GB", 8), "p5.48xlarge": ("H100", 8),
    "p5.4xlarge": ("H100", 1), "p5e.48xlarge": ("H200", 8), "p5en.48xlarge": ("H200", 8), "p6-b200.48xlarge": ("B200", 8),
    "g4dn.xlarge": ("T4", 1), "g4dn.12xlarge": ("T4", 4), "g5.xlarge": ("A10G", 1), "g5.12xlarge": ("A10G", 4),
    "g5.48xlarge": ("A10G", 8), "g6.xlarge": ("L4", 1), "g6.12xlarge": ("L4", 4), "g6.48xlarge": ("L4", 8),
    "g6e.xlarge": ("L40S", 1), "g6e.12xlarge": ("L40S", 4), "g6e.48xlarge": ("L40S", 8),
    "a2-highgpu-1g": ("A100-40GB", 1), "a2-highgpu-8g": ("A100-40GB", 8), "a2-ultragpu-8g": ("A100-80GB", 8),
    "a3-highgpu-8g": ("H100", 8), "a3-megagpu-8g": ("H100", 8), "a3-ultragpu-8g": ("H200", 8), "g2-standard-4": ("L4", 1),
    "standard_nd96asr_v4": ("A100-40GB", 8), "standard_nd96amsr_a100_v4": ("A100-80GB", 8),
    "standard_nd96isr_h100_v5": ("H100", 8), "standard_nc24ads_a100_v4": ("A100-80GB", 1),
}  # fmt: skip
"""kind and number of the GPUs of rented machines by type, from the vendors' public lists of instance types, 2026-07"""


def is_missing(value: str) -> bool:
    """Whether a cell says nothing."""
    return not value or value.casefold() in MISSING


def plain_number(text: str) -> str:
    """A number as `float` reads it: without currency and unit, and with a point for a decimal comma."""
    found = NUMBER.fullmatch(text)
    if not found:
        return text
    plain = re.sub(r"[_ '\u00a0\u202f]", "", found[1])
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", plain):
        return plain.replace(",", "")
    if re.fullmatch(r"-?\d{1,3}(\.\d{3})+(,\d+)?", plain) and ("," in plain or plain.count(".") > 1):
        return plain.replace(".", "").replace(",", ".")
    return plain.replace(",", ".") if plain.count(",") == 1 and "." not in plain else plain


def country_code(value: str) -> str:
    """ISO 3166 code of a country in any spelling; empty for a word that is none."""
    return country_codes().get(country_key(value), "")


def name_key(value: str, legal: bool) -> str:
    """A name without upper case and double blanks; of a company, `legal`, without its legal form as well."""
    words = value.casefold().split()
    if not legal:
        return " ".join(words)
    words = [
        plain
        for word in words
        if (plain := word.strip(",;()").replace(".", "") if len(word) < 9 else word.strip(",;()."))
    ]
    while len(words) > 1 and (words[-1] in LEGAL_FORMS or words[-1] in ("&", "and")):
        words.pop()
    return " ".join(words)


def fold(values: Iterable[str], legal: bool) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The name that each value stands for, and the spellings of the names that have several.

    The commonest spelling stands for all, the first of several that are equally common.
    """
    count = Counter(values)
    by_key: dict[str, list[str]] = {}
    for value in count:
        by_key.setdefault(name_key(value, legal), []).append(value)
    stands = {}
    several: dict[str, list[str]] = {}
    for spelled in by_key.values():
        best = max(spelled, key=lambda value: count[value])
        stands.update(dict.fromkeys(spelled, best))
        if len(spelled) > 1:
            several[best] = [value for value in spelled if value != best]
    return stands, several


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of companies' names that begin with the same rare word, so that they may belong together."""
    first: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for name in names:
        word = re.split(r"[^\w]+", name.casefold(), maxsplit=1)[0]
        if len(word) < 4 or word in GENERIC or word.isdigit():
            continue
        if word in first and first[word] != name:
            found.append((first[word], name))
        first.setdefault(word, name)
    return found


@functools.cache
def _providers() -> dict[str, str]:
    """Provider of the catalogue by its name in lower case."""
    return {site.provider.casefold(): site.provider for site in catalog.sites()}


@functools.cache
def catalogue_provider(name: str) -> str:
    """The provider of the catalogue that goes by this name; empty where none does."""
    known = _providers()
    key = name_key(name, legal=True)
    if key in known:
        return known[key]
    word = re.split(r"[\s\-_,]+", key, maxsplit=1)[0]
    return PROVIDER_NAMES.get(word, "")


@functools.cache
def _regions() -> dict[tuple[str, str], str]:
    """Region of the catalogue by provider and by its folded name, and with an empty provider those that one has."""
    found: dict[tuple[str, str], str] = {}
    for site in catalog.sites():
        found[site.provider, region_key(site.region)] = site.region
        found.setdefault(("", region_key(site.region)), site.region)
    return found


@functools.cache
def region_key(name: str) -> str:
    """Letters and digits of a region's name in lower case; "East US" and "eastus" have one."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def cloud_region(provider: str, name: str) -> str:
    """The region as the catalogue spells it, or the name where it looks like one; empty for a state, city or continent."""
    known = _regions()
    at = catalogue_provider(provider) if provider else ""
    if at and (at, region_key(name)) in known:
        return known[at, region_key(name)]
    if country_code(name) or country_key(name) in CONTINENT_NAMES:
        return ""
    if ("", region_key(name)) in known and re.search(r"[\d-]", name):
        return name
    return name if re.fullmatch(r"[a-z0-9][a-z0-9_./-]*", name) and name not in STATES else ""


CONTINENT_NAMES = frozenset({
    "europe", "asia", "africa", "north america", "south america", "latin america", "oceania", "antarctica",
    "middle east", "americas", "apac", "emea", "amer", "latam", "asia pacific", "eu", "na", "sa", "as", "af", "oc",
    "me",
})  # fmt: skip
STATES = frozenset({
    "alabama", "alaska", "arizona", "arkansas", "california", "colorado", "connecticut", "delaware", "florida",
    "georgia", "hawaii", "idaho", "illinois", "indiana", "iowa", "kansas", "kentucky", "louisiana", "maine",
    "maryland", "massachusetts", "michigan", "minnesota", "mississippi", "missouri", "montana", "nebraska", "nevada",
    "ohio", "oklahoma", "oregon", "pennsylvania", "tennessee", "texas", "utah", "vermont", "virginia", "washington",
    "wisconsin", "wyoming", "england", "scotland", "wales", "bavaria", "bayern", "hessen", "hesse", "saxony",
    "ontario", "quebec", "catalonia", "lombardy", "victoria", "queensland",
})  # fmt: skip
"""names of states that people write in lower case, which would pass for a region's code"""


def gpu_key(name: str) -> str:
    """Letters and digits of a GPU's name in lower case, without maker and form."""
    return GPU_NOISE.sub("", name.casefold())


@functools.cache
def gpu_name(name: str) -> str:
    """The GPU of the catalogue that a spelling stands for; empty where none does."""
    known = catalog.gpus()
    if name in known:
        return name
    by_key = {gpu_key(gpu): gpu for gpu in known}
    plain = gpu_key(re.sub(r"[-_ (]*\d+ ?gi?b?\b\)?", "", name, flags=re.I))
    for form in (gpu_key(name), f"{gpu_key(name)}b", plain, plain.removeprefix("rtx")):
        if found := by_key.get(form) or GPU_NAMES.get(form):
            return found
    return ""
