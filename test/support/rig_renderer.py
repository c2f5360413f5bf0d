"""Two cameras with lenses, and what they see: a textured plane, and a calibration board in front of it."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from vi_fusion_ros.registration.estimate.boards import Board
from vi_fusion_ros.registration.lenses import straightened
from vi_fusion_ros.registration.rig import Camera, Extrinsics, Rig

THERMAL_SIZE, VISIBLE_SIZE = (400, 320), (640, 480)
THERMAL = Camera(np.array([[410.0, 0, 203], [0, 412, 157], [0, 0, 1]]), np.array([-0.22, 0.06, 5e-4, -3e-4, 0]))
VISIBLE = Camera(np.array([[620.0, 0, 312], [0, 618, 246], [0, 0, 1]]), np.array([-0.12, 0.03, -4e-4, 2e-4, 0]))
EXTRINSICS = Extrinsics(cv2.Rodrigues(np.array([0.012, -0.02, 0.015]))[0], np.array([0.07, -0.01, 0.012]))
PLANE_M = 8.0

_FINE_PX = 16  # of board texture a square; it is softened, so that it can be made smaller without aliasing


def true_rig(distance_m: float = PLANE_M) -> Rig:
    """The rig, with the map for a plane at a distance."""
    bare = Rig(np.eye(3), THERMAL_SIZE, VISIBLE_SIZE, "truth", THERMAL, VISIBLE, EXTRINSICS, distance_m)
    return Rig(bare.homography_at(distance_m), THERMAL_SIZE, VISIBLE_SIZE, "truth", THERMAL, VISIBLE, EXTRINSICS,
               distance_m)  # fmt: skip


def transfer_error(found: Rig, truth: Rig | None = None) -> float:
    """Mean distance in the visible picture between where two rigs put a grid of thermal pixels."""
    from vi_fusion_ros.registration.lenses import to_visible

    truth = truth or true_rig()
    xs, ys = np.meshgrid(np.linspace(0, THERMAL_SIZE[0] - 1, 9), np.linspace(0, THERMAL_SIZE[1] - 1, 7))
    points = np.stack([xs.ravel(), ys.ravel()], 1)
    return float(np.linalg.norm(to_visible(found, points) - to_visible(truth, points), axis=1).mean())


@lru_cache
def rays(camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3): the direction that each pixel looks in, z = 1."""
    ys, xs = np.mgrid[: size[1], : size[0]].astype(np.float64)
    flat = straightened(camera, np.stack([xs.ravel(), ys.ravel()], 1))
    return (np.c_[flat, np.ones(len(flat))] @ np.linalg.inv(camera.matrix).T).reshape(*xs.shape, 3)


def seen_plane(camera: Camera, size, rotation, shift, texture, to_texture, beyond=None) -> np.ndarray:
    """A plane with a texture: X_camera = rotation X_plane + shift, to_texture (3, 3) maps plane metres to pixels."""
    looks = rays(camera, size) @ rotation  # in the plane's axes
    origin = -rotation.T @ shift
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -origin[2] / looks[..., 2]
        at = origin[:2] + depth[..., None] * looks[..., :2]
    pixels = np.dstack([at, np.ones(at.shape[:2])]) @ to_texture.T
    x, y = (np.nan_to_num(pixels[..., k], nan=-1e6, posinf=-1e6, neginf=-1e6).astype(np.float32) for k in (0, 1))
    border = cv2.BORDER_REFLECT if beyond is None else cv2.BORDER_TRANSPARENT
    image = None if beyond is None else beyond.copy()
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, dst=image, borderMode=border)


def scene(visible: np.ndarray, thermal: np.ndarray, distance_m: float = PLANE_M) -> tuple[np.ndarray, np.ndarray]:
    """What both cameras see of a plane parallel to the thermal image that carries a registered pair of textures."""
    h, w = visible.shape[:2]
    width_m = 1.15 * distance_m * THERMAL_SIZE[0] / THERMAL.matrix[0, 0]
    scale = w / width_m
    to_texture = np.array([[scale, 0, w / 2], [0, scale, h / 2], [0, 0, 1]])
    at = np.array([0, 0, distance_m])
    return (
        seen_plane(VISIBLE, VISIBLE_SIZE, EXTRINSICS.rotation, EXTRINSICS.rotation @ at + EXTRINSICS.translation_m,
                   visible, to_texture),
        seen_plane(THERMAL, THERMAL_SIZE, np.eye(3), at, thermal, to_texture),
    )  # fmt: skip


def board_texture(board: Board) -> tuple[np.ndarray, np.ndarray]:
    """A drawing of a board, uint8, and the matrix from its metres to the drawing's pixels."""
    n, margin = _FINE_PX * (2 if board.kind == "charuco" else 1), 2
    scale = n / board.square_m
    if board.kind == "charuco":
        aruco = cv2.aruco
        dictionary = aruco.getPredefinedDictionary(getattr(aruco, board.dictionary))
        plan = aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, dictionary)
        inner = plan.generateImage((board.columns * n, board.rows * n))
        first = margin * n + n - 0.5  # of the first inner corner
    elif board.kind == "checkerboard":
        ys, xs = np.mgrid[: (board.rows + 1) * n, : (board.columns + 1) * n] // n
        inner = np.where((xs + ys) % 2, 255, 0).astype(np.uint8)
        first = margin * n + n - 0.5
    else:
        spots = board.points_m[:, :2] * scale + n
        inner = np.full((int(spots[:, 1].max()) + n, int(spots[:, 0].max()) + n), 255, np.uint8)
        for x, y in spots:
            cv2.circle(inner, (round(x * 16), round(y * 16)), round(0.45 * n * 16), 0, -1, cv2.LINE_AA, 4)
        first = margin * n + n
    sheet = cv2.copyMakeBorder(inner, *(margin * n,) * 4, cv2.BORDER_CONSTANT, value=255)
    return cv2.GaussianBlur(sheet, (0, 0), 0.7), np.array([[scale, 0, first], [0, scale, first], [0, 0, 1]])


def poses(count: int, seed: int = 0):
    """Rotations and positions of a board in the thermal camera, spread over its image."""
    random = np.random.default_rng(seed)
    spots = [(x, y) for y in (-0.18, 0.18, 0.0) for x in (-0.25, 0.25, 0.0)]
    for number in range(count):
        turn = np.array([random.uniform(-0.6, 0.6), random.uniform(-0.6, 0.6), random.uniform(-0.25, 0.25)])
        x, y = spots[number % len(spots)]
        distance = random.uniform(0.95, 1.25)
        yield cv2.Rodrigues(turn)[0], np.array([x + random.uniform(-0.03, 0.03), y, 1.0]) * distance


def board_view(board, pose, background, seed=0, noise=1.5, heated=True):
    """A visible and a thermal image of the board before a background pair; in the thermal one it is in negative."""
    random = np.random.default_rng(seed)
    rotation, shift = pose
    middle = board.points_m.mean(0)
    shift = shift - rotation @ middle
    sheet, to_texture = board_texture(board)
    warm = np.where(heated, 170 - sheet * 0.35, 80 + sheet * 0.35).astype(np.uint8)
    turn = EXTRINSICS.rotation
    visible = seen_plane(VISIBLE, VISIBLE_SIZE, turn @ rotation, turn @ shift + EXTRINSICS.translation_m,
                         (sheet * 0.8 + 20).astype(np.uint8), to_texture, background[0])  # fmt: skip
    thermal = seen_plane(THERMAL, THERMAL_SIZE, rotation, shift, warm, to_texture, background[1])
    return tuple(
        np.clip(cv2.GaussianBlur(image, (0, 0), blur) + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
        for image, blur in ((visible, 0.4), (thermal, 0.6))
    )
