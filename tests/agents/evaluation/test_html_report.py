"""The comparison, its table and the report, on made-up episodes."""

import base64
import html.parser
import io
import json
import re
import struct

import numpy as np
import pytest

from og_agents.evaluation import comparison, comparison_pictures, html_report, report_words, results_table
from og_env.kernel.arrays import METRICS, TERMS
from og_env.scenario.specs import RewardWeights
from tests.cases.made_up_episodes import made_up

MEANS = {"static": -120.0, "greedy": -90.0, "random": -150.0, "ppo": -87.0}


@pytest.fixture(scope="module")
def runs():
    return [made_up(policy, mean) for policy, mean in MEANS.items()]


@pytest.fixture(scope="module")
def summary(runs):
    return comparison.compare(runs, ["ppo"])


def test_summary_names_the_best_heuristic_and_pairs_everyone_with_it(runs, summary):
    assert summary["best_baseline"] == "greedy"
    assert summary["learned"] == "ppo"
    assert summary["verdict"] == "win"
    assert set(summary["paired"]) == {"static", "random", "ppo"}
    by_name = {run.policy: run for run in runs}
    expected = (by_name["ppo"].returns - by_name["greedy"].returns).mean()
    assert summary["paired"]["ppo"]["mean_diff"] == pytest.approx(expected)
    assert summary["paired"]["ppo"]["ci_low"] < expected < summary["paired"]["ppo"]["ci_high"]
    figures_of_ppo = summary["policies"]["ppo"]
    assert figures_of_ppo["return_mean"] == pytest.approx(by_name["ppo"].returns.mean())
    assert figures_of_ppo["ci_low"] < figures_of_ppo["return_mean"] < figures_of_ppo["ci_high"]
    assert figures_of_ppo["decisions_per_s"] == pytest.approx(48 / 0.01)
    assert set(figures_of_ppo["metrics"]) == set(METRICS)
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("learned_mean", "verdict", "words"),
    [
        (-80.0, "win", "PPO wins against"),
        (-100.0, "loss", "PPO loses against"),
        (-90.0, "tie", "PPO cannot be told apart from"),
    ],
)
def test_verdict_line_says_who_against_whom(learned_mean, verdict, words):
    greedy = made_up("greedy", -90.0)
    shift = made_up("ppo", -90.0).returns.mean() - greedy.returns.mean()
    ppo = made_up("ppo", learned_mean - (shift if verdict == "tie" else 0))
    result = comparison.compare([made_up("static", -120.0), greedy, ppo], ["ppo"])
    assert result["verdict"] == verdict
    assert results_table.verdict_line(result).startswith(f"{words} greedy, the best baseline")


def test_without_a_learned_policy_there_is_no_verdict(runs):
    result = comparison.compare(runs[:3])
    assert result["learned"] is None
    assert result["verdict"] is None
    assert results_table.verdict_line(result) == "No learned policy took part; the best heuristic is greedy."


def test_a_learned_policy_alone_has_nothing_to_beat(runs):
    result = comparison.compare(runs[3:], ["ppo"])
    assert result["best_baseline"] is None
    assert result["paired"] == {}
    assert "no heuristic" in results_table.verdict_line(result)


def test_different_episodes_are_not_compared(runs):
    with pytest.raises(ValueError, match="ppo and static did not play the same episodes"):
        comparison.compare([runs[0], made_up("ppo", -80.0, seed=7)])
    with pytest.raises(ValueError, match="same name"):
        comparison.compare([runs[0], runs[0]])


def test_table_is_ranked_marked_and_aligned(summary):
    rows = results_table.table_rows(summary)
    assert [row[0] for row in rows] == ["ppo", "greedy *", "static", "random"]
    assert rows[1][4:7] == ("", "", "")
    lines = results_table.aligned(results_table.TABLE_HEADER, rows).splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1


def test_result_rows_have_one_row_per_policy_and_episode(runs):
    rows = list(results_table.result_rows(runs))
    assert len(rows) == 4 * 20
    assert {row["policy"] for row in rows} == set(MEANS)
    assert rows[25] == rows[25] | {"policy": "greedy", "episode": 5, "seed": 105}
    assert rows[25]["return"] == runs[1].returns[5]
    assert set(rows[0]) == {"policy", "episode", "seed", "return", *METRICS, *(f"term_{term}" for term in TERMS)}


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        self.images += [dict(attrs)] if tag == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_fetches_nothing(summary, runs):
    twin = {
        "policy": "greedy_blind",
        "correlated_mean": -98.0,
        "independent_mean": -90.0,
        "cost_percent": 8.2,
        "ci_low": 6.0,
        "ci_high": 10.1,
    }
    facts = {"scenario": "<odd> & name", "command": "og-env benchmark"}
    text = html_report.page(
        summary | {"twin": twin, "split": "sealed", "episodes": 20}, runs, RewardWeights(), 5 / 60, facts
    )
    assert "20 sealed episodes, the same for every policy" in text
    page = _Page()
    page.feed(text)
    assert page.open == []
    alts = [image["alt"] for image in page.images]
    assert "the best on top" in alts[0] and "ppo -8" in alts[0] and "Beside it the difference to greedy" in alts[0]
    assert "$ an hour" in alts[1] and "served" in alts[1] and "Most is lost by ppo to" in alts[2]
    assert "sites are down" in alts[3] and "The lowest share served: ppo" in alts[3]
    assert text.count('scope="col"') == len(results_table.TABLE_HEADER) + 1 + len(MEANS)
    assert text.count('scope="row"') == len(facts) + len(MEANS) + len(METRICS)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text
    assert text.count('<div class="wide" role="region" tabindex="0"') == text.count('class="hint"') == 6
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert "&lt;odd&gt; &amp; name" in text
    assert "<odd>" not in text
    assert "8.2 % of the return [6.0, 10.1]" in text
    assert "PPO wins against greedy" in text
    assert all(metric in text for metric in METRICS)
    for image in page.images:
        data = base64.b64decode(image["src"].split(",")[1])
        width, height = struct.unpack(">II", data[16:24])
        assert data.startswith(b"\x89PNG")
        assert width > 1000 < 4 * height


def test_pictures_show_data(summary, runs):
    from matplotlib import image as reader

    for name, data in html_report.pictures(summary, runs, RewardWeights(), 5 / 60).items():
        pixels = reader.imread(io.BytesIO(data))[..., :3]
        orange = np.array([0xD9, 0x82, 0x2B]) / 255  # the best baseline's colour
        assert (np.abs(pixels - orange).max(axis=-1) < 0.02).sum() > 50, name
        assert np.allclose(pixels[0, 0], 1), name


def test_pictures_of_a_single_heuristic_and_episode():
    runs = [made_up("static", -120.0, episodes=1)]
    assert len(html_report.pictures(comparison.compare(runs), runs, RewardWeights(), 5 / 60)) == 4


def test_the_timeline_is_of_the_most_eventful_episode(runs):
    down = np.zeros((3, 48), np.float32)
    down[0], down[1, 10:20], down[2, 10:12] = 9, 5, 5  # down all day long is less to look at than an outage that ends
    assert comparison_pictures.eventful(runs[0]._replace(traces={"sites_down": down})) == 1
    assert comparison_pictures.timeline_policies(comparison.compare(runs, ["ppo"])) == ["ppo", "greedy", "static"]
    assert comparison_pictures.timeline_policies(comparison.compare(runs[:1])) == ["static"]


def test_a_network_that_serves_nothing_has_dashes_and_gaps(runs):
    dead = made_up("random", -150.0)
    dead.metrics[:] = 0
    dead.traces["served_share"][:] = 0
    summary = comparison.compare([runs[0], dead], [])
    assert report_words.cell(summary, "random", "latency_p95_ms") == report_words.DASH
    assert report_words.cell(summary, "random", "served_share") == "0"
    assert report_words.cell(summary, "static", "latency_p95_ms") == "1,380"
    shown = summary | {"split": "test", "episodes": 20}
    text = html_report.page(shown, [runs[0], dead], RewardWeights(), 5 / 60, {})
    row = re.search(r'<th scope="row">latency_p95_ms</th>(.*?)</tr>', text)
    assert row is not None and row[1].count(f"<td>{report_words.DASH}</td>") == 1
    assert report_words.misleading_latency(summary) == ""


def test_a_latency_that_is_low_because_less_is_served_has_a_note(runs):
    fast = made_up("random", -150.0)
    fast.metrics[:, METRICS.index("latency_p95_ms")] = 100
    summary = comparison.compare([runs[0], fast], [])
    note = report_words.misleading_latency(summary)
    assert note.startswith("Latency is that of served requests. random (85.0%) looks faster than static")
    assert report_words.misleading_latency(comparison.compare([runs[0], made_up("random", -150.0)], [])) == ""


def test_names_in_the_trade_off_cover_one_another_nowhere(monkeypatch):
    from matplotlib.text import Text

    many = [made_up(f"a_rather_long_name_{at}", -100.0 - at / 50) for at in range(24)]
    covered: list[tuple[int, int]] = []
    labelled = comparison_pictures._label

    def seen(axes, *others):
        labelled(axes, *others)
        for text in axes.texts:
            text.update_positions(axes.figure.canvas.get_renderer())
        texts = [Text.get_window_extent(text) for text in axes.texts]  # without their arrows
        assert texts
        covered.extend((at, other) for at, one in enumerate(texts) for other in range(at) if one.overlaps(texts[other]))

    monkeypatch.setattr(comparison_pictures, "_label", seen)
    comparison_pictures.trade_off(comparison.compare(many))
    assert covered == []
