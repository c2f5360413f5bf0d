"""A page in a real browser: no script error, no console message, no missing image."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)
_PROBE = """<script>
addEventListener('error', event => document.body.dataset.error = event.message || 'a resource failed', true);
addEventListener('load', () => {
  const images = [...document.images];
  document.body.dataset.images = images.length;
  document.body.dataset.broken = images.filter(image => !image.complete || !image.naturalWidth).length;
  document.body.dataset.wide = document.documentElement.scrollWidth - innerWidth;
});
</script>"""


def opened(page: Path) -> int:
    """Load a page, check that nothing in it fails, and return its number of images.

    The test is skipped where there is no Chromium.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("chromium is not installed")
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text), "the page needs another file"
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.html"
        probe.write_text(text.replace("<head>", f"<head>{_PROBE}", 1), encoding="utf-8")
        command = [chromium, *FLAGS, f"--user-data-dir={folder}/profile", "--window-size=1280,1000", "--dump-dom"]
        done = subprocess.run([*command, probe.as_uri()], capture_output=True, text=True, timeout=180, check=True)
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None, done.stderr
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', body[0]))
    assert "error" not in found, found["error"]
    assert "CONSOLE" not in done.stderr, done.stderr
    assert found["broken"] == "0"
    assert int(found["wide"]) <= 0, "the page scrolls sideways"
    return int(found["images"])
