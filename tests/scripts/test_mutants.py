"""Mutants: what is changed, which tests concern a module, and that a known mutant dies where a neutral one survives."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
mutants = runpy.run_path(str(ROOT / "scripts" / "mutants.py"))

TOY = '''"""A toy."""
NEUTRAL_NAME = "x" + "y"


def double(value: int = 0) -> int:
    """Twice the value; the second branch is never asked for."""
    if value < -5:
        return 7
    return value * 2
'''
TEST = "from og_env.toy.sums import double\n\n\ndef test_double():\n    assert double(3) == 6\n"


def tree(folder: Path) -> Path:
    """A checkout of one module and its test."""
    for name, text in (("og_env/toy/sums.py", TOY), ("tests/toy/test_sums.py", TEST)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if name.startswith("og_env"):
            (path.parent / "__init__.py").touch()
            (path.parents[1] / "__init__.py").touch()
    return folder


def test_every_operator_and_number_of_a_file_but_not_of_annotations() -> None:
    source = "@f(1)\ndef g(x: A | B = 3) -> 4:\n    return f'{x + 1}', not x, x is None and -x < 2.0\n"
    names = [f"{mutant.old} -> {mutant.new}" for mutant in mutants["mutants_of"](source, "agents/og_agents/a.py")]
    compared = {"x is None -> (x is not None)", "-x < 2.0 -> (-x <= 2.0)"}
    joined = {"x is None and -x < 2.0 -> (x is None or -x < 2.0)"}
    assert set(names) == compared | joined | {"3 -> 4", "not x -> (x)", "-x -> (x)", "2.0 -> 4.0"}
    assert len(names) == 7


def test_a_change_stands_where_the_expression_stood() -> None:
    source = 'TEXT = "Größe"; LEAST = 1 + 2\n'
    added = next(one for one in mutants["mutants_of"](source, "og_env/a.py") if "+" in one.old)
    assert added.applied(source) == 'TEXT = "Größe"; LEAST = (1 - 2)\n' and added.compiled


def test_only_kernels_and_the_top_of_a_module_of_the_simulator_compile_anew() -> None:
    source = "A = 1\n@kernel\ndef f(x: int) -> int:\n    return x + 2\ndef g(x):\n    return x + 3\n"
    found = {one.old: one.compiled for one in mutants["mutants_of"](source, "og_env/a.py")}
    assert found == {"1": True, "x + 2": True, "2": True, "x + 3": False, "3": False}
    assert not any(one.compiled for one in mutants["mutants_of"](source, "agents/og_agents/a.py"))


def test_a_sample_follows_from_its_seed_and_has_its_share_of_kernels() -> None:
    source = "@kernel\ndef f():\n" + "    x + y\n" * 20 + "def g():\n" + "    x + y\n" * 20
    every = list(mutants["mutants_of"](source, "og_env/a.py"))
    first = mutants["drawn"](every, 8, 3, 0.25)
    assert first == mutants["drawn"](every, 8, 3, 0.25) != mutants["drawn"](every, 8, 4, 0.25)
    assert [one.compiled for one in first] == [False] * 6 + [True] * 2
    assert not any(one.compiled for one in mutants["drawn"](every, 40, 0, 0.0))


def test_the_mirror_comes_first_and_then_those_that_import_the_module() -> None:
    found = mutants["tests_of"](ROOT, "agents/og_agents/planners/offer_value.py")
    assert found[0] == "tests/agents/planners/test_offer_value.py"
    assert {"tests/agents/planners/test_tuned_greedy.py", "tests/agents/planners/test_offer_rules.py"} <= set(found)


def test_hashes_of_episodes_concern_every_module_of_the_environment() -> None:
    assert mutants["tests_of"](ROOT, "og_env/observation/encode.py")[-1] == mutants["WHOLE"]
    assert mutants["WHOLE"] not in mutants["tests_of"](ROOT, "agents/og_agents/planners/highs.py")


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants["main"](["--root", str(tree(tmp_path)), "--only", "sum.py"]) == 2
    assert "matches no mutant; names are like 'og_env/toy/sums.py:" in capsys.readouterr().err


@pytest.mark.slow
def test_a_known_mutant_dies_and_a_neutral_one_survives(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "toy"), tmp_path / "out"
    words = ["--root", str(root), "--out", str(out), "--only", r"value \* 2|7 -> 8"]
    assert mutants["main"](words) == 0
    record = json.loads((out / "mutants.json").read_text(encoding="utf-8"))
    outcomes = {row["name"].split(": ")[1]: row["outcome"] for row in record["mutants"]}
    assert outcomes == {"value * 2 -> (value / 2)": "killed", "7 -> 8": "survived"}
    page = (out / "mutants.md").read_text(encoding="utf-8")
    assert "+        return 8" in page and "value / 2" not in page
    assert (root / "og_env/toy/sums.py").read_text(encoding="utf-8") == TOY
