"""``vi-fusion benchmark calibration``: how far ``calibrate scene`` is off on real pairs whose registration is given."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAMERAS = ("visible", "thermal")
COMMAND = "vi-fusion benchmark calibration --json FILE"
_ROWS = ("pairs", "stands", "different")  # many; not printed


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("calibration", help="how far calibrate scene is off, on RoadScene and M3SVD")
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="folder with roadscene_dev.zip, m3svd_stills.zip and m3svd/ (default: $VI_FUSION_DATA)",
    )  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth pair of RoadScene alone")
    parser.add_argument("--groups", type=int, default=3, metavar="N", help="groups of 20 pairs together (default 3)")
    parser.add_argument(
        "--drawn", type=int, default=40, metavar="N", help="rigs that stand anyhow, drawn at random (default 40)"
    )
    parser.add_argument("--different", type=int, default=50, metavar="N", help="pairs of different scenes (default 50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write DIR/index.html, which shows the distribution")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    from vi_fusion_ros.evaluation.output import json_text, write_json

    if args.every < 1 or min(args.groups, args.drawn, args.different) < 0:
        raise ValueError("expected --every of 1 or more and --groups, --drawn and --different of 0 or more")
    data = args.data or os.environ.get("VI_FUSION_DATA")
    if not data:
        raise ValueError("where are the images? expected --data DIR, or VI_FUSION_DATA, with roadscene_dev.zip in it")
    result: dict[str, Any] = {}
    for part in measure(Path(data), args.every, args.groups, args.drawn, args.different):
        result.update(part)
        if args.json:
            write_json(args.json, result)  # as far as it is
    print(json_text({key: value for key, value in result.items() if key not in _ROWS}, indent=1))
    if args.report:
        print(write_report(args.report, result))
    return 0


def measure(data: Path, every: int, groups: int, drawn: int, different: int) -> Iterator[dict[str, Any]]:
    """Calibrate from single pairs, groups, cameras that stand anyhow and different scenes; find time offsets.

    Args:
        data: folder with the archives.
        every: take only each such pair one by one.
        groups: at most so many groups of each set.
        drawn: so many rigs drawn at random, besides the fixed cases.
        different: so many pairs, or groups, of different scenes.

    Yields:
        Part after part of the result.
    """
    from tqdm import tqdm

    from vi_fusion_ros.benchmarks import calibration, poses
    from vi_fusion_ros.benchmarks.machine import machine

    yield {"command": COMMAND, "machine": machine()}
    rows, late, crops = [], [], []
    for number, frame in enumerate(tqdm(calibration.roadscene(data / "roadscene_dev.zip"), unit="pair", disable=None)):
        if number % every == 0:
            rows.append(calibration.alone(frame))
            late += rows[-1:] if number >= calibration.CHOSEN_ON else []
        crop = calibration.middle(frame)
        if crop is not None:
            crops.append(crop)
    yield {"roadscene_alone": calibration.summary(rows), "pairs": rows}
    if late:
        yield {"roadscene_alone_test_frames": calibration.summary(late)}
    stills = calibration.m3svd_stills(data / "m3svd_stills.zip")
    mixed = [poses.refusal(pairs) for pairs in tqdm(poses.mixed_up(different, stills), unit="pair", disable=None)]
    yield {"different": mixed}
    for name, pairs in (("roadscene_together", crops), ("m3svd_together", stills)):
        yield {name: [calibration.together(group) for group in calibration.disjoint(pairs)[:groups]]}
    yield {
        "preferred_scale": {
            "roadscene": calibration.preferred_scale(crops),
            "m3svd": calibration.preferred_scale(stills[:: max(1, len(stills) // 40)]),
        },
        "time_offset": {
            clip: calibration.shifted_videos(*(data / "m3svd" / f"{clip}_{camera}.mp4" for camera in CAMERAS))
            for clip in calibration.CLIPS
        },
    }
    stands = [
        poses.stood(stand, stills[number % 5 :: len(stills) // poses.RIG_PAIRS][: poses.RIG_PAIRS])
        for number, stand in enumerate(tqdm([*poses.CASES, *poses.drawn(drawn)], unit="rig", disable=None))
    ]
    yield {"any_stand": poses.summary(stands, mixed), "stands": stands}


def write_report(folder: Path, result: dict[str, Any]) -> Path:
    """A page with the distribution over the pairs and a table of the groups."""
    from vi_fusion_ros.evaluation.reports.html_report import Page, Table

    page = Page("Calibration from scenes", COMMAND)
    alone = result["roadscene_alone"]
    page.heading("RoadScene, pair by pair")
    page.text(
        f"{alone['pairs']} pairs, visible_full against thermal_raw, each calibrated alone from plain rescaling to "
        f"equal width. Mean distance of the corners from the given registration, pixels of 640: median "
        f"{alone['median_start_px']:.1f} at the start, {alone['median_end_px']:.1f} after. {alone['refused']} pairs "
        f"were refused and count with their start; {alone['worse_than_start']} ended worse than they began."
    )
    page.figure(_distribution(result["pairs"]), "Share of the pairs that are off by at most so much")
    page.heading("Twenty pairs through one known rig together")
    table = Table(["pairs of", "off", "as given", "relative", "stated uncertainty", "model"])
    for name in ("roadscene_together", "m3svd_together"):
        for row in result[name]:
            figures = (row[key] for key in ("off_px", "as_given_px", "relative_px", "uncertainty_px"))
            table.row([name.split("_")[0], *(f"{figure:.2f} px" for figure in figures), row["model"]])
    page.table(table)
    page.text(
        "off: from the known rig. as given: what the pairs' own registration and the method disagree about without any "
        "rig. relative: from the known rig when that disagreement is taken off."
    )
    anyhow = result["any_stand"]
    page.heading("Cameras that stand anyhow")
    page.text(
        f"{anyhow['rigs']} rigs, turned, mirrored, zoomed and shifted: {anyhow['within_1_px']} right to 1 px of the "
        f"coarser image, {anyhow['refused']} refused. Of {anyhow['different']} pairs of different scenes "
        f"{anyhow['different_accepted']} were accepted."
    )
    scales = result["preferred_scale"]
    page.text(
        "At which scale other measures like the registered thermal images best, 1 being the given one: "
        + "; ".join(
            f"{name}: mutual information {row['mutual_information']:.4f}, gradients {row['gradients']:.4f}"
            for name, row in scales.items()
        )
    )
    page.heading("Time offsets of videos")
    page.text("Delayed by -120 to 120 ms; frames match by number, so within half a frame the truth is not known.")
    times = Table(["clip", "as given", "stated uncertainty", "worst error over the delays"])
    for clip, row in result["time_offset"].items():
        keys = ("as_given_ms", "uncertainty_ms", "worst_error_ms")
        times.row([clip, *(row.get("refused", f"{row.get(key, 0):.1f} ms") for key in keys)])
    page.table(times)
    return page.write(folder)


def _distribution(rows: list[dict[str, Any]]) -> Figure:
    import numpy as np

    from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure

    figure = new_figure(8, 4)
    axes = figure.add_subplot()
    share = (np.arange(len(rows)) + 1) / len(rows)
    for key, colour, label in (("start_px", COLOURS[5], "start"), ("end_px", COLOURS[0], "calibrated")):
        axes.step(np.sort([row[key] for row in rows]), share, where="post", color=colour, label=label)
    axes.axvline(4, color=COLOURS[1], linewidth=1, linestyle="--", label="4 px")
    axes.set(xscale="log", xlabel="corner error, pixels of 640", ylabel="share of the pairs", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
