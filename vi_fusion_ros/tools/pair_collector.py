"""pair_collector: saves pairs of images of two running cameras into two folders, and ends. For calibration.

``ros2 launch vi_fusion_ros calibrate.launch.py`` starts it and calibrates with what it saved.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vi_fusion_ros.images import compressed as compressed_images
from vi_fusion_ros.images import encodings
from vi_fusion_ros.node import qos
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.node.process import runner
from vi_fusion_ros.sync.pairing import NearestPairing, Pair, PairingPolicy
from vi_fusion_ros.types import CAMERAS, Camera

_MAX_SKEW_NS, _MAX_WAIT_NS = 40_000_000, 50_000_000
_POLL_S = 0.02
_LOOK_EVERY_S = 0.1

PARAMETERS = (
    ("out", "", "folder that takes visible/ and thermal/"),
    ("pairs", 20, "pairs to save"),
    ("period", 1.0, "seconds between two of them at least"),
    ("timeout", 30.0, "seconds without a pair after which it gives up"),
    ("compressed", False, "subscribe to <image>/compressed"),
)


class PairCollector(Node):
    """Saves ``visible/0001.png`` and ``thermal/0001.png`` and so on, in the depth of the images.

    Raises:
        ValueError: ``out`` is not given, or holds images already; one sentence.
        OSError: the folders cannot be made.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("pair_collector", **kwargs)
        limits = {"pairs": (1, 1000), "period": (0.0, 3600.0), "timeout": (1.0, 3600.0)}
        values = {name: self._declare(name, *entry, *limits.get(name, ())) for name, *entry in PARAMETERS}
        self._out, self._wanted, compressed = Path(values["out"]), values["pairs"], values["compressed"]
        self._period_s, self._wait_s = values["period"], values["timeout"]
        if not str(self._out) or str(self._out) == ".":
            raise ValueError("parameter out is empty; expected the folder that takes the images")
        for camera in CAMERAS:
            folder = self._out / camera
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ValueError(f"{folder} is not empty; name a new folder (parameter out, argument folder)")
        self.saved = 0
        self._last_s = self._heard_s = time.monotonic()
        self._decode = compressed_images.decode_compressed if compressed else encodings.decode_image
        self._pairing: NearestPairing[Any] = NearestPairing(PairingPolicy(_MAX_SKEW_NS, _MAX_WAIT_NS))
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        for camera in CAMERAS:
            self.create_subscription(
                kind,
                f"{camera}/image{suffix}",
                partial(self._on_image, camera),
                qos.copy_of(qos.IMAGE_IN),
                qos_overriding_options=qos.overridable(),
            )
        self.create_timer(_POLL_S, lambda: self._save(self._pairing.poll(time.monotonic_ns())))

    @property
    def done(self) -> bool:
        """Whether all pairs are saved."""
        return self.saved >= self._wanted

    def check_alive(self) -> None:
        """See to it that pairs come.

        Raises:
            ValueError: no usable pair came for ``timeout`` seconds; one sentence.
        """
        if time.monotonic() - self._heard_s > self._wait_s:
            topics = " and ".join(self.resolve_topic_name(f"{camera}/image") for camera in CAMERAS)
            raise ValueError(
                f"no usable pair of images on {topics} for {self._wait_s:g} s; `vi-fusion doctor --visible-topic … "
                "--thermal-topic …` says why"
            )

    def _on_image(self, camera: Camera, message: Any) -> None:
        self._save(self._pairing.add(camera, message, stamp_ns(message.header.stamp), time.monotonic_ns()))

    def _save(self, pairs: Iterable[Pair[Any]]) -> None:
        for pair in pairs:
            try:
                self._save_one(pair.visible, pair.thermal)
            except (ValueError, OSError) as error:  # the next pair may do, and check_alive says where none does
                self.get_logger().error(str(error))

    def _save_one(self, visible: Any, thermal: Any) -> None:
        now = time.monotonic()
        if self.done or (self.saved and now - self._last_s < self._period_s):
            self._heard_s = now
            return
        images = [self._decode(message) for message in (visible, thermal)]
        number = self.saved + 1
        for camera, image in zip(CAMERAS, images, strict=True):
            suffix = "tiff" if image.dtype == "float32" else "png"
            path = self._out / camera / f"{number:04d}.{suffix}"
            if not cv2.imwrite(str(path), image):
                raise OSError(f"{path} cannot be written")
        self.saved, self._last_s, self._heard_s = number, now, now  # pairs that cannot be saved are not heard of
        self.get_logger().info(f"pair {number} of {self._wanted}")

    def _declare(self, name: str, default: Any, description: str, low: float = 0, high: float = 0) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if isinstance(default, float):
            declaration.take_integer(self, name)
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif isinstance(default, int) and not isinstance(default, bool):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        try:
            return self.declare_parameter(name, default, descriptor).value
        except Exception as error:  # rclpy raises different classes for type and range, varying with the release
            raise ValueError(f"parameter {name}: {error}") from error


def main(args: list[str] | None = None) -> int:
    """Collect; returns 0 when all pairs are saved, 2 after one sentence where that cannot be, 130 when interrupted."""
    description = "Saves pairs of images of two running cameras into two folders, for calibration."
    return runner.run("pair_collector", description, PARAMETERS, args, PairCollector, _collect)


def _collect(node: PairCollector, stop: threading.Event) -> int:
    while not node.done:
        if stop.is_set():
            return 130
        rclpy.spin_once(node, timeout_sec=_LOOK_EVERY_S)
        node.check_alive()
    return 0


if __name__ == "__main__":
    sys.exit(main())
