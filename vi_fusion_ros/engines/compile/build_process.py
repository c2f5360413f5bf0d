"""A builder as a process of its own: it may take minutes, fail, be killed or hang, and whoever asked goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence

_LINES_KEPT = 20
_GRACE_S = 2.0


class BuildFailedError(RuntimeError):
    """The builder did not do it; one sentence."""


class BuildProcess:
    """Runs a command and follows it.

    The command prints its progress on stdout, a line at a time, and what went wrong on stderr. It runs in a session of
    its own, so that what it starts ends with it.

    Args:
        command: program and arguments.
        timeout_s: when it is stopped for taking too long.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self.progress = ""
        self._timeout_s = timeout_s
        self._errors: deque[str] = deque(maxlen=_LINES_KEPT)
        self._stopped = threading.Event()
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise BuildFailedError(f"the engine builder cannot be started: {error}") from error
        self._readers = [
            threading.Thread(target=reader, daemon=True) for reader in (self._follow_progress, self._follow_errors)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def wait(self) -> None:
        """Until the command has ended well.

        Raises:
            BuildFailedError: it failed, was killed, took too long, or ``stop()`` was called.
        """
        try:
            status = self._process.wait(max(0.0, self._timeout_s - self.elapsed_s))
        except subprocess.TimeoutExpired:
            self._kill()
            raise BuildFailedError(
                f"the engine builder took longer than {self._timeout_s:g} s and was stopped; its last words: "
                f"{self.progress or 'none'}"
            ) from None
        self._kill()  # what it may have left running
        for reader in self._readers:
            reader.join(_GRACE_S)
        if self._stopped.is_set():
            raise BuildFailedError("the engine build was stopped")
        if status < 0:
            raise BuildFailedError(
                f"the engine builder was killed by {signal.Signals(-status).name} after {self.elapsed_s:.0f} s"
                + (" (out of memory?)" if status == -signal.SIGKILL else "")
            )
        if status:
            said = self._errors[-1] if self._errors else f"exit status {status} without a word"
            raise BuildFailedError(f"the engine builder failed: {said.removeprefix('vi-fusion: ')}")

    def stop(self) -> None:
        """End the command, whatever it is doing."""
        self._stopped.set()
        self._kill()

    def _kill(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):  # the group is gone
                return
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue

    def _follow_progress(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip():
                self.progress = line.strip()

    def _follow_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._errors.append(line.strip())
