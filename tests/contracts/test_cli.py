"""The command line: lists, prints worlds in 120 columns, and ends bad input with one line and code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gymnasium import spaces

from og_env.__main__ import main
from og_env.render import world_text
from og_env.scenario import catalog, loading

REPOSITORY = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, error = capsys.readouterr()
    return code, out, error


def test_scenarios_lists_every_one_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = run(capsys, "scenarios")
    lines = out.splitlines()
    assert (code, error) == (0, "")
    assert [line.split()[0] for line in lines[1:]] == loading.names()
    by_name = {line.split()[0]: line.split()[1:5] for line in lines[1:]}
    assert by_name["global-24"] == ["24", "8", "4", "fixed"]
    assert by_name["random-24"] == ["24", "8", "4", "random"]
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("name", loading.names())
def test_show_prints_the_world_in_120_columns(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, error = run(capsys, "show", name)
    assert (code, error) == (0, "")
    assert max(map(len, out.splitlines())) <= 120
    whole = loading.resolve(loading.load(name))
    for heading in ("SITES", "FAULT DOMAINS", "MODELS", "USER REGIONS", "RTT by", "DEMAND", "FAILURES", "REWARD"):
        assert heading in out
    for heading in ("NETWORK", "PAYMENT", "PRICES", "ROUTER", "START"):
        assert heading in out
    for word in [model.name for model in whole.models] + [region.name for region in whole.regions]:
        assert f"\n{word} " in out
    for field in type(whole.spec.reward).model_fields:
        assert f"{field}=" in out


def test_show_says_who_shares_what(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "toy-3")[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "provider:P 2 67% a, b" in lines
    assert "grid:G 2 67% b, c" in lines
    assert not [line for line in lines if line.startswith("country:")]


def test_show_names_the_limits_where_there_are_any(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "LIMITS" not in run(capsys, "show", "toy-3")[1]
    limits = '[limits]\nleast_roles = { store = 1 }\nmost_replicas = { unit = 2 }\nforbidden_sites = ["b"]\n'
    path = tmp_path / "limited.toml"
    path.write_text((loading.scenarios_folder() / "toy-3.toml").read_text() + "\n" + limits)
    out = run(capsys, "show", str(path))[1]
    shown = "LIMITS, which no operation breaks\nmost_replicas={unit: 2}  least_roles={store: 1}  forbidden_sites=[b]"
    assert shown in out


def test_show_draws_another_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    one, same, two = (run(capsys, "show", "random-24", "--fleet-seed", seed)[1] for seed in ("1", "1", "2"))
    assert one == same != two


def test_spaces_are_printed_with_their_shapes() -> None:
    observation = spaces.Dict({"sites": spaces.Box(-1, 1, (24, 7)), "globals": spaces.Box(-1, 1, (9,))})
    text = world_text.spaces_text(
        {"A-v0": (spaces.Discrete(11), observation), "B-v0": (spaces.MultiDiscrete([11, 5]), spaces.Box(0, 1, (3,)))}
    )
    assert text.splitlines() == [
        "SPACES",
        "A-v0: action Discrete(11); observation",
        "  globals Box[9]  sites Box[24, 7]",
        "B-v0: action MultiDiscrete([11, 5]); observation",
        "  Box[3]",
    ]


def test_numbers_of_the_toy_world() -> None:
    whole = loading.resolve(loading.load("toy-3"))
    assert world_text.replica_rps(whole.models[0], whole.sites[0], whole.gpus["unit"]) == pytest.approx(10.0)
    assert world_text.gpus_for_load(whole) == pytest.approx(8 / 0.9 / 10)
    assert world_text.peak_factor(whole) == 1.0


def test_standard_world_is_a_fifth_full_on_average_and_a_quarter_full_at_the_daily_peak() -> None:
    """Crowds and bursts come on top of that."""
    whole = loading.resolve(loading.load("global-24"))
    gpu_count = sum(site.gpu_count for site in whole.sites)
    assert 0.15 <= world_text.gpus_for_load(whole) / gpu_count <= 0.22
    assert 0.22 <= world_text.gpus_for_load(whole, world_text.peak_factor(whole)) / gpu_count <= 0.3


def test_schema_is_json_and_knows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema")
    schema = json.loads(out)
    assert code == 0
    assert set(schema["properties"]) == set(type(loading.load("toy-3")).model_fields)
    assert "lat_deg" in schema["$defs"]["SiteSpec"]["properties"]


def test_incidents_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "incidents")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(catalog.incidents())
    assert max(map(len, out.splitlines())) <= 120


def test_bad_input_ends_with_one_line_and_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = 'x'\nsites = [\n")
    cases = {
        ("show", "globl-24"): "error: unknown scenario 'globl-24' (nearest valid: global-24)",
        ("show", str(broken)): f"error: {broken}: TOML syntax: ",
        ("show", str(tmp_path)): f"error: {tmp_path}: is a directory",
        ("show", "random-24", "--fleet-seed", "-1"): "error: --fleet-seed: must be >= 0, not -1",
    }
    for arguments, expected in cases.items():
        code, out, error = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert error.startswith(expected)
        assert error.count("\n") == 1


def test_unknown_commands_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["shwo"], ["show"], ["show", "toy-3", "--fleet-seed", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_module_runs_and_survives_a_closed_pipe() -> None:
    command = f"{sys.executable} -m og_env show global-64 | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("global-64: ")
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["shw", "toy-3"], ["show"], ["show", "toy-3", "--fleet", "3"]])
def test_a_wrong_command_or_option_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1
