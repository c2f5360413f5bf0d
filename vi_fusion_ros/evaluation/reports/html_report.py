"""A report as one HTML file that needs no network: text, tables, plots and pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from vi_fusion_ros.evaluation.output import write_text
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 1180px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p { max-width: 75ch; } .note { color: #57606a; }
.warn { background: #fff4d6; padding: .6rem .9rem; border-radius: 6px; }
pre { background: #f3f4f6; padding: .7rem .9rem; border-radius: 6px; white-space: pre-wrap; word-break: break-all; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; margin: .8rem 0; }
th, td { padding: .3rem .65rem; border-bottom: 1px solid #d8dee4; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } table.text td, table.text th { text-align: left; }
th { border-bottom: 2px solid #8c959f; }
td small { display: block; color: #6e7781; font-weight: 400; white-space: nowrap; }
td.best { font-weight: 650; }
tr.ours td { background: #eaf4ff; }
img { max-width: 100%; height: auto; display: block; } figure { margin: 1rem 0 1.6rem; }
figcaption { color: #57606a; margin-top: .3rem; } summary { cursor: pointer; }
"""


class Page:
    """Collects the parts of a report and writes them as one file.

    Args:
        title: heading of the page.
        command: what made it, shown so that it can be run again.
    """

    def __init__(self, title: str, command: str) -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>", f"<pre>{html.escape(command)}</pre>"]

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, style: str = "note") -> None:
        """Add a paragraph; ``style`` is ``note`` or ``warn``."""
        self._parts.append(f'<p class="{style}">{html.escape(text)}</p>')

    def model(self, model: Path | None) -> None:
        """Show the manifest that lies beside a model, folded away."""
        if model is None:
            return
        manifest = model.with_suffix(".json").read_text(encoding="utf-8")
        title = f"Model: {model.name}, and its manifest"
        self._parts.append(
            f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(manifest)}</pre></details>"
        )

    def problems(self, sentences: Sequence[str], most: int = 20) -> None:
        """Say that the result is partial and why, where it is."""
        if not sentences:
            return
        shown = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences[:most])
        more = f"<li>and {len(sentences) - most} more</li>" if len(sentences) > most else ""
        self._parts.append(f'<div class="warn"><b>This result is partial.</b><ul>{shown}{more}</ul></div>')

    def table(self, table: Table) -> None:
        """Add a table."""
        self._parts.append(f'<div class="wide">{table.html()}</div>')

    def figure(self, figure: Figure, caption: str = "") -> None:
        """Add a matplotlib figure."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        self._image("png", buffer.getvalue(), caption)

    def picture(self, image: Image, caption: str = "") -> None:
        """Add an (H, W) or (H, W, 3) BGR uint8 image."""
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
        self._image("jpeg", data.tobytes(), caption)

    def write(self, folder: Path) -> Path:
        """Write ``index.html`` into ``folder``, which is made where it is missing, and return its path."""
        path = folder / "index.html"
        head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
        body = "\n".join(self._parts)
        write_text(path, f"{head}<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n")
        return path

    def _image(self, kind: str, data: bytes, caption: str) -> None:
        encoded = base64.b64encode(data).decode("ascii")
        alt = html.escape(caption or "plot", quote=True)
        self._parts.append(
            f'<figure><img alt="{alt}" src="data:image/{kind};base64,{encoded}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )


class Table:
    """Rows of cells for ``Page.table``.

    Args:
        header: titles of the columns.
        text: whether all columns hold text, aligned to the left, and not numbers.
    """

    def __init__(self, header: Iterable[str], text: bool = False) -> None:
        cells = "".join(f"<th>{html.escape(title)}</th>" for title in header)
        self._kind = "text" if text else "numbers"
        self._rows = [f"<thead><tr>{cells}</tr></thead><tbody>"]

    def row(self, cells: Iterable[str | tuple[str, str]], best: Iterable[int] = (), ours: bool = False) -> None:
        """Add a row.

        Args:
            cells: text, or text and small lines beneath it.
            best: indices of the cells in bold.
            ours: whether to mark the row.
        """
        marked = set(best)
        made = "".join(self._cell(cell, index in marked) for index, cell in enumerate(cells))
        self._rows.append(f'<tr class="{"ours" if ours else "other"}">{made}</tr>')

    def html(self) -> str:
        """The finished table."""
        return f'<table class="{self._kind}">{"".join(self._rows)}</tbody></table>'

    @staticmethod
    def _cell(cell: str | tuple[str, str], best: bool) -> str:
        main, small = (cell, "") if isinstance(cell, str) else cell
        under = "".join(f"<small>{html.escape(line)}</small>" for line in small.splitlines())
        return f'<td class="{"best" if best else "plain"}">{html.escape(main)}{under}</td>'
