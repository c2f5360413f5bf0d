"""The test suite itself: two beside each other, and one that was started in the background."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
DOMAINS = "import sys; from domains import next_domain; print(*(next_domain() for _ in range(20)), flush=True); input()"


def test_suites_beside_each_other_share_no_domain():
    suites = [
        subprocess.Popen(
            [sys.executable, "-c", DOMAINS], cwd=ROOT / "test" / "support", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    try:
        first, second, third = (set(map(int, suite.stdout.readline().split())) for suite in suites)
    finally:
        for suite in suites:
            suite.communicate("\n")
    assert not first & second
    assert not first & third
    assert not second & third
    assert all(0 <= domain <= 232 for domain in first | second | third)


def test_children_can_be_interrupted():
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_a_suite_in_the_background_can_interrupt_its_children_too():
    # A shell that is not interactive starts its background jobs with SIGINT ignored, which children inherit.
    test = f"{__file__}::test_children_can_be_interrupted"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        [sys.executable, "-c", IGNORED, *command], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
