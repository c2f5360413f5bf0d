"""The drift monitor beside the frame path: a thread of its own looks at a pair now and then."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.registration import RegistrationManager
from vi_fusion_ros.registration.drift import DriftMonitor, DriftReport, DriftState
from vi_fusion_ros.types import FramePair

_PATIENCE_S = 0.5  # for one look
_NONE = -1  # a revision that no rig has


class DriftWatch:
    """Feeds a DriftMonitor with some of the pairs and applies its corrections; starts anew with each rig that is set.

    Args:
        registrations: says which rig is watched, and takes the corrections.
        mode: ``monitor`` or ``correct``.
        rate_hz: how many pairs a second are looked at.
        fusing: held while a pair is fused; the monitor does its work in between, within half a second.
        on_error: takes exceptions; must not raise.
    """

    def __init__(
        self,
        registrations: RegistrationManager,
        mode: str,
        rate_hz: float,
        fusing: threading.Lock,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._registrations, self._mode = registrations, mode
        self._monitor: DriftMonitor | None = None
        self._fusing, self._patience_ends_s, self._closing = fusing, 0.0, False
        self._period_ns, self._due_ns = round(1e9 / rate_hz), 0
        self._worker: Worker[FramePair] = Worker(self._look, lambda: None, on_error, depth=1)
        self._told = (_NONE, DriftReport(DriftState.STARTING))
        self._worker.start()

    @property
    def report(self) -> DriftReport:
        """What is known of the rig that applies now."""
        revision, report = self._told
        return report if revision == self._registrations.current().revision else DriftReport(DriftState.STARTING)

    def offer(self, pair: FramePair) -> None:
        """Give a pair of the frame path; most are not looked at. Costs next to nothing."""
        now = time.monotonic_ns()
        if now >= self._due_ns and pair.visible is not None and pair.thermal is not None:
            self._due_ns = now + self._period_ns
            self._worker.submit(pair)

    def close(self) -> None:
        """Finish the pair in hand and end the thread."""
        self._closing = True
        self._worker.stop()

    def _let_fusing_go_first(self) -> None:
        """Both at once would keep the network's threads, which wait for each other, waiting for a processor."""
        left_s = self._patience_ends_s - time.monotonic()
        if left_s > 0 and not self._closing and self._fusing.acquire(timeout=left_s):
            self._fusing.release()

    def _look(self, pair: FramePair) -> None:
        self._patience_ends_s = time.monotonic() + _PATIENCE_S
        assert pair.visible is not None
        assert pair.thermal is not None
        visible, thermal = pair.visible.image, pair.thermal.image
        applied = self._registrations.current()
        if self._monitor is None or applied.revision != self._told[0]:
            self._monitor = DriftMonitor(applied.rig, self._mode == "correct", self._let_fusing_go_first)
            self._told = (applied.revision, DriftReport(DriftState.STARTING))
        report = self._monitor.update(visible, thermal, pair.visible.stamp_ns / 1e9)
        if report.changed:
            sizes = (thermal.shape[1], thermal.shape[0]), (visible.shape[1], visible.shape[0])
            self._registrations.correct(applied.revision, self._monitor.corrected(), *sizes)
        self._told = (applied.revision, report)


def fill(status: FusionStatus, watch: DriftWatch | None) -> None:
    """Write the monitor's verdict into a status message."""
    report = DriftReport(DriftState.OFF) if watch is None else watch.report
    status.drift_state = report.state.value
    status.drift_residual = report.residual_px
    status.drift_confidence = report.confidence
    status.drift_shift_x, status.drift_shift_y = report.shift_px
    status.drift_rotation = math.radians(report.rotation_deg)
    status.drift_scale = report.scale
    status.drift_out_of_reach = report.out_of_reach
