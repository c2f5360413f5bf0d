import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vi_fusion_ros.engines.compile.build_process import BuildFailedError, BuildProcess

DEADLINE_S = 30.0


def python(code):
    return [sys.executable, "-c", code]


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        threading.Event().wait(0.01)


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_builder_that_does_it():
    process = BuildProcess(python("print('half'); print('done')"), DEADLINE_S)
    process.wait()
    assert process.progress == "done"


FAILURES = {
    "says why": (python("import sys; sys.exit('vi-fusion: no GPU')"), "the engine builder failed: no GPU"),
    "says nothing": (python("raise SystemExit(3)"), "failed: exit status 3 without a word"),
    "is killed": (
        python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        r"was killed by SIGKILL after \d+ s \(out of memory\?\)",
    ),
    "crashes": (python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), "was killed by SIGSEGV"),
    "is not there": (["/no/such/program"], "cannot be started"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_builder_that_fails(how):
    command, sentence = FAILURES[how]
    with pytest.raises(BuildFailedError, match=sentence):
        BuildProcess(command, DEADLINE_S).wait()


def test_a_builder_that_hangs_is_stopped_with_what_it_started(tmp_path):
    pid_file = tmp_path / "pid"
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid)); print('timing kernels', flush=True); time.sleep(600)"
    )
    process = BuildProcess(python(code), 2.0)
    with pytest.raises(BuildFailedError, match="longer than 2 s and was stopped; its last words: timing kernels"):
        process.wait()
    wait_until(pid_file.exists, "the builder's child")
    wait_until(lambda: not runs(int(pid_file.read_text())), "the builder's child to end")


def test_a_builder_that_is_stopped():
    process = BuildProcess(python("import time; print('on it', flush=True); time.sleep(600)"), DEADLINE_S)
    wait_until(lambda: process.progress == "on it", "progress")
    threading.Thread(target=process.stop).start()
    with pytest.raises(BuildFailedError, match="was stopped"):
        process.wait()


def test_a_builder_that_talks_a_lot_does_not_block():
    process = BuildProcess(
        python("import sys\nfor n in range(100000): print(n); print(n, file=sys.stderr)"), DEADLINE_S
    )
    process.wait()
    wait_until(lambda: process.progress == "99999", "the last line")


def test_the_compile_command_ends_when_whoever_asked_for_it_is_gone():
    """A node that is killed leaves no builder behind."""
    builder = (
        "import threading\n"
        "from vi_fusion_ros.cli.engines.compile import ProgressLines\n"
        "with ProgressLines(): threading.Event().wait(600)\n"
    )
    owner = (
        "import sys, time\n"
        "from vi_fusion_ros.engines.compile.build_process import BuildProcess\n"
        f"process = BuildProcess([sys.executable, '-c', {builder!r}], 600)\n"
        "while not process.progress: time.sleep(0.01)\n"
        "print(process._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    node = subprocess.Popen(python(owner), stdout=subprocess.PIPE, text=True)
    pid = int(node.stdout.readline())
    assert runs(pid)
    node.send_signal(signal.SIGKILL)
    node.wait()
    wait_until(lambda: not runs(pid), "the builder to end")
