"""What the fusion node costs beside inference: cameras, node and subscriber as processes over DDS, in one run.

``vi-fusion benchmark node`` runs this. Stage latencies are the node's own (wall clock, from ``~/status``). Processor
time is read from the kernel for the node's process over the run; that of inference is measured on the same engine,
frame size, rate and thread count right after it. The difference is what everything else costs: DDS, the executor,
pairing, decoding, registering, composing, publishing.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
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

from vi_fusion_ros.inference.load import load_engine
from vi_fusion_ros.msg import FusedClassification, FusionStatus
from vi_fusion_ros.ros.processes import NodeProcess, ProcessError
from vi_fusion_ros.share import default_model

BESIDE_INFERENCE = ("decode", "register", "compose", "publish")
"""Stages of the worker beside the network itself; pairing has none of its own and is in the processor time."""

_WARM_UP_S = 3.0
_START_WITHIN_S = 60.0
_INFERENCES = 100


class _Listener(Node):
    def __init__(self) -> None:
        super().__init__("benchmark")
        self.status: FusionStatus | None = None
        self.images = 0
        reliable = QoSProfile(depth=30)
        self.create_subscription(FusionStatus, "fusion_node/status", self._take_status, reliable)
        self.create_subscription(Image, "fusion_node/fused", self._take_image, reliable, raw=True)
        self.create_subscription(FusedClassification, "fusion_node/classification", lambda _: None, reliable, raw=True)

    def _take_status(self, status: FusionStatus) -> None:
        self.status = status

    def _take_image(self, _: bytes) -> None:
        self.images += 1


def benchmark(
    seconds: float, width: int, height: int, rate_hz: float, threads: int, thermal_bits: int
) -> dict[str, Any]:
    """Run cameras, node and subscriber, and measure.

    Args:
        seconds: length of the measured part, after a warm-up.
        width: of both images, pixels.
        height: of both images, pixels.
        rate_hz: of both cameras.
        threads: CPU threads of the engine.
        thermal_bits: 8 or 16.

    Raises:
        ProcessError: if a node fails.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C ends the command in one sentence
    listener, executor = _Listener(), SingleThreadedExecutor()
    executor.add_node(listener)
    player_parameters = {
        "source": "synthetic", "width": width, "height": height, "visible.rate": rate_hz, "thermal.rate": rate_hz,
        "thermal_bits": thermal_bits, "duration": seconds + 2 * _WARM_UP_S,
    }  # fmt: skip
    children: list[NodeProcess] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            node = NodeProcess(
                "vi_fusion_ros.ros.fusion_node", {"threads": threads, "status_rate": 2.0}, Path(scratch) / "fusion.log"
            )
            children.append(node)
            _spin(executor, node, lambda: listener.status is not None and listener.status.state == "active")
            player = NodeProcess("vi_fusion_ros.ros.player_node", player_parameters, Path(scratch) / "player.log")
            children.append(player)
            _spin(executor, player, lambda: listener.images > 0)
            _spin_for(executor, _WARM_UP_S)
            before, cpu_before = listener.status, _cpu_seconds(node.process.pid)
            _spin_for(executor, seconds)
            after, cpu_after = listener.status, _cpu_seconds(node.process.pid)
            node.require_alive()
        finally:
            for child in reversed(children):
                child.stop()
            executor.shutdown()
            listener.destroy_node()
            rclpy.try_shutdown()
    assert before is not None
    assert after is not None
    results = after.published - before.published
    if not results:
        raise ProcessError("the fusion node published nothing during the measurement")
    node_cpu_ms = (cpu_after - cpu_before) * 1e3 / results
    infer_cpu_ms, infer_wall_ms = _inference(width, height, threads, rate_hz)
    rows = zip(after.latency_p50, after.latency_p95, after.latency_p99, strict=True)
    stages = {
        stage: {"p50": round(p50, 3), "p95": round(p95, 3), "p99": round(p99, 3)}
        for stage, (p50, p95, p99) in zip(after.latency_stages, rows, strict=True)
    }
    return {
        "size": f"{width}x{height}",
        "thermal_bits": thermal_bits,
        "rate_hz": rate_hz,
        "threads": threads,
        "seconds": seconds,
        "pairs": after.pairs - before.pairs,
        "published": results,
        "fps": round(results / seconds, 2),
        "stages_ms": stages,
        "beside_inference_wall_ms": round(sum(stages[stage]["p50"] for stage in BESIDE_INFERENCE), 3),
        "cpu_ms_per_pair": {
            "node": round(node_cpu_ms, 3),
            "inference": round(infer_cpu_ms, 3),
            "beside_inference": round(node_cpu_ms - infer_cpu_ms, 3),
        },
        "inference_alone_wall_ms": round(infer_wall_ms, 3),
        "model": after.model_id,
        "engine": after.engine,
    }


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


def _inference(width: int, height: int, threads: int, rate_hz: float) -> tuple[float, float]:
    """Processor and wall time of one inference, milliseconds, means over many at the rate of the cameras.

    Back to back they would be cheaper than they can be in the node: caches and clock of the processor stay warm.
    """
    engine = load_engine(default_model(), threads)
    random = np.random.default_rng(0)
    visible = random.random((1, 3, height, width), np.float32)
    thermal = random.random((1, 1, height, width), np.float32)
    for _ in range(10):
        engine.infer(visible, thermal)
    cpu = wall = 0.0
    due = time.perf_counter()
    for _ in range(_INFERENCES):
        due += 1.0 / rate_hz
        time.sleep(max(0.0, due - time.perf_counter()))
        cpu_start, start = time.process_time(), time.perf_counter()
        engine.infer(visible, thermal)
        cpu += time.process_time() - cpu_start
        wall += time.perf_counter() - start
    engine.close()
    return cpu * 1e3 / _INFERENCES, wall * 1e3 / _INFERENCES


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
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
