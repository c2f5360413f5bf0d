"""What the Fast DDS profile changes, measured: one image stream between two processes, without the profile and with it.

Run as ``python -m vi_fusion_ros.tools.bench_dds --json docs/benchmarks/dds.json``. A publisher and a subscriber, each a
process of its own on this host, exchange 640x480 ``bgr8`` images at 30 Hz. Measured are how many arrive and how long
each takes from just before ``publish()`` to the callback, on the monotonic clock that both processes share. The
variants take turns, so that a busy moment of the machine does not meet one of them alone.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from tqdm import tqdm

from vi_fusion_ros.resources import share_path

WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
RELIABILITIES = ("best_effort", "reliable")
PROFILES = ("default", "vi_fusion_ros")

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_TOPIC = "bench_dds/image"
_FIRST_DOMAIN = 150
_MATCH_TIMEOUT_S = 20.0
_SILENCE_S = 2.0


def _qos(reliability: str) -> QoSProfile:
    """The node's own QoS for images, at the given reliability."""
    return QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability.upper()], history=HistoryPolicy.KEEP_LAST)


def _publish(reliability: str, count: int) -> None:
    """Publisher process: ``count`` images at RATE_HZ once the subscriber is there, then wait to be ended."""
    rclpy.init()
    node = Node("bench_dds_publisher")
    publisher = node.create_publisher(Image, _TOPIC, _qos(reliability))
    image = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH)
    image.data = array.array("B", np.random.default_rng(0).bytes(3 * WIDTH * HEIGHT))

    deadline = time.monotonic() + _MATCH_TIMEOUT_S
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no subscriber on {_TOPIC} within {_MATCH_TIMEOUT_S:.0f} s")
        time.sleep(0.05)

    start = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, start + index / RATE_HZ - time.monotonic()))
        now_ns = time.monotonic_ns()
        image.header.stamp = Time(sec=now_ns // 1_000_000_000, nanosec=now_ns % 1_000_000_000)
        publisher.publish(image)
    sys.stdin.read()


def _subscribe(reliability: str, count: int) -> None:
    """Subscriber process: print the latencies, in milliseconds, of what arrives, as a JSON list."""
    rclpy.init()
    node = Node("bench_dds_subscriber")
    latencies_ms: list[float] = []

    def receive(image: Image) -> None:
        sent_ns = image.header.stamp.sec * 1_000_000_000 + image.header.stamp.nanosec
        latencies_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    node.create_subscription(Image, _TOPIC, receive, _qos(reliability))
    deadline = time.monotonic() + _MATCH_TIMEOUT_S + count / RATE_HZ
    last_s, seen = time.monotonic(), 0
    while len(latencies_ms) < count and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
        if len(latencies_ms) > seen:
            last_s, seen = time.monotonic(), len(latencies_ms)
        elif seen and time.monotonic() - last_s > _SILENCE_S:
            break
    print(json.dumps(latencies_ms))


def _environment(profile: str, domain: int) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _PROFILE_VARIABLES}
    environment["ROS_DOMAIN_ID"] = str(domain)
    environment["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"
    if profile != "default":
        environment.update(dict.fromkeys(_PROFILE_VARIABLES, str(share_path() / "config/dds/fastdds.xml")))
    return environment


def measure(profile: str, reliability: str, seconds: float, domain: int) -> dict[str, Any]:
    """One run of one variant.

    Args:
        profile: one of PROFILES.
        reliability: one of RELIABILITIES.
        seconds: length of the stream.
        domain: a ROS domain that nothing else uses.

    Returns:
        ``sent`` and ``received`` in images, ``received_hz``, and ``latency_ms`` with p50, p95, p99 and max; the latter
        is empty where nothing arrived.

    Raises:
        RuntimeError: if a process fails.
    """
    count = round(seconds * RATE_HZ)
    command = [sys.executable, "-m", __spec__.name, "--count", str(count), "--reliability", reliability, "--role"]
    environment = _environment(profile, domain)
    subscriber = subprocess.Popen([*command, "subscriber"], env=environment, stdout=subprocess.PIPE, text=True)
    publisher = subprocess.Popen([*command, "publisher"], env=environment, stdin=subprocess.PIPE)
    try:
        output, _ = subscriber.communicate(timeout=seconds + 3 * _MATCH_TIMEOUT_S)
        publisher.communicate(timeout=_MATCH_TIMEOUT_S)
    finally:
        for process in (subscriber, publisher):
            process.kill()
    if subscriber.returncode or publisher.returncode:
        raise RuntimeError(f"a process of the {profile}, {reliability} run failed, see above")
    latencies_ms = json.loads(output)
    values = np.percentile(latencies_ms or [0.0], (50, 95, 99, 100))
    percentiles = dict(zip(("p50", "p95", "p99", "max"), values, strict=True))
    return {
        "profile": profile,
        "reliability": reliability,
        "sent": count,
        "received": len(latencies_ms),
        "received_hz": round(len(latencies_ms) / seconds, 2),
        "latency_ms": {name: round(float(value), 2) for name, value in percentiles.items()} if latencies_ms else {},
    }


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The median over the runs of each variant, in the order that they first ran."""
    summary = []
    for reliability in RELIABILITIES:
        for profile in PROFILES:
            same = [run for run in runs if run["profile"] == profile and run["reliability"] == reliability]
            latencies = [run["latency_ms"] for run in same if run["latency_ms"]]
            summary.append(
                {
                    "profile": profile,
                    "reliability": reliability,
                    "received_hz": statistics.median(run["received_hz"] for run in same),
                    "latency_ms": {
                        name: statistics.median(latency[name] for latency in latencies)
                        for name in (latencies[0] if latencies else ())
                    },
                }
            )
    return summary


def _sysctl(name: str) -> int | None:
    try:
        return int(Path("/proc/sys", *name.split(".")).read_text())
    except OSError:
        return None


def _conditions() -> dict[str, Any]:
    """What the numbers depend on besides the profile."""
    return {
        "cpu_cores": os.cpu_count(),
        "load_average_1min_before": round(os.getloadavg()[0], 2),
        "net.core.rmem_max": _sysctl("net.core.rmem_max"),
        "net.core.wmem_max": _sysctl("net.core.wmem_max"),
        "python": platform.python_version(),
        "rclpy": metadata.version("rclpy"),
        "rmw": "rmw_fastrtps_cpp",
    }


def table(summary: list[dict[str, Any]]) -> str:
    """The summary as a Markdown table."""
    lines = ["| QoS | profile | arrives | latency p50 | p99 |", "|---|---|---|---|---|"]
    for row in summary:
        latency = row["latency_ms"]
        cells = (f"{latency[name]:.1f} ms" if latency else "-" for name in ("p50", "p99"))
        lines.append(f"| {row['reliability']} | {row['profile']} | {row['received_hz']:.1f} Hz | {' | '.join(cells)} |")
    return "\n".join(lines)


def benchmark(seconds: float, repeats: int) -> dict[str, Any]:
    """Every variant ``repeats`` times over streams of ``seconds``."""
    report: dict[str, Any] = {
        "command": "python -m vi_fusion_ros.tools.bench_dds --json docs/benchmarks/dds.json",
        "date": time.strftime("%Y-%m-%d"),
        "stream": f"{WIDTH}x{HEIGHT} bgr8, {RATE_HZ:.0f} Hz, {seconds:g} s, two processes on one host",
        "conditions": _conditions(),
    }
    variants = [(profile, reliability) for _ in range(repeats) for reliability in RELIABILITIES for profile in PROFILES]
    report["runs"] = [
        measure(profile, reliability, seconds, _FIRST_DOMAIN + index)
        for index, (profile, reliability) in enumerate(tqdm(variants, unit="run"))
    ]
    report["summary"] = summarise(report["runs"])
    return report


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table and write the report."""
    parser = argparse.ArgumentParser(prog="bench_dds", description="What the Fast DDS profile changes, measured.")
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each stream")
    parser.add_argument("--repeats", type=int, default=3, help="streams per variant")
    parser.add_argument("--role", choices=("publisher", "subscriber"), help=argparse.SUPPRESS)
    parser.add_argument("--reliability", choices=RELIABILITIES, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.role:
        (_publish if options.role == "publisher" else _subscribe)(options.reliability, options.count)
        return 0
    report = benchmark(options.seconds, options.repeats)
    print(table(report["summary"]))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
