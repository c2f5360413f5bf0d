"""A rig from topics: lenses from both cameras' CameraInfo, extrinsics from TF. docs/registration.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from vi_fusion_ros.images.framing import Framing
from vi_fusion_ros.node.geometry.camera_info import lens_of, rectification
from vi_fusion_ros.node.geometry.tf_subscriptions import subscribe_to_transforms, tf_message
from vi_fusion_ros.node.geometry.transforms import Transforms
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.registration import RegistrationManager, Rig
from vi_fusion_ros.registration.info_lens import is_rectified
from vi_fusion_ros.registration.planar import corners, transform
from vi_fusion_ros.registration.rig import Camera as Lens
from vi_fusion_ros.registration.rig import Extrinsics, Matrix, Size
from vi_fusion_ros.sync.health import CAMERAS, Camera

SOURCE = "camera_info"
"""What the parameter ``rig`` is set to for it."""

DEFAULT_PLANE_M = 10.0

_PERIOD_S = 0.2
_SAME_PX = 1 / 32  # visible pixels at the corners: the resolution of the maps; what changes less is noise of TF


class LiveRig:
    """Applies a rig as soon as both CameraInfos and a transform are there, and again when they change.

    The executor only collects messages. The maps, which take up to seconds, are computed once, on a thread of this
    object, and handed over ready.

    Args:
        node: owns the subscriptions to /tf and /tf_static.
        topics: names of the image topics, for what is said, and because images of ``image_rect…`` have no distortion.
        plane_distance_m: of the plane that the homography is for.
        registrations: takes the rig.
        on_applied: called after that, on the thread of this object.
        on_error: takes unexpected exceptions of that thread; must not raise.
        framings: of the images, which the CameraInfos that are handed in are for; those missing: images as received.

    Raises:
        ValueError: the package tf2_msgs is missing.
    """

    def __init__(
        self,
        node: Node,
        topics: dict[Camera, str],
        plane_distance_m: float,
        registrations: RegistrationManager,
        on_applied: Callable[[Rig], None],
        on_error: Callable[[Exception], None],
        framings: Mapping[Camera, Framing] | None = None,
    ) -> None:
        self._turns = {camera: (framings or {}).get(camera, Framing()).turn for camera in CAMERAS}
        self._node, self._topics, self._plane_distance_m = node, topics, plane_distance_m
        self._registrations, self._on_applied = registrations, on_applied
        self._infos: dict[Camera, CameraInfo] = {}
        self._transforms = Transforms()
        self._wanted: Rig | None = None
        self._news = True
        self._missing = self._unusable = ""
        self._worker: Worker[Rig] = Worker(self._apply, lambda: None, on_error, depth=1)
        self._undo: list[Callable[[], object]] = [self._worker.stop]
        try:
            subscribe_to_transforms(node, self._on_transforms, self._undo, f"rig {SOURCE}")
            # Not at once: transforms come many at a time, and all of /tf. Simulated time may stand still.
            timer = node.create_timer(_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
            self._undo.append(partial(node.destroy_timer, timer))
            self._worker.start()
        except BaseException:
            self.close()
            raise

    @property
    def fault(self) -> str:
        """Why no rig of the latest messages applies, one sentence; empty where one does or is being prepared."""
        return self._missing or self._unusable

    def on_camera_info(self, camera: Camera, message: CameraInfo) -> None:
        """Take in a CameraInfo that differs from the last one."""
        self._infos[camera] = message
        self._news = True

    def close(self) -> None:
        """Take the subscriptions off the graph and end the thread; what it has in hand is finished."""
        undo, self._undo = self._undo, []
        take_down(reversed(undo), self._node.get_logger().error)

    def _on_transforms(self, message: Any) -> None:
        self._transforms.add(message.transforms)
        self._news = True

    def _look(self) -> None:
        if not self._news:
            return
        self._news = False
        try:
            rig = self._rig()
        except ValueError as error:
            self._missing = self._said(self._missing, error)
            return
        self._missing = ""
        if self._wanted is None or not alike(rig, self._wanted):
            self._wanted = rig
            self._worker.submit(rig)

    def _rig(self) -> Rig:
        """The rig of the latest messages."""
        lenses: dict[Camera, Lens] = {}
        sizes: dict[Camera, Size] = {}
        turned: dict[Camera, Matrix] = {}
        for camera in CAMERAS:
            topic = self._topics[camera]
            info = self._infos.get(camera)
            if info is None:
                raise ValueError(f"no camera_info of the {camera} camera yet; it belongs to {topic}")
            try:
                lenses[camera], sizes[camera] = lens_of(info, is_rectified(topic))
                turned[camera] = rectification(info, is_rectified(topic)) @ self._turns[camera]
            except ValueError as error:
                raise ValueError(f"camera_info of the {camera} camera: {error}") from None
        thermal, visible = (self._infos[camera].header.frame_id for camera in ("thermal", "visible"))
        between = self._transforms.between(visible, thermal)
        if between is None:
            raise ValueError(
                f"no transform from {thermal} to {visible} on /tf_static or /tf; publish where the cameras are, or "
                "name a rig file"
            )
        extrinsics = Extrinsics(
            turned["visible"] @ between.rotation @ turned["thermal"].T, turned["visible"] @ between.translation_m
        )
        rig = Rig(
            np.eye(3), sizes["thermal"], sizes["visible"], SOURCE, lenses["thermal"], lenses["visible"], extrinsics
        )
        return rig.at(self._plane_distance_m)

    def _apply(self, rig: Rig) -> None:
        """On the thread of this object: make the maps, look whether they are of any use, and hand them over."""
        try:
            registration = self._registrations.prepare(rig)
            overlap = registration.overlap
        except np.linalg.LinAlgError:  # the plane is seen edge on
            overlap = 0.0
        except Exception:
            self._wanted = None  # the same messages may do later
            raise
        if overlap == 0:
            thermal, visible = (self._infos[camera].header.frame_id for camera in ("thermal", "visible"))
            error = ValueError(
                f"with the transform from {thermal} to {visible} the cameras see nothing in common at "
                f"{self._plane_distance_m:g} m; are the frame ids those of optical frames (x right, y down, z ahead)?"
            )
            self._unusable = self._said(self._unusable, error)
            return
        self._unusable = ""
        self._registrations.set_rig(rig, registration)
        self._on_applied(rig)

    def _said(self, before: str, error: ValueError) -> str:
        """The sentence, logged where it is another one than before."""
        if str(error) != before:
            self._node.get_logger().warning(f"registration from camera_info: {error}")
        return str(error)


def require_packages() -> None:
    """See that there is what it needs.

    Raises:
        ValueError: the package tf2_msgs is missing.
    """
    tf_message(f"rig {SOURCE}")


def alike(one: Rig, other: Rig) -> bool:
    """Whether two rigs of camera_info make the same maps: the same lenses, and corners that lie in the same place."""
    lenses = (
        np.array_equal(a.matrix, b.matrix)
        and np.array_equal(a.distortion, b.distortion)
        and a.equidistant == b.equidistant
        for a, b in ((one.thermal_camera, other.thermal_camera), (one.visible_camera, other.visible_camera))
        if a is not None and b is not None
    )
    sizes = (one.thermal_size, one.visible_size)
    if one.thermal_size is None or sizes != (other.thermal_size, other.visible_size) or not all(lenses):
        return False
    places = (transform(rig.H_thermal_to_visible, corners(one.thermal_size)) for rig in (one, other))
    return bool(np.abs(np.subtract(*places)).max() <= _SAME_PX)
