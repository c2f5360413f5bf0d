"""The fusion node with the processor time of its parts measured: what ``vi-fusion benchmark node --parts`` profiles.

Each part is a function, and its time that of the thread that runs it, less that of other parts called from it. So the
parts add up, and other programs on the machine count little. When it ends the node prints what each part took since the
first pair was published, as JSON behind ``MARK``.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.methods.engine import MethodEngine
from vi_fusion_ros.node import fusion_node
from vi_fusion_ros.node.fusion_node import FusionNode
from vi_fusion_ros.node.geometry.camera_info import CameraInfos
from vi_fusion_ros.node.geometry.depth_source import DepthImages
from vi_fusion_ros.node.geometry.drift_watch import DriftWatch
from vi_fusion_ros.node.outputs.publishers import ResultPublishers
from vi_fusion_ros.node.session import Session
from vi_fusion_ros.node.status.statistics import Statistics
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.sync.health import HealthMonitor

MARK = "profile: "

ENGINE = "engine"
"""The part that is no cost of the node. Threads that it starts are in none of the parts, as those of DDS are not."""

PARTS: dict[str, list[tuple[Any, str]]] = {
    "executor": [(fusion_node, "spin_once")],
    "images_taken": [(Session, "_on_image")],
    "camera_info_taken": [(CameraInfos, "__call__")],
    "depth_taken": [(DepthImages, "take")],
    "status_and_diagnostics": [(FusionNode, "_publish_status")],
    "pairing": [(Session, "_pair")],
    "decoding_and_bookkeeping": [(Session, "_fuse")],
    "health": [(HealthMonitor, "usable")],
    "registering_and_composing": [(FusionPipeline, "process")],
    ENGINE: [(OnnxRuntimeEngine, "infer"), (MethodEngine, "infer")],
    "publishing": [(ResultPublishers, "publish")],
    "counting": [(Statistics, "published"), (Statistics, "received"), (Statistics, "paired")],
    "drift": [(DriftWatch, "_look")],
}
"""What is timed, by the name of the part: functions of an owner."""


class Profile:
    """Processor time by part, each less the parts called from it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ns: Counter[str] = Counter()
        self._inner: dict[int, list[int]] = defaultdict(list)  # by thread: what was spent in parts below each open one
        self.pairs, self._process_ns = 0, 0

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, its time counted to a part."""

        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            below = self._inner[threading.get_ident()]
            below.append(0)
            start = time.thread_time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time_ns() - start
                own = spent - below.pop()
                if below:
                    below[-1] += spent
                with self._lock:
                    self._ns[part] += own

        return wrapper

    def count_pair(self) -> None:
        """Count a pair that was published; the first one starts the profile."""
        with self._lock:
            if not self._process_ns:
                self._ns.clear()
                self._process_ns = time.process_time_ns()
            else:
                self.pairs += 1

    def per_pair_ms(self) -> dict[str, float]:
        """Milliseconds of processor time a pair by part, and of the whole process; empty before the second pair."""
        with self._lock:
            if not self.pairs:
                return {}
            whole = time.process_time_ns() - self._process_ns
            parts = {part: self._ns[part] for part in PARTS if self._ns[part]}
            spent = {**parts, "other_threads": whole - sum(parts.values()), "all": whole}
            return {part: round(ns / 1e6 / self.pairs, 3) for part, ns in spent.items()}


def install(profile: Profile) -> None:
    """Time all parts of this process from now on."""
    for part, functions in PARTS.items():
        for owner, name in functions:
            setattr(owner, name, profile.timed(part, getattr(owner, name)))
    published = Statistics.published

    @functools.wraps(published)
    def counted(*args: Any, **kwargs: Any) -> None:
        published(*args, **kwargs)
        profile.count_pair()

    Statistics.published = counted  # type: ignore[method-assign]


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; returns the exit status."""
    profile = Profile()
    install(profile)
    status = fusion_node.main(args)
    print(MARK + json.dumps(profile.per_pair_ms()), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
