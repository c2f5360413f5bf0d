"""What the node counts and times while it is active, and the FusionStatus made from it. Thread-safe."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.status.telemetry import LatencyWindow, RateMeter, SkewWindow
from vi_fusion_ros.sync.health import CAMERAS, Camera
from vi_fusion_ros.sync.shutter import ShutterEvents
from vi_fusion_ros.types import FusionResult, Mode

_MODE_NONE_AFTER_S = 2.0


class Statistics:
    """Counters from activation on, rates and latencies over the latest seconds.

    Attributes:
        shutter: of the thermal camera.
    """

    def __init__(self) -> None:
        self.shutter = ShutterEvents()
        self._lock = threading.Lock()
        self._received: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._rates = {name: RateMeter() for name in (*CAMERAS, "pair", "output")}
        self._latency = LatencyWindow()
        self._skew = SkewWindow()
        self._published: Counter[Mode] = Counter()
        self._in_hand = 0
        self._pairs = self._time_resets = 0
        self._errors = 0
        self._last_error = ""
        self._last_result: FusionResult | None = None
        self._last_result_ns = 0
        self._age_s = 0.0

    @property
    def last_result(self) -> FusionResult | None:
        """The latest result published; None before the first."""
        with self._lock:
            return self._last_result

    def counts(self, pairing_drops: Mapping[str, int]) -> tuple[Counter[str], str]:
        """``received``, ``published`` and the images not used by reason, from activation on; and the last error."""
        with self._lock:
            counts = self._drops + Counter(pairing_drops)
            counts["received"], counts["published"] = self._received.total(), self._published.total()
            return counts, self._last_error

    def received(self, camera: Camera) -> None:
        """Count an image as it arrives."""
        with self._lock:
            self._received[camera] += 1
            self._rates[camera].tick(time.monotonic_ns())

    def paired(self, skew_s: float) -> None:
        """Count a pair as it is formed."""
        with self._lock:
            self._skew.add(skew_s)
            self._rates["pair"].tick(time.monotonic_ns())

    def dropped(self, reason: str, images: int = 1, *, in_hand: bool = False) -> None:
        """Count images that are not used; ``in_hand``: the worker had them."""
        with self._lock:
            self._drops[reason] += images
            self._in_hand -= images * in_hand

    def pairing_ended(self, pairs: int, time_resets: int, drops: Mapping[str, int]) -> None:
        """Take over the counts of a pairing that is gone."""
        with self._lock:
            self._pairs, self._time_resets = pairs, time_resets
            self._drops.update(drops)

    def in_hand(self, images: int) -> None:
        """Count images that go to the worker."""
        with self._lock:
            self._in_hand += images

    def error(self, sentence: str) -> None:
        """Count an error and remember its sentence."""
        with self._lock:
            self._errors += 1
            self._last_error = sentence

    def published(self, result: FusionResult, latency_ms: dict[str, float], age_s: float) -> None:
        """Count a published result, its latency by stage and its age on the ROS clock; its images were in hand."""
        with self._lock:
            now = time.monotonic_ns()
            self._published[result.pair.mode] += 1
            self._in_hand -= result.pair.images
            self._rates["output"].tick(now)
            self._latency.add(latency_ms)
            self._age_s = age_s
            self._last_result, self._last_result_ns = result, now

    def fill(self, status: FusionStatus, pairing_drops: Mapping[str, int], held: int = 0) -> None:
        """Write counters, rates, latencies and the current mode into a status message.

        Args:
            status: the message; engine, registration and state fields are left alone.
            pairing_drops: images dropped by the pairing, by reason.
            held: images that wait for a partner.
        """
        with self._lock:
            now = time.monotonic_ns()
            status.visible_rate = self._rates["visible"].rate(now)
            status.thermal_rate = self._rates["thermal"].rate(now)
            status.pair_rate = self._rates["pair"].rate(now)
            status.output_rate = self._rates["output"].rate(now)
            status.visible_received = self._received["visible"]
            status.thermal_received = self._received["thermal"]
            status.pairs, status.time_resets = self._pairs, self._time_resets
            status.published = self._published.total()
            status.published_both = self._published[Mode.BOTH]
            status.published_visible_only = self._published[Mode.VISIBLE_ONLY]
            status.published_thermal_only = self._published[Mode.THERMAL_ONLY]
            status.pending = held + self._in_hand
            status.errors = self._errors
            status.last_error = self._last_error
            drops = Counter(pairing_drops) + self._drops
            status.drop_reasons = list(drops)
            status.drop_counts = list(drops.values())
            status.mean_skew, status.mean_abs_skew, status.max_abs_skew = self._skew.summary()
            percentiles = self._latency.percentiles()
            status.latency_stages = list(percentiles)
            status.latency_p50 = [p.p50 for p in percentiles.values()]
            status.latency_p95 = [p.p95 for p in percentiles.values()]
            status.latency_p99 = [p.p99 for p in percentiles.values()]
            status.age = self._age_s
            status.shutter_events, status.shutter_time = self.shutter.summary()
            recent = self._last_result if now - self._last_result_ns < _MODE_NONE_AFTER_S * 1e9 else None
            status.mode = FusionStatus.MODE_NONE if recent is None else int(recent.pair.mode)
            status.overlap = 0.0 if recent is None else recent.overlap
