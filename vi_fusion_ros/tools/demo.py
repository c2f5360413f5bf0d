"""The demo: a player, a fusion node and a recorder as separate processes, figures in the terminal, files to look at.

``scripts/demo`` sets up the environment and runs this module.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rosbags.rosbag2 import Reader

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.drawing import stacked
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.tools.domains import own_domain, require_no_cameras
from vi_fusion_ros.tools.processes import NodeProcess, ProcessError
from vi_fusion_ros.tools.recorder import FUSED, Recorder, Snapshot
from vi_fusion_ros.types import Image, Mode

_SNAPSHOT_EVERY_S = 3.0
_MOSAIC_ROWS = 3
_START_WITHIN_S = 60.0
_SETTLE_WITHIN_S = 10.0
_PLAYER = "vi_fusion_ros.tools.player_node"
_FUSION = "vi_fusion_ros.node.fusion_node"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    options = _parser().parse_args(arguments)
    if bool(options.visible) != bool(options.thermal):
        sys.stderr.write("demo: --visible and --thermal go together\n")
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        summary = _Demo(options).run()
    except (ProcessError, OSError, ValueError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    text = json.dumps(summary, indent=2) + "\n"
    (options.out / "summary.json").write_text(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text)
    _print_summary(summary, options.out)
    return 0


class _Demo:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._started = 0.0
        self._lines = 0
        self._rows: list[Image] = []
        self._children: list[NodeProcess] = []

    def run(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as scratch, own_domain() as self._domain:
            report = Path(scratch) / "player.json"
            sys.stdout.write(f"DDS domain {self._domain}\n")
            rclpy.init(domain_id=self._domain, signal_handler_options=SignalHandlerOptions.NO)
            recorder = Recorder(self._options.out / "fused.mcap", self._options.cameras)
            executor = SingleThreadedExecutor()
            executor.add_node(recorder)
            try:
                self._play(recorder, executor, report)
            except (KeyboardInterrupt, ExternalShutdownException):
                sys.stdout.write("\ninterrupted; writing what there is\n")
            finally:
                for child in self._children:
                    child.stop()
                recorder.close()
                executor.shutdown()
                recorder.destroy_node()
                rclpy.try_shutdown()
            if recorder.status is None or not recorder.end_to_end_ms:
                raise ProcessError(f"nothing was fused; the nodes' logs are in {self._options.out}")
            played = json.loads(report.read_text()) if report.exists() else {}
        _write_video(self._options.out / "fused.mcap", self._options.out / "fused.mp4")
        self._write_mosaic()
        return _summary(recorder, played)

    def _play(self, recorder: Recorder, executor: SingleThreadedExecutor, report: Path) -> None:
        options = self._options
        fusion = self._start(_FUSION, {"status_rate": 4.0, "threads": options.threads, "rig": options.rig})
        self._spin_until(executor, lambda: _is_active(recorder.status), "fusion_node to start", fusion)
        require_no_cameras(recorder, self._domain)
        player = self._start(_PLAYER, _player_parameters(options, report))
        self._started = time.monotonic()
        snapshot: Snapshot | None = None
        next_snapshot = next_line = self._started + 1.0
        while not player.done:
            executor.spin_once(timeout_sec=0.1)
            now = time.monotonic()
            fusion.require_alive()
            if snapshot is not None and snapshot.row is not None:
                self._rows.append(snapshot.row)
                snapshot.close()
                snapshot, next_snapshot = None, now + _SNAPSHOT_EVERY_S
            elif snapshot is None and now >= next_snapshot and recorder.end_to_end_ms:
                snapshot = Snapshot(recorder)
            if not self._lines:
                require_no_cameras(recorder, self._domain, ours=1)
            if now >= next_line:
                next_line += 1.0
                self._print_line(recorder)
        player.require_alive()
        self._settle(recorder, executor)

    def _settle(self, recorder: Recorder, executor: SingleThreadedExecutor) -> None:
        # The player is done; wait until two status messages in a row count the same.
        deadline = time.monotonic() + _SETTLE_WITHIN_S
        counts: list[tuple[int, int]] = []
        while time.monotonic() < deadline:
            before = recorder.status
            executor.spin_once(timeout_sec=0.5)
            if recorder.status is not None and recorder.status is not before:
                counts.append((recorder.status.published, recorder.received[FUSED]))
                if len(counts) >= 3 and counts[-1] == counts[-2] == counts[-3]:
                    return

    def _start(self, module: str, parameters: dict[str, Any]) -> NodeProcess:
        log = self._options.out / f"{module.rpartition('.')[2]}.log"
        child = NodeProcess(module, parameters, log, self._domain)
        self._children.append(child)
        return child

    def _spin_until(self, executor: SingleThreadedExecutor, condition: Any, what: str, child: NodeProcess) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while not condition():
            executor.spin_once(timeout_sec=0.1)
            child.require_alive()
            if time.monotonic() > deadline:
                raise ProcessError(f"waited {_START_WITHIN_S:.0f} s for {what}; see {child.log}")

    def _print_line(self, recorder: Recorder) -> None:
        status, message = recorder.status, recorder.classification
        if status is None or message is None:
            return
        self._lines += 1
        total = dict(zip(status.latency_stages, zip(status.latency_p50, status.latency_p99, strict=True), strict=True))
        p50, p99 = total.get("total", (0.0, 0.0))
        labels = "  ".join(f"{'*' if s.present else ' '}{s.label} {s.probability:4.0%}" for s in message.labels)
        sys.stdout.write(
            f"{time.monotonic() - self._started:5.0f} s | in {status.visible_rate:4.1f} + {status.thermal_rate:4.1f} Hz"
            f" | fused {status.output_rate:4.1f} Hz | latency {p50:5.1f} ms, p99 {p99:5.1f} ms"
            f" | {Mode(message.mode).name.lower()} | {message.illumination} {message.illumination_probability:4.0%}"
            f" | {labels}\n"
        )
        sys.stdout.flush()

    def _write_mosaic(self) -> None:
        if not self._rows:
            return
        picks = np.linspace(0, len(self._rows) - 1, min(_MOSAIC_ROWS, len(self._rows))).round().astype(int)
        cv2.imwrite(str(self._options.out / "mosaic.png"), stacked([self._rows[n] for n in picks]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Play two cameras through a real fusion node and show what comes out. Without --visible and "
        "--thermal a synthetic scene is played.",
    )
    parser.add_argument("--visible", type=Path, help="visible video")
    parser.add_argument("--thermal", type=Path, help="thermal video")
    parser.add_argument("--rig", default="", help="rig file that registers the thermal camera (default: identity)")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of the synthetic scene (default: 20)")
    parser.add_argument("--cameras", action="store_true", help="record the images of both cameras in the bag too")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the engine (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder of the results")
    parser.add_argument("--json", type=Path, help="copy the summary to this file")
    return parser


def _is_active(status: FusionStatus | None) -> bool:
    if status is not None and status.state == "unconfigured" and status.engine_reason:
        raise ProcessError(f"fusion_node cannot start: {status.engine_reason}")
    return status is not None and status.state == "active"


def _write_video(bag: Path, video: Path) -> None:
    """Make a video of the fused images in a bag, at their own mean rate and the size of the first one."""
    store = typestore()
    writer = None
    with Reader(bag) as reader:
        fused = [c for c in reader.connections if c.topic.endswith(FUSED)]
        stamps = [
            stamp_ns(getattr(store.deserialize_cdr(data, c.msgtype), "header").stamp)  # noqa: B009 (typed as object)
            for c, _, data in reader.messages(fused)
        ]
        rate = 1e9 / float(np.median(np.diff(stamps))) if len(stamps) > 1 else 30.0
        for connection, _, data in reader.messages(fused):
            image = decode_image(store.deserialize_cdr(data, connection.msgtype))
            if image.ndim == 2:
                image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            if writer is None:
                size = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
            if size != (image.shape[1], image.shape[0]):  # a video has one size, and others would be left out unseen
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            writer.write(image)
    if writer is not None:
        writer.release()


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "p99": round(float(p99), 2)}


def _summary(recorder: Recorder, played: dict[str, Any]) -> dict[str, Any]:
    status = recorder.status
    assert status is not None
    rows = zip(status.latency_p50, status.latency_p95, status.latency_p99, strict=True)
    latency = {
        stage: {"p50": round(p50, 2), "p95": round(p95, 2), "p99": round(p99, 2)}
        for stage, (p50, p95, p99) in zip(status.latency_stages, rows, strict=True)
    }
    # From the camera's stamp to the classification's arrival here: DDS twice, and the player's own delay.
    latency["end_to_end"] = _percentiles(recorder.end_to_end_ms)
    return {
        "frames_in": {"visible": status.visible_received, "thermal": status.thermal_received},
        "pairs": status.pairs,
        "published": status.published,
        "recorded": recorder.received[FUSED],
        "dropped": dict(zip(status.drop_reasons, map(int, status.drop_counts), strict=True)),
        "errors": status.errors,
        "latency_ms": latency,
        "fps": round(recorder.fused_rate(), 2),
        "mean_skew_ms": round(status.mean_abs_skew * 1e3, 3),
        "labels_seen": dict(recorder.labels_seen),
        "modes_seen": dict(recorder.modes_seen),
        "model": status.model_id,
        "engine": status.engine,
        "played": {key: value for key, value in played.items() if key != "stamps_ns"},
        "cpu_count": os.cpu_count(),
    }


def _player_parameters(options: argparse.Namespace, report: Path) -> dict[str, Any]:
    common = {"report": str(report), "loop": False}
    if options.visible:
        return {"source": "video", "visible": str(options.visible), "thermal": str(options.thermal), **common}
    return {"source": "synthetic", "duration": options.duration, **common}


def _print_summary(summary: dict[str, Any], out: Path) -> None:
    total = summary["latency_ms"].get("total")  # none where it was interrupted before the node spoke of a result
    latency = f"median {total['p50']:.1f} ms, p99 {total['p99']:.1f} ms" if total else "not known yet"
    dropped = ", ".join(f"{count} {reason}" for reason, count in summary["dropped"].items()) or "none"
    labels = ", ".join(f"{label} in {count}" for label, count in summary["labels_seen"].items()) or "none"
    sys.stdout.write(
        f"\n{summary['published']} of {summary['pairs']} pairs published at {summary['fps']:.1f} Hz; "
        f"dropped: {dropped}\n"
        f"latency in the node: {latency}; mean skew {summary['mean_skew_ms']:.2f} ms\n"
        f"labels seen (results): {labels}\n"
        f"look at {out}/mosaic.png and {out}/fused.mp4; the bag is {out}/fused.mcap, the figures {out}/summary.json\n"
    )


if __name__ == "__main__":
    sys.exit(main())
