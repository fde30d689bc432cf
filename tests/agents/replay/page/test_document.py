"""The page as a document: it requests nothing, names cannot leave their place, and it is small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from og_agents.replay.page import page, payload
from og_env.scenario import loading
from tests.cases.toy_film import toy

NAUGHTY = '</script><script>alert("x")</script><!--&amp;'


class Reader(HTMLParser):
    """Scripts by type, and every attribute that could fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.kind: str | None = None
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.fetched += [str(values[key]) for key in ("src", "href", "srcset", "action", "poster") if key in values]
        self.kind = (values.get("type") or "text/javascript") if tag == "script" else None
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(values["content"])

    def handle_data(self, data):
        if self.kind:
            self.scripts.append((self.kind, data))
            self.kind = None


def test_the_page_requests_nothing_and_runs_its_own_scripts_only():
    text = page(payload("toy", [], {"static": toy()}, {}))
    reader = Reader(text)
    assert reader.fetched == ["data:,"] and "@import" not in text and "url(" not in text.split("</style>")[0]
    assert [kind for kind, _ in reader.scripts] == ["application/json", "text/javascript", "text/javascript"]
    for _, script in reader.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in reader.policy
    assert reader.policy.startswith("default-src 'none';") and "http" not in reader.policy
    own = reader.scripts[2][1].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|eval\(", own)
    assert "Apache License" in text and "Baidu" in text and "{{" not in text.split("<script")[0]


def test_names_cannot_leave_their_place():
    one = toy()
    named = one._replace(
        views=tuple(view._replace(site_names=(NAUGHTY, "b", "c"), providers=(NAUGHTY, "P", "Q")) for view in one.views)
    )
    text = page(payload(NAUGHTY, [NAUGHTY], {NAUGHTY: named}, {}))
    reader = Reader(text)
    assert len(reader.scripts) == 3 and 'alert("x")' not in text.split("<style>")[0]
    data = json.loads(reader.scripts[0][1])
    assert data["title"] == data["policies"][0]["name"] == data["sites"][0]["name"] == NAUGHTY


def test_a_day_at_24_sites_is_under_3_mb():
    spec = loading.load("global-24")
    films = {name: toy(name, None, spec) for name in ("greedy", "nearest")}
    size = len(page(payload("day", [], films, {})).encode())
    assert 600_000 < size < 3_000_000, size
