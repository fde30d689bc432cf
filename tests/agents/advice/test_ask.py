"""Questions of a planner: each is answered end to end, and what can be worked out by hand is right."""

from __future__ import annotations

import json

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.advice import fleet_changes, outage, outage_days, redundant
from og_agents.advice.answer import Difference, clear_change, clock, dollars
from og_agents.advice.candidates import candidates, shortlist
from og_agents.advice.fleet_changes import concrete, opened, trust_fleet, widened, without
from og_agents.advice.kept_replica import WithBarred
from og_agents.advice.outage_days import busiest_hour, case_of, play_both
from og_agents.advice.paired_days import play
from og_agents.advice.places import dependency_of, place_of
from og_agents.advice.user_regions import fitted
from og_agents.commands import ask, make_scenario
from og_env.scenario import loading
from og_env.simulator import LAUNCH, WARM
from og_env.trust import fleet_n_eff
from tests.cases.as_stated import AS_STATED

TOY = loading.override(loading.load("toy-3"), AS_STATED | {"start.verifier_sites": ("c",)})
CSV = "node,provider,country,city,gpu,gpus,usd_per_gpu_hour\n" + "".join(
    f"{name},{provider},{country},{city},A100-80GB,4,{price}\n"
    for name, provider, country, city, price in (
        ("fra", "big", "DE", "Frankfurt", 2.0),
        ("ams", "big", "NL", "Amsterdam", 2.0),
        ("par", "big", "FR", "Paris", 2.0),
        ("tok", "lone", "JP", "Tokyo", 2.5),
    )
)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert ask.main(list(words)) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def toy() -> fleet_changes.Concrete:
    return concrete(TOY)


def test_the_only_replica_goes_dark(toy: fleet_changes.Concrete) -> None:
    """8 requests/s for 12 minutes, less what the router still hopes for; b and c have no replica, so all are lost."""
    case = case_of(toy, dependency_of("P", toy.sites), 12.0, 0.2, "DOWN")
    assert (case.start_h, case.start_utc_h) == (0.25, 11.75) and case.what.sites == ("a", "b")
    played = play_both(toy, heuristics.make("static"), case, 2, 0)
    assert (played.window.start, played.window.stop) == (14, 26)
    rows = outage_days.region_rows(played, ["users"], 0)
    assert rows[0]["unserved"]["mean"] >= 8 * 720 - 1 and rows[0]["outage_wait_ms"] is None
    answered = outage.answer(toy, heuristics.make("static"), "P", at_utc_h=12.0, for_h=0.2, episodes=2)
    text = answered.text()
    assert "provider P takes 2 of 3 nodes" in text and "From 12:00 to 12:12 UTC" in text
    assert "Nobody is served while it lasts." in text and "2 simulated days" in text
    assert answered.figures["managed"]["unserved"]["mean"] == answered.figures["nobody_acts"]["unserved"]["mean"]


def test_an_outage_beside_the_traffic_costs_nothing(toy: fleet_changes.Concrete) -> None:
    answered = outage.answer(toy, heuristics.make("static"), "carrier-b", at_utc_h=12.0, for_h=0.2, episodes=1)
    assert answered.figures["managed"]["unserved"]["mean"] == 0
    assert "carrier carrier-b takes 1 of 3 nodes" in answered.text() and "no more requests are lost" in answered.text()


def test_a_broken_tee_loses_proofs_and_serves_on(toy: fleet_changes.Concrete) -> None:
    """Nitro is a's, where the only replica is: served all the same, and nothing of it counts as attested."""
    answered = outage.answer(toy, heuristics.make("static"), "nitro", at_utc_h=12.0, for_h=0.2, episodes=1)
    figures = answered.figures["managed"]
    assert answered.figures["outage"]["effect"] == "UNTRUSTED"
    assert figures["unserved"]["mean"] == 0 and figures["unverified"]["mean"] == pytest.approx(8 * 720, rel=0.1)


def test_waits_by_region_are_the_simulators_on_average() -> None:
    days = play(heuristics.make("static"), loading.load("global-16"), episodes=2, seed=0, options={"background": False})
    total = (days.wait_ms * days.served_rps).sum(axis=2) / days.served_rps.sum(axis=2)
    assert total == pytest.approx(days.recording.metric("first_token_mean_ms"), rel=1e-3)
    spread = days.region_wait_ms().max(axis=1) - days.region_wait_ms().min(axis=1)
    assert (spread > 20).all()
    served = days.served_rps.sum(axis=2)
    assert served == pytest.approx(days.recording.metric("served_rps"), rel=0.02)


def test_flows_have_both_totals() -> None:
    """Two regions, one model, two sites; each region is at one of them, and the near one is used more."""
    served, load = np.array([[[6.0], [2.0]]]), np.array([[[5.0, 3.0]]])
    way = np.array([[[0.0, 100.0], [100.0, 0.0]]])
    flow = fitted(served, load, way, np.array([[40.0, 0, 0, 0, 0.1]]))
    assert flow.sum(axis=3) == pytest.approx(served) and flow.sum(axis=1)[0, 0] == pytest.approx(load[0, 0], rel=0.05)
    assert flow[0, 0, 0, 0] > flow[0, 0, 0, 1] and flow[0, 1, 0, 1] > flow[0, 1, 0, 0]


def test_what_a_word_names() -> None:
    sites = loading.sites_of(loading.load("toy-3"))
    assert dependency_of("g", sites).kind == "grid" and dependency_of("G", sites).sites == ("b", "c")
    assert dependency_of("Kenya", sites).kind == "country" == dependency_of("ke", sites).kind
    assert dependency_of("Nanyuki", sites).kind == "region" or dependency_of("Nanyuki", sites).sites == ("c",)
    assert dependency_of("transit:carrier-a", sites).sites == ("a",)
    assert dependency_of("b", sites).sites == ("b",) and dependency_of("tdx", sites).kind == "tee_vendor"
    with pytest.raises(ValueError, match=r"nearest valid: carrier-a"):
        dependency_of("carier-a", sites)


def test_what_a_place_holds() -> None:
    sites = {site.name: site for site in loading.sites_of(loading.load("toy-3"))}
    assert place_of("Africa", "--in").holds(sites["a"]) and not place_of("asia", "--in").holds(sites["a"])
    assert place_of("Kenya", "--in").holds(sites["c"]) and not place_of("KE", "--in").holds(sites["b"])
    own = loading.resolve(loading.load("toy-3")).regions
    assert place_of("users", "--in", own).holds(sites["b"])  # 1,001 km
    assert not place_of("users", "--in", own).holds(sites["c"])  # 3,002 km
    with pytest.raises(ValueError, match=r"--in: unknown place 'eurpe' \(nearest valid: europe\)"):
        place_of("eurpe", "--in")


def test_leaving_a_node_out_moves_what_started_there(toy: fleet_changes.Concrete) -> None:
    spec = without(toy, ["a"])
    assert spec.limits.forbidden_sites == ("a",)
    assert spec.start.replica_sites == {"unit": ("b",)} and spec.start.gateway_sites == ("b",)
    assert spec.start.store_sites == ("c",) and spec.reward.budget_usd_per_hour == toy.spec.reward.budget_usd_per_hour


def test_a_node_that_is_not_open_is_not_used(toy: fleet_changes.Concrete) -> None:
    """The same days in a world with the node and without: nothing differs until somebody may use it."""
    extra = toy.sites[0].model_copy(update={"name": "d", "region": "north"})
    wide = widened(toy, [extra])
    assert wide.spec.limits.forbidden_sites == ("d",) and opened(wide, "d").limits.forbidden_sites == ()
    one = play(heuristics.make("greedy"), wide.spec, episodes=1, seed=0)
    assert not one.warm[..., 3].any() and (one.gpu_usd_per_hour[..., 3] == 0).all()


def test_a_barred_launch_never_happens() -> None:
    busy = loading.override(TOY, {"demand.requests_per_s": 16.0})
    barred = [(LAUNCH, "unit", site) for site in ("b", "c")]
    free = play(heuristics.make("greedy"), busy, episodes=1, seed=0)
    held = play(WithBarred(heuristics.make("greedy"), barred), busy, episodes=1, seed=0)
    assert free.warm[..., 1:].any() and not held.warm[..., 1:].any()
    with pytest.raises(ValueError, match=r"chooses among all operations"):
        WithBarred(heuristics.make("nearest"), barred)


def test_copies_of_a_node_only_add_to_the_count() -> None:
    """Three nodes that share everything behave like one; any one of the copies may go, and one of them stays."""
    sites = loading.sites_of(loading.load("toy-3"))
    copies = [sites[1].model_copy(update={"name": name}) for name in ("b1", "b2", "b3")]
    whole = trust_fleet(TOY, [sites[0], *copies, sites[2]])
    gone = redundant.droppable(whole)
    assert gone and set(gone) <= {1, 2, 3} and len(gone) < 3
    assert redundant.n_eff_without(whole, gone) >= fleet_n_eff(whole) - 1e-9


def test_candidates_are_new_in_the_place_and_within_the_budget() -> None:
    fleet = concrete("global-16")
    found = candidates(fleet, 300.0, place_of("japan", "--near"))
    here = {(site.provider, site.region) for site in fleet.sites}
    assert found and all(one.site.country == "JP" and one.usd_per_hour * 24 <= 300 for one in found)
    assert not [one for one in found if (one.site.provider, one.site.region) in here]
    short = shortlist(found, 3)
    assert len({(one.site.provider, one.site.country) for one in short}) == len(short) <= 3
    assert max(one.n_eff_gain for one in found) == max(one.n_eff_gain for one in short)
    with pytest.raises(ValueError, match=r"--budget: the cheapest candidate rents for"):
        candidates(fleet, 0.01, None)


def test_each_question_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    short = ("--episodes", "1", "--policy", "greedy")
    text = asked(capsys, "toy-3", "outage", "P", "--at", "08:30", "--for", "12min", *short)
    assert "From 08:30 to 08:42 UTC" in text and "How sure: 1 simulated days" in text and "Assumed: " in text
    text = asked(capsys, "toy-3", "prewarm", "unit", "--in", "CD", *short)
    assert text.startswith("No: no site in") and "a day more" in text  # a second replica is idle rent here
    text = asked(capsys, "toy-3", "redundant", *short)
    assert text.startswith("No node only adds to the count. The fleet behaves like 3.00 ")
    text = asked(capsys, "toy-3", "next-node", "--near", "africa", *short)
    assert text.startswith("Nothing helps") and "independent nodes instead of" in text
    value = json.loads(asked(capsys, "toy-3", "outage", "P", "--for", "12min", "--json", *short))
    assert value["figures"]["outage"]["sites"] == ["a", "b"] and value["answer"] and value["sure"]


def test_a_table_of_nodes_to_an_answer_in_one_command(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(CSV, encoding="utf-8")
    words = ("--episodes", "1", "--regions", "london,tokyo", "--models", "llama-3.1-8b-bf16", "--requests-per-s", "4")
    text = asked(capsys, str(path), "outage", "big", "--at", "22:00", *words)
    assert "provider big takes 3 of 4 nodes" in text and "From 22:00 to 02:00 UTC" in text
    assert (
        "The wait for the first token changes most for users in " in text and "It changes least for users in " in text
    )
    assert "4 requests/s of llama-3.1-8b-bf16 from 2 cities" in text and "not in the table" in text


SHEET = """host,owner,holding,city,gpu_model,gpus,price
fra,big,a,Frankfurt,A100-80GB,4,2
ams,,a,Amsterdam,A100-80GB,4,2
tok,lone,b,Tokyo,A100-80GB,4,2
osa,island,b,Osaka,A100-80GB,4,2
"""


@pytest.mark.parametrize("price_per", ["gpu", "node"])
def test_a_table_is_read_as_by_make_scenario(tmp_path, price_per: str) -> None:
    (tmp_path / "sheet.csv").write_text(SHEET, encoding="utf-8")
    words = ["--map", "owner=provider", "host=node", "--blanks", "fill", "--together", "lone,island"]
    words += ["--price-per", price_per, "--regions", "london,tokyo", "--models", "llama-3.1-8b-bf16"]
    out = tmp_path / "sheet.toml"
    assert make_scenario.main([str(tmp_path / "sheet.csv"), *words, "--out", str(out)]) == 0
    fleet = ask.read_fleet(ask.parse([str(tmp_path / "sheet.csv"), "redundant", *words]))
    assert fleet.concrete.sites == loading.sites_of(loading.load(out))
    assert [site.provider for site in fleet.concrete.sites] == ["big", "big", "lone", "lone"]
    assert {site.usd_per_gpu_hour for site in fleet.concrete.sites} == {2.0 if price_per == "gpu" else 0.5}
    assert any("host is node" in line for line in fleet.assumed)


def test_what_columns_can_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "fleet.csv", "redundant", "--map").startswith("A column of a table of nodes can mean")
    assert "provider" in json.loads(asked(capsys, "fleet.csv", "redundant", "--map", "--json"))["meanings"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("toy-3", "outage", "P", "--at", "25:00"), "--at: '25:00' is no clock time"),
        (("toy-3", "outage", "P", "--for", "soon"), "--for: 'soon' is no length"),
        (("toy-3", "outage", "P", "--for", "3h"), "do not fit into episodes of 1 h"),
        (("toy-3", "outage", "amazon"), "; its providers are P, Q"),
        (("toy-3", "outage", "provider:Q2"), "stands on (nearest valid: Q)"),
        (
            ("toy-3", "redundant", "--sample", "2"),
            "--sample says how a table of nodes is read, and toy-3 is a scenario",
        ),
        (("toy-3", "redundant", "--gpu", "H100"), "--gpu says how a table of nodes is read"),
        (("fleet.csv", "redundant", "--sample", "0"), "--sample is 0; it must be at least 1"),
        (("fleet.csv", "redundant", "--map", "a"), "--map a: write COLUMN=KIND"),
        (("toy-3", "prewarm", "unti", "--in", "africa"), "unknown model 'unti' (nearest valid: unit)"),
        (("toy-3", "prewarm", "unit", "--in", "asia"), "the fleet has no node in Asia"),
        (("toy-3", "next-node", "--budget", "-1"), "--budget is -1"),
        (("toy-3", "redundant", "--episodes", "0"), "--episodes is 0"),
        (("toy-4", "redundant"), "unknown scenario 'toy-4'"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask.main(list(words)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_words_of_figures() -> None:
    assert (clock(25.5), dollars(-3.456), dollars(1234.5)) == ("01:30", "-$3.46", "$1,234")
    assert clear_change(Difference(-5, -9, -1), "requests") == "5 fewer requests"
    assert clear_change(Difference(1, -1, 3), "requests") == "no clear change in requests (95 % interval -1 to 3)"
    assert clear_change(Difference(0, 0, 0), "requests") == "no change in requests"
    assert [outage._hours(minutes) for minutes in (45.2, 119, 376)] == ["45 minutes", "119 minutes", "6 h 16 min"]
    assert (ask.clock_of("7"), ask.length_of("90min"), ask.length_of("0.5d")) == (7.0, 1.5, 12.0)


def test_the_hour_of_most_demand() -> None:
    """Users stand at UTC + 9 with the peak at 15:00, so 06:00 UTC; toy-3 has the same demand at all hours."""
    fleet = concrete(loading.override(loading.load("global-16"), {"regions": ("tokyo",)}))
    assert busiest_hour(fleet) == pytest.approx(6.0, abs=0.2)
    assert (concrete(TOY).world.arrays.start_phase[0] == WARM).sum() == 1
