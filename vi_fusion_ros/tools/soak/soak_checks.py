"""What has to hold while cameras fail: the truth about them, and what the fusion node says, compared. Imports no ROS.

Times are seconds on the observer's monotonic clock. For ``SETTLE_S`` after the truth has changed nothing is judged:
faults take a stated time to be believed, and so does recovery. What is seen is judged ``GRACE_S`` later, for the truth
comes by another topic and may be overtaken. Where everything stood still for so long that the node may well call its
cameras silent, which is a pause and judged as such, modes have time to settle again. Where cameras are so slow that
losing every other image may well silence one for the node's timeout, its health and the mode are not judged meanwhile.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.sources.faults import DISABLING, SHIFT_S
from vi_fusion_ros.types import Mode

SETTLE_S = 1.5
GRACE_S = 0.5
_SILENT_S = 0.3  # single_camera_timeout
_LOST_IN_A_ROW = 6
"""Images that may miss one after the other while a fault loses half of them: once in 64 times."""
OLDEST_S = 1.0
_LATE_S = 4.0  # what is older has not waited in a queue: its stamp is of another time
_REMEMBERED = 2000
_TOLD = 30

_HEALTH = {
    "black": "black", "freeze": "frozen", "garbage": "silent", "saturate": "saturated", "shutter": "shuttered",
    "unplug": "silent",
}  # fmt: skip


@dataclass
class Violations:
    """What did not hold: counts by kind, and the first sentences."""

    counts: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)

    def add(self, kind: str, sentence: str) -> None:
        """Count a violation."""
        self.counts[kind] += 1
        if len(self.told) < _TOLD:
            self.told.append(f"{kind}: {sentence}")


class Watch:
    """Compares outputs and status with the faults that are injected.

    Args:
        violations: takes what does not hold.
        rate_hz: of the cameras.
    """

    def __init__(self, violations: Violations, rate_hz: float = 30.0) -> None:
        self._violations = violations
        self._longest_pause_s = _SILENT_S + _LOST_IN_A_ROW / rate_hz
        self._losses_may_silence = _SILENT_S * rate_hz < _LOST_IN_A_ROW
        self._kind = ""
        self._cameras: frozenset[str] = frozenset()
        self._known = False  # whether the cameras run at all
        self._unjudged: deque[tuple[float, Callable[[], None]]] = deque()
        self._since_s = 0.0
        self._shifts = (0.0, 0.0)  # now and before the last change
        self._last_output_s: float | None = None
        self._stamps: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen: set[float] = set()
        self._counters: dict[str, int] | None = {}  # None: of a node that is gone
        self.longest_pause_s = 0.0
        self.judged: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def fault(self, now_s: float, kind: str, cameras: Collection[str]) -> None:
        """A fault begins, or, with an empty kind, has ended."""
        self._kind, self._cameras, self._since_s = kind, frozenset(cameras), now_s
        self._shifts = (SHIFT_S.get(kind, 0.0), self._shifts[0])
        if kind:
            self.faults[kind] += 1
        if not self._usable:
            self._last_output_s = None

    def _judge_later(self, now_s: float, judge: Callable[[], None]) -> None:
        self._unjudged.append((now_s, judge))
        while now_s - self._unjudged[0][0] >= GRACE_S:
            self._unjudged.popleft()[1]()

    def cameras_gone(self) -> None:
        """The cameras' process ends; nothing is judged until it is back and something has come out."""
        self._known, self._last_output_s = False, None
        self._kind, self._cameras = "", frozenset()
        self._unjudged.clear()

    def node_gone(self) -> None:
        """The fusion node's process ends: counters start again when the cameras do; till then some may still arrive."""
        self._known, self._last_output_s, self._counters = False, None, None
        self._unjudged.clear()

    def cameras_back(self, now_s: float) -> None:
        """The cameras run again, and are well."""
        self._known, self._since_s = True, now_s
        self._counters = self._counters or {}
        self._kind, self._cameras = "", frozenset()
        self._shifts = (0.0, 0.0)

    def output(self, now_s: float, ros_now_s: float, stamp_s: float, mode: Mode) -> None:
        """A result has arrived."""
        if not self._known:
            return
        self._judge_pause(now_s)
        self._judge_later(now_s, lambda: self._judge_output(now_s, ros_now_s, stamp_s, mode))

    def status(self, now_s: float, health: dict[str, str], counters: dict[str, int]) -> None:
        """A status has arrived: health by camera, and counters that must never go back."""
        if self._counters is None:
            return
        for name, count in counters.items():
            if count < self._counters.get(name, 0):
                self._violations.add("counters", f"{name} went back from {self._counters[name]} to {count}")
        self._counters = counters
        if self._known:
            self._judge_later(now_s, lambda: self._judge_status(now_s, health))

    def _judge_output(self, now_s: float, ros_now_s: float, stamp_s: float, mode: Mode) -> None:
        self._judge_stamp(ros_now_s, stamp_s)
        if not self._settled(now_s) or self._maybe_silent:
            return
        self.judged["outputs"] += 1
        if not self._usable:
            self._violations.add("mode", f"{mode.name} while {self._kind} hits both cameras")
        elif mode is not self._expected_mode():
            self._violations.add("mode", f"{mode.name} instead of {self._expected_mode().name} ({self._told()})")

    def _judge_status(self, now_s: float, health: dict[str, str]) -> None:
        if not self._settled(now_s):
            return
        self.judged["status"] += 1
        for camera, word in health.items():
            if camera in self._maybe_silent:
                continue
            expected = _HEALTH.get(self._kind, "ok") if camera in self._cameras else "ok"
            if word != expected:
                self._violations.add("health", f"{camera} is called {word} instead of {expected} ({self._told()})")

    @property
    def _usable(self) -> bool:
        return not (self._kind in DISABLING and len(self._cameras) == 2)

    @property
    def _maybe_silent(self) -> frozenset[str]:
        """Cameras that the node may rightly call silent now and then, and well again."""
        return self._cameras if self._kind == "drop" and self._losses_may_silence else frozenset()

    def _expected_mode(self) -> Mode:
        if self._kind not in DISABLING or not self._cameras:
            return Mode.BOTH
        return Mode.VISIBLE_ONLY if "thermal" in self._cameras else Mode.THERMAL_ONLY

    def _settled(self, now_s: float) -> bool:
        return now_s - self._since_s >= SETTLE_S

    def _told(self) -> str:
        return f"{self._kind} of {' and '.join(sorted(self._cameras))}" if self._kind else "no fault"

    def _judge_pause(self, now_s: float) -> None:
        if self._usable:
            if self._last_output_s is not None:
                pause = now_s - self._last_output_s
                self.longest_pause_s = max(self.longest_pause_s, pause)
                if pause > _SILENT_S:
                    self._since_s = now_s
                    self.judged["pauses"] += 1
                if pause > self._longest_pause_s:
                    self._violations.add("pause", f"nothing came for {pause:.2f} s ({self._told()})")
            self._last_output_s = now_s

    def _judge_stamp(self, ros_now_s: float, stamp_s: float) -> None:
        age = min((ros_now_s - (stamp_s - shift) for shift in self._shifts), key=abs)
        if not -0.1 <= age <= OLDEST_S:
            kind = "late" if OLDEST_S < age < _LATE_S else "stale"
            self._violations.add(kind, f"a result was {age:.2f} s old ({self._told()})")
        if stamp_s in self._seen:
            self._violations.add("stale", f"two results are stamped {stamp_s:.6f}")
        if len(self._stamps) == self._stamps.maxlen:
            self._seen.discard(self._stamps[0])
        self._stamps.append(stamp_s)
        self._seen.add(stamp_s)


def balance(counters: dict[str, int], drops: dict[str, int]) -> int:
    """Images received that ended nowhere; 0 where the account is exact.

    Args:
        counters: of FusionStatus, by field.
        drops: images by reason.
    """
    received = counters["visible_received"] + counters["thermal_received"]
    published = 2 * counters["published_both"] + counters["published_visible_only"]
    published += counters["published_thermal_only"]
    return received - published - sum(drops.values()) - counters["pending"]


@dataclass(frozen=True)
class EngineState:
    """What the node says of its engine.

    Attributes:
        state: ``engine_state`` of FusionStatus.
        reason: ``engine_reason``.
        errors: counted so far.
        failed: images dropped as ``failed`` so far.
    """

    state: str
    reason: str
    errors: int
    failed: int


def engine_faults(before: EngineState, after: EngineState, told: str) -> list[str]:
    """A sentence for each thing that does not hold after an engine that served has failed.

    Args:
        before: the failure.
        after: it.
        told: what it raised.
    """
    faults = []
    if after.state != "fallback":
        faults.append(f"the engine's state is {after.state} instead of fallback")
    if told not in after.reason:
        faults.append(f"the engine's reason does not tell of it: {after.reason}")
    if after.errors <= before.errors:
        faults.append("it was not counted")
    if after.failed != before.failed:
        faults.append(f"it cost {after.failed - before.failed} images")
    return faults


def activation_faults(
    state: str, threads: tuple[Collection[str], Collection[str]], subscriptions: int, results: int
) -> list[str]:
    """A sentence for each thing that does not hold after an activation has failed.

    Args:
        state: of the node.
        threads: their names before and after.
        subscriptions: of the node to images.
        results: made of images that were taken after it.
    """
    faults = []
    before, after = map(Counter, threads)
    if state != "inactive":
        faults.append(f"the node is {state} instead of inactive")
    if after != before:
        faults.append(f"threads are left: {', '.join((after - before).elements()) or 'fewer than before'}")
    if subscriptions:
        faults.append(f"{subscriptions} subscriptions are left")
    if results:
        faults.append(f"{results} results came from an inactive node")
    return faults


def broken_captures(folder: Path) -> list[str]:
    """A sentence for each file below ``folder`` that is not whole; what has not got its name yet does not count."""
    broken = []
    for capture in sorted(folder.glob("capture_*")):
        names = {path.name for path in capture.iterdir()}
        broken += [f"{capture.name} lacks {name}" for name in sorted({"result.json", "status.json"} - names)]
        broken += [f"{capture.name}/{path.name} is broken" for path in sorted(capture.iterdir()) if not _is_whole(path)]
    return broken


def _is_whole(path: Path) -> bool:
    if path.suffix != ".json":
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def growth_mb_per_10k(results: Sequence[int], resident_mb: Sequence[float]) -> float | None:
    """Slope of resident memory over results published, least squares, MB per 10,000; None: too few to tell."""
    if len(results) < 10 or results[-1] - results[0] < 100:
        return None
    slope, _ = np.polyfit(np.asarray(results, np.float64), np.asarray(resident_mb, np.float64), 1)
    return float(slope) * 10_000
