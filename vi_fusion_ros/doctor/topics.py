"""What a live look at the cameras' topics means. The look itself is vi_fusion_ros.tools.topic_probe."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vi_fusion_ros.doctor.findings import Finding, Level
from vi_fusion_ros.registration.rig import Rig

MAX_SKEW_S = 0.04
"""The default of the parameter pairing.max_skew."""

_OLD_S = 1.0
_DELAY_S = 0.03
_LOSSES = 0.05  # share of images
_FEW = 3
_SINGLE_CHANNEL = ("mono8", "8UC1", "mono16", "16UC1", "32FC1")


@dataclass
class ProbedTopic:
    """What was seen of an image topic.

    Attributes:
        topic: its resolved name.
        types: message types on it in the graph.
        publishers: the QoS that each publisher offers, for people: ``reliable, volatile``.
        compressed: whether CompressedImage was listened for.
        stamps_ns: of the images that came, nanoseconds.
        arrivals_ns: ROS time of their arrival, nanoseconds.
        encodings: seen so far.
        sizes: (width, height) seen so far, pixels.
        faults: sentences about images that cannot be used, each once.
        lost_depth: how compressing has thrown bits away, one sentence; "": it has not.
        images_on_graph: other image topics there are, by name.
    """

    topic: str
    types: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    compressed: bool = False
    stamps_ns: list[int] = field(default_factory=list)
    arrivals_ns: list[int] = field(default_factory=list)
    encodings: set[str] = field(default_factory=set)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    lost_depth: str = ""
    images_on_graph: tuple[str, ...] = ()

    @property
    def rate_hz(self) -> float:
        """Images a second, by their arrival; 0 for fewer than two."""
        if len(self.arrivals_ns) < 2:
            return 0.0
        return (len(self.arrivals_ns) - 1) / max((self.arrivals_ns[-1] - self.arrivals_ns[0]) / 1e9, 1e-9)

    @property
    def delay_s(self) -> float:
        """Median of arrival minus stamp, seconds."""
        delays = [a - s for a, s in zip(self.arrivals_ns, self.stamps_ns, strict=True)]
        return statistics.median(delays) / 1e9


def judge(looks: Mapping[str, ProbedTopic], seconds: float, rig: Rig | None = None) -> Iterator[Finding]:
    """What there is to say about one or both cameras.

    Args:
        looks: by camera, ``visible`` and ``thermal``.
        seconds: how long each was looked at.
        rig: the rig file in use.
    """
    for camera, look in looks.items():
        yield from _topic(camera, look, seconds)
    seen = {camera: look for camera, look in looks.items() if len(look.stamps_ns) >= _FEW}
    for camera, look in seen.items():
        yield from _stamps(camera, look)
        yield from _image(camera, look, rig)
    if len(seen) == 2:
        yield from _both(seen["visible"], seen["thermal"])


def _topic(camera: str, look: ProbedTopic, seconds: float) -> Iterator[Finding]:
    section, subject = "Topics", f"{camera} {look.topic}"
    if not look.types:
        others = ", ".join(look.images_on_graph[:8])
        advice = f"Image topics there are: {others}"
        if not others:
            advice = "There is no image topic at all: are the cameras running, with this ROS_DOMAIN_ID and DDS?"
        yield Finding(section, subject, Level.ERROR, "no such topic", advice)
        return
    expected = "sensor_msgs/msg/CompressedImage" if look.compressed else "sensor_msgs/msg/Image"
    if expected not in look.types:
        yield Finding(section, subject, Level.ERROR, f"of type {', '.join(look.types)}", f"Expected {expected}.")
        return
    if not look.publishers:
        yield Finding(section, subject, Level.ERROR, "nobody publishes it", "Start the camera's driver.")
        return
    if len(look.publishers) > 1:
        advice = "Two cameras under one name cannot be paired: remap one of them."
        yield Finding(section, subject, Level.WARNING, f"{len(look.publishers)} publishers", advice)
    if not look.stamps_ns:
        advice = (
            "The publisher is seen, but its images do not come: use the DDS profile (above) in the camera's process "
            "too, and look at firewalls and at ROS_DISCOVERY_SERVER. QoS is not the reason: any is taken."
        )
        yield Finding(section, subject, Level.ERROR, f"no image in {seconds:g} s ({look.publishers[0]})", advice)
        return
    says = f"{look.rate_hz:.1f} Hz, {', '.join(sorted(look.encodings))}, {_sizes(look)}, {look.publishers[0]}"
    yield Finding(section, subject, Level.OK, says)
    for fault in look.faults:
        yield Finding(section, subject, Level.ERROR, fault, "The node drops such images and counts them.")
    if look.lost_depth:
        yield Finding(section, subject, Level.WARNING, look.lost_depth, "The node takes them as they are.")


def _stamps(camera: str, look: ProbedTopic) -> Iterator[Finding]:
    section, subject = "Topics", f"{camera} stamps"
    steps = [b - a for a, b in zip(look.stamps_ns, look.stamps_ns[1:], strict=False)]
    if not any(look.stamps_ns):
        advice = "Set header.stamp in the driver; without stamps nothing can be paired."
        yield Finding(section, subject, Level.ERROR, "all zero", advice)
    elif min(steps) < 0:
        advice = "A bag that loops is taken care of; images out of order are lost."
        yield Finding(section, subject, Level.WARNING, "go backwards", advice)
    elif not any(steps):
        yield Finding(
            section, subject, Level.ERROR, "do not change", "Set header.stamp in the driver to each image's time."
        )
    elif abs(look.delay_s) > _OLD_S:
        advice = (
            "The stamps are of another clock: set use_sim_time for a bag, synchronise the hosts' clocks (chrony, PTP), "
            "or have the driver stamp with ROS time. Pairing needs one clock for both cameras, not this one."
        )
        yield Finding(section, subject, Level.WARNING, f"{look.delay_s:.1f} s away from this host's time", advice)
    else:
        gaps = sorted(steps)
        usual = gaps[len(gaps) // 2]
        says = f"{look.delay_s * 1e3:.0f} ms old on arrival, {usual / 1e6:.1f} ms apart"
        lost = sum(max(round(step / usual) - 1, 0) for step in steps) if usual else 0
        if lost > _LOSSES * len(steps):
            advice = (
                "Images get lost on the way (the DDS profile in both processes, a wired link, or reliable QoS), or the "
                "node that publishes them leaves some out: its own status tells."
            )
            yield Finding(section, subject, Level.WARNING, f"{says}, {lost} of {lost + len(steps) + 1} missing", advice)
        else:
            yield Finding(section, subject, Level.OK, says)


def _image(camera: str, look: ProbedTopic, rig: Rig | None) -> Iterator[Finding]:
    section, subject = "Topics", f"{camera} images"
    if len(look.sizes) > 1:
        yield Finding(section, subject, Level.WARNING, f"change their size: {_sizes(look)}", "Fix the driver's mode.")
    if camera == "thermal" and not look.compressed:
        if not look.encodings <= set(_SINGLE_CHANNEL):
            advice = (
                "The node takes it as grey; a false-colour image has lost its temperatures. Prefer mono16 or mono8."
            )
            yield Finding(section, subject, Level.WARNING, f"in {', '.join(sorted(look.encodings))}", advice)
        elif look.encodings <= {"mono8", "8UC1"}:
            advice = "16 bit (mono16) keeps temperatures, where the camera can."
            yield Finding(
                section, subject, Level.NOTE, "8 bit: the camera's own gain control decides on contrast", advice
            )
    size = getattr(rig, f"{camera}_size", None) if rig else None
    if size:
        for width, height in look.sizes:
            if abs(width * size[1] / (height * size[0]) - 1) > 0.01:
                advice = "Set the camera to that mode, or calibrate again."
                says = f"{width}x{height} does not fit the rig file's {size[0]}x{size[1]}"
                yield Finding(section, subject, Level.ERROR, says, advice)


def _both(visible: ProbedTopic, thermal: ProbedTopic) -> Iterator[Finding]:
    section, subject = "Topics", "visible and thermal"
    slower, faster = sorted((visible, thermal), key=lambda look: look.rate_hz)
    skews = _skews(slower.stamps_ns, faster.stamps_ns)
    near = [skew for skew in skews if abs(skew) <= MAX_SKEW_S * 1e9]
    typical_ms = statistics.median(abs(skew) for skew in skews) / 1e6
    says = (
        f"{len(near)} of {len(skews)} images of the slower camera have a partner; typically {typical_ms:.1f} ms apart"
    )
    apart_s = thermal.delay_s - visible.delay_s
    if len(near) < 0.9 * len(skews):
        advice = (
            f"More than pairing.max_skew ({MAX_SKEW_S:g} s) apart: both cameras need one clock; a constant delay is "
            "mended by visible.time_offset and thermal.time_offset."
        )
        yield Finding(section, subject, Level.ERROR if not near else Level.WARNING, says, advice)
    else:
        yield Finding(section, subject, Level.OK, says)
    if abs(apart_s) > _DELAY_S:
        later = "thermal" if apart_s > 0 else "visible"
        says = f"{later} images arrive {abs(apart_s) * 1e3:.0f} ms later after their stamps than the other camera's"
        advice = (
            "Fine where that camera is slow to send, wrong where it stamps early: `vi-fusion calibrate time` tells."
        )
        yield Finding(section, "delay of the stamps", Level.NOTE, says, advice)


def _skews(slow: Sequence[int], fast: Sequence[int]) -> list[int]:
    """For each stamp of the slower camera, within the time of both, the signed distance to the nearest of the other."""
    fast = sorted(fast)
    inside = [s for s in slow if fast[0] <= s <= fast[-1]] or list(slow)
    skews = []
    for stamp in inside:
        at = bisect.bisect(fast, stamp)
        skews.append(min((other - stamp for other in fast[max(at - 1, 0) : at + 1]), key=abs))
    return skews


def _sizes(look: ProbedTopic) -> str:
    return " and ".join(f"{width}x{height}" for width, height in sorted(look.sizes)) or "size unknown"
