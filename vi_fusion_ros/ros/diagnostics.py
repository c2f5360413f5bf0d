"""FusionStatus to diagnostic_msgs, in the form that diagnostic_updater's users know."""

from __future__ import annotations

import math

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vi_fusion_ros.msg import FusionStatus

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


class Diagnostics:
    """Turns successive status messages into diagnostics; remembers only the last error count.

    Args:
        node_name: fully qualified name of the node, the prefix of each status name.
    """

    def __init__(self, node_name: str) -> None:
        self._prefix = node_name.lstrip("/")
        self._errors_before = 0

    def report(self, status: FusionStatus, fault: str) -> DiagnosticArray:
        """The diagnostics of a status.

        Args:
            status: the node's status.
            fault: why the node could not be configured; empty where nothing is wrong.
        """
        array = DiagnosticArray(
            status=[self._streams(status, fault), self._engine(status, fault), self._registration(status)]
        )
        array.header.stamp = status.header.stamp
        self._errors_before = status.errors
        return array

    def _streams(self, status: FusionStatus, fault: str) -> DiagnosticStatus:
        new_errors = status.errors - self._errors_before
        if fault:
            level, message = DiagnosticStatus.ERROR, fault
        elif status.state != "active":
            level, message = DiagnosticStatus.OK, f"node is {status.state}"
        elif status.mode == FusionStatus.MODE_NONE:
            level, message = DiagnosticStatus.ERROR, "no result: " + _silent_cameras(status)
        elif status.mode != FusionStatus.MODE_BOTH:
            level, message = DiagnosticStatus.WARN, f"degraded: {_MODES[status.mode]}"
        elif new_errors > 0:
            level, message = DiagnosticStatus.WARN, f"{new_errors} errors, the last: {status.last_error}"
        else:
            level, message = DiagnosticStatus.OK, f"{status.output_rate:.1f} Hz from {_MODES[status.mode]}"
        values = {
            "visible rate [Hz]": f"{status.visible_rate:.2f}",
            "thermal rate [Hz]": f"{status.thermal_rate:.2f}",
            "pair rate [Hz]": f"{status.pair_rate:.2f}",
            "output rate [Hz]": f"{status.output_rate:.2f}",
            "pairs": str(status.pairs),
            "published": str(status.published),
            "mean absolute skew [ms]": f"{status.mean_abs_skew * 1e3:.2f}",
            "registration": status.registration,
            "overlap": f"{status.overlap:.3f}",
            "errors": str(status.errors),
            "last error": status.last_error,
            "time resets": str(status.time_resets),
        }
        for reason, count in zip(status.drop_reasons, status.drop_counts, strict=True):
            values[f"dropped: {reason}"] = str(count)
        for stage, p50, p99 in zip(status.latency_stages, status.latency_p50, status.latency_p99, strict=True):
            values[f"{stage} latency p50, p99 [ms]"] = f"{p50:.2f}, {p99:.2f}"
        return self._status("streams", level, message, values)

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
        return self._status(
            "registration",
            DiagnosticStatus.WARN if status.drift_state in _DRIFT_WARNINGS else DiagnosticStatus.OK,
            _drift_message(status),
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

    def _status(self, name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f"{self._prefix}: {name}",
            message=message,
            hardware_id=self._prefix,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


def _silent_cameras(status: FusionStatus) -> str:
    silent = [name for name, rate in (("visible", status.visible_rate), ("thermal", status.thermal_rate)) if rate == 0]
    return " and ".join(silent) + " silent" if silent else "images arrive but none can be used"


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
