"""Nodes of this package as child processes, for the demo and the benchmarks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class ProcessError(RuntimeError):
    """A node's process has failed; the text is one sentence."""


class NodeProcess:
    """A node in a process of its own, in a session of its own so that Ctrl-C reaches its owner first.

    From the first one on, SIGTERM ends the owner as Ctrl-C does, so that it can stop its children.

    Args:
        module: of the node, for example ``vi_fusion_ros.node.fusion_node``.
        parameters: overrides by name.
        log: file that takes what the process prints.
        domain: the DDS domain.
    """

    def __init__(self, module: str, parameters: dict[str, Any], log: Path, domain: int) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        arguments = ["--ros-args"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={json.dumps(value)}"]
        self.name, self.log = module.rpartition(".")[2], log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            )

    @property
    def done(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Interrupt the process, and kill it if it does not end."""
        if not self.done:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def require_alive(self) -> None:
        """Raise ProcessError with the end of the log if the process has ended by a fault."""
        if self.done and self.process.returncode != 0:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            raise ProcessError(f"{self.name} ended with status {self.process.returncode}: {lines[-1] if lines else ''}")
