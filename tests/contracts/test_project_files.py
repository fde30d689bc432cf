"""Files that serve a code host and its tools: they parse, agree with pyproject.toml, and name what is there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.test_style import COMPILING

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
OTHERS = [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml", ROOT / ".github/ISSUE_TEMPLATE/config.yml"]


def read(path: Path) -> Any:
    """A file of YAML; the test is skipped without PyYAML."""
    return pytest.importorskip("yaml").safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*WORKFLOWS, *FORMS, *OTHERS], ids=lambda path: path.name)
def test_it_is_yaml_without_tabs(path: Path) -> None:
    assert "\t" not in path.read_text(encoding="utf-8")
    assert isinstance(read(path), dict)


def test_the_citation_is_that_of_the_package() -> None:
    citation, project = read(ROOT / "CITATION.cff"), PROJECT["project"]
    assert citation["title"] == f"{project['name']}: {project['description']}"
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert citation["repository-code"] == project["urls"]["Homepage"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_has_what_the_host_needs(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    identities = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert identities and len(set(identities)) == len(identities)
    assert all(part["attributes"]["label"] for part in form["body"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_have_a_limit_and_call_targets_that_exist(path: Path) -> None:
    jobs = read(path)["jobs"]
    assert all(job["timeout-minutes"] and job["steps"] for job in jobs.values())
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    targets = sorted({target for run in steps for target in re.findall(r"\bmake ([\w-]+)", run)})
    assert targets
    done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_supported_python_is_tested() -> None:
    versions = [part.rsplit(" ", 1)[1] for part in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", part)]
    assert read(ROOT / ".github/workflows/ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"] == versions


def test_coverage_leaves_out_compiled_functions_alone() -> None:
    [pattern] = [text for text in PROJECT["tool"]["coverage"]["report"]["exclude_also"] if "kernel" in text]
    assert all(re.search(pattern, f"@{name}") and re.search(pattern, f"@compile.{name}") for name in COMPILING)
    assert not any(re.search(pattern, line) for line in ("@property", "@functools.cache", "@kernelised", "kernel(f)"))
    assert PROJECT["tool"]["coverage"]["report"]["fail_under"] == 85
