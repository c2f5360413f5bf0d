"""The streams of two cameras, live or from a bag: routed, paired, every image accounted for. One thread only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vi_fusion_ros.sync.health import Route
from vi_fusion_ros.sync.pairing import Pair, Pairing
from vi_fusion_ros.sync.stamped_image import StampedImage


@dataclass(frozen=True, eq=False)
class FusionJob:
    """Two images of one moment, or one alone; not decoded.

    Attributes:
        visible: or None.
        thermal: or None; never both.
        skew_ns: thermal minus visible stamp after the offsets, nanoseconds; 0 for one alone.
        sync_wait_ns: how long the first of the two waited for the other, nanoseconds.
        ready_ns: when it was ready to be fused, on the clock of the arrivals.
        time_resets: how often stamps had jumped back before; nothing of before a jump may smooth what comes after it.
    """

    visible: StampedImage | None
    thermal: StampedImage | None
    skew_ns: int
    sync_wait_ns: int
    ready_ns: int
    time_resets: int

    @property
    def images(self) -> list[StampedImage]:
        """Those that are there."""
        return [image for image in (self.visible, self.thermal) if image is not None]


class CameraStreams:
    """Images in the order of their arrival to what is to be fused, in that order. Not thread-safe; free of clocks.

    At every moment the images taken are the images given out, the sum of ``drops`` and ``pending``.

    Args:
        pairing: the policy, fresh.
    """

    def __init__(self, pairing: Pairing[StampedImage]) -> None:
        self._pairing = pairing
        self._past_drops: Counter[str] = Counter()
        self._past_pairs = self._past_resets = 0
        self._pairs_wait = False  # whether anything may be held by the pairing

    @property
    def pairing(self) -> Pairing[StampedImage]:
        """The policy in use."""
        return self._pairing

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        return self._past_pairs + self._pairing.pairs

    @property
    def drops(self) -> Counter[str]:
        """Images that were not used, by reason."""
        return self._past_drops + Counter({drop.value: count for drop, count in self._pairing.drops.items()})

    @property
    def time_resets(self) -> int:
        """Backward jumps of stamps, of paired images and of those that went out alone."""
        return self._past_resets + self._pairing.time_resets

    @property
    def pending(self) -> int:
        """Images that wait for a partner."""
        return self._pairing.pending

    def take(self, image: StampedImage, route: Route) -> list[FusionJob]:
        """Take the next image.

        Args:
            image: checked, with the time of its arrival.
            route: what to do with it.

        Returns:
            What is to be fused, oldest first.
        """
        now_ns = image.arrival_ns
        ready = self._due(now_ns)
        if route is Route.pair:
            self._pairs_wait = True
            return ready + self._pairs(self._pairing.add(image.camera, image, image.stamp_ns, now_ns), now_ns)
        if route is Route.alone and self._pairs_wait:
            # The time of what waits for a partner has passed once newer images go out alone.
            ready += self.flush(now_ns)
        # Its stamp counts all the same: a jump back is one, whatever the image is used for.
        ready += self._pairs(self._pairing.note(image.camera, image.stamp_ns, now_ns), now_ns)
        if route is Route.alone:
            visible, thermal = (image, None) if image.camera == "visible" else (None, image)
            ready.append(FusionJob(visible, thermal, 0, 0, now_ns, self.time_resets))
        else:
            self._past_drops["recovering"] += 1
        return ready

    def poll(self, now_ns: int) -> list[FusionJob]:
        """What is to be fused because its wait is over, oldest first."""
        return self._due(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has something to return if no image comes before; None: never."""
        return self._pairing.next_deadline_ns()

    def flush(self, now_ns: int) -> list[FusionJob]:
        """Every pair that is possible now; the rest of what is held is dropped, each with its reason."""
        self._pairs_wait = False
        return self._pairs(self._pairing.flush(now_ns), now_ns)

    def replace(self, pairing: Pairing[StampedImage], now_ns: int) -> list[FusionJob]:
        """Pair by another policy from now on; what is held is settled by the old one, and the counts go on."""
        pairs = self.flush(now_ns)
        self._past_drops, self._past_pairs, self._past_resets = self.drops, self.pairs, self.time_resets
        self._pairing = pairing
        return pairs

    def _due(self, now_ns: int) -> list[FusionJob]:
        """Each pair as of its own deadline, as if somebody had asked at that moment."""
        due: list[FusionJob] = []
        while (deadline := self._pairing.next_deadline_ns()) is not None and deadline <= now_ns:
            due += self._pairs(self._pairing.poll(deadline), deadline)
        return due

    def _pairs(self, pairs: list[Pair[StampedImage]], now_ns: int) -> list[FusionJob]:
        past = self._past_resets
        return [FusionJob(p.visible, p.thermal, p.skew_ns, p.sync_wait_ns, now_ns, past + p.time_resets) for p in pairs]
