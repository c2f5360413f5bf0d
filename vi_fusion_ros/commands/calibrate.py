"""``vi-fusion calibrate``: find how two cameras lie to each other, and write the rig file."""

from __future__ import annotations

import argparse
import dataclasses
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.commands.sizes import size

if TYPE_CHECKING:
    from vi_fusion_ros.registration.matching import Pair

_PAIRS = 40


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser("calibrate", help="find how two cameras lie to each other, and write the rig file")
    kinds = parser.add_subparsers(required=True, metavar="HOW")
    scene = kinds.add_parser("scene", help="from ordinary images of both cameras, without a target")
    _add_inputs(scene)
    scene.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of before and after")
    scene.set_defaults(calibrate=_scene)
    timing = kinds.add_parser("time", help="the constant delay between two videos of one rate, from motion")
    timing.add_argument("--visible", type=Path, required=True, metavar="VIDEO", help="of the visible camera")
    timing.add_argument("--thermal", type=Path, required=True, metavar="VIDEO", help="of the thermal camera")
    timing.add_argument("--rig", type=Path, metavar="FILE", help="rig file to write the offset into")
    timing.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    timing.set_defaults(calibrate=_time)
    points = kinds.add_parser("points", help="from points that belong together, in a JSON file")
    points.add_argument("file", type=Path, metavar="JSON", help='{"thermal": [[x, y], …], "visible": [[x, y], …]}')
    points.add_argument("--thermal-size", type=size, required=True, metavar="WxH", help="of the thermal image, pixels")
    points.add_argument("--visible-size", type=size, required=True, metavar="WxH", help="of the visible image, pixels")
    _add_out(points)
    points.set_defaults(calibrate=_points)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write the rig."""
    return int(args.calibrate(args))


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--visible", type=Path, required=True, metavar="PATH", help="image, folder or video")
    parser.add_argument("--thermal", type=Path, required=True, metavar="PATH", help="the same of the thermal camera")
    _add_out(parser)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="rig file to write")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")


def _scene(args: argparse.Namespace) -> int:
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.scene import calibrate

    pairs = _pairs(args.visible, args.thermal)
    found = calibrate(pairs)
    _refuse_worse(args.out, pairs, found.similarity)
    made = {
        "method": "scene",
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "pairs": len(pairs),
        "model": found.model,
        "similarity": round(found.similarity, 4),
        "similarity_at_start": round(found.similarity_at_start, 4),
    }
    rig = Rig(found.H_thermal_to_visible, found.thermal_size, found.visible_size, str(args.out), made=made,
              uncertainty_px=found.uncertainty_px)  # fmt: skip
    if args.pictures:
        _pictures(args.pictures, pairs, found.H_thermal_to_visible)
    rig.save(args.out)
    _write_json(args.json, {**made, "H_thermal_to_visible": found.H_thermal_to_visible.tolist(),
                            "uncertainty_px": found.uncertainty_px,
                            "pairs": [dataclasses.asdict(pair) for pair in found.pairs]})  # fmt: skip
    print(
        f"{args.out}: {found.model} from {len(pairs)} pairs, similarity {found.similarity_at_start:.3f} -> "
        f"{found.similarity:.3f}, uncertainty {found.uncertainty_px:.2f} px"
    )
    return 0


def _points(args: argparse.Namespace) -> int:
    from vi_fusion_ros.registration.points import read_points, rig_from_points

    rig, off = rig_from_points(*read_points(args.file), args.thermal_size, args.visible_size)
    if args.out.exists():
        raise ValueError(f"{args.out} exists, and points alone cannot tell which is better; name another file")
    rig.save(args.out)
    _write_json(args.json, {**rig.made, "residuals_px": off.tolist()})
    print(f"{args.out}: {len(off)} points, {rig.made['left_out']} left out, {rig.uncertainty_px:.2f} px rms")
    return 0


def _time(args: argparse.Namespace) -> int:
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.timing import motion_energy, time_offset
    from vi_fusion_ros.sources.clip import Video

    rig = Rig.load(args.rig) if args.rig else None
    visible, thermal = Video(args.visible), Video(args.thermal)
    if abs(visible.rate_hz / thermal.rate_hz - 1) > 1e-3:
        raise ValueError(f"the videos run at {visible.rate_hz:g} and {thermal.rate_hz:g} Hz; expected one rate")
    found = time_offset(motion_energy(visible), motion_energy(thermal), visible.rate_hz)
    if rig is not None:
        dataclasses.replace(rig, time_offset_ms=round(found.offset_ms, 2)).save(args.rig)
    _write_json(args.json, dataclasses.asdict(found))
    print(
        f"add {found.offset_ms:.1f} ms to thermal stamps (± {found.uncertainty_ms:.1f} ms, correlation "
        f"{found.correlation:.2f})"
    )
    return 0


def _pairs(visible: Path, thermal: Path) -> list[Pair]:
    """At most 40 pairs, spread evenly."""
    from vi_fusion_ros.commands.fuse_inputs import open_pairs
    from vi_fusion_ros.registration.matching import Pair

    source = open_pairs(visible, thermal)
    every = max(1, source.total // _PAIRS)
    pairs: list[Pair] = []
    for number, item in enumerate(source):
        if number % every or len(pairs) == _PAIRS:
            continue
        pair = item.load()
        if pair.visible is not None and pair.thermal is not None:
            pairs.append(Pair.of(pair.visible.image, pair.thermal.image, item.name))
    return pairs


def _refuse_worse(path: Path, pairs: list[Pair], new: float) -> None:
    import numpy as np

    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.matching import similarity
    from vi_fusion_ros.registration.planar import inverse

    if not path.exists():
        return
    homography = Rig.load(path).homography(pairs[0].thermal_size, pairs[0].visible_size)
    old = float(np.mean([similarity(pair, inverse(homography)) for pair in pairs]))
    if old >= new:
        raise ValueError(
            f"{path} stays: it fits these pairs better (similarity {old:.3f}) than the new rig ({new:.3f})"
        )


def _pictures(folder: Path, pairs: list[Pair], homography: Any) -> None:
    import cv2

    from vi_fusion_ros.registration.pictures import before_and_after
    from vi_fusion_ros.registration.planar import equal_width

    folder.mkdir(parents=True, exist_ok=True)
    for pair in pairs[:: max(1, len(pairs) // 5)]:
        start = equal_width(pair.visible_size, pair.thermal_size)
        cv2.imwrite(str(folder / f"{pair.name}.jpg"), before_and_after(pair, start, homography))


def _write_json(path: Path | None, figures: dict[str, Any]) -> None:
    if path:
        from vi_fusion_ros.evaluation.output import write_json

        write_json(path, figures)
