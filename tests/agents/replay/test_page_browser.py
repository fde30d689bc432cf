"""The page in a real browser: no error, no request, and figures that are those of the files."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from og_agents import heuristics
from og_agents.commands import replay as script
from og_agents.replay.page import film, page, payload
from og_env.scenario import loading
from tests.cases.toy_film import steered_toy, toy

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the browser extra: pip install 'og_env[browser]'")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium")
DASH = "\u2013"
NAUGHTY = '<img src=x onerror="document.title=1"></script><script>alert(1)</script>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=PROGRAM, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def replayed(tmp_path_factory) -> Path:
    """page.html and the files of the same replay: five hours, provider equinix down in the second, seeds 0 and 1."""
    out = tmp_path_factory.mktemp("page")
    spec = out / "short.toml"
    short = loading.override(loading.load("global-24"), {"episode.steps": 60})
    spec.write_text(
        tomli_w.dumps(short.model_dump(mode="json", exclude_unset=True, exclude_none=True)), encoding="utf-8"
    )
    arguments = ["--scenario", str(spec), "--outage", "provider:equinix@1+1", "--episodes", "2", "--out", str(out)]
    for name in ("greedy", "nearest", "random"):
        arguments += ["--policy", name]
    assert script.main([*arguments, "--out", str(out / "page.html")]) == 0
    return out


class Opened:
    """A page with what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]")

    def row(self) -> int:
        return int(self.page.input_value("#scrub"))

    def seek(self, row: int) -> None:
        self.page.evaluate(
            "row => { const s = document.getElementById('scrub'); s.value = row; s.dispatchEvent(new Event('input')); }",
            row,
        )

    def wait_until(self, holds: str, argument: Any = None) -> None:
        """Until a function of the page holds; not by `wait_for_function`, whose eval the page forbids."""
        for _ in range(200):
            if self.page.evaluate(holds, argument):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never held: {holds}")

    def figure(self, metric: str, side: int) -> str:
        return self.page.inner_text(f"figure[data-metric={metric}] [data-side='{side}']")


@pytest.fixture
def opened(browser, replayed) -> Iterator[Opened]:
    one = Opened(browser, replayed / "page.html", viewport={"width": 1300, "height": 900})
    yield one
    assert one.complaints == [] and one.requests == [(replayed / "page.html").as_uri()]
    one.page.context.close()


def number(text: str) -> float:
    return float(re.sub(r"[^0-9.-]", "", text))


def test_figures_are_those_of_the_files(opened, replayed):
    with (replayed / "steps.csv").open(encoding="utf-8", newline="") as file:
        steps = {name: [] for name in ("greedy", "nearest", "random")}
        for row in csv.DictReader(file):
            steps[row["policy"]].append({key: float(row[key]) for key in list(row)[3:]})
    opened.page.select_option("[aria-label='First policy']", label="random")
    for row in (1, 11, 12, 13, 30, 60):
        opened.seek(row)
        for side, name in enumerate(("random", "nearest")):
            step = steps[name][row - 1]
            expected = {
                "latency_p95_ms": step["latency_p95_ms"] / 1000,
                "usd_per_hour": step["usd_per_hour"],
                "unserved": 100 * (1 - step["served_share"]),
                "unverified": 100 * step["term_unverified"],
                "exposure": 100 * step["exposure"],
                "n_eff": step["n_eff"],
            }
            for metric, value in expected.items():
                assert number(opened.figure(metric, side)) == pytest.approx(value, abs=0.051), (row, name, metric)
    with (replayed / "results.csv").open(encoding="utf-8", newline="") as file:
        [result] = [row for row in csv.DictReader(file) if row["policy"] == "nearest" and row["seed"] == "0"]
    whole = opened.page.locator(".side .whole").nth(1).inner_text()
    lost = float(result["unserved"]) + float(result["unverified"])
    assert f"From the outage to the end: {lost:,.0f} requests lost" in whole
    assert f"Return {float(result['return']):.2f}." in whole


def test_keys_move_through_time(opened):
    keyboard = opened.page.keyboard
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowLeft")
    assert opened.row() == 1
    opened.page.focus("#scrub")
    for key, row in (("End", 60), ("Home", 0), ("PageUp", 12), ("ArrowRight", 13), ("PageDown", 1)):
        keyboard.press(key)
        assert opened.row() == row, key
    assert re.fullmatch(r"\d\d:\d\d UTC, step 1 of 60", opened.page.get_attribute("#scrub", "aria-valuetext"))
    keyboard.press(" ")
    assert opened.page.inner_text("#play") == "Pause"
    opened.wait_until("() => Number(document.getElementById('scrub').value) > 3")
    keyboard.press(" ")
    assert opened.page.inner_text("#play") == "Play"


def test_it_plays_to_the_end_and_stops(opened):
    opened.seek(55)
    opened.page.select_option("#speed", "36")
    opened.page.click("#play")
    opened.wait_until("() => document.getElementById('play').textContent === 'Play'")
    assert opened.row() == 60


def test_the_list_and_the_buttons_jump_to_the_outage(opened):
    opened.page.click("#later")
    assert opened.row() == 12
    assert "10 sites of provider:equinix down" in opened.page.inner_text("#outages > li[aria-current] .head")
    assert "10 down" in opened.page.locator(".states").first.inner_text()
    assert "10 sites of provider:equinix down" in opened.page.locator(".map").first.get_attribute("aria-label")
    assert opened.page.inner_text("#announce") == "10 sites of provider:equinix down"
    move = opened.page.locator("#outages .answers .jump").first
    move.click()
    assert opened.row() == int(move.get_attribute("data-row")) > 12
    opened.page.focus("#outages .head .jump")
    opened.page.keyboard.press("Enter")
    assert opened.row() == 12
    chart = opened.page.locator(".chart").first
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] - 14, "y": box["height"] / 2})
    assert opened.row() >= 59


def test_another_policy_can_be_chosen(opened):
    opened.seek(20)
    before = opened.figure("usd_per_hour", 1)
    opened.page.select_option("[aria-label='Second policy']", label="random")
    assert opened.figure("usd_per_hour", 1) != before
    assert "Map for random: sites" in opened.page.locator(".map").nth(1).get_attribute("aria-label")
    opened.page.click("#table summary")
    opened.page.wait_for_selector("#table tbody")
    assert opened.page.locator("#table tbody tr").count() == 24
    assert "random" in opened.page.inner_text("#table thead")


def test_head_legend_and_table_show_service_and_condition(opened, replayed):
    with (replayed / "steps.csv").open(encoding="utf-8", newline="") as file:
        steps = [{k: row[k] for k in row} for row in csv.DictReader(file) if row["policy"] == "greedy"]
    opened.seek(30)
    step = {key: float(value) for key, value in list(steps[29].items())[3:]}
    head = opened.page.locator(".side .now").first
    for name, value in (
        ("in time", 100 * step["in_time_share"]),
        ("refused", 100 * step["refused_share"]),
        ("first token", step["first_token_mean_ms"] / 1000),
        ("p95", step["first_token_p95_ms"] / 1000),
    ):
        assert number(head.locator(f"[data-figure='{name}']").inner_text()) == pytest.approx(value, abs=0.051), name
        assert head.locator(f"div:has([data-figure='{name}'])").get_attribute("title")
    legend = opened.page.inner_text("#legend")
    assert "grey: up, but below 0.7 of its speed" in legend and "blind: its telemetry fails" in legend
    assert "steered" not in legend
    grey, blind = step["sites_grey"], step["sites_blind"]
    words = opened.page.locator(".side .states").first.inner_text()
    assert (f"; {grey:.0f} grey" in words) == (grey > 0) and (f"; {blind:.0f} blind" in words) == (blind > 0)
    opened.page.click("#table summary")
    opened.page.wait_for_selector("#table tbody")
    table = opened.page.locator("#table tbody tr")
    states = [table.nth(site).locator("td").first.inner_text() for site in range(24)]
    assert sum(", grey" in state for state in states) == grey and sum("blind" in state for state in states) == blind
    assert opened.page.locator("#table thead th", has_text="refused").count() == 2


def test_steering_and_a_dead_network(browser, tmp_path):
    path = tmp_path / "steered.html"
    path.write_text(page(payload("toy", [], {"steering": steered_toy(), "static": toy()}, {})), encoding="utf-8")
    one = Opened(browser, path, viewport={"width": 1300, "height": 900})
    one.page.click("#table summary")
    one.seek(20)
    assert "; 2 steered" in one.page.locator(".side .states").first.inner_text()
    assert "steered" not in one.page.locator(".side .states").nth(1).inner_text()
    cells = one.page.locator("#table tbody tr td:nth-child(5)").all_inner_texts()
    assert cells == ["+2.00", "\u22124.00", "0"] and "steered to, away from" in one.page.inner_text("#legend")
    box = one.page.locator(".map").first.bounding_box()
    for x in range(100):
        one.page.mouse.move(box["x"] + box["width"] * (0.2 + 0.006 * x), box["y"] + box["height"] * 0.3)
    one.seek(35)
    head = one.page.locator(".side .now").nth(1)
    for name in ("in time", "first token", "p95", "exposure"):
        assert head.locator(f"[data-figure='{name}']").inner_text() == DASH, name
    for metric in ("in_time_share", "first_token_p95_ms", "exposure", "unverified", "n_eff"):
        assert one.figure(metric, 1) == DASH, metric
    assert one.complaints == [] and len(one.requests) == 1
    one.page.context.close()


def test_maps_are_drawn_flash_and_zoom_together(opened):
    opened.seek(12)
    pictures = """() => [...document.querySelectorAll('.map')].map((map) => (
        [...map.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()).join()))"""
    first, second = opened.page.evaluate(pictures)
    assert len(first) > 10_000 and len(second) > 10_000
    opened.wait_until(f"before => ({pictures})()[0] !== before", first)
    opened.page.locator("[aria-label='Zoom in']").first.click()
    zoomed = opened.page.evaluate(pictures)
    assert zoomed[1] != second
    opened.page.locator(".map").first.focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.row() == 12 and opened.page.evaluate(pictures)[1] != zoomed[1]


CUT = """() => [...document.querySelectorAll('body *')].filter((part) => {
    const box = part.getBoundingClientRect();
    return box.width && !part.closest('.unseen, .wide > *') && (box.right > innerWidth + 1 || box.left < -1);
}).map((part) => part.outerHTML.slice(0, 99))"""
"""parts that stick out of the window, but for those in a box that scrolls"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1440])
def test_it_fits_a_phone_and_a_desk_in_both_schemes(browser, replayed, scheme, width):
    size = {"width": width, "height": 740}
    one = Opened(browser, replayed / "page.html", viewport=size, color_scheme=scheme, reduced_motion="reduce")
    one.seek(20)
    one.page.click("#table summary")
    one.page.wait_for_selector("#table tbody")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width and one.page.evaluate(CUT) == []
    wide, hint = one.page.locator("#table .wide"), one.page.locator("#table .hint")
    assert hint.is_visible() == (width < 720), "where a table goes on to the side, a line says so"
    assert wide.get_attribute("tabindex") == "0" and wide.get_attribute("aria-label") == "The sites as a table"
    assert one.page.locator("#table th:not([scope])").count() == 0
    paper = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 28)"}[scheme]
    assert one.complaints == []
    one.page.context.close()


def test_charts_say_what_is_seen(opened):
    opened.seek(20)
    chart = opened.page.locator("figure[data-metric=usd_per_hour] .chart")
    said = chart.get_attribute("aria-label")
    assert chart.get_attribute("role") == "img" and said.startswith("Chart over time: cost, $ an hour; at ")
    assert f"greedy {opened.figure('usd_per_hour', 0)}, " in said and said.endswith(opened.figure("usd_per_hour", 1))


def test_a_window_may_close_up_and_open_again(opened):
    """A map without an area has no way back from pixels to places."""
    for shown, width in (("none", 900), ("", 1100)):
        opened.page.evaluate("shown => { document.querySelector('main').style.display = shown; }", shown)
        opened.page.set_viewport_size({"width": width, "height": 700})
        opened.page.wait_for_timeout(200)
    assert opened.complaints == []
    canvas = opened.page.locator(".map canvas").first.bounding_box()
    assert canvas["width"] == pytest.approx(opened.page.locator(".map").first.bounding_box()["width"], abs=1)


def test_names_are_only_text(browser, tmp_path):
    spec = loading.load("toy-3")
    plain = film(heuristics.make("static"), "static", spec, task="placement", seed=0)
    named = plain._replace(views=tuple(view._replace(site_names=(NAUGHTY, "b", "c")) for view in plain.views))
    path = tmp_path / "naughty.html"
    path.write_text(page(payload(NAUGHTY, [NAUGHTY], {NAUGHTY: named}, {})), encoding="utf-8")
    one = Opened(browser, path)
    assert one.page.title() == one.page.inner_text("#title") == NAUGHTY
    assert not one.page.locator(".side").nth(1).is_visible() and one.page.locator("img").count() == 0
    box = one.page.locator(".map").first.bounding_box()
    for x in range(60):
        one.page.mouse.move(box["x"] + box["width"] * (0.44 + 0.002 * x), box["y"] + box["height"] * 0.57)
    assert one.complaints == [] and len(one.requests) == 1
    one.page.context.close()
