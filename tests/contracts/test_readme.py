"""README.md says the truth: tables are current, examples run, commands exist."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium
import pytest

import og_env
from og_env.scenario import catalog

ROOT = Path(__file__).resolve().parents[2]
FLEETS = Path(__file__).parents[3] / "shared" / "data" / "fleets"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = sorted(
    {
        line.split("#")[0].strip().strip("`")
        for line in re.findall(r"^(?:python|make) .*$", TEXT, re.MULTILINE)
        + re.findall(r"`((?:python|make) [^`]+)`", TEXT)
    }
)
tables = runpy.run_path(str(ROOT / "scripts" / "readme_tables.py"))


def test_tables_are_current() -> None:
    assert tables["rewritten"](TEXT) == TEXT, "run python scripts/readme_tables.py"


def test_the_table_of_real_fleets_is_current() -> None:
    missing = [name for name in tables["FLEET_FILES"] if not (FLEETS / name).is_file()]
    if missing:
        pytest.skip(f"the measured fleets are not beside the repository: {FLEETS} lacks {', '.join(missing)}")
    assert tables["rewritten"](TEXT, fleets=FLEETS) == TEXT, "run python scripts/readme_tables.py"


def test_without_the_fleets_their_table_stays_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables["main"](["--check", "--fleets", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "stay as they are" in out and "current" in out


def test_the_audit_block_is_what_the_command_prints() -> None:
    changed = TEXT.replace("behaves like      13.", "behaves like      12.")
    assert changed != TEXT and tables["rewritten"](changed) == TEXT


def test_a_changed_table_is_noticed() -> None:
    assert tables["rewritten"](TEXT.replace("`site_hazard`", "`hazard_of_site`")) == TEXT


def test_the_tables_have_every_name() -> None:
    env = gymnasium.make("og_env/Placement-v1", scenario="hidden-facility").unwrapped
    _, info = env.reset(seed=0)
    blocks = {name: re.search(rf"<!-- {name} -->(.*)<!-- /{name} -->", TEXT, re.DOTALL) for name in ("metrics", "info")}
    named = {
        name for found in blocks.values() if found for name in re.findall(r"^\| `(\w+)` \|", found[1], re.MULTILINE)
    }
    assert {name for name in info if not name.startswith("term_")} <= named
    for env_id in og_env.IDS.values():
        assert re.search(rf"^\| `{env_id}` \| \w+ \| ", TEXT, re.MULTILINE), env_id


def test_a_version_without_history_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tables["versions"].__globals__, "IDS", {"placement": "og_env/Placement-v9"})
    with pytest.raises(ValueError, match=r"lacks v9 of og_env/Placement-v9"):
        tables["versions"]()


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"version = {{{project['version']}}}" in TEXT
    assert project["description"] in TEXT and f"author  = {{{{{project['authors'][0]['name']}}}}}" in TEXT.replace(
        "\\", ""
    )


def test_a_missing_block_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"<!-- scenarios -->"):
        tables["rewritten"](TEXT.replace("<!-- scenarios -->", ""))


def test_benchmark_block_is_filled_from_a_summary() -> None:
    figures = {"return_mean": -50.0, "return_iqm": -49.0, "ci_low": -52.0, "ci_high": -48.0, "decisions_per_s": 1234.0}
    pair = {"mean_diff": 1.5, "ci_low": 0.5, "ci_high": 2.5, "wins": 0.8}
    summary = {
        "scenario": "global-24",
        "episodes": 7,
        "policies": {"greedy": figures, "demo": figures | {"return_mean": -48.5}},
        "best_baseline": "greedy",
        "learned": "demo",
        "paired": {"demo": pair},
        "verdict": "win",
    }
    block = re.search(r"<!-- benchmark -->\n(.*)<!-- /benchmark -->", tables["rewritten"](TEXT, summary), re.DOTALL)
    assert block is not None
    assert re.search(r"\| demo \| -48.50 .*\n\| greedy \* \| -50.00 ", block[1])
    assert "wins against greedy" in block[1]
    assert block[1].startswith("7 held-out episodes of global-24.")


def test_a_file_that_is_no_summary_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    for text, message in (("{", "not JSON"), ('{"policies": {}}', "best_baseline")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            tables["read_summary"](str(path))


def test_counts_of_the_catalogue_are_true() -> None:
    providers = {site.provider for site in catalog.site_offers().values()}
    operators = {name for name in providers if name.startswith("operator-")}
    sites, large, small = len(catalog.site_offers()), len(providers - operators), len(operators)
    assert f"{sites} real sites of {large} providers and {small} independent operators" in TEXT
    assert f"lists {len(catalog.incidents())} recorded outages" in TEXT


@pytest.mark.parametrize("number", [at for at, code in enumerate(EXAMPLES) if "stable_baselines3" not in code])
def test_examples_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(EXAMPLES[number], f"README.md example {number}", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [at for at, code in enumerate(EXAMPLES) if "stable_baselines3" in code])
def test_training_examples_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(EXAMPLES[number], f"README.md example {number}", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python scripts/")])
def test_scripts_know_the_options_in_the_text(command: str) -> None:
    _, script, *words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    known = set(re.findall(r"--[a-z0-9-]+", done.stdout))
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python -m og_env")])
def test_module_commands_run(command: str) -> None:
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_commands_were_found() -> None:
    assert len(EXAMPLES) >= 3
    assert len(COMMANDS) >= 8
