"""Images arrive and nothing goes out: why, in one sentence, told once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from vi_fusion_ros.node.parameters.schema import schema
from vi_fusion_ros.sync.stamps import StampMonitor, describe_offset
from vi_fusion_ros.types import CAMERAS, OTHER, Camera

NOTHING_GOES_OUT = "images arrive and nothing goes out: "
"""How the sentence begins, but for stamps of zero, which are told at once."""

_AFTER_S = 3.0
_RECENT_S = 2.0
_SPARE = 5  # images that the queue holds beyond those of the delay
_PAIRING = ("no_partner", "too_far", "late", "queue_full", "time_reset", "superseded")


class OutputWatch:
    """Looks at the node's counters now and then. Not thread-safe.

    Args:
        topics: image topics by camera, resolved; may be filled later.
    """

    def __init__(self, topics: Mapping[Camera, str]) -> None:
        self._topics = topics
        self._counts: Counter[str] = Counter()
        self._at_last_output: Counter[str] = Counter()
        self._arrived_s = -math.inf
        self._waiting_since_s: float | None = None  # since when images have come without a result
        self._unstamped_s: dict[Camera, float] = dict.fromkeys(CAMERAS, -math.inf)
        self._told = ""
        self.sentence = ""
        """What is wrong at present; empty where nothing is."""

    def unstamped(self, now_s: float) -> set[Camera]:
        """The cameras whose images have come without a stamp lately."""
        return {camera for camera in CAMERAS if now_s - self._unstamped_s[camera] <= _RECENT_S}

    def look(
        self,
        counts: Counter[str],
        stamps: StampMonitor,
        health: Mapping[Camera, str],
        settings: Mapping[str, Any],
        rig_offset_s: float,
        last_error: str,
        now_s: float,
    ) -> str:
        """Take the present counts.

        Args:
            counts: since activation: ``received``, ``published``, and images not used by their reason.
            stamps: of the latest images.
            health: by camera, as in the status.
            settings: the node's parameters by name.
            rig_offset_s: of the rig file, added to thermal stamps.
            last_error: as in the status.
            now_s: the present.

        Returns:
            A sentence where there is one to be told now: once, until it is another reason or nothing is wrong.
        """
        before, self._counts = self._counts, counts
        for camera in CAMERAS:
            if counts[f"no_stamp_{camera}"] > before[f"no_stamp_{camera}"]:
                self._unstamped_s[camera] = now_s
        if counts["received"] > before["received"]:
            self._arrived_s = now_s
        if counts["published"] > before["published"] or now_s - self._arrived_s > _RECENT_S:
            self._waiting_since_s, self._at_last_output = None, counts
        elif self._waiting_since_s is None:
            self._waiting_since_s = now_s
        reason, sentence = self._unstamped(now_s)
        if not reason and self._waiting_since_s is not None and now_s - self._waiting_since_s >= _AFTER_S:
            lost = counts - self._at_last_output
            if self._told == (kind := _largest(lost)) and kind in ("failed", "invalid"):
                reason, sentence = kind, self.sentence  # the last error may be ours by now
            else:
                why = _Reasons(stamps, health, settings, rig_offset_s, last_error, self._topics)
                reason, sentence = kind, NOTHING_GOES_OUT + why.of(kind, lost)
        told, self._told, self.sentence = self._told, reason, sentence
        return sentence if reason and reason != told else ""

    def _unstamped(self, now_s: float) -> tuple[str, str]:
        topics = [self._topics[camera] for camera in CAMERAS if camera in self.unstamped(now_s)]
        if not topics:
            return "", ""
        return "no_stamp", (
            f"{' and '.join(topics)}: the stamps are zero, and images without a stamp are not used; the driver has to "
            "set header.stamp to the time of acquisition"
        )


def _largest(lost: Counter[str]) -> str:
    """Where most images went."""
    groups = Counter({
        "pairing": sum(lost[reason] for reason in _PAIRING),
        "unusable": sum(lost[f"unusable_{camera}"] for camera in CAMERAS),
        "invalid": sum(lost[f"invalid_{camera}"] for camera in CAMERAS),
        **{reason: lost[reason] for reason in ("failed", "skipped", "recovering")},
    })  # fmt: skip
    group, count = groups.most_common(1)[0]
    return group if count else "waiting"


class _Reasons:
    """Sentences without their beginnings."""

    def __init__(
        self,
        stamps: StampMonitor,
        health: Mapping[Camera, str],
        settings: Mapping[str, Any],
        rig_offset_s: float,
        last_error: str,
        topics: Mapping[Camera, str],
    ) -> None:
        self._stamps, self._health, self._settings = stamps, health, settings
        self._rig_offset_s, self._last_error, self._topics = rig_offset_s, last_error, topics

    def of(self, kind: str, lost: Counter[str]) -> str:
        silent = [camera for camera in CAMERAS if self._health[camera] == "silent"]
        if kind in ("pairing", "waiting") and silent and not self._settings["single_camera_timeout"]:
            return f"none arrive on {self._topics[silent[0]]}, and single_camera_timeout is 0"
        if kind == "pairing" or (kind == "waiting" and self._stamps.thermal_behind_s() is not None):
            return self._pairing(lost)
        return {
            "unusable": " and ".join(f"the {camera} images are {self._health[camera]}" for camera in CAMERAS),
            "invalid": f"they are refused, the last because: {self._last_error}",
            "failed": f"they cannot be fused, the last because: {self._last_error}",
            "skipped": "newer ones overtake them before the network has done with one",
            "recovering": "the streams come and go, and are not trusted until they have come for health.recovery_time",
            "waiting": "the first of them wait for a partner, or for the network",
        }[kind]

    def _pairing(self, lost: Counter[str]) -> str:
        standing = [self._topics[camera] for camera in CAMERAS if self._stamps.standing(camera)]
        if standing:
            return (
                f"the stamps of {' and '.join(standing)} stand still; the driver has to set header.stamp to the time "
                "of acquisition"
            )
        settings = self._settings
        raw_s = self._stamps.thermal_behind_s()
        if raw_s is not None:
            offset_s = settings["thermal.time_offset"]
            behind_s = raw_s + settings["visible.time_offset"] - offset_s - self._rig_offset_s
            if abs(behind_s) > settings["pairing.max_skew"]:
                holding: Camera = OTHER["thermal" if behind_s > 0 else "visible"]
                queue_size = math.ceil(abs(behind_s) * self._stamps.rate_hz(holding)) + _SPARE
                most_s = schema()["thermal.time_offset"]["maximum"]
                return describe_offset(behind_s, offset_s + behind_s, most_s, queue_size)
        if lost["time_reset"] > sum(lost[reason] for reason in _PAIRING) / 2:
            return "their stamps jump back again and again"
        return (
            f"no two images are within pairing.max_skew ({settings['pairing.max_skew'] * 1e3:g} ms) of each other, and "
            "their stamps do not differ by a constant"
        )
