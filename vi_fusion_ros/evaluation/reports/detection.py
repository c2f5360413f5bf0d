"""The report of an evaluation of boxes: tables, curves, and frames with what was found, missed and made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.drawing import grey8
from vi_fusion_ros.evaluation.metrics.detection import AREAS, AllMatches, Scene, match
from vi_fusion_ros.evaluation.model_fusion import still_engine
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.pictures import captioned, rows_of, tile
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.evaluation.reports.presence import CAMERAS, most_judged, number
from vi_fusion_ros.evaluation.studies.detection import scenes_of
from vi_fusion_ros.evaluation.studies.presence import JudgedSet, pooled
from vi_fusion_ros.training.datasets.base import Sample
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GREEN, _RED, _ORANGE, _GREY = (80, 200, 80), (60, 60, 230), (0, 165, 255), (170, 170, 170)
_TILE = 560
_EACH = 3


class Told(NamedTuple):
    """What the model tells of one frame, at its own thresholds.

    Attributes:
        rows: (M,) indices of the boxes in ``Scene.found``.
        hit: (M,), whether each is one, or counts neither way.
        missed: true boxes that none of them found.
    """

    rows: npt.NDArray[np.intp]
    hit: npt.NDArray[np.bool_]
    missed: list[tuple[str, tuple[float, float, float, float]]]

    @property
    def false(self) -> int:
        """Boxes that are none."""
        return int((~self.hit).sum())


def write_report(folder: Path, sets: Sequence[JudgedSet], result: dict[str, Any], model: Path, command: str) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        sets: with the verdicts; their images are still there.
        result: ``detection.summary`` of them.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("Objects that are found", command)
    counts = ", ".join(f"{name} ({row['n']})" for name, row in result["sets"].items())
    page.text(f"{result['n']} frames in {len(sets)} sets: {counts}.")
    page.model(model)
    page.problems(result["problems"])
    page.text(
        "AP50: average precision where a box is right from half an overlap on; AP50:95: the mean over ten overlaps to "
        "0.95. Missed: log-average miss rate at 0.01 to 1 false alarms a frame, lower is better. By size: AP50 "
        "(objects), of boxes below 32², below 96² pixels, and above. Small print: 95% interval over frames."
    )
    parts = {**result["sets"], **({"all": result["all"]} if len(sets) > 1 else {})}
    for name, part in parts.items():
        page.heading(name if name != "all" or len(sets) == 1 else "All sets together")
        page.table(detection_table(part))
    for name, row in result.get("methods", {}).items():
        page.heading(f"{name}: {row['title']}")
        page.text(f"{row['reference']}, {row['year']}: {row['faithful']}. The same frames, all sets together.")
        page.table(detection_table(row["all"]))
    together = pooled(sets)
    condition = most_judged(together)
    page.heading(f"Curves, {CAMERAS[condition]}")
    page.figure(curves(match(scenes_of(together, condition), together.labels)), "An overlap of one half is right.")
    thresholds = still_engine(model).manifest.object_calibration.thresholds
    for one in sets:
        page.heading(f"Frames of {one.chosen.name}, {CAMERAS[most_judged(one.judged)]}")
        page.text(
            "At the thresholds of the model: green, found; red, missed; orange, a false alarm; grey, counts neither "
            "way. The frames with most missed, with most false alarms, and some of the middle."
        )
        page.picture(frames(one, thresholds), "Visible and thermal image.")
    return page.write(folder)


def detection_table(part: dict[str, Any]) -> Table:
    """Labels by figures, for each condition, and by day and by night."""
    sizes = [name for name in AREAS if name != "all"]
    table = Table(["cameras", "frames", "label", "objects", "AP50", "AP50:95", "missed", *sizes])
    rows = {CAMERAS[name]: found for name, found in part["conditions"].items()}
    rows |= {f"{CAMERAS[name]}, {light}": found for light in ("day", "night") for name, found in part[light].items()}
    for title, found in rows.items():
        for label, row in {**found.get("labels", {}), "mean": found}.items() if found["n"] else ():
            ends = {key: f"{low:.3f} – {high:.3f}" for key, (low, high) in row.get("ci95", {}).items()}
            cells: list[str | tuple[str, str]] = [title, str(found["n"]), label, str(row.get("objects", ""))]
            cells += [(number(row[key]), ends.get(key, "")) for key in ("ap50", "ap", "log_average_miss_rate")]
            by_size = row.get("sizes", {})
            cells += [f"{number(by_size[s]['ap50'])} ({by_size[s]['objects']})" if by_size else "" for s in sizes]
            table.row(cells, ours=label == "mean")
    return table


def curves(matches: AllMatches) -> Figure:
    """Precision against recall, and miss rate against false alarms a frame, of each label."""
    figure = new_figure(9.5, 4.4)
    precision, missed = figure.subplots(1, 2)
    for k, (label, by_area) in enumerate(matches.items()):
        found = by_area["all"]
        objects = found.objects.sum()
        if not objects:
            continue
        hits, alarms = found.hit[0].cumsum(), found.alarm[0].cumsum()
        colour = COLOURS[k % len(COLOURS)]
        counted = np.maximum(hits + alarms, 1)
        precision.step(hits / objects, hits / counted, where="post", color=colour, label=label)
        missed.step(alarms / len(found.objects), 1 - hits / objects, where="post", color=colour, label=label)
    precision.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    missed.set(xlabel="false alarms a frame", ylabel="miss rate", xscale="log", xlim=(5e-3, 10), ylim=(0, 1.02))
    for axes in (precision, missed):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8)
    return figure


def frames(one: JudgedSet, thresholds: npt.NDArray[np.float64]) -> Image:
    """Frames with most missed, most false alarms, and of the middle, (H, W, 3) uint8 BGR."""
    condition = most_judged(one.judged)
    scenes = scenes_of(one.judged, condition)
    told = [told_of(scene, one.judged.labels, thresholds) for scene in scenes]
    errors = np.array([len(frame.missed) + frame.false for frame in told])
    by_errors = np.argsort(errors, kind="stable")
    middle = max(len(told) // 2 - _EACH // 2, 0)
    orders = (
        sorted(range(len(told)), key=lambda i: -len(told[i].missed))[:_EACH],
        sorted(range(len(told)), key=lambda i: -told[i].false)[:_EACH],
        by_errors[middle : middle + _EACH].tolist(),
    )
    chosen = list(dict.fromkeys(int(i) for order in orders for i in order))
    tiles = [_picture(one, one.judged.samples[i], scenes[i], told[i]) for i in chosen]
    return rows_of(tiles, 2)


def told_of(scene: Scene, labels: Sequence[str], thresholds: npt.NDArray[np.float64]) -> Told:
    """Which boxes of a frame the model tells of, which of these are right, and which true ones it misses.

    Args:
        scene: the frame.
        labels: C of them.
        thresholds: (C,), probability from which a box is told.
    """
    rows = np.flatnonzero(scene.found[:, 1] >= thresholds[scene.found[:, 0].astype(int)])
    matches = match([Scene(scene.size, scene.boxes, scene.ignored, scene.complete, scene.found[rows])], labels)
    hit = np.zeros(len(rows), bool)
    missed = []
    for k, label in enumerate(labels):
        mine = np.flatnonzero(scene.found[rows, 0] == k)
        surest_first = mine[np.argsort(-scene.found[rows][mine, 1], kind="stable")]
        found = matches[label]["all"]
        hit[surest_first] = ~found.alarm[0]
        true = [(box.x0, box.y0, box.x1, box.y1) for box in scene.boxes if box.label == label]
        boxes = scene.found[rows][surest_first[found.hit[0]], 2:]
        missed += [(label, box) for box in true if not any(_overlap(box, other) >= 0.5 for other in boxes)]
    return Told(rows, hit, missed)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (max(min(a[k + 2], b[k + 2]) - max(a[k], b[k]), 0.0) for k in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return float(width * height / (areas - width * height)) if width * height else 0.0


def _picture(one: JudgedSet, sample: Sample, scene: Scene, told: Told) -> Image:
    pair = dict(zip(("visible", "thermal"), one.chosen.open().read(sample), strict=True))
    shown = [image for camera, image in pair.items() if sample.camera in ("both", camera)]
    width = _TILE // len(shown)
    tiles = [_drawn(image, width, scene, told, one.judged.labels) for image in shown]
    line = f"{len(told.missed)} missed, {told.false} false alarms, {int(told.hit.sum())} others found"
    return captioned(np.hstack(tiles), [sample.name[-60:], line])


def _drawn(image: Image, width: int, scene: Scene, told: Told, labels: Sequence[str]) -> Image:
    scale = max(width / image.shape[1], 1.0)  # small images are enlarged first, so that lines stay thin
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    canvas = cv2.resize(grey8(image), size, interpolation=cv2.INTER_LINEAR)
    for box in scene.ignored:
        _box(canvas, (box.x0, box.y0, box.x1, box.y1), scale, _GREY, "")
    for label, corners in told.missed:
        _box(canvas, corners, scale, _RED, label)
    for index, right in zip(told.rows, told.hit, strict=True):
        row = scene.found[index]
        _box(canvas, row[2:], scale, _GREEN if right else _ORANGE, f"{labels[int(row[0])]} {row[1]:.0%}")
    return tile(canvas, width)


def _box(canvas: Image, corners: Sequence[float], scale: float, colour: tuple[int, int, int], text: str) -> None:
    x0, y0, x1, y1 = (round(float(edge) * scale) for edge in corners)
    cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, 2)
    cv2.putText(canvas, text, (x0, max(y0 - 4, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
