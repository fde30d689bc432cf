"""States from recorded answers of Kubernetes and Prometheus, whose names are mapped to those of a scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from og_agents.advice import kubernetes_state, prometheus_state
from og_agents.advice.cluster_names import Names, read_mapping, words_mapping
from og_agents.commands import decide
from og_env.scenario import loading

CASES = Path(__file__).parents[2] / "cases" / "clusters"
TOY = loading.resolve(loading.load("toy-3"))


def recorded(name: str):
    return json.loads((CASES / name).read_text(encoding="utf-8"))


@pytest.fixture
def names() -> Names:
    return Names(TOY, read_mapping(CASES / "names.json"))


def test_pods_are_replicas_by_readiness(names: Names) -> None:
    """One is ready and one is not; one is terminating, one is of another model and one on another node."""
    state = kubernetes_state.state_of(recorded("pods.json"), names, "pods.json")
    assert state == {
        "replicas": [
            {"model": "unit", "site": "a", "phase": "warm"},
            {"model": "unit", "site": "c", "phase": "loading"},
        ],
        "roles": [{"role": "gateway", "site": "a"}],
        "status": {"b": ["DOWN"]},
    }
    assert list(names.unknown) == ["model whisper-large", "node gpu-north-9"] or set(names.unknown) == {
        "model whisper-large",
        "node gpu-north-9",
    }


def test_metrics_are_loads(names: Names) -> None:
    """3 and 1 answers in two pods of one node; 2 wait at 8 requests/s, so a quarter of a second each."""
    state = prometheus_state.state_of(recorded("load.json"), names, "load.json")
    assert state["replicas"] == [{"model": "unit", "site": "a", "phase": "warm", "in_flight": 4.0, "load_rps": 8.0}]
    assert state["measured"] == {"a": {"wait_s": 0.25}} and state["status"] == {} and not names.unknown


def test_one_response_of_the_http_api_is_enough(names: Names) -> None:
    response = recorded("load.json")["vllm:num_requests_running"]
    assert prometheus_state.state_of(response, names, "x")["replicas"][0]["in_flight"] == 4.0
    up = {"metric": {"__name__": "up", "instance": "gpu-centre-1:9100"}, "value": [0, "0"]}
    state = prometheus_state.state_of(
        [response, {"status": "success", "data": {"resultType": "vector", "result": [up]}}], names, "x"
    )
    assert state["status"] == {"b": ["DOWN"]}


def test_the_two_together(names: Names) -> None:
    placed = kubernetes_state.state_of(recorded("pods.json"), names, "pods.json")
    found = prometheus_state.state_of(recorded("load.json"), names, "load.json")
    whole = kubernetes_state.merged(placed, found)
    assert whole["replicas"][0] == {"model": "unit", "site": "a", "phase": "warm", "in_flight": 4.0, "load_rps": 8.0}
    assert whole["status"] == {"b": ["DOWN"]} and whole["measured"] == {"a": {"wait_s": 0.25}}


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--policy", "greedy", "--scenario", "toy-3", "--kubectl", str(CASES / "pods.json")]
    words += ["--prometheus", str(CASES / "load.json")]
    assert decide.main([*words, "--names", str(CASES / "names.json")]) == 0
    out = capsys.readouterr().out
    assert "unknown and left out: model whisper-large, node gpu-north-9" in out and "decided in" in out
    assert decide.main([*words, "--name", "gpu-west-1=a", "model:acme-unit-10b=unit", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert any("node gpu-east-1" in text for text in value["assumed"]) and "operation" in value
    assert decide.main(words) == 2
    assert "shows no replica of a model of toy-3; unknown: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"status": "error", "data": {}}, "status is 'error'"),
        ({"status": "success", "data": {"resultType": "scalar", "result": []}}, "resultType is 'scalar'"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{}]}}, r"data\.result\.0: has no metric"),
        (3, "is no result of the HTTP API"),
    ],
)
def test_what_is_no_result_is_refused_in_a_line(value, message: str, names: Names) -> None:
    with pytest.raises(ValueError, match=message):
        prometheus_state.state_of(value, names, "x")


def test_a_mapping_names_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"map: nodes\.n1: 'd' is not in the scenario"):
        Names(TOY, {"nodes": {"n1": "d"}})
    with pytest.raises(ValueError, match=r"--name gpu: write NODE=SITE"):
        words_mapping(["gpu"])
    with pytest.raises(ValueError, match=r"is no list of kubectl get pods"):
        kubernetes_state.state_of([], Names(TOY), "x")
