"""What benchmarks of depth have: two cameras 7 cm apart, both with a lens that bends, and what stands before them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.rig import Camera, Extrinsics, Rig

SIZE = (640, 480)
"""Width and height of the images of both cameras, pixels."""

PLANE_M = 8.0
"""Distance of the plane that it registers for, metres."""


def lensed_rig() -> Rig:
    """The rig, with lenses and extrinsics."""
    thermal, visible = (
        Camera(np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]]), np.array(bend))
        for focal, bend in ((660.0, [-0.22, 0.06, 5e-4, -3e-4, 0]), (620.0, [-0.12, 0.03, -4e-4, 2e-4, 0]))
    )
    turn, shift = cv2.Rodrigues(np.array([0.012, -0.02, 0.015]))[0], np.array([0.07, -0.01, 0.012])
    return Rig(np.eye(3), SIZE, SIZE, "benchmark", thermal, visible, Extrinsics(np.asarray(turn), shift)).at(PLANE_M)


def depth_scene(height: int, width: int) -> npt.NDArray[np.uint16]:
    """The depth image of a wall at 4 m with noise and a box at 2 m before it, (height, width), millimetres.

    The box hides some of the wall from the thermal camera.
    """
    depth = np.random.default_rng(3).normal(4000, 20, (height, width)).astype(np.uint16)
    depth[height // 4 : height * 3 // 4, width * 5 // 16 : width * 11 // 16] = 2000
    return depth
