"""How frames lie to each other, from what was heard on /tf and /tf_static: the latest of each, whatever its stamp.

tf2_ros keeps a history, needs a compiled package and threads; two cameras on one rig need none of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from vi_fusion_ros.registration.rig import Extrinsics, Matrix

_DEEPEST = 100  # links from a frame to its root; more is a loop


class Transforms:
    """A tree of frames. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[str, tuple[str, Matrix]] = {}

    def add(self, transforms: Iterable[Any]) -> None:
        """Take in ``geometry_msgs/TransformStamped``; those that are no rigid motion are passed over."""
        for stamped in transforms:
            matrix = _matrix(stamped.transform)
            if matrix is not None:
                with self._lock:
                    self._links[_name(stamped.child_frame_id)] = _name(stamped.header.frame_id), matrix

    def between(self, target: str, source: str) -> Extrinsics | None:
        """What takes coordinates in the frame ``source`` to those in ``target``; None where no chain links them."""
        with self._lock:
            up, down = self._to_ancestors(_name(source)), self._to_ancestors(_name(target))
        for ancestor, matrix in up.items():
            if ancestor in down:
                moved = np.linalg.inv(down[ancestor]) @ matrix
                return Extrinsics(moved[:3, :3], moved[:3, 3])
        return None

    def _to_ancestors(self, frame: str) -> dict[str, Matrix]:
        """The frame and those above it, the nearest first, with the matrix into each."""
        found = {frame: np.eye(4)}
        matrix = np.eye(4)
        while frame in self._links and len(found) < _DEEPEST:
            frame, step = self._links[frame]
            if frame in found:
                break
            matrix = step @ matrix
            found[frame] = matrix
        return found


def _name(frame: str) -> str:
    return frame.lstrip("/")  # tf2 knows no leading slash; drivers from ROS 1 days still send one


def _matrix(transform: Any) -> Matrix | None:
    """(4, 4), from child to parent coordinates; None where the numbers say nothing."""
    q, t = transform.rotation, transform.translation
    quaternion, shift = np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z])
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(quaternion).all() and np.isfinite(shift).all() and length > 1e-6):
        return None
    x, y, z, w = quaternion / length
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = shift
    return matrix
