"""The page itself: one HTML file with its style, its scripts and its data, which asks for nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

SCRIPTS = ("data.js", "map.js", "charts.js", "events.js", "player.js")
"""parts of one script, in this order"""
PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(data: Mapping[str, Any]) -> str:
    """HTML of what `payload` gives. Its policy of content lets a browser run these scripts and request nothing."""
    library = asset("echarts.js")
    script = '(() => {\n"use strict";\n' + "\n".join(asset(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "title": html.escape(str(data["title"])),
        "hashes": " ".join(f"'sha256-{digest(text)}'" for text in (library, script)),
        "style": asset("page.css"),
        "library": library,
        "script": script,
        "data": embedded(data),
    }
    return PLACE.sub(lambda place: parts[place[1]], asset("page.html"))


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that no name in it can end: < stands as an escape."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def asset(name: str) -> str:
    """Text of a file of the page."""
    return (resources.files("og_agents.replay.page") / "assets" / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Hash by which a browser knows an inline script: SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
