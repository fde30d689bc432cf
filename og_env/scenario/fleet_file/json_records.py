"""Records in JSON: lists of objects, JSON lines, and the exports of kubectl, clouds' tools and Terraform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from og_env.errors import printable
from og_env.scenario.csv_file import raise_csv_error
from og_env.scenario.fleet_file.spellings import INSTANCE_TYPES

CLOUDS = {
    "aws": "aws",
    "gce": "gcp",
    "azure": "azure",
    "hcloud": "hetzner",
    "digitalocean": "digitalocean",
    "oci": "oci",
}
"""provider by the scheme of a Kubernetes node's providerID"""
RESOURCES = {
    "aws_instance": "aws", "aws_spot_instance_request": "aws", "google_compute_instance": "gcp",
    "azurerm_linux_virtual_machine": "azure", "azurerm_windows_virtual_machine": "azure", "azurerm_virtual_machine": "azure",
    "hcloud_server": "hetzner", "digitalocean_droplet": "digitalocean", "oci_core_instance": "oci", "vultr_instance": "vultr",
    "scaleway_instance_server": "scaleway", "linode_instance": "linode", "openstack_compute_instance_v2": "openstack",
}  # fmt: skip
"""provider by the type of a Terraform resource that is a machine"""
LIST_KEYS = (
    "nodes",
    "items",
    "data",
    "results",
    "result",
    "servers",
    "machines",
    "instances",
    "fleet",
    "hosts",
    "validators",
)
TYPES = ("instance_type", "machine_type", "size", "vm_size", "server_type", "shape", "plan")
"""attributes that hold the type of a machine"""
MOST_DEPTH = 4
Record = dict[str, Any]
Table = tuple[tuple[str, ...], list[list[str]], list[int]]


def json_records(text: str, source: str, notes: list[str], skipped: list[str]) -> Table:
    """Columns, rows and numbers of the records in a JSON text; ValueError in one line where it holds none."""
    try:
        whole = json.loads(text)
    except RecursionError:
        raise_csv_error(source, "the JSON is nested too deep")
    except ValueError as error:
        whole = _lines(text, skipped)
        if not whole:
            raise_csv_error(source, f"not JSON: {error}")
        notes.append("JSON lines")
    records = _records(whole, source, notes)
    flat: list[Mapping[str, str]] = []
    numbers: list[int] = []
    for number, record in enumerate(records, start=1):
        if isinstance(record, dict):
            flat.append(_flat(record))
            numbers.append(number)
        else:
            skipped.append(f"record {number}: no object")
    columns = tuple(dict.fromkeys(key for record in flat for key in record))
    if not flat or not columns:
        raise_csv_error(source, 'the JSON holds no list of nodes; write [{"node": ..., "provider": ...}, ...]')
    return columns, [[record.get(column, "") for column in columns] for record in flat], numbers


def _lines(text: str, skipped: list[str]) -> list[Any]:
    """Objects of JSON lines, without the lines that are none."""
    found: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except ValueError:
                skipped.append(f"line {number}: not JSON")
    return found if any(isinstance(record, dict) for record in found) else []


def _records(whole: Any, source: str, notes: list[str]) -> list[Any]:
    """The records of a known export, or of a plain list."""
    if isinstance(whole, list):
        return [_listed(one) for one in whole]
    if not isinstance(whole, dict):
        return []
    for name, read in (("AWS", _of_aws), ("Terraform", _of_terraform), ("kubectl", _of_kubernetes)):
        if (found := read(whole, source)) is not None:
            notes.append(f"an export of {name}: zones count as facilities")
            return found
    lists = [key for key, value in whole.items() if isinstance(value, list) and any(isinstance(v, dict) for v in value)]
    if lists:
        return _records(whole[next((key for key in LIST_KEYS if key in lists), lists[0])], source, notes)
    if whole and all(isinstance(value, dict) for value in whole.values()):
        return [{"node": name, **value} for name, value in whole.items()]
    return [whole]


def _of_aws(whole: Record, source: str) -> list[Record] | None:
    """Instances of `aws ec2 describe-instances`."""
    if not isinstance(whole.get("Reservations"), list):
        return None
    return [_aws(one) for part in whole["Reservations"] for one in part.get("Instances", ())]


def _of_terraform(whole: Record, source: str) -> list[Record] | None:
    """Machines of a state, as it is or shown, or of a plan."""
    if not (isinstance(whole.get("values"), dict) or "planned_values" in whole or "terraform_version" in whole):
        return None
    found = list(_terraform(whole))
    if not found:
        raise_csv_error(source, f"a Terraform file without machines ({', '.join(list(RESOURCES)[:3])}, ...)")
    return found


def _of_kubernetes(whole: Record, source: str) -> list[Record] | None:
    """Nodes of `kubectl get nodes -o json`."""
    if "apiVersion" not in whole and whole.get("kind") not in ("NodeList", "Node", "List"):
        return None
    items = [one for one in whole.get("items", [whole]) if isinstance(one, dict)]
    if not any(one.get("kind", "Node") == "Node" for one in items):
        raise_csv_error(source, "a Kubernetes list without nodes: write it by kubectl get nodes -o json")
    return [_kubernetes(one) for one in items]


def _listed(one: Any) -> Any:
    """A record of a plain list, which a cloud's tool may have written."""
    if isinstance(one, dict) and "InstanceId" in one and "Placement" in one:
        return _aws(one)
    if isinstance(one, dict) and str(one.get("kind", "")) == "compute#instance":
        return _google(one)
    if isinstance(one, dict) and isinstance(one.get("hardwareProfile"), dict):
        kind = one["hardwareProfile"].get("vmSize")
        return _machine("azure", one.get("name"), one.get("location"), "", kind)
    return one


def _machine(provider: str, node: Any, region: Any, zone: Any, kind: Any) -> Record:
    """A rented machine as a row; its type says which GPUs it has."""
    gpu, count = INSTANCE_TYPES.get(str(kind).casefold(), ("", ""))
    if not region and zone:
        region = re.sub(r"-?[a-z]$", "", str(zone)) if provider in ("aws", "gcp") else ""
    return {"node": node, "provider": provider, "region": region or "", "facility": f"{provider}/{zone}" if zone else "",
            "instance_type": kind or "", "gpu": gpu, "gpu_count": count}  # fmt: skip


def _aws(one: Record) -> Record:
    tags = {tag.get("Key"): tag.get("Value") for tag in one.get("Tags") or () if isinstance(tag, dict)}
    zone = (one.get("Placement") or {}).get("AvailabilityZone")
    return _machine("aws", tags.get("Name") or one.get("InstanceId"), "", zone, one.get("InstanceType"))


def _google(one: Record) -> Record:
    zone, kind = (str(one.get(key, "")).rsplit("/", 1)[-1] for key in ("zone", "machineType"))
    return _machine("gcp", one.get("name"), "", zone, kind)


def _kubernetes(one: Record) -> Record:
    meta, spec, status = (one.get(key) or {} for key in ("metadata", "spec", "status"))
    labels = meta.get("labels") or {}
    beta = "failure-domain.beta.kubernetes.io"
    zone = labels.get("topology.kubernetes.io/zone") or labels.get(f"{beta}/zone")
    region = labels.get("topology.kubernetes.io/region") or labels.get(f"{beta}/region")
    scheme = str(spec.get("providerID", "")).split(":", 1)[0]
    kind = labels.get("node.kubernetes.io/instance-type")
    record = _machine(CLOUDS.get(scheme, scheme), meta.get("name"), region, zone, kind)
    gpus = next((value for key, value in (status.get("capacity") or {}).items() if key.endswith("/gpu")), "")
    record["gpu"] = labels.get("nvidia.com/gpu.product") or record["gpu"]
    record["gpu_count"] = gpus or record["gpu_count"]
    return record | {"image": (status.get("nodeInfo") or {}).get("osImage", "")}


def _terraform(whole: Record) -> Iterator[Record]:
    """Machines of a state file, of `terraform show -json`, or of a plan."""
    resources = list(whole.get("resources") or ())
    modules = [
        part.get("root_module") for part in (whole.get("values"), whole.get("planned_values")) if isinstance(part, dict)
    ]
    while modules:
        module = modules.pop()
        if isinstance(module, dict):
            resources += module.get("resources") or ()
            modules += module.get("child_modules") or ()
    for resource in (one for one in resources if isinstance(one, dict) and one.get("type") in RESOURCES):
        provider = RESOURCES[resource["type"]]
        many = resource.get("instances")
        for number, at in enumerate(
            [one.get("attributes") or {} for one in many] if many else [resource.get("values") or {}]
        ):
            tags = at["tags"] if isinstance(at.get("tags"), dict) else {}
            usual = resource.get("name", "") + (f"-{number}" if many and len(many) > 1 else "")
            kind = next((at[key] for key in TYPES if at.get(key)), "")
            region = at.get("region") or (at.get("location") if provider != "gcp" else "")
            zone = at.get("availability_zone") or at.get("zone") or at.get("availability_domain")
            yield _machine(provider, tags.get("Name") or at.get("name") or usual or at.get("id"), region, zone, kind)


def _flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, str]:
    """Texts by dotted key; lists of plain values are joined."""
    flat: dict[str, str] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and depth < MOST_DEPTH:
            flat |= _flat(value, f"{name}.", depth + 1)
        elif isinstance(value, list | dict):
            plain = isinstance(value, Sequence) and all(isinstance(one, str | int | float) for one in value)
            flat[name] = ",".join(map(str, value)) if plain else ""
        else:
            flat[name] = "" if value is None else printable(str(value)).strip()
    return flat
