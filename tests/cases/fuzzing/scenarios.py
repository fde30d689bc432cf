"""Fuzzed scenarios: small worlds with odd numbers, written as TOML, read, and played for a few steps."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from og_env.env import NetworkEnv
from og_env.scenario import catalog, loading
from og_env.scenario.specs import ModelEntry, ModelSpec, ScenarioSpec, SiteEntry, SiteSpec
from og_env.simulator import Interface, Task
from tests.cases.fuzzing.values import table_of

SECTIONS = tuple(name for name, field in ScenarioSpec.model_fields.items() if hasattr(field.annotation, "model_fields"))
STEPS = 5
LARGE = ("H100", "H200", "A100-80GB", "B200")
SLACK = 1e-6


def tables(rng: np.random.Generator, bad: float) -> dict[str, Any]:
    """The tables of a scenario of a few sites."""
    result: dict[str, Any] = {"name": "fuzz", "description": "fuzzed"}
    result["sites"], result["models"], result["regions"] = _sites(rng, bad), _models(rng, bad), _regions(rng)
    for section in rng.permutation(np.array(SECTIONS))[: rng.integers(1, 7)]:
        spec: Any = ScenarioSpec.model_fields[section].annotation
        result[str(section)] = table_of(rng, spec, int(rng.integers(1, 6)), bad)
    if bad < 0.1 and rng.random() < 0.9:
        _tidy(result)
    if "shocks_per_day" in result.get("failures", {}) and rng.random() < 0.8:
        result["failures"]["kind_shares"] = {"provider": 0.5, "region": 0.5}
    elif rng.random() < 0.9:
        result.get("failures", {}).pop("kind_shares", None)
    for table, key in (
        ("demand", "trace_csv"),
        ("network", "rtt_csv"),
        ("failures", "outages"),
        ("limits", "forbidden_sites"),
    ):
        if rng.random() < 0.9:
            result.get(table, {}).pop(key, None)
    episode = result.setdefault("episode", {})
    if rng.random() < 0.9 or not isinstance(episode, dict):
        result["episode"] = (episode if isinstance(episode, dict) else {}) | {"steps": int(rng.integers(1, 40))}
    if rng.random() < 0.5 * bad:
        result[("fleet", "version", "name", "typo")[rng.integers(4)]] = ("random", 2, "..", 10**30)[rng.integers(4)]
    return result


def _tidy(tables: dict[str, Any]) -> None:
    """Leave out what names other parts of the scenario, and put in order what comes in an order."""
    start = tables.get("start", {})
    for key in ("placement", "replica_sites", "verifier_sites", "store_sites", "gateway_sites"):
        start.pop(key, None)
    for key in ("least_replicas", "most_replicas", "least_roles"):
        tables.get("limits", {}).pop(key, None)
    distance = tables.get("network", {}).get("distance", {})
    if isinstance(distance, dict):
        distance.pop("pair_factors", None)
    condition = tables.get("condition", {})
    condition.pop("severe_h", None)
    if "severe_speed" in condition or "grey_speed" in condition:
        speeds = (condition.get("severe_speed", 0.33), condition.get("grey_speed", 0.75))
        if all(isinstance(speed, float) for speed in speeds):
            condition["severe_speed"], condition["grey_speed"] = min(speeds), max(speeds)
    for model in tables["models"]:
        if isinstance(model, dict) and "weights_gb" not in model:
            model.pop("memory_gb", None)


def _sites(rng: np.random.Generator, bad: float) -> Any:
    if rng.random() < 0.3:
        return {
            "count": int(rng.integers(1, 9)),
            "providers": int(rng.integers(1, 4)),
            "seed": int(rng.integers(1000)),
        } | {"gpus": ["H100", "A100-80GB"], "gpu_count": [2, 8]}
    offers = [offer for offer in catalog.sites() if rng.random() < 0.1 or offer.offers[0][0] in LARGE]
    chosen = [offers[at] for at in rng.permutation(len(offers))[: rng.integers(1, 7)]]
    result: list[Any] = []
    for offer in chosen:
        draw = rng.random()
        if draw < 0.5:
            result.append(offer.name)
        elif draw < 0.8:
            changes = table_of(rng, SiteEntry, 3, bad)
            result.append({key: value for key, value in changes.items() if key != "gpu"} | {"name": offer.name})
        else:
            site = offer.site(offer.offers[0][0], int(rng.integers(1, 9))).model_dump(exclude_none=True)
            changes = table_of(rng, SiteSpec, 2, bad)
            result.append(site | {key: value for key, value in changes.items() if key not in ("gpu", "name")})
    return result


def _models(rng: np.random.Generator, bad: float) -> list[Any]:
    names = list(catalog.models())[:: 1 if rng.random() < 0.3 else 3]
    result: list[Any] = []
    for at in rng.permutation(len(names))[: rng.integers(1, 4)]:
        draw = rng.random()
        if draw < 0.4:
            result.append(names[at])
        elif draw < 0.7:
            result.append(table_of(rng, ModelEntry, 3, bad) | {"name": names[at]})
        else:
            whole = catalog.models()[names[at]].model_dump(exclude_none=True)
            result.append(whole | table_of(rng, ModelSpec, 3, bad) | {"name": f"model-{at}"})
    return result


def _regions(rng: np.random.Generator) -> Any:
    if rng.random() < 0.5:
        return {"count": int(rng.integers(1, 5))}
    names = list(catalog.regions())
    return [names[at] for at in rng.permutation(len(names))[: rng.integers(1, 5)]]


def text_of(rng: np.random.Generator, bad: float) -> bytes:
    """A scenario file; now and then its bytes are damaged."""
    raw = tomli_w.dumps(tables(rng, bad)).encode("utf-8", errors="replace")
    draw = rng.random()
    if draw > 0.3 * bad:
        return raw
    at = int(rng.integers(len(raw)))
    damaged = (
        raw[:at],
        b"\xef\xbb\xbf" + raw,
        raw.decode(errors="replace").encode("utf-16"),
        raw[:at] + b"\0" + raw[at:],
    )
    return (*damaged, raw[:at] + b"\xff" + raw[at:], raw + b"a = " + b"[" * 3000, raw + b"b = " + b"9" * 5000)[
        rng.integers(7)
    ]


def case(seed: int) -> None:
    """Read a fuzzed scenario and play it."""
    rng = np.random.default_rng(seed)
    bad = float(rng.choice([0.0, 0.0, 0.02, 0.3]))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        (folder / "fuzz.toml").write_bytes(text_of(rng, bad))
        play(rng, loading.load(folder / "fuzz.toml"), seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(rng: np.random.Generator, spec: ScenarioSpec, seed: int) -> None:
    """Play a few steps of a random task, and check all that comes back."""
    task = ("placement", "routing", "joint")[rng.integers(3)]
    interface = (
        ("proposals", "operations")[rng.integers(2)] if task != "routing" else ("knobs", "sites")[rng.integers(2)]
    )
    env = NetworkEnv(task, spec, interface=interface, flatten=bool(rng.integers(2)))
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    check(env, observation, 0.0, info)
    for _ in range(STEPS):
        action = env.action_space.sample()
        if task == "placement" and "action_mask" in info:
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        observation, reward, _, truncated, info = env.step(action)
        check(env, observation, reward, info)
        if truncated:
            break
    env.close()


def check(env: NetworkEnv, observation: Any, reward: Any, info: dict[str, Any]) -> None:
    """Observations lie in their space, rewards and figures are finite, and nobody is served who did not ask."""
    tables = observation if isinstance(observation, dict) else {"flat": observation}
    for name, values in tables.items():
        assert np.isfinite(values).all(), f"observation {name} is not finite"
    assert env.observation_space.contains(observation), "observation outside its space"
    assert np.isfinite(reward), f"reward {reward}"
    odd = [name for name, value in info.items() if isinstance(value, float) and not np.isfinite(value)]
    assert not odd, f"not finite: {odd}"
    if "served_rps" in info:
        served, asked = info["served_rps"], info["demand_rps"]
        assert served <= asked * (1 + SLACK), f"served {served!r} of {asked!r}"


def warm() -> None:
    """Compile what the cases call, so that their time is their own."""
    combinations: tuple[tuple[Task, Interface], ...] = (
        ("placement", "proposals"),
        ("placement", "operations"),
        ("routing", "knobs"),
    )
    for task, interface in combinations:
        for scenario in ("toy-3", "random-24"):
            env = NetworkEnv(task, scenario, interface=interface)
            env.reset(seed=0)
            env.step(env.action_space.sample())
            env.close()
