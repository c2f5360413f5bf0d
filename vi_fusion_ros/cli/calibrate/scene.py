"""``vi-fusion calibrate scene``: a rig from ordinary images, without a target."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from vi_fusion_ros.cli.calibrate.inputs import add_inputs, moments
from vi_fusion_ros.cli.calibrate.lenses import add_lenses, known_lenses
from vi_fusion_ros.cli.calibrate.outputs import add_outputs, require_usable, save_rig, write_figures, write_pictures

_PAIRS, _LIVE_PAIRS = 40, 20
_EVERY_S = 2.0


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = kinds.add_parser("scene", help="from ordinary images of both cameras, without a target")
    add_inputs(
        parser, "image, folder or video", f"a pair every {_EVERY_S:g} s, {_LIVE_PAIRS} of them; keep the cameras moving"
    )
    add_lenses(parser)
    add_outputs(parser)
    parser.set_defaults(calibrate=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write the rig."""
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.estimate.acceptance import RigEvidence, key_of
    from vi_fusion_ros.registration.estimate.matching import ImagePair
    from vi_fusion_ros.registration.estimate.scene import calibrate, rig_similarity

    require_usable(args.out)
    chosen = list(moments(args, _LIVE_PAIRS if args.live else _PAIRS, _EVERY_S))
    if sys.stderr.isatty():
        print(f"calibrating from {len(chosen)} pairs, about a second each", file=sys.stderr)
    pairs = [ImagePair.of(moment.visible, moment.thermal, moment.name) for moment in chosen]
    if not pairs:
        raise ValueError("there is no pair to calibrate from; expected at least one")
    lenses = known_lenses(args, pairs[0].thermal_size, pairs[0].visible_size)
    found = calibrate(pairs, lenses)
    evidence = RigEvidence(
        "similarity",
        tuple(key_of(moment.visible, moment.thermal) for moment in chosen),
        found.start,
        found.held_back,
        found.fitted,
        lambda rig: rig_similarity(pairs, rig),
    )
    rig = Rig(
        found.H_thermal_to_visible,
        found.thermal_size,
        found.visible_size,
        thermal_camera=lenses[0],
        visible_camera=lenses[1],
        uncertainty_px=found.uncertainty_px,
    )
    about = {"method": "scene", "pairs": len(pairs), "model": found.model}
    rig = save_rig(args.out, rig, evidence, about)
    residual = "" if found.residual_px is None else f"{found.residual_px:.1f} px"
    write_pictures(args.pictures, chosen, rig, residual)
    write_figures(args.json, {
        **rig.made,
        "similarity": found.similarity,
        "similarity_at_start": found.similarity_at_start,
        "residual_px": found.residual_px,
        "uncertainty_px": found.uncertainty_px,
        "searched": found.searched,
        "H_thermal_to_visible": found.H_thermal_to_visible.tolist(),
        "pairs": [dataclasses.asdict(pair) for pair in found.pairs],
    })  # fmt: skip
    print(f"searched: {found.searched}")
    print(
        f"{args.out}: {found.model} from {len(pairs)} pairs, similarity {found.similarity_at_start:.3f} -> "
        f"{found.similarity:.3f}, residual {residual} (thermal), uncertainty {found.uncertainty_px:.2f} px (corners)"
    )
    return 0
