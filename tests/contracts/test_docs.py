"""README.md and the pages of .github/docs say the truth: tables are current, examples run, commands and links exist."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
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
DOCS = ROOT / ".github" / "docs"
FLEETS = Path(__file__).parents[3] / "shared" / "data" / "fleets"
README = ROOT / "README.md"
MOST_BYTES_OF_README = 9_000
MOST_WORDS_OF_A_SENTENCE = 40
TUTORIAL = DOCS / "tutorial.md"
"""its blocks build on each other, and tests/scripts/test_tutorial.py runs them"""
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (README, *sorted(DOCS.rglob("*.md")))}
TEXT = "\n".join(TEXTS.values())
EXAMPLES = {
    code: f"{name}, {code.splitlines()[0]}"
    for name, text in TEXTS.items()
    if ROOT / name != TUTORIAL
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
}
LEARNS = ("stable_baselines3",)
COMMANDS = sorted(
    {
        line.split(" #")[0].split(" > ")[0].strip().strip("`")
        for line in re.findall(r"^(?:python|make|og-env) .*$", TEXT, re.MULTILINE)
        + re.findall(r"`((?:python|make|og-env) [^`]+)`", TEXT)
    }
)
tables = runpy.run_path(str(ROOT / "scripts" / "doc_tables.py"))
PAGES: dict[str, tuple[str, ...]] = tables["PAGES"]


def text_of(page: str) -> str:
    """Text of a page of the documentation."""
    return TEXTS[f".github/docs/{page}"]


def page_of(block: str) -> str:
    """The page that has a generated block."""
    return next(page for page, blocks in PAGES.items() if block in blocks)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if page == "howto/audit.md" else ()) for page in PAGES]
)
def test_tables_are_current(page: str) -> None:
    assert tables["rewritten"](page, text_of(page)) == text_of(page), "run python scripts/doc_tables.py"


def test_every_block_is_generated_on_its_page() -> None:
    found = {name: re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE) for name, text in TEXTS.items()}
    assert {name: blocks for name, blocks in found.items() if blocks} == {
        f".github/docs/{page}": list(blocks) for page, blocks in PAGES.items()
    }


def test_readme_is_short() -> None:
    assert README.stat().st_size <= MOST_BYTES_OF_README


def test_the_table_of_real_fleets_is_current() -> None:
    missing = [name for name in tables["FLEET_FILES"] if not (FLEETS / name).is_file()]
    if missing:
        pytest.skip(f"the measured fleets are not beside the repository: {FLEETS} lacks {', '.join(missing)}")
    page = page_of("fleets")
    assert tables["rewritten"](page, text_of(page), fleets=FLEETS) == text_of(page), "run python scripts/doc_tables.py"


def test_without_the_fleets_their_table_stays_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables["main"](["--check", "--fleets", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "stay as they are" in out and "current" in out


def test_the_audit_block_is_what_the_command_prints() -> None:
    page = page_of("audit")
    changed = text_of(page).replace("behaves like      13.", "behaves like      12.")
    assert changed != text_of(page) and tables["rewritten"](page, changed) == text_of(page)


def test_a_changed_table_is_noticed() -> None:
    page = page_of("observation")
    changed = text_of(page).replace("`site_hazard`", "`hazard_of_site`")
    assert changed != text_of(page) and tables["rewritten"](page, changed) == text_of(page)


def test_a_stale_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "changelog.md"
    stale.write_text(text_of("changelog.md").replace("first version; gone.", "gone."), encoding="utf-8")
    for name, value in (("DOCS", tmp_path), ("PAGES", {"changelog.md": ("versions",)})):
        monkeypatch.setitem(tables["main"].__globals__, name, value)
    words = ["--fleets", str(tmp_path)]
    assert tables["main"]([*words, "--check"]) == 1
    assert "not current: changelog.md" in capsys.readouterr().out
    assert tables["main"](words) == 0 and stale.read_text(encoding="utf-8") == text_of("changelog.md")


def test_the_tables_have_every_name() -> None:
    env = gymnasium.make("og_env/Placement-v1", scenario="hidden-facility").unwrapped
    _, info = env.reset(seed=0)
    blocks = [re.search(rf"<!-- {name} -->(.*)<!-- /{name} -->", TEXT, re.DOTALL) for name in ("metrics", "info")]
    named = {name for found in blocks if found for name in re.findall(r"^\| `(\w+)` \|", found[1], re.MULTILINE)}
    assert {name for name in info if not name.startswith("term_")} <= named
    for env_id in og_env.IDS.values():
        assert re.search(rf"^\| `{env_id}` \| \w+ \| ", TEXT, re.MULTILINE), env_id


def test_a_version_without_history_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tables["versions"].__globals__, "IDS", {"placement": "og_env/Placement-v9"})
    with pytest.raises(ValueError, match=r"lacks v9 of og_env/Placement-v9"):
        tables["versions"]()


@pytest.mark.parametrize("name", ["README.md", ".github/docs/changelog.md"])
def test_the_citation_is_of_this_version(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = TEXTS[name].replace("\\", "")
    assert f"version = {{{project['version']}}}" in text
    assert project["description"] in text and f"author  = {{{{{project['authors'][0]['name']}}}}}" in text


def test_a_missing_block_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"<!-- scenarios -->"):
        tables["rewritten"]("scenarios.md", text_of("scenarios.md").replace("<!-- scenarios -->", ""))


def test_benchmark_block_is_filled_from_a_summary() -> None:
    figures = {"return_mean": -50.0, "return_iqm": -49.0, "ci_low": -52.0, "ci_high": -48.0, "decisions_per_s": 1234.0}
    pair = {"mean_diff": 1.5, "ci_low": 0.5, "ci_high": 2.5, "wins": 0.8}
    summary = {
        "scenario": "global-24",
        "episodes": 7,
        "split": "test",
        "policies": {"greedy": figures, "demo": figures | {"return_mean": -48.5}},
        "best_baseline": "greedy",
        "learned": "demo",
        "paired": {"demo": pair},
        "verdict": "win",
    }
    page = page_of("benchmark")
    filled = tables["rewritten"](page, text_of(page), summary)
    block = re.search(r"<!-- benchmark -->\n(.*)<!-- /benchmark -->", filled, re.DOTALL)
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
    for name in ("README.md", ".github/docs/scenarios.md"):
        assert f"{sites} real sites of {large} providers and {small} independent operators" in TEXTS[name]
    assert f"lists {len(catalog.incidents())} recorded outages" in text_of("scenarios.md")


def learns(code: str) -> bool:
    """Whether an example needs a learning library."""
    return any(name in code for name in LEARNS)


def run_example(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, EXAMPLES[code], "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("code", [code for code in EXAMPLES if not learns(code)], ids=lambda code: EXAMPLES[code])
def test_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_example(code, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for code in EXAMPLES if learns(code)], ids=lambda code: EXAMPLES[code])
def test_training_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_example(code, capsys)


PROGRAM = re.compile(r"python scripts/\w+\.py|python -m og_agents\.[\w.]+|og-env(?: [a-z-]+)?")
OG_ENV = ("-m", "og_agents.commands.main")
"""words after `python` that are the command `og-env` of a source tree"""


def words_of(command: str) -> list[str]:
    """The words of a command, run by this Python and in this source tree."""
    program, *words = shlex.split(command)
    return [sys.executable, *(OG_ENV if program == "og-env" else ()), *words]


ENVIRON = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'agents'}"}


@functools.cache
def options_of(program: str) -> frozenset[str]:
    """The options that a program's help names."""
    command = [*words_of(program), "--help"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, check=True, timeout=120)
    return frozenset(re.findall(r"--[a-z0-9-]+", done.stdout))


def asked_in(command: str) -> str:
    """The words of a command before its first option: its program, and the question where it has some."""
    return shlex.join(itertools.takewhile(lambda word: not word.startswith("--"), shlex.split(command)))


@pytest.mark.parametrize("program", sorted({found[0] for found in map(PROGRAM.match, COMMANDS) if found}))
def test_programs_know_the_options_in_the_text(program: str) -> None:
    for command in COMMANDS:
        if f"{command} ".startswith(f"{program} "):
            used = {word for word in shlex.split(command) if word.startswith("--")}
            known = options_of(program)
            if not used <= known:
                known |= options_of(asked_in(command))
            assert used <= known, command


ON_SHIPPED = [
    command for command in COMMANDS if re.fullmatch(r"og-env (show [a-z\d-]+|schema|incidents|scenarios)", command)
]
"""commands that print about what is shipped"""


@pytest.mark.parametrize("command", ON_SHIPPED)
def test_module_commands_run(command: str) -> None:
    done = subprocess.run(
        words_of(command), cwd=ROOT, env=ENVIRON, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def anchors_of(text: str) -> set[str]:
    """The anchors that a code host gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(name: str, text: str) -> list[str]:
    """Relative links of a page that lead to no file or to no heading."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = ((ROOT / name).parent / target).resolve() if target else ROOT / name
        known = anchors_of(path.read_text(encoding="utf-8")) if path.suffix == ".md" and path.is_file() else set()
        if not path.is_file() or (anchor and anchor not in known):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files_and_headings(name: str) -> None:
    assert broken_links(name, TEXTS[name]) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](start.md#install) [b](start.md#instal) [c](begin.md) [d](#model) [e](https://example.org/x)\n# Model\n"
    assert broken_links(".github/docs/model.md", text) == ["start.md#instal", "begin.md"]


def test_every_page_is_in_the_table_of_contents() -> None:
    for index in DOCS.rglob("index.md"):
        listed = " ".join(re.findall(r"```{toctree}\n(.*?)```", index.read_text(encoding="utf-8"), re.DOTALL)).split()
        assert {path.stem for path in index.parent.glob("*.md")} - {"index"} <= set(listed), index
    assert {path.parent / "index.md" for path in DOCS.rglob("*.md")} == set(DOCS.rglob("index.md"))


def sentences(text: str) -> list[str]:
    """Sentences of a page's prose: without code, tables, headings, comments, pictures and the targets of links."""
    text = re.sub(r"```.*?```|<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^ *(\||#|!\[|<).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *([-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"`[^`]*`", "CODE", text)
    return [
        part for block in re.split(r"\n\s*\n", text) for part in re.split(r"(?<=[.!?])[\s*]+", block) if part.split()
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_no_sentence_is_long(name: str) -> None:
    assert [part for part in sentences(TEXTS[name]) if len(part.split()) > MOST_WORDS_OF_A_SENTENCE] == []


def test_sentences_are_those_of_the_prose() -> None:
    text = "# A b\n\nOne `x y z` two. **Three.**\nFour\nfive\n\n| a | b. c |\n- six\n- [seven](u.md)\n```sh\nmake all\n```\n"
    assert [part.split() for part in sentences(text)] == [
        ["One", "CODE", "two."],
        ["Three."],
        ["Four", "five"],
        ["six"],
        ["[seven]"],
    ]


@pytest.mark.slow
def test_the_pages_are_built_without_warnings(tmp_path: Path) -> None:
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs the docs extra (pip install '.[docs]'): there is no {', '.join(missing)}")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path / "html"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fields = (tmp_path / "html" / "fields.html").read_text(encoding="utf-8")
    assert "site_hazard" in fields and fields.count("<table") > 10
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert 'id="og_env.env.NetworkEnv.reset"' in api and 'id="og_agents.advice.decide.Adviser.decide"' in api


def test_commands_were_found() -> None:
    assert len(EXAMPLES) >= 4
    assert len(COMMANDS) >= 30
