"""Figures of a map: does the answer depend on what it points at, and does it point at the object? Free of torch.

``Answer`` is the probability of one label for a pair of inputs, (1, 3, H, W) and (1, 1, H, W) float32 in 0 to 1, as the
deployed engine gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.training.datasets.base import Box

Floats = npt.NDArray[np.float32]
Answer = Callable[[Floats, Floats], float]

STEPS = 12
_BLOCK = 16  # pixels: single ones removed would be noise to the network
_BLUR = 0.04  # of the width: what insertion starts from


def deletion_and_insertion(answer: Answer, visible: Floats, thermal: Floats, order: Floats) -> dict[str, float]:
    """How the answer falls and rises as the pixels of both cameras go and come, most salient first (RISE, BMVC 2018).

    Args:
        answer: of the label.
        visible: (1, 3, H, W).
        thermal: (1, 1, H, W).
        order: (H, W) map; larger goes first.

    Returns:
        ``deletion``: mean probability while pixels turn black, lower is better; ``insertion``: mean probability while
        they replace a blurred image, higher is better; both 0 to 1.
    """
    rank = _rank(order)
    blurred = [_blurred(image) for image in (visible, thermal)]
    deleted, inserted = [], []
    for step in range(STEPS + 1):
        gone = rank < step / STEPS
        deleted.append(answer(*(np.where(gone, np.float32(0), image) for image in (visible, thermal))))
        shown = zip((visible, thermal), blurred, strict=True)
        inserted.append(answer(*(np.where(gone, image, vague) for image, vague in shown)))
    return {"deletion": _area(deleted), "insertion": _area(inserted)}


def random_order(shape: tuple[int, ...]) -> Floats:
    """A map (H, W) that knows nothing, for comparison; always the same."""
    rows, columns = -(-shape[0] // _BLOCK), -(-shape[1] // _BLOCK)
    blocks = np.random.default_rng(0).random((rows, columns), np.float32)
    return np.kron(blocks, np.ones((_BLOCK, _BLOCK), np.float32))[: shape[0], : shape[1]]


def contributions(answer: Answer, visible: Floats, thermal: Floats) -> dict[str, float]:
    """What each camera adds to the probability: exact Shapley values of two players; an absent one is zeros.

    Returns:
        ``visible``, ``thermal`` and ``neither`` (the probability without any image); their sum is the probability.
    """
    black_visible, black_thermal = np.zeros_like(visible), np.zeros_like(thermal)
    both, neither = answer(visible, thermal), answer(black_visible, black_thermal)
    seen, felt = answer(visible, black_thermal), answer(black_visible, thermal)
    return {
        "visible": (seen - neither + both - felt) / 2,
        "thermal": (felt - neither + both - seen) / 2,
        "neither": neither,
    }


def agreement(found: Floats, boxes: Sequence[Box]) -> dict[str, Any] | None:
    """How well a map lies on the boxes of its label; None without a box in the image.

    Args:
        found: (H, W) map, 0 upward.
        boxes: in pixels of it.

    Returns:
        ``energy``: share of the map inside the boxes (Wang et al., CVPRW 2020); ``area``: share of the image that they
        cover, which is what a flat map would get; ``pointing``: whether its maximum lies in one (Zhang et al.,
        IJCV 2018).
    """
    inside = np.zeros(found.shape, bool)
    for box in boxes:
        inside[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)] = True
    if not inside.any():
        return None
    total = float(found.sum())
    return {
        "energy": float(found[inside].sum()) / total if total else 0.0,
        "area": float(inside.mean()),
        "pointing": bool(inside.ravel()[int(found.argmax())]) if total else False,
    }


def _rank(order: Floats) -> Floats:
    """(H, W), 0 for the blocks that go first to below 1 for the last."""
    height, width = order.shape
    size = (-(-width // _BLOCK), -(-height // _BLOCK))
    blocks = np.asarray(cv2.resize(order, size, interpolation=cv2.INTER_AREA))
    rank = np.empty(blocks.size, np.float32)
    rank[np.argsort(-blocks.ravel(), kind="stable")] = np.arange(blocks.size, dtype=np.float32) / blocks.size
    full = cv2.resize(rank.reshape(blocks.shape), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(full, np.float32)


def _blurred(image: Floats) -> Floats:
    planes = [cv2.GaussianBlur(plane, (0, 0), _BLUR * plane.shape[1]) for plane in image[0]]
    return np.stack(planes)[None].astype(np.float32)


def _area(curve: list[float]) -> float:
    values = np.array(curve)
    return float((values[1:] + values[:-1]).mean() / 2)
