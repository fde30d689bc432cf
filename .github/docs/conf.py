"""How Sphinx builds the documentation: `make docs` writes HTML into build/docs, without the network."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "agents")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
version = release = PROJECT["version"]
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3  # anchors are those that a code host gives to headings
default_role = "code"  # in docstrings one backtick is code, as in Markdown
highlight_language = "text"
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 100
autodoc_preserve_defaults = True
autodoc_mock_imports = ["matplotlib", "sb3_contrib", "stable_baselines3", "torch", "tqdm"]  # slow, and of an extra

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def _to_outside_files(app: Any, page: str, source: list[str]) -> None:
    """Links to notebooks and to files outside of this folder become downloads; a code host follows them as they are."""
    folder = (DOCS / page).parent
    outside = re.compile(r"\]\(((?:\.\./)+[^)#]+|[^)#:]+\.ipynb)\)")

    def link(found: re.Match[str]) -> str:
        is_page = (folder / found[1]).resolve().is_relative_to(DOCS) and not found[1].endswith(".ipynb")
        return found[0] if is_page or found[1].endswith((".png", ".gif", ".svg")) else f"](path:{found[1]})"

    source[0] = outside.sub(link, source[0])


def _from_markdown(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Headings of the environments' docstrings, which Gymnasium writes in Markdown, become bold lines."""
    text = inspect.cleandoc("\n".join(lines))
    text = re.sub(r"^## (.+)$", r"\n**\1**\n", text, flags=re.MULTILINE)
    lines[:] = [*re.sub(r"^(v\d+: )", r"\n\1", text, flags=re.MULTILINE).splitlines(), ""]


def setup(app: Any) -> dict[str, bool]:
    """Connect the two conversions."""
    app.connect("source-read", _to_outside_files)
    app.connect("autodoc-process-docstring", _from_markdown)
    return {"parallel_read_safe": True}
