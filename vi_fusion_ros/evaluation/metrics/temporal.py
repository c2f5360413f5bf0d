"""Temporal metrics of a video along its own motion, by OpenCV's DIS optical flow.

Where flicker looks at what stands still, these follow what moves. The values are not those of papers that take the flow
of a network: DIS (Kroeger et al., ECCV 2016) is named with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Gray8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MIN_SIZE = 32
"""Pixels: the shorter side that DIS needs for its coarsest scale."""

_AGREEMENT = 0.01, 0.5
"""A pixel is followed where |f + b|² <= 0.01 (|f|² + |b|²) + 0.5 (Sundaram, Brox and Keutzer, ECCV 2010)."""


@dataclass(frozen=True)
class TemporalMetric:
    """What a reader must know of a temporal metric.

    Attributes:
        name: key in results.
        title: what it is called in full.
        range: lowest to highest possible value, with its unit.
        direction: ``higher`` or ``lower`` is better.
        source: the paper it comes from.
        convention: what other code does differently.
    """

    name: str
    title: str
    range: str
    direction: str
    source: str
    convention: str


TEMPORAL_METRICS = {
    metric.name: metric
    for metric in (
        TemporalMetric(
            "warping_error_dis",
            "bidirectional self-warping error",
            "0 to 255 grey levels",
            "lower",
            "Lai et al., ECCV 2018; both ways as Zhao et al., NeurIPS 2025",
            "mean absolute difference of each frame from both neighbours, warped onto it by the video's own DIS flow, "
            "where the flows agree; other code: networks for the flow, squared, on 0 to 1",
        ),
        TemporalMetric(
            "motion_smoothness_dis",
            "motion smoothness",
            "0 pixels upward",
            "lower",
            "the idea of Zhao et al., NeurIPS 2025 (MS2R)",
            "mean length of the difference between the fused video's acceleration and that of the nearer source; "
            "acceleration is the DIS flow to the next frame plus that to the one before; other code: SEA-RAFT",
        ),
    )
}


def warping_error(frames: Iterable[Gray8]) -> float:
    """Bidirectional self-warping error, mean absolute grey levels, 0 to 255; lower is better.

    Each frame is compared with the one before and with the one after it, both warped onto it by the flow between them
    (self: the flow is that of this video), where the flows of both directions agree and stay inside the image.

    Args:
        frames: consecutive (H, W) uint8 frames of one video, all of one size, both sides at least 32 pixels.

    Returns:
        The mean over all pixels that can be followed. A blurred video has less of it: read it beside those of the
        sources.

    Raises:
        ValueError: fewer than two frames, frames that cannot be used, or no pixel that can be followed.
    """
    video = _Video()
    for frame in frames:
        video.add(frame)
    if video.warping_error is None:
        raise ValueError(f"no pixel can be followed in {video.count} frames; expected two frames or more of one video")
    return video.warping_error


def motion_smoothness(fused: Iterable[Gray8], sources: Sequence[Iterable[Gray8]]) -> float:
    """How much the motion of a fused video jerks where that of its sources does not, pixels, 0 upward; lower is better.

    The acceleration of a pixel is its flow to the next frame plus its flow to the one before. The value is the mean
    length of the difference between that of the fused video and that of the source which is nearer to it, in each
    pixel: where one camera sees nothing, the flow of the other one is the reference.

    Args:
        fused: consecutive (H, W) uint8 frames, both sides at least 32 pixels.
        sources: one or more videos with the same number of frames of the same size.

    Raises:
        ValueError: no source, fewer than three frames, videos of different lengths, or frames that cannot be used.
    """
    if not sources:
        raise ValueError("motion smoothness without a source; expected one video or more to compare with")
    names = [str(k) for k in range(len(sources))]
    metrics, count = TemporalMetrics(names), 0
    for frames in zip_longest(fused, *sources):
        if any(frame is None for frame in frames):
            raise ValueError(f"a video ends after {count} frames and another goes on; expected videos of one length")
        metrics.add(dict(zip(("fused", *names), frames, strict=True)))
        count += 1
    value = metrics.result().get("fused", {}).get("motion_smoothness_dis")
    if value is None:
        raise ValueError(f"motion smoothness of {count} frames; expected three or more")
    return value


class TemporalMetrics:
    """Both metrics of several videos of one scene, frame by frame: the flow of each is made once.

    Args:
        sources: names of the videos that are sources; the others are compared with them.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = tuple(sources)
        self._videos: dict[str, _Video] = {}
        self._jerk: dict[str, float] = {}
        self._jerks = 0

    def add(self, frames: Mapping[str, Gray8]) -> None:
        """Take the next frame of each video, (H, W) uint8 by name, all of one size.

        Raises:
            ValueError: a frame cannot be used; one sentence.
        """
        sizes = {f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames.values() if frame.ndim == 2}
        if len(sizes) > 1:
            raise ValueError(f"frames of {' and '.join(sorted(sizes))}; expected a fused frame of its sources' size")
        for name, frame in frames.items():
            self._videos.setdefault(name, _Video()).add(frame)
        moved = {name: video.acceleration for name, video in self._videos.items() if video.acceleration is not None}
        if len(moved) < len(self._videos):
            return
        self._jerks += 1
        for name in moved.keys() - set(self._sources):
            jerk = np.min([np.linalg.norm(moved[name] - moved[source], axis=2) for source in self._sources], axis=0)
            self._jerk[name] = self._jerk.get(name, 0.0) + float(jerk.mean(dtype=float))

    def result(self) -> dict[str, dict[str, float | None]]:
        """By video the keys of ``TEMPORAL_METRICS``, smoothness not for sources; None: too few frames to tell."""
        return {
            name: {
                "warping_error_dis": video.warping_error,
                **({} if name in self._sources else {"motion_smoothness_dis": self._smoothness(name)}),
            }
            for name, video in self._videos.items()
        }

    def _smoothness(self, name: str) -> float | None:
        return self._jerk[name] / self._jerks if self._jerks else None


class _Video:
    """Follows the frames of one video.

    Attributes:
        count: frames seen.
        acceleration: (H, W, 2) pixels, of the frame before the last one; None without a frame on either side of it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.acceleration: Floats | None = None
        # A third of the time of the preset medium: five videos, both ways, are ten flows a frame.
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._last: Gray8 | None = None
        self._back: Floats | None = None
        self._error, self._followed = 0.0, 0

    @property
    def warping_error(self) -> float | None:
        """Mean so far, grey levels; None where no pixel could be followed."""
        return self._error / self._followed if self._followed else None

    def add(self, frame: Gray8) -> None:
        """Take the next frame."""
        _check(frame, self._last)
        last, self._last = self._last, frame
        self.count += 1
        if last is None:
            return
        forth, back = self._dis.calc(last, frame, None), self._dis.calc(frame, last, None)
        self.acceleration = None if self._back is None else forth + self._back
        self._back = back
        for flow, reverse, here, there in ((forth, back, last, frame), (back, forth, frame, last)):
            followed = _followed(flow, reverse)
            self._error += float(np.abs(_warped(there, flow) - here)[followed].sum(dtype=float))
            self._followed += int(followed.sum())


def _followed(flow: Floats, back: Floats) -> npt.NDArray[np.bool_]:
    """(H, W): where the way there and back ends near its start, inside the image."""
    height, width = flow.shape[:2]
    returned = _warped(back, flow)
    share, least = _AGREEMENT
    squares = (flow**2).sum(axis=2) + (returned**2).sum(axis=2)
    consistent = ((flow + returned) ** 2).sum(axis=2) <= share * squares + least
    x, y = _targets(flow)
    return consistent & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _warped(image: npt.NDArray[Any], flow: Floats) -> Floats:
    """``image`` where ``flow`` leads to: at each pixel p its value at p + flow(p)."""
    return np.asarray(cv2.remap(image.astype(np.float32), *_targets(flow), cv2.INTER_LINEAR), np.float32)


def _targets(flow: Floats) -> tuple[Floats, Floats]:
    y, x = _grid(*flow.shape[:2])
    return x + flow[..., 0], y + flow[..., 1]


@lru_cache(maxsize=2)
def _grid(height: int, width: int) -> Floats:
    return np.mgrid[:height, :width].astype(np.float32)


def _check(frame: Gray8, last: Gray8 | None) -> None:
    if frame.ndim != 2 or frame.dtype != np.uint8:
        raise ValueError(f"a frame has shape {frame.shape} and type {frame.dtype}; expected (H, W) uint8")
    if min(frame.shape) < MIN_SIZE:
        raise ValueError(f"a frame is {frame.shape[1]}x{frame.shape[0]}; expected at least {MIN_SIZE}x{MIN_SIZE}")
    if last is not None and last.shape != frame.shape:
        raise ValueError(
            f"a frame of {frame.shape[1]}x{frame.shape[0]} after one of {last.shape[1]}x{last.shape[0]}; "
            "expected frames of one size"
        )
