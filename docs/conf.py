"""Sphinx configuration: sphinx-build -W docs docs/_build."""

from __future__ import annotations

import re
from typing import Any

project = "vi_fusion_ros"
author = "vi_fusion_ros authors"
project_copyright = author

extensions = ["myst_parser"]
exclude_patterns = ["_build", "benchmarks"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project

_OUTSIDE_MARKDOWN = re.compile(r"\]\(((?:\.\./)+[^)#:]+\.md)\)")


def link_files_outside(_app: Any, page: str, source: list[str]) -> None:
    """Links to Markdown files outside of docs/ lead to the files; MyST would look for pages."""
    depth = page.count("/") + 1
    source[0] = _OUTSIDE_MARKDOWN.sub(
        lambda link: f"](path:{link[1]})" if link[1].count("../") >= depth else link[0], source[0]
    )


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", link_files_outside)
