"""``vi-fusion rig``: what a rig file says."""

from __future__ import annotations

import argparse
from pathlib import Path

_DISTANCES_M = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser("rig", help="show what a rig file says")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    show = kinds.add_parser("show", help="homography, its uncertainty, and its parallax error at other distances")
    show.add_argument("file", type=Path, metavar="FILE", help="rig file")


def run(args: argparse.Namespace) -> int:
    """Print the rig."""
    import cv2
    import numpy as np

    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.planar import corner_error

    rig = Rig.load(args.file)
    print(f"{rig.source}: thermal {rig.thermal_size}, visible {rig.visible_size} (width, height)")
    print("H_thermal_to_visible:")
    for row in rig.H_thermal_to_visible:
        print("  " + "  ".join(f"{value:12.6g}" for value in row))
    spread = "unknown" if rig.uncertainty_px is None else f"{rig.uncertainty_px:.2f} px at the corners"
    sure = "" if rig.time_offset_uncertainty_ms is None else f" ± {rig.time_offset_uncertainty_ms:g}"
    print(f"uncertainty: {spread}; time offset: {rig.time_offset_ms:g}{sure} ms")
    for camera, lens in (("thermal", rig.thermal_camera), ("visible", rig.visible_camera)):
        if lens is not None:
            fx, fy, distortion = lens.matrix[0, 0], lens.matrix[1, 1], ", ".join(f"{k:.4g}" for k in lens.distortion)
            print(f"{camera} lens: focal lengths {fx:.1f}, {fy:.1f} px; distortion {distortion}")
    if rig.extrinsics is not None:
        shift, turn = rig.extrinsics.translation_m, cv2.Rodrigues(rig.extrinsics.rotation)[0]
        apart, degrees = np.linalg.norm(shift), np.degrees(np.linalg.norm(turn))
        print(f"cameras {apart:.3f} m apart, turned by {degrees:.2f} degrees")
    made = {key: f"{len(value)} images or points" if key == "inputs" else value for key, value in rig.made.items()}
    for title, section in {"radiometry": rig.radiometry, "made": made}.items():
        if section:
            print(f"{title}: {', '.join(f'{key} {value}' for key, value in section.items())}")
    if rig.notes:
        print(f"notes: {rig.notes}")
    if rig.extrinsics is None or rig.plane_distance_m is None or rig.thermal_size is None:
        print("parallax: unknown, for the rig has no extrinsics and plane distance")
        return 0
    stated = rig.homography_at(rig.plane_distance_m)
    print(f"plane at {rig.plane_distance_m:g} m; parallax error at other distances, mean of the corners:")
    for distance in _DISTANCES_M:
        print(f"  {distance:5g} m: {corner_error(rig.homography_at(distance), stated, rig.thermal_size):7.2f} px")
    return 0
