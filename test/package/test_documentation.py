"""The documentation builds without a warning, and every link in it leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "models").glob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]


def text_of(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="sphinx is not installed (requirements/docs.txt)")
    pytest.importorskip("myst_parser", reason="myst-parser is not installed (requirements/docs.txt)")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tutorials" / "cameras.html").exists()
    # A page that no other leads to is a warning too, and so a failure.


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_commands_in_tutorials_exist(page):
    from vi_fusion_ros.cli import COMMANDS

    text = page.read_text(encoding="utf-8")
    commands = set(re.findall(r"vi-fusion ([a-z]+)", text))
    assert commands <= set(COMMANDS)
    for launch_file in re.findall(r"ros2 launch vi_fusion_ros (\S+)", text):
        assert (ROOT / "launch" / launch_file).exists()
    for executable in re.findall(r"^(\w+_node|pair_collector) --ros-args", text, re.MULTILINE):
        assert f"entry_point({executable} " in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
