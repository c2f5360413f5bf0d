"""Maps laid over images, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.drawing import attention_color, grey8, overlay, titled
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.explain.explanation import Explanation
from vi_fusion_ros.explain.maps import Floats
from vi_fusion_ros.types import Image

_TILE_WIDTH = 400
_BOX_COLOUR = (60, 230, 60)


def picture(explanation: Explanation) -> Image:
    """Sources, result and attention in the first row, then a row of maps a label; (H, W, 3) uint8 BGR."""
    fused, visible = grey8(explanation.result.fused), explanation.visible
    thermal = grey8(explanation.thermal)
    rows = [
        {
            "visible": visible,
            "thermal": thermal,
            "fused": overlay(explanation.result),
            "attention: yellow = thermal": attention_color(explanation.result),
        }
    ]
    for row in explanation.labels:
        top = max(float(row.saliency.visible.max()), float(row.saliency.thermal.max()), 1e-12)
        boxed = [box for box in explanation.boxes if box.label == row.label]
        tiles = {
            f"{row.label} {row.probability:.0%}: class activation": heat(fused, row.activation),
            "saliency": heat(fused, row.saliency.both),
            "of the visible image": heat(visible, row.saliency.visible, top),
            "of the thermal image": heat(thermal, row.saliency.thermal, top),
        }
        for tile in tiles.values():
            for box in boxed:
                corners = (round(box.x0), round(box.y0)), (round(box.x1), round(box.y1))
                cv2.rectangle(tile, *corners, _BOX_COLOUR, 1)
        rows.append(tiles)
    return np.vstack([np.hstack([titled(_tile(image), title) for title, image in row.items()]) for row in rows])


def heat(image: Image, found: Floats, top: float | None = None) -> Image:
    """A map over an image: unseen where it is 0, red where it is ``top`` (its own maximum where not given)."""
    share = np.clip(found / max(float(found.max()) if top is None else top, 1e-12), 0, 1).astype(np.float32)
    colour = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_JET)
    weight = (0.65 * np.sqrt(share))[:, :, None]
    mixed = image * 0.75 * (1 - weight) + colour * weight
    return np.ascontiguousarray(np.rint(mixed), np.uint8)


def write_report(
    folder: Path, explanations: list[Explanation], result: dict[str, Any], model: Path, command: str
) -> Path:
    """Write ``index.html`` into ``folder``, and each pair's picture beside it.

    Args:
        folder: made where it is missing.
        explanations: of the pairs.
        result: the JSON.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("Why the network says so", command)
    page.text(f"{result['n']} pairs, saliency by {result['saliency']}.")
    page.model(model)
    page.problems(result["problems"])
    page.heading("How good the maps are")
    page.text(
        "Means over the explained labels. Deletion: mean probability while what the map points at turns black, lower "
        "is better. Insertion: while it comes back into a blurred image, higher is better. A map is worth looking at "
        "only if it beats the random one. In boxes: share of the map on the objects; a flat map has that of their area."
    )
    page.table(_table(result["mean"]))
    page.heading("What each camera adds")
    page.text("To the probability of each label, by exact Shapley values; thermal share of the saliency besides.")
    page.table(_contribution_table(explanations))
    page.heading("Pairs")
    folder.mkdir(parents=True, exist_ok=True)
    for explanation in explanations:
        image = picture(explanation)
        page.picture(image, explanation.name)
        cv2.imwrite(str(folder / f"{explanation.name.replace('/', '_')}.jpg"), image)
    return page.write(folder)


def _table(mean: dict[str, Any]) -> Table:
    table = Table(["map", "deletion", "insertion", "in boxes", "area of the boxes", "maximum in a box"])
    for kind in ("class_activation", "saliency", "random"):
        row = mean[kind]
        cells = [_number(row.get(key)) for key in ("deletion", "insertion", "energy", "area", "pointing")]
        table.row([kind.replace("_", " "), *cells])
    return table


def _contribution_table(explanations: list[Explanation]) -> Table:
    table = Table(["pair", "label", "probability", "visible adds", "thermal adds", "with neither", "thermal saliency"])
    for explanation in explanations:
        for row in explanation.labels:
            part = row.figures["contribution"]
            cells = [f"{part[key]:+.3f}" for key in ("visible", "thermal")]
            share = f"{row.figures['saliency']['thermal_share']:.0%}"
            table.row([explanation.name, row.label, f"{row.probability:.3f}", *cells, f"{part['neither']:.3f}", share])
    return table


def _tile(image: Image) -> Image:
    height = round(image.shape[0] * _TILE_WIDTH / image.shape[1])
    return np.asarray(cv2.resize(grey8(image), (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
