"""The load of a fleet from results of Prometheus' HTTP API: metrics of vLLM and llm-d, and `up`.

A file holds one response of /api/v1/query or /api/v1/query_range, a list of them, or an object of responses by the name
of what was asked for. The last form is for expressions such as rate(vllm:request_success_total[5m]), whose results have
no name of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from og_agents.advice.cluster_names import MODEL_LABELS, NODE_LABELS, Names, label_of

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
RATES = ("vllm:request_success_total", "vllm:request_success:rate", "rps")
"""requests/s of a replica, as a rate"""
KNOWN = (RUNNING, WAITING, *RATES, "up")


class Sample(NamedTuple):
    """One value of a metric."""

    metric: str
    labels: dict[str, Any]
    value: float


def samples(value: Any, where: str) -> Iterator[Sample]:
    """Every last value of the responses; ValueError in one line for what is no response."""
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from samples(part, f"{where}: {number}")
    elif isinstance(value, dict) and "data" in value:
        yield from _of_response(value, "", where)
    elif isinstance(value, dict) and value and all(isinstance(part, dict) for part in value.values()):
        for name, part in value.items():
            yield from _of_response(part, str(name), f"{where}: {name}")
    else:
        raise ValueError(f"{where}: is no result of the HTTP API of Prometheus (an object with status and data)")


def _of_response(value: dict[str, Any], name: str, where: str) -> Iterator[Sample]:
    if value.get("status") != "success":
        raise ValueError(f"{where}: status is {str(value.get('status'))[:40]!r}, not 'success'")
    data = value.get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    if kind not in ("vector", "matrix") or not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise ValueError(f"{where}: data.resultType is {str(kind)[:40]!r}; valid are 'vector' and 'matrix'")
    for number, entry in enumerate(data["result"]):
        try:
            labels = dict(entry["metric"])
            _, text = entry["value"] if kind == "vector" else entry["values"][-1]
            found = float(text)
        except (KeyError, TypeError, ValueError, IndexError):
            raise ValueError(
                f"{where}: data.result.{number}: has no metric and value as Prometheus writes them"
            ) from None
        if math.isfinite(found):
            yield Sample(name or str(labels.get("__name__", "")), labels, found)


def state_of(value: Any, names: Names, where: str) -> dict[str, Any]:
    """Fields of a live state: replicas with what they do, sites that are down, and waits; unknown names are listed.

    A replica that reports is warm. Its mean wait is the number that wait over the requests/s (Little's law).
    """
    replicas: dict[tuple[str, str], dict[str, float]] = {}
    down: set[str] = set()
    for sample in samples(value, where):
        model, site = _place(sample, names)
        if sample.metric == "up" and site is not None and sample.value == 0:
            down.add(site)
        if model is not None and site is not None:
            key = RATES[-1] if sample.metric in RATES else sample.metric
            figures = replicas.setdefault((model, site), {})
            figures[key] = figures.get(key, 0.0) + max(sample.value, 0.0)
    listed, waits = [], {}
    rated = any(RATES[-1] in figures for figures in replicas.values())
    for (model, site), figures in replicas.items():
        if site in down:
            continue
        replica: dict[str, Any] = {"model": model, "site": site, "phase": "warm"}
        if RUNNING in figures:
            replica["in_flight"] = figures[RUNNING]
        if rated:
            replica["load_rps"] = figures.get(RATES[-1], 0.0)
        listed.append(replica)
        total = waits.setdefault(site, [0.0, 0.0])
        total[0] += figures.get(WAITING, 0.0)
        total[1] += figures.get(RATES[-1], 0.0)
    measured = {site: {"wait_s": wait / rps} for site, (wait, rps) in waits.items() if rps > 0}
    return {"replicas": listed, "status": {site: ["DOWN"] for site in sorted(down)}, "measured": measured}


def _place(sample: Sample, names: Names) -> tuple[str | None, str | None]:
    """Model and site of a sample, None where they are unknown; of `up` no model."""
    if sample.metric not in KNOWN:
        names.unknown.setdefault(f"metric {sample.metric[:80] or '(without a name)'}")
        return None, None
    node, label = label_of(sample.labels, NODE_LABELS), label_of(sample.labels, MODEL_LABELS)
    site = None if node is None else names.site(node)
    if sample.metric == "up":
        return None, site
    if node is None or label is None:
        names.unknown.setdefault(f"a sample of {sample.metric} without a label for its {'model' if node else 'node'}")
    return None if label is None else names.model(label), site
