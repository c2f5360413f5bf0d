"""What the fusion node costs beside inference: cameras, node and subscriber as processes over DDS, in one run.

``vi-fusion benchmark node`` runs this, first with the fusion node, then in its place with a plain one
(``bench_reference.py``). Stage latencies are the node's own (wall clock, from ``~/status``); the age of a fused image
is taken by the subscriber, from the stamp of the visible image on. Processor time is read from the kernel for the
node's process over the run; that of inference is measured on the same engine, frame size, rate and thread count after
it. The difference is what everything else costs: DDS, the executor, pairing, decoding, registering, composing,
publishing, and of the fusion node also health, drift, status and diagnostics.

What each of the latter costs is measured without the network, whose processor time is neither constant nor small beside
theirs; and where it is too slow for the cameras, the images of the pairs that it skips cost, too, and are paid for by
the few that it publishes. ``bench_profile.py`` measures the same from inside.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from vi_fusion_ros.benchmarks.rigs import lensed_rig
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.images.wire_format import read_image
from vi_fusion_ros.methods.engine import NETWORK
from vi_fusion_ros.msg import FusedClassification, FusionStatus
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.status.diagnostics import AT_DISTANCES
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.tools.bench_profile import MARK
from vi_fusion_ros.tools.domains import own_domain
from vi_fusion_ros.tools.processes import NodeProcess, ProcessError

BESIDE_INFERENCE = ("decode", "register", "compose", "publish")
"""Stages of the worker beside the network itself; pairing has none of its own and is in the processor time."""

PARTS: dict[str, dict[str, Any]] = {
    "drift": {"drift.mode": "off"},
    "health": {"health.fault_time": 0.0},
    "status": {"status_rate": 0.1},
}
"""What can be left out beside the frame path, and the parameters that leave it out; of status, nearly all."""

DEPTH_METHODS = ("max", "laplacian", NETWORK)
"""What fuses where depth is measured."""

DEPTH_RUNS = ("plane", "depth", "plane_again", "depth_again")
"""Each of these twice, in turn: a machine that slows down shows."""

PARTS_METHOD = "average"
"""What fuses in place of the network where parts are left out: the cheapest there is."""

_WARM_UP_S = 3.0
_START_WITHIN_S = 60.0
_INFERENCES = 100


class _Listener(Node):
    """The subscriber.

    Args:
        node_name: of the node that is measured.
    """

    def __init__(self, node_name: str) -> None:
        super().__init__("benchmark")
        self.status: FusionStatus | None = None
        self.ages_ms: list[float] = []
        self.topic = f"{node_name}/fused/image"
        reliable = QoSProfile(depth=30)
        self.create_subscription(FusionStatus, f"{node_name}/status", self._take_status, reliable)
        self.create_subscription(Image, self.topic, self._take_image, reliable, raw=True)
        self.create_subscription(FusedClassification, f"{node_name}/classification", lambda _: None, reliable, raw=True)

    def _take_status(self, status: FusionStatus) -> None:
        self.status = status

    def _take_image(self, wire: bytes) -> None:
        stamp = stamp_ns(read_image(wire).header.stamp)
        self.ages_ms.append((self.get_clock().now().nanoseconds - stamp) / 1e6)


@dataclass(frozen=True)
class _Window:
    """What was seen over the measured part of a run.

    Attributes:
        ages_ms: of each fused image at the subscriber.
        cpu_s: processor time of the node's process.
        executor_cpu_s: of its main thread alone.
        before: the fusion node's status at the start; None of the reference.
        after: at the end.
        log: what the node has printed.
    """

    ages_ms: list[float]
    cpu_s: float
    executor_cpu_s: float
    before: FusionStatus | None
    after: FusionStatus | None
    log: str


@dataclass(frozen=True)
class Conditions:
    """What is measured.

    Attributes:
        seconds: length of the measured part, after a warm-up.
        width: of both images, pixels.
        height: of both images, pixels.
        rate_hz: of both cameras.
        threads: CPU threads of the engine.
        thermal_bits: 8 or 16.
    """

    seconds: float
    width: int
    height: int
    rate_hz: float
    threads: int
    thermal_bits: int


def benchmark(conditions: Conditions) -> dict[str, Any]:
    """Run cameras, node and subscriber, then the same with the reference, and measure both.

    Args:
        conditions: of all runs.

    Raises:
        ProcessError: if a node fails, or somebody else publishes its topics.
    """
    with own_domain() as domain:
        ours = _run(conditions, domain, "node.fusion_node", {"threads": conditions.threads, "status_rate": 2.0})
        plain = _run(conditions, domain, "tools.bench_reference", {"threads": conditions.threads}, "reference_node")
    infer_cpu_ms, infer_wall_ms = _inference(conditions)
    assert ours.before is not None
    assert ours.after is not None
    status = ours.after
    rows = zip(status.latency_p50, status.latency_p95, status.latency_p99, strict=True)
    stages = {stage: _rounded(row) for stage, row in zip(status.latency_stages, rows, strict=True)}
    return {
        **_described(conditions),
        "pairs": status.pairs - ours.before.pairs,
        "stages_ms": stages,
        "beside_inference_wall_ms": round(sum(stages[stage]["p50"] for stage in BESIDE_INFERENCE), 3),
        "inference_alone_wall_ms": round(infer_wall_ms, 3),
        **_figures(ours, conditions, infer_cpu_ms),
        "reference": _figures(plain, conditions, infer_cpu_ms),
        "model": status.model_id,
        "engine": status.engine,
    }


def benchmark_parts(conditions: Conditions) -> dict[str, Any]:
    """What the parts of the node cost, ``PARTS_METHOD`` in place of the network.

    Args:
        conditions: of all runs.

    Returns:
        ``without``: figures of the fusion node with all of ``PARTS`` (``nothing``), without each and without all of
        them, and of the plain node (``reference``); those of the first and the last twice, before and after the others,
        which shows how far two equal runs lie apart. ``profile``: milliseconds a pair by part, of ``bench_profile``.

    Raises:
        ProcessError: as ``benchmark``.
    """
    with own_domain() as domain:
        runs = _without_parts(conditions, domain)
        profile = profile_of(conditions, domain)
    without = {name: _figures(run, conditions) for name, run in runs.items()}
    return {**_described(conditions), "method": PARTS_METHOD, "without": without, "profile": profile}


def benchmark_depth(conditions: Conditions) -> dict[str, Any]:
    """What registration by depth costs the running node, beside the plane of the same rig; drift is off in both.

    Args:
        conditions: of all runs.

    Returns:
        ``methods``: by what fuses, figures of the node at the rig's plane and with a depth image for each visible one,
        and of both again.

    Raises:
        ProcessError: as ``benchmark``; or the node did not use the depth.
    """
    found: dict[str, dict[str, Any]] = {}
    with own_domain() as domain, tempfile.TemporaryDirectory() as scratch:
        rig = Path(scratch) / "rig.yaml"
        lensed_rig().save(rig)
        for method in DEPTH_METHODS:
            found[method] = {}
            for name in DEPTH_RUNS:
                by_depth = name.startswith("depth")
                found[method][name] = _figures(_run_at(conditions, domain, method, rig, by_depth), conditions)
    return {**_described(conditions), "methods": found}


def _run_at(conditions: Conditions, domain: int, method: str, rig: Path, by_depth: bool) -> _Window:
    parameters = {
        "threads": conditions.threads, "status_rate": 2.0, "fusion.method": method, "rig": str(rig),
        "drift.mode": "off", "depth.source": "image" if by_depth else "none",
    }  # fmt: skip
    camera = "tools.bench_depth_camera" if by_depth else None
    run = _run(conditions, domain, "node.fusion_node", parameters, camera=camera)
    assert run.after is not None
    if by_depth and AT_DISTANCES not in run.after.registration:
        raise ProcessError(f"the node did not use the depth: {run.after.registration}")
    return run


def _described(conditions: Conditions) -> dict[str, Any]:
    return {
        "size": f"{conditions.width}x{conditions.height}",
        "thermal_bits": conditions.thermal_bits,
        "rate_hz": conditions.rate_hz,
        "threads": conditions.threads,
        "seconds": conditions.seconds,
    }


def _without_parts(conditions: Conditions, domain: int) -> dict[str, _Window]:
    all_of_them = {name: value for settings in PARTS.values() for name, value in settings.items()}
    base = {"threads": conditions.threads, "status_rate": 2.0, "fusion.method": PARTS_METHOD}
    plain = {"threads": conditions.threads, "fusion.method": PARTS_METHOD}

    def ours(settings: dict[str, Any]) -> _Window:
        return _run(conditions, domain, "node.fusion_node", {**base, **settings})

    def reference() -> _Window:
        return _run(conditions, domain, "tools.bench_reference", plain, "reference_node")

    return {
        "nothing": ours({}),
        "reference": reference(),
        **{name: ours(settings) for name, settings in PARTS.items()},
        "all": ours(all_of_them),
        "nothing_again": ours({}),
        "reference_again": reference(),
    }


def profile_of(conditions: Conditions, domain: int) -> dict[str, float]:
    """Milliseconds of processor time a pair by part, of one run with ``PARTS_METHOD``; see ``bench_profile``.

    Raises:
        ProcessError: the node fails.
    """
    parameters = {"threads": conditions.threads, "status_rate": 2.0, "fusion.method": PARTS_METHOD}
    run = _run(conditions, domain, "tools.bench_profile", parameters, "fusion_node")
    lines = [line.removeprefix(MARK) for line in run.log.splitlines() if line.startswith(MARK)]
    if not lines:
        raise ProcessError("the profiled node ended without its profile")
    return dict(json.loads(lines[-1]))


def _figures(window: _Window, conditions: Conditions, infer_cpu_ms: float | None = None) -> dict[str, Any]:
    """Of a run; without inference where its processor time is not given."""
    published = len(window.ages_ms)
    node_cpu_ms, executor_ms = (cpu * 1e3 / published for cpu in (window.cpu_s, window.executor_cpu_s))
    inference = {}
    if infer_cpu_ms is not None:
        inference = {
            "inference": round(infer_cpu_ms, 3),
            "beside_inference": round(node_cpu_ms - infer_cpu_ms, 3),
        }
    return {
        "published": published,
        "published_share": round(published / (conditions.seconds * conditions.rate_hz), 4),
        "fps": round(published / conditions.seconds, 2),
        "end_to_end_ms": _rounded(np.percentile(window.ages_ms, (50, 95, 99)).tolist()),
        "cpu_ms_per_pair": {
            "node": round(node_cpu_ms, 3),
            **inference,
            "main_thread": round(executor_ms, 3),
        },
    }


def _rounded(percentiles: Iterable[float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in zip(("p50", "p95", "p99"), percentiles, strict=True)}


def _run(
    conditions: Conditions,
    domain: int,
    module: str,
    parameters: dict[str, Any],
    name: str | None = None,
    camera: str | None = None,
) -> _Window:
    """One node between cameras and subscriber; ``camera`` is the module of one more."""
    # Ctrl-C ends the command in one sentence.
    rclpy.init(domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    listener, executor = _Listener(name or module.rpartition(".")[2]), SingleThreadedExecutor()
    executor.add_node(listener)
    player_parameters = {
        "source": "synthetic", "width": conditions.width, "height": conditions.height,
        "visible.rate": conditions.rate_hz, "thermal.rate": conditions.rate_hz,
        "thermal_bits": conditions.thermal_bits, "duration": conditions.seconds + 2 * _WARM_UP_S,
    }  # fmt: skip
    children: list[NodeProcess] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            node = NodeProcess(f"vi_fusion_ros.{module}", parameters, Path(scratch) / "node.log", domain)
            children.append(node)
            _spin(executor, node, lambda: listener.count_publishers(listener.topic) > 0)
            if camera is not None:
                log = Path(scratch) / "camera.log"
                children.append(NodeProcess(f"vi_fusion_ros.{camera}", {}, log, domain))
            log = Path(scratch) / "player.log"
            player = NodeProcess("vi_fusion_ros.tools.player_node", player_parameters, log, domain)
            children.append(player)
            _spin(executor, player, lambda: bool(listener.ages_ms))
            _spin_for(executor, _WARM_UP_S)
            listener.ages_ms.clear()
            before, start = listener.status, _cpu_seconds(node.process.pid)
            _spin_for(executor, conditions.seconds)
            after, end = listener.status, _cpu_seconds(node.process.pid)
            node.require_alive()
        finally:
            for child in reversed(children):
                child.stop()
            executor.shutdown()
            listener.destroy_node()
            rclpy.try_shutdown()
        said = children[0].log.read_text(errors="replace")
    if not listener.ages_ms:
        raise ProcessError(f"{module} published nothing during the measurement")
    return _Window(listener.ages_ms, end[0] - start[0], end[1] - start[1], before, after, said)


def machine() -> dict[str, Any]:
    """What figures depend on."""
    return {
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "onnxruntime": metadata.version("onnxruntime"),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def _inference(conditions: Conditions) -> tuple[float, float]:
    """Processor and wall time of one inference, milliseconds, means over many at the rate of the cameras.

    Back to back they would be cheaper than they can be in the node: caches and clock of the processor stay warm.
    """
    engine = load_engine(default_model(), conditions.threads)
    random = np.random.default_rng(0)
    visible = random.random((1, 3, conditions.height, conditions.width), np.float32)
    thermal = random.random((1, 1, conditions.height, conditions.width), np.float32)
    for _ in range(10):
        engine.infer(visible, thermal)
    cpu = wall = 0.0
    due = time.perf_counter()
    for _ in range(_INFERENCES):
        due += 1.0 / conditions.rate_hz
        time.sleep(max(0.0, due - time.perf_counter()))
        cpu_start, start = time.process_time(), time.perf_counter()
        engine.infer(visible, thermal)
        cpu += time.process_time() - cpu_start
        wall += time.perf_counter() - start
    engine.close()
    return cpu * 1e3 / _INFERENCES, wall * 1e3 / _INFERENCES


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """Processor time of a process and of its main thread."""
    return _cpu_of(Path(f"/proc/{pid}/stat")), _cpu_of(Path(f"/proc/{pid}/task/{pid}/stat"))


def _cpu_of(stat: Path) -> float:
    fields = stat.read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)


def _spin(executor: SingleThreadedExecutor, child: NodeProcess, condition: Any) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while not condition():
        executor.spin_once(timeout_sec=0.1)
        child.require_alive()
        if time.monotonic() > deadline:
            raise ProcessError(f"{child.name} did not get going within {_START_WITHIN_S:.0f} s")


def _spin_for(executor: SingleThreadedExecutor, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)
