"""``vi-fusion calibrate points``: a rig from points that a person clicks in a page, or gives in a file."""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.cli.calibrate.inputs import Moment, add_inputs, moments
from vi_fusion_ros.cli.calibrate.outputs import add_outputs, require_usable, save_rig, write_figures, write_pictures
from vi_fusion_ros.cli.sizes import size

if TYPE_CHECKING:
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.estimate.acceptance import RigEvidence
    from vi_fusion_ros.registration.estimate.points import PointCalibration
    from vi_fusion_ros.registration.rig import Size

_PAIRS = 8
_EVERY_S = 2.0


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = kinds.add_parser(
        "points",
        help="from points that belong together, clicked in a local web page or given in a file",
        description="Without JSON, prints the address of a page on this machine, where points are clicked.",
    )
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="JSON", help='{"thermal": [[x, y], …], "visible": [[x, y], …]}'
    )
    add_inputs(parser, "image, folder or video", f"{_PAIRS} pairs, one every {_EVERY_S:g} s")
    parser.add_argument("--thermal-size", type=size, metavar="WxH", help="of the thermal image, with JSON, pixels")
    parser.add_argument("--visible-size", type=size, metavar="WxH", help="of the visible image, with JSON, pixels")
    parser.add_argument("--lenses", type=Path, metavar="RIG", help="rig file whose lenses are taken over")
    parser.add_argument("--port", type=int, default=0, help="of the page (default: a free one)")
    add_outputs(parser)
    parser.set_defaults(calibrate=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write the rig."""
    from vi_fusion_ros.registration import Rig

    require_usable(args.out)
    lenses = Rig.load(args.lenses) if args.lenses else Rig.identity()
    if args.file is None:
        return _by_clicks(args, lenses)
    from vi_fusion_ros.registration.estimate.points import calibrate, read_points

    if args.thermal_size is None or args.visible_size is None:
        raise ValueError("--thermal-size and --visible-size are needed with a file of points")
    points = read_points(args.file)
    sizes = (args.thermal_size, args.visible_size)
    _require_fitting(lenses, sizes)
    found = calibrate(points[0], points[1], sizes[0], sizes[1], lenses)
    print(_finish(args, found, _evidence(found, points, sizes), []))
    return 0


def _by_clicks(args: argparse.Namespace, lenses: Rig) -> int:
    from vi_fusion_ros.cli.calibrate.point_server import PointServer
    from vi_fusion_ros.registration.estimate.points import calibrate, points_of

    chosen = list(moments(args, _PAIRS, _EVERY_S))
    all_sizes = {tuple((image.shape[1], image.shape[0]) for image in (m.thermal, m.visible)) for m in chosen}
    if len(all_sizes) != 1:
        raise ValueError(f"the pairs have {len(all_sizes)} different sizes; expected those of one rig")
    sizes: Any = next(iter(all_sizes))
    _require_fitting(lenses, sizes)
    said = []

    def solve(request: dict[str, Any]) -> dict[str, Any]:
        points = points_of(request)
        found = calibrate(points[0], points[1], sizes[0], sizes[1], lenses)
        evidence = _evidence(found, points, sizes)
        return _shown(found, evidence, chosen[int(request.get("pair", 0)) % len(chosen)])

    def save(request: dict[str, Any]) -> dict[str, Any]:
        points = points_of(request)
        found = calibrate(points[0], points[1], sizes[0], sizes[1], lenses)
        said.append(_finish(args, found, _evidence(found, points, sizes), chosen))
        return {"message": said[-1]}

    server = PointServer(chosen, args.port, solve, save)
    print(f"click points at {server.url} (Ctrl-C ends without a rig)", file=sys.stderr, flush=True)
    server.serve()
    print(said[-1])
    return 0


def _require_fitting(lenses: Rig, sizes: tuple[Size, Size]) -> None:
    lenses.homography(*sizes)  # raises where the aspect is another one
    if lenses.thermal_size is not None and (lenses.thermal_size, lenses.visible_size) != sizes:
        raise ValueError(f"the lenses of {lenses.source} are for images of other sizes; expected the same sizes")


def _evidence(found: PointCalibration, points: Any, sizes: tuple[Size, Size]) -> RigEvidence:
    from vi_fusion_ros.registration.estimate.acceptance import RigEvidence
    from vi_fusion_ros.registration.estimate.points import points_off, start_rig

    keep = found.inlier
    thermal, visible = (each[keep] for each in points)
    return RigEvidence(
        "px",
        tuple(key for key, kept in zip(found.keys, keep, strict=True) if kept),
        points_off(start_rig(*sizes), thermal, visible),
        found.held_back_px[keep],
        found.off_px[keep],
        lambda rig: points_off(rig, thermal, visible),
    )


def _shown(found: PointCalibration, evidence: RigEvidence, moment: Moment) -> dict[str, Any]:
    """What the page shows of a solution."""
    import cv2

    from vi_fusion_ros.registration.estimate.pictures import before_and_after
    from vi_fusion_ros.registration.estimate.points import start_rig

    assert found.rig.thermal_size is not None
    assert found.rig.visible_size is not None
    start = start_rig(found.rig.thermal_size, found.rig.visible_size)
    picture = before_and_after(moment.visible, moment.thermal, start, found.rig, f"{evidence.held_back.mean():.1f} px")
    _, data = cv2.imencode(".jpg", picture)
    good, message = True, _sentence(found)
    try:
        evidence.require_better_than_start()
    except ValueError as error:
        good, message = False, str(error)
    return {
        "good": good,
        "message": message,
        "off_px": found.off_px.tolist(),
        "inlier": found.inlier.tolist(),
        "picture": base64.b64encode(data.tobytes()).decode("ascii"),
    }


def _sentence(found: PointCalibration) -> str:
    keep = found.inlier
    return (
        f"{found.model} from {len(keep)} points, {int((~keep).sum())} left out, {found.rig.uncertainty_px:.2f} px rms, "
        f"{float((found.held_back_px[keep] ** 2).mean() ** 0.5):.2f} px on points held back"
    )


def _finish(args: argparse.Namespace, found: PointCalibration, evidence: RigEvidence, chosen: Sequence[Moment]) -> str:
    about = {"method": "points", "points": len(found.inlier), "left_out": int((~found.inlier).sum())}
    rig = save_rig(args.out, found.rig, evidence, {**about, "model": found.model})
    write_pictures(args.pictures if chosen else None, chosen, rig, f"{evidence.held_back.mean():.1f} px")
    write_figures(args.json, {
        **rig.made,
        "H_thermal_to_visible": rig.H_thermal_to_visible.tolist(),
        "residuals_px": found.off_px.tolist(),
        "held_back_px": found.held_back_px.tolist(),
        "took_part": found.inlier.tolist(),
    })  # fmt: skip
    return f"{args.out}: {_sentence(found)}."
