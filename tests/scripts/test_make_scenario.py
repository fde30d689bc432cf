"""A scenario from a table of nodes: the file that is written loads, says what it is, and starts as the table says."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest
import tomli_w

import og_env  # noqa: F401 (registers the ids)
from og_agents.commands import make_scenario as script
from og_env.render.world_text import gpus_for_load
from og_env.scenario import loading

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "scripts" / "examples" / "fleet.csv"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = script.main(words)
    out, error = capsys.readouterr()
    return code, out, error


def test_the_example_fleet_becomes_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "fleet.toml"
    code, out, error = run(capsys, str(FLEET), "--out", str(path), "--shocks-per-day", "6")
    assert (code, error) == (0, "")
    assert "14 nodes of 9 providers in 13 countries" in out and f"og-env show {path}" in out
    spec = loading.load(path)
    assert spec.name == "fleet" and spec.failures.shocks_per_day == 6
    assert set(spec.failures.kind_shares) == {"provider", "grid", "transit"}
    assert spec.start.placement == "named" and spec.start.store_sites == ("near-4", "lone-3", "lone-7")
    env = gym.make("og_env/Placement-v1", scenario=str(path))
    env.reset(seed=0)
    *_, info = env.step(0)
    assert info["gateways_live"] == 6 and info["replicas_warm"] == 24


def test_demand_is_what_half_of_the_fleet_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, nodes = tmp_path / "plain.toml", tmp_path / "plain.csv"
    rows = "".join(f"n{at},P,DE,Frankfurt,L40S,8\n" for at in range(6))
    nodes.write_text("node,provider,country,city,gpu,gpus\n" + rows, encoding="utf-8")
    assert run(capsys, str(nodes), "--out", str(path), "--models", "llama-3.1-8b-bf16")[0] == 0
    whole = loading.resolve(loading.load(path))
    [(need, hosts)] = script.replicas_needed(whole)
    assert hosts == 6 and need == pytest.approx(3, rel=0.05)
    assert gpus_for_load(whole) <= 24
    assert whole.spec.start.replicas_per_model == 3
    assert whole.models[0].verification == "none"


def test_names_are_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, nodes = tmp_path / "odd.toml", tmp_path / "odd.csv"
    odd = 'é "1"\\ \x7f\u2028 = [x]'
    nodes.write_text('node,provider,country,city\n"' + odd.replace('"', '""') + '",P,DE,\n', encoding="utf-8")
    code, _, error = run(capsys, str(nodes), "--out", str(path), "--name", "odd # name")
    assert (code, error) == (0, "")
    spec = loading.load(path)
    shown = 'é "1"\\    = [x]'  # what a terminal cannot show is a blank
    assert [site.name for site in loading.sites_of(spec)] == [shown] and spec.name == "odd # name"


def test_a_number_that_is_not_finite_is_written_and_refused_by_name(tmp_path: Path) -> None:
    path, tables = tmp_path / "toy.toml", loading.load("toy-3").model_dump(exclude_none=True)
    for value in (float("inf"), float("nan")):
        path.write_text(tomli_w.dumps(tables | {"demand": {"requests_per_s": value}}), encoding="utf-8")
        with pytest.raises(
            ValueError, match=rf"toy\.toml: demand\.requests_per_s: must be a finite number, not {value}"
        ):
            loading.load(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "fleet.txt"), "--out fleet.txt: the name of a scenario file ends in .toml"),
        (("--sample", "0"), "--sample is 0; it must be at least 1"),
        (("--map", "provider"), "--map provider: write COLUMN=KIND"),
        (("--map", "provder=provider"), "no column 'provder' (nearest valid: provider)"),
        (("--models", "llama"), "--models: unknown model 'llama' (nearest valid:"),
        (("--regions", "pariss"), "--regions: unknown region 'pariss' (nearest valid: paris)"),
        (("--regions", "0"), "regions.count"),
        (("--gpu", "H10"), "unknown GPU 'H10' (nearest valid: H100)"),
        (("--requests-per-s", "-1"), "--requests-per-s is -1; it must be at least 0"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    place = () if "--out" in words else ("--out", str(tmp_path / "x.toml"))
    code, out, error = run(capsys, str(FLEET), *place, *words)
    assert (code, out) == (2, "")
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious", encoding="utf-8")
    code, _, error = run(capsys, str(FLEET), "--out", str(path))
    assert code == 2 and "--force replaces it" in error and path.read_text(encoding="utf-8") == "precious"
    assert run(capsys, str(FLEET), "--out", str(path), "--force")[0] == 0


def test_too_many_nodes_name_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = tmp_path / "many.csv"
    nodes.write_text("node,provider,country,lat,lon\n" + "".join(f"n{at},P,DE,50,8\n" for at in range(4097)), "utf-8")
    code, _, error = run(capsys, str(nodes), "--out", str(tmp_path / "many.toml"))
    assert code == 2 and "4,097 nodes; a scenario has at most 4,096: take some by --sample N" in error


def test_shocks_need_something_shared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = tmp_path / "lone.csv"
    nodes.write_text("node,provider,country,lat,lon,grid\na,P,DE,50,8,G\nb,Q,AU,-34,151,H\n", "utf-8")
    code, _, error = run(capsys, str(nodes), "--out", str(tmp_path / "lone.toml"), "--shocks-per-day", "4")
    assert code == 2 and "share nothing that breaks for hours" in error


def test_an_example_of_the_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "fleet.csv"
    code, out, error = run(capsys, "--example", str(path))
    assert (code, error) == (0, "") and path.read_bytes() == FLEET.read_bytes()
    assert f"og-env make-scenario {path} --out {path.with_suffix('.toml')}" in out
    code, _, error = run(capsys, "--example", str(path))
    assert code == 2 and "is there already; --force replaces it" in error
    assert run(capsys, "--example", str(path), "--force")[0] == 0
    for words in ((str(path),), ()):
        code, out, error = run(capsys, *words)
        assert (code, out) == (2, "") and "--out FILE.toml are needed" in error and error.count("\n") == 1
