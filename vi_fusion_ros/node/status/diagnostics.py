"""FusionStatus to diagnostic_msgs, in the form that diagnostic_updater's users know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.outputs.video_output import VideoCounts
from vi_fusion_ros.node.status.graph_checks import GraphChecks, Stream
from vi_fusion_ros.sync.health import CAMERAS, Camera

_MODES = {
    FusionStatus.MODE_BOTH: "both cameras",
    FusionStatus.MODE_VISIBLE_ONLY: "visible camera only",
    FusionStatus.MODE_THERMAL_ONLY: "thermal camera only",
    FusionStatus.MODE_NONE: "no usable image",
}


_DRIFT_PLAIN = {
    "": "not watched",
    "off": "not watched",
    "starting": "no pair looked at yet",
    "holds": "the registration holds",
}
_DRIFT_WARNINGS = ("unsure", "drifted", "corrected")


NOT_REGISTERED = "none: "
"""How ``registration`` of a status begins where there is none; then comes why."""

AT_PLANE = ", at the plane: "
"""What stands in ``registration`` of a status between the source and why depth is not used, where it should be."""

AT_DISTANCES = ", at the distances of "
"""What stands there between the source and the topic of the depth that is used."""

_HEALTH_WORDS = {
    "silent": "no images arrive",
    "frozen": "the same image comes again and again",
    "black": "the images are black",
    "saturated": "the images are at the end of their scale",
    "shuttered": "the scene is hidden: a closed shutter (NUC) or a covered lens",
    "recovering": "well again, and used as soon as it has stayed so",
}
_RATE_TOLERANCE = 0.2
_STARVED = 0.25  # of its time that the worker waits for a processor
_FEW_PAIRS = 0.5  # of the slower camera's images that find a partner


@dataclass(frozen=True)
class Expectations:
    """What the user has stated.

    Attributes:
        rates_hz: by camera; 0: not stated.
        latency_budget_s: from the later image's arrival to publication; 0: not stated.
    """

    rates_hz: Mapping[Camera, float]
    latency_budget_s: float


class Diagnostics:
    """Turns successive status messages into diagnostics; remembers counts of the last one.

    Args:
        node_name: fully qualified name of the node, the prefix of each status name.
    """

    def __init__(self, node_name: str) -> None:
        self._prefix = node_name.lstrip("/")
        self._errors_before = 0
        self._skipped_before = 0
        self._video_before = VideoCounts()

    def report(self, status: FusionStatus, fault: str, expected: Expectations, around: GraphChecks) -> DiagnosticArray:
        """The diagnostics of a status.

        Args:
            status: the node's status.
            fault: why the node could not be configured; empty where nothing is wrong.
            expected: by the user.
            around: what the node sees around it.
        """
        array = DiagnosticArray(
            status=[
                self._summary(status, fault, around),
                *(self._stream(camera, status, expected, around) for camera in CAMERAS),
                self._pairing(status, around),
                self._latency(status, expected, around),
                self._engine(status, fault),
                self._registration(status),
                *([] if around.video is None else [self._video(around.video)]),
            ]
        )
        array.header.stamp = status.header.stamp
        self._errors_before = status.errors
        self._skipped_before = _drops(status).get("skipped", 0)
        self._video_before = around.video or VideoCounts()
        return array

    def _summary(self, status: FusionStatus, fault: str, around: GraphChecks) -> DiagnosticStatus:
        new_errors = status.errors - self._errors_before
        if fault:
            level, message = DiagnosticStatus.ERROR, fault
        elif status.state != "active":
            level, message = DiagnosticStatus.OK, f"node is {status.state}"
        elif not status.enabled:
            level, message = DiagnosticStatus.OK, "disabled by ~/set_enabled"
        elif status.mode == FusionStatus.MODE_NONE:
            level, message = DiagnosticStatus.ERROR, "no result: " + (around.no_output or _why_nothing(status))
        elif status.mode != FusionStatus.MODE_BOTH:
            level, message = DiagnosticStatus.WARN, f"degraded: {_MODES[status.mode]}"
            message += f"; {around.no_output}" if around.no_output else ""
        elif new_errors > 0:
            level, message = DiagnosticStatus.WARN, f"{new_errors} errors, the last: {status.last_error}"
        else:
            level, message = DiagnosticStatus.OK, f"{status.output_rate:.1f} Hz from {_MODES[status.mode]}"
        values = {
            "mode": _MODES[status.mode],
            "output rate [Hz]": f"{status.output_rate:.2f}",
            "published": str(status.published),
            "published from both": str(status.published_both),
            "published from visible only": str(status.published_visible_only),
            "published from thermal only": str(status.published_thermal_only),
            "errors": str(status.errors),
            "last error": status.last_error,
        }
        return self._status("streams", level, message, values)

    def _stream(
        self, camera: Camera, status: FusionStatus, expected: Expectations, around: GraphChecks
    ) -> DiagnosticStatus:
        rate, health = getattr(status, f"{camera}_rate"), getattr(status, f"{camera}_health")
        wanted = expected.rates_hz[camera]
        stream = around.streams.get(camera)
        values = {
            "health": health,
            "rate [Hz]": f"{rate:.2f}",
            "expected rate [Hz]": f"{wanted:.2f}" if wanted else "not stated",
            "received": str(getattr(status, f"{camera}_received")),
        }
        if camera == "thermal":
            values |= {
                "shutter events": str(status.shutter_events),
                "shutter time [s]": f"{status.shutter_time:.2f}",
            }
        if stream is None:
            return self._status(f"{camera} stream", DiagnosticStatus.OK, "no images are taken", values)
        values |= {"topic": stream.topic, "publishers": str(stream.publishers), "bytes": str(stream.image_bytes)}
        values["size changes"] = str(stream.size_changes)
        level, message = _judge_stream(stream, health, rate, wanted, around.dds_profile)
        return self._status(f"{camera} stream", level, message, values)

    def _pairing(self, status: FusionStatus, around: GraphChecks) -> DiagnosticStatus:
        slower = min(status.visible_rate, status.thermal_rate)
        both = status.visible_health == status.thermal_health == "ok"
        level, message = DiagnosticStatus.OK, f"{status.pair_rate:.1f} Hz, skew {status.mean_abs_skew * 1e3:.1f} ms"
        if both and slower > 0 and status.pair_rate < _FEW_PAIRS * slower:
            level = DiagnosticStatus.WARN
            message = (
                f"{status.pair_rate:.1f} pairs a second from {slower:.1f} images of the slower camera: the stamps lie "
                "too far apart; see the drops, pairing.max_skew and the time offsets"
            )
            message = around.no_output or message
        values = {
            "pair rate [Hz]": f"{status.pair_rate:.2f}",
            "pairs": str(status.pairs),
            "mean skew [ms]": f"{status.mean_skew * 1e3:.2f}",
            "mean absolute skew [ms]": f"{status.mean_abs_skew * 1e3:.2f}",
            "largest skew [ms]": f"{status.max_abs_skew * 1e3:.2f}",
            "time resets": str(status.time_resets),
            "pending": str(status.pending),
        }
        values |= {f"dropped: {reason}": str(count) for reason, count in _drops(status).items()}
        return self._status("pairing", level, message, values)

    def _latency(self, status: FusionStatus, expected: Expectations, around: GraphChecks) -> DiagnosticStatus:
        stages = dict(zip(status.latency_stages, zip(status.latency_p50, status.latency_p95, status.latency_p99,
                          strict=True), strict=True))  # fmt: skip
        budget_ms = expected.latency_budget_s * 1e3
        skipped = _drops(status).get("skipped", 0) - self._skipped_before
        values = {f"{stage} p50, p95, p99 [ms]": ", ".join(f"{x:.2f}" for x in row) for stage, row in stages.items()}
        values |= {
            "budget [ms]": f"{budget_ms:.1f}" if budget_ms else "not stated",
            "age [ms]": f"{status.age * 1e3:.1f}",
            "waiting for a processor": "not known" if around.cpu_wait is None else f"{100 * around.cpu_wait:.0f} %",
        }
        if not stages:
            return self._status("latency", DiagnosticStatus.OK, "no result yet", values)
        p95 = stages["total"][1]
        level, message = DiagnosticStatus.OK, f"{stages['total'][0]:.1f} ms, p95 {p95:.1f} ms"
        starved = around.cpu_wait is not None and around.cpu_wait > _STARVED
        late = budget_ms > 0 and p95 > budget_ms
        if late or skipped > 0:
            level = DiagnosticStatus.WARN
            what = f"p95 {p95:.1f} ms is over the budget of {budget_ms:.1f} ms" if late else f"{skipped} images skipped"
            message = f"{what}: " + (
                f"other work takes the processors (the worker waits {100 * (around.cpu_wait or 0):.0f} % of its time)"
                if starved
                else f"the network takes {stages['infer'][0]:.1f} ms a pair"
            )
        return self._status("latency", level, message, values)

    def _engine(self, status: FusionStatus, fault: str) -> DiagnosticStatus:
        level, message = DiagnosticStatus.OK, status.engine or "not loaded"
        if status.engine_state == "failed":
            level, message = DiagnosticStatus.ERROR, fault
        elif status.engine_state == "fallback":
            level, message = DiagnosticStatus.WARN, status.engine_reason
        elif status.engine_state == "building":
            message = status.engine_reason
        return self._status(
            "engine",
            level,
            message,
            {"state": status.engine_state, "reason": status.engine_reason, "model": status.model_id},
        )

    def _registration(self, status: FusionStatus) -> DiagnosticStatus:
        level = DiagnosticStatus.WARN if status.drift_state in _DRIFT_WARNINGS else DiagnosticStatus.OK
        message = _drift_message(status)
        _, at_plane, why = status.registration.partition(AT_PLANE)
        if at_plane:
            level, message = DiagnosticStatus.WARN, f"registered at the plane, without depth: {why}"
        if status.registration.startswith(NOT_REGISTERED):
            level, message = DiagnosticStatus.ERROR, "not registered: " + status.registration[len(NOT_REGISTERED) :]
        return self._status(
            "registration",
            level,
            message,
            {
                "source": status.registration,
                "overlap": f"{status.overlap:.3f}",
                "drift": status.drift_state,
                "drift residual [px]": f"{status.drift_residual:.2f}",
                "drift confidence": f"{status.drift_confidence:.2f}",
                "correction x, y [px]": f"{status.drift_shift_x:.2f}, {status.drift_shift_y:.2f}",
                "correction rotation [deg]": f"{math.degrees(status.drift_rotation):.3f}",
                "correction scale": f"{status.drift_scale:.5f}",
            },
        )

    def _video(self, video: VideoCounts) -> DiagnosticStatus:
        skipped, failed = video.skipped - self._video_before.skipped, video.failed - self._video_before.failed
        level, message = DiagnosticStatus.OK, f"{video.sent} packets" if video.offered else "nobody subscribes"
        if failed > 0:
            level, message = DiagnosticStatus.WARN, f"{failed} images could not be sent; see the last error"
        elif skipped > 0:
            level = DiagnosticStatus.WARN
            message = f"{skipped} images skipped: encoding one takes {video.encode_ms:.1f} ms"
        values = {
            "offered": str(video.offered),
            "sent": str(video.sent),
            "key frames": str(video.keys),
            "bytes": str(video.bytes),
            "skipped": str(video.skipped),
            "failed": str(video.failed),
            "latest [ms]": f"{video.encode_ms:.1f}",
        }
        return self._status("video", level, message, values)

    def _status(self, name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f"{self._prefix}: {name}",
            message=message,
            hardware_id=self._prefix,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


def _judge_stream(stream: Stream, health: str, rate: float, wanted: float, profile: str) -> tuple[bytes, str]:
    """Level and message: what stops images from arriving comes first."""
    if stream.conflicts:
        return DiagnosticStatus.ERROR, stream.conflicts[0]
    if stream.publishers == 0:
        return DiagnosticStatus.ERROR, f"nobody publishes {stream.topic}"
    if stream.unstamped:
        return DiagnosticStatus.ERROR, "images arrive, but their stamps are zero; its driver has to set header.stamp"
    if health == "recovering":
        return DiagnosticStatus.WARN, _HEALTH_WORDS[health]
    if health in _HEALTH_WORDS:
        return DiagnosticStatus.ERROR, f"{health}: {_HEALTH_WORDS[health]}" + (f". {profile}" if profile else "")
    if wanted and abs(rate - wanted) > _RATE_TOLERANCE * wanted:
        why = f". {profile}" if profile and rate < wanted else ""
        return DiagnosticStatus.WARN, f"{rate:.1f} Hz instead of {wanted:.1f} Hz{why}"
    if stream.publishers > 1:
        return DiagnosticStatus.WARN, f"{stream.publishers} publishers of {stream.topic}; expected one"
    if profile:
        return DiagnosticStatus.WARN, profile
    return DiagnosticStatus.OK, f"{rate:.1f} Hz"


def _drops(status: FusionStatus) -> dict[str, int]:
    return dict(zip(status.drop_reasons, map(int, status.drop_counts), strict=True))


def _why_nothing(status: FusionStatus) -> str:
    words = {"visible": status.visible_health, "thermal": status.thermal_health}
    bad = [f"{camera} {word}" for camera, word in words.items() if word not in ("ok", "recovering", "")]
    return " and ".join(bad) if bad else "images arrive but none can be used"


def _drift_message(status: FusionStatus) -> str:
    """What the drift monitor found, in a sentence."""
    off = f"off by {status.drift_residual:.1f} px (confidence {status.drift_confidence:.2f})"
    if status.drift_state == "unsure":
        return (
            "it cannot be told whether the registration holds: the images share too little structure "
            f"(confidence {status.drift_confidence:.2f})"
        )
    if status.drift_state == "drifted":
        if status.drift_out_of_reach:
            return f"the registration no longer holds, and is {off} or more, beyond what may be corrected; calibrate"
        return f"the registration no longer holds: {off}; calibrate, or set drift.mode to correct"
    if status.drift_state == "corrected":
        return (
            f"the rig file no longer holds; corrected by {status.drift_shift_x:.1f}, {status.drift_shift_y:.1f} px, "
            f"{math.degrees(status.drift_rotation):.2f} deg, scale {status.drift_scale:.4f}"
        )
    return {"holds": "the registration holds", "starting": "no pair looked at yet"}.get(
        status.drift_state, "not watched"
    )
