"""Where models and roles run, from `kubectl get pods,nodes -o json`: vLLM and llm-d deployments by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from og_agents.advice.cluster_names import MODEL_LABELS, Names, label_of

ROLE_LABELS = ("og-env/role", "llm-d.ai/role", "app.kubernetes.io/component", "component")
ROLES = ("verifier", "store", "gateway")
OVER = ("Succeeded", "Failed")
"""phases of pods that hold nothing"""
ORDER = ("fetching", "loading", "warm")
"""phases from the least ready on: of several pods of a model on a node the readiest counts"""


class Pod(NamedTuple):
    """A pod of a role, or of a model."""

    role: str
    """empty where it serves a model"""
    model: str
    """empty where it has a role"""
    site: str
    phase: str


def state_of(value: Any, names: Names, where: str) -> dict[str, Any]:
    """Fields of a live state: replicas by readiness, roles, and nodes that are not ready; unknown names are listed.

    A pod that is ready is warm, one that runs and is not ready loads, and one that is scheduled and does not run yet
    fetches. ValueError in one line for what is no list of pods.
    """
    items = value.get("items") if isinstance(value, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{where}: is no list of kubectl get pods -o json (an object with items)")
    replicas: dict[tuple[str, str], str] = {}
    roles: set[tuple[str, str]] = set()
    down: set[str] = set()
    for item in items:
        if item.get("kind") == "Node":
            site = names.site(str(_table(item.get("metadata")).get("name", "")))
            if site is not None and not _condition(_table(item.get("status")), "Ready"):
                down.add(site)
            continue
        pod = _pod(item, names)
        if pod is None:
            continue
        if pod.role:
            roles.add((pod.role, pod.site))
        else:
            before = replicas.get((pod.model, pod.site), ORDER[0])
            replicas[pod.model, pod.site] = max(before, pod.phase, key=ORDER.index)
    return {
        "replicas": [
            {"model": model, "site": site, "phase": "loading" if site in down and phase == "warm" else phase}
            for (model, site), phase in replicas.items()
        ],
        "roles": [{"role": role, "site": site} for role, site in sorted(roles)],
        "status": {site: ["DOWN"] for site in sorted(down)},
    }


def _pod(item: Mapping[str, Any], names: Names) -> Pod | None:
    """The part that a pod plays; None for one that holds nothing or is unknown, and for a role that is not ready."""
    meta, spec, status = (_table(item.get(key)) for key in ("metadata", "spec", "status"))
    labels, node, phase = _table(meta.get("labels")), spec.get("nodeName"), status.get("phase")
    if not node or phase in OVER or meta.get("deletionTimestamp"):
        return None
    role, label = label_of(labels, ROLE_LABELS), label_of(labels, MODEL_LABELS)
    role = names.mapping["roles"].get(role, role) if role else None
    if role not in ROLES and label is None:
        names.unknown.setdefault(f"pod {str(meta.get('name'))[:80]} (no label of a model or role)")
        return None
    ready = _condition(status, "Ready")
    site = names.site(str(node))
    if role in ROLES:
        return Pod(str(role), "", site, "") if site is not None and ready else None
    model = names.model(str(label))
    if site is None or model is None:
        return None
    return Pod("", model, site, "warm" if ready else "loading" if phase == "Running" else "fetching")


def merged(placement: dict[str, Any], load: dict[str, Any]) -> dict[str, Any]:
    """Where things run by Kubernetes, with what they do by Prometheus; what only one of them knows is kept.

    A replica that Kubernetes does not list and that reports a load runs all the same.
    """
    known = {(one["model"], one["site"]): dict(one) for one in placement.get("replicas", ())}
    rated = any("load_rps" in one for one in load.get("replicas", ()))
    for one in load.get("replicas", ()):
        key = one["model"], one["site"]
        if key not in known:
            known[key] = dict(one)
        elif known[key]["phase"] == "warm":
            known[key] |= {name: one[name] for name in ("in_flight", "load_rps") if name in one}
    if rated:
        for one in known.values():
            if one["phase"] == "warm":
                one.setdefault("load_rps", 0.0)
    status = {**load.get("status", {}), **placement.get("status", {})}
    for one in known.values():
        if one["site"] in status and one["phase"] == "warm":
            one["phase"] = "loading"
            one.pop("load_rps", None)
            one.pop("in_flight", None)
    result = {**load, **placement, "replicas": list(known.values()), "status": status}
    return {key: part for key, part in result.items() if part or key == "replicas"}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _condition(status: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition of a pod or node is true."""
    conditions = status.get("conditions")
    for one in conditions if isinstance(conditions, list) else ():
        if _table(one).get("type") == kind:
            return _table(one).get("status") == "True"
    return False
