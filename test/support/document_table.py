"""Tables in the documentation that tests make."""

import os
from pathlib import Path


def assert_shows(page: Path, name: str, table: str) -> None:
    """A page shows ``table`` between its comments ``name`` and ``end of name``; VI_FUSION_WRITE_DOCS=1 writes it there.

    Args:
        page: a file of Markdown.
        name: of the table, as the comments around it have it.
        table: its lines.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    shown = page.read_text(encoding="utf-8")
    before, _, after = shown.partition(begin)
    _, _, after = after.partition(end)
    text = f"{before}{begin}\n{table}\n{end}{after}"
    if os.environ.get("VI_FUSION_WRITE_DOCS"):
        page.write_text(text, encoding="utf-8")
        shown = text
    assert shown == text, "VI_FUSION_WRITE_DOCS=1 writes the table"
