"""``vi-fusion calibrate target``: both lenses and how the cameras lie, from a board that both see."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vi_fusion_ros.cli.calibrate.inputs import Moment, add_inputs, moments
from vi_fusion_ros.cli.calibrate.lenses import add_lenses, known_lenses
from vi_fusion_ros.cli.calibrate.outputs import add_outputs, require_usable, save_rig, write_figures, write_pictures
from vi_fusion_ros.cli.sizes import size

if TYPE_CHECKING:
    from vi_fusion_ros.registration.estimate.boards import Board
    from vi_fusion_ros.registration.estimate.coverage import Coverage
    from vi_fusion_ros.registration.estimate.scene import Lenses
    from vi_fusion_ros.registration.estimate.target import TargetCalibration, View
    from vi_fusion_ros.registration.rig import Size

_VIEWS = 60
_EVERY_S = 1.0
_PICTURED = 6


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = kinds.add_parser(
        "target",
        help="from views of a calibration board, heated or emissive, that both cameras see",
        description="Lenses, extrinsics and the map of a plane, from 15 or more views of a board, tilted, at several "
        "distances and all over both images.",
    )
    add_inputs(
        parser,
        "folder or video",
        f"a view every {_EVERY_S:g} s, {_VIEWS} of them or until Ctrl-C; move and tilt the board",
    )
    parser.add_argument("--board", choices=("checkerboard", "circles", "charuco"), required=True, help="kind of board")
    parser.add_argument(
        "--grid",
        type=size,
        required=True,
        metavar="CxR",
        help="columns x rows: inner corners of a checkerboard, circles, squares of a ChArUco board",
    )
    parser.add_argument(
        "--square",
        type=float,
        required=True,
        metavar="M",
        help="side of a square, metres; of circles half the distance of neighbours within a row",
    )
    parser.add_argument("--marker", type=float, default=0.0, metavar="M", help="side of a ChArUco marker, metres")
    parser.add_argument("--dictionary", default="DICT_4X4_50", metavar="NAME", help="of ChArUco (default DICT_4X4_50)")
    parser.add_argument(
        "--plane-distance", type=float, default=10.0, metavar="M", help="of what the cameras shall fit at (default 10)"
    )
    add_lenses(parser)
    add_outputs(parser)
    parser.set_defaults(calibrate=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write the rig."""
    from vi_fusion_ros.registration.estimate.acceptance import RigEvidence
    from vi_fusion_ros.registration.estimate.boards import Board
    from vi_fusion_ros.registration.estimate.points import start_rig
    from vi_fusion_ros.registration.estimate.target import calibrate, look, transfer_px

    require_usable(args.out)
    board = Board(args.board, args.grid[0], args.grid[1], args.square, args.marker, args.dictionary)
    seen = _Seen(lambda sizes: known_lenses(args, *sizes))
    looked_at = watched(look(board, seen.passing(moments(args, _VIEWS, _EVERY_S))), board, seen, args.live)
    views = gathered(looked_at) if args.live else list(looked_at)
    if not views:
        raise ValueError("there is no view to calibrate from; expected images of both cameras")
    if len(seen.sizes) > 1:
        raise ValueError(f"the views have {len(seen.sizes)} different sizes; expected those of one rig")
    sizes = next(iter(seen.sizes))
    found = calibrate(views, board, *sizes, args.plane_distance, seen.lenses)
    evidence = RigEvidence(
        "px",
        tuple(seen.keys[view.name] for view in found.used),
        transfer_px(start_rig(*sizes), board, found.used),
        found.held_back_px,
        found.fitted_px,
        lambda rig: transfer_px(rig, board, found.used),
    )
    about = {"method": "target", "board": f"{args.board} {board.columns}x{board.rows}", "views": len(found.used)}
    rig = save_rig(args.out, found.rig, evidence, about)
    write_pictures(args.pictures, seen.pictured, rig, f"{found.held_back_px.mean():.2f} px")
    write_figures(args.json, {
        **rig.made,
        "uncertainty_px": rig.uncertainty_px,
        "plane_distance_m": rig.plane_distance_m,
        "H_thermal_to_visible": rig.H_thermal_to_visible.tolist(),
        "views": [dataclasses.asdict(view) for view in found.views],
    })  # fmt: skip
    _tell(args.out, found)
    return 0


def watched(views: Iterable[View], board: Board, seen: _Seen, live: bool) -> Iterator[View]:
    """The views as they come. Of live ones it says what is seen and what to show next, of others what was missing."""
    from vi_fusion_ros.registration.estimate.coverage import Coverage

    coverage = None
    for view in views:
        if coverage is None:
            coverage = Coverage(board, next(iter(seen.sizes)))
        if view.thermal is not None and view.visible is not None:
            coverage.add(view.thermal, view.visible)
        if live:
            found = view.fault or "both cameras see the board"
            print(f"  {found}; {coverage.views} views so far{_still(coverage)}", flush=True)
        yield view
    if coverage is not None and not live and coverage.missing:
        print(f"{coverage.views} views show the board to both cameras{_still(coverage)}")


def gathered(views: Iterable[View]) -> list[View]:
    """Live views until they end, or Ctrl-C or a fault ends them once there are enough to calibrate from."""
    from vi_fusion_ros.registration.estimate.target import LEAST_VIEWS

    found: list[View] = []
    try:
        found.extend(views)  # one by one: what came before an exception stays
    except (KeyboardInterrupt, ValueError) as end:
        if sum(view.thermal is not None and view.visible is not None for view in found) < LEAST_VIEWS:
            raise
        reason = str(end) or "interrupted"
        print(f"{reason}; calibrating from the {len(found)} views so far", file=sys.stderr, flush=True)
    return found


def _still(coverage: Coverage) -> str:
    return f"; still to show: {coverage.missing}" if coverage.missing else "; it was shown all over, Ctrl-C calibrates"


class _Seen:
    """What is kept of the images: names to keys, sizes, and some to be drawn.

    Args:
        lenses_of: finds the known lenses for images of the sizes, thermal and visible; asked at the first of them, for
            looking for boards takes minutes.
    """

    def __init__(self, lenses_of: Callable[[tuple[Size, Size]], Lenses]) -> None:
        self._lenses_of = lenses_of
        self.lenses: Lenses = (None, None)
        self.keys: dict[str, str] = {}
        self.sizes: set[tuple[Size, Size]] = set()
        self.pictured: list[Moment] = []

    def passing(self, given: Iterable[Moment]) -> Iterator[Moment]:
        """The moments, as they come."""
        from vi_fusion_ros.registration.estimate.acceptance import key_of

        for moment in given:
            self.keys[moment.name] = key_of(moment.visible, moment.thermal)
            thermal, visible = ((image.shape[1], image.shape[0]) for image in (moment.thermal, moment.visible))
            if not self.sizes:
                self.lenses = self._lenses_of((thermal, visible))
            self.sizes.add((thermal, visible))
            if len(self.pictured) < _PICTURED:
                self.pictured.append(moment)
            yield moment


def _tell(path: Path, found: TargetCalibration) -> None:
    print(f"{'view':<16}{'thermal px':>12}{'visible px':>12}{'transfer px':>12}")
    for view in found.views:
        figures = (view.thermal_px, view.visible_px, view.transfer_px)
        cells = "".join(f"{'-' if figure is None else f'{figure:.3f}':>12}" for figure in figures)
        print(f"{view.name:<16}{cells}{f'  rejected: {view.rejected}' if view.rejected else ''}")
    shift = found.rig.extrinsics.translation_m if found.rig.extrinsics else ()
    print(
        f"{path}: {len(found.used)} of {len(found.views)} views, transfer error {found.held_back_px.mean():.2f} px on "
        f"views held back, cameras {sum(part**2 for part in shift) ** 0.5:.3f} m apart, plane at "
        f"{found.rig.plane_distance_m:g} m, uncertainty {found.rig.uncertainty_px:.2f} px (corners)"
    )
