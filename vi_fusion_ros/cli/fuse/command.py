"""``vi-fusion fuse``: the node's pipeline on files."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.cli.pipeline_options import add_parameters

if TYPE_CHECKING:
    from vi_fusion_ros.cli.fuse.inputs import PairSource
    from vi_fusion_ros.cli.fuse.outputs import Output
    from vi_fusion_ros.engines.engine import Engine
    from vi_fusion_ros.pipeline import FusionPipeline
    from vi_fusion_ros.types import FusionResult

_NOTHING_FUSED = 2
_SAID_AT_MOST = 10  # problems on the terminal; the JSON has them all

Problems = list[dict[str, str]]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "fuse",
        help="fuse images, folders or videos",
        description="Fuse and classify two images, two folders (paired by file stem) or two videos. Beside the fused "
        "images come the same with labels and boxes on them: overlay/ or overlay.mp4.",
    )
    parser.add_argument("--visible", type=Path, required=True, metavar="PATH", help="image, folder or video")
    parser.add_argument("--thermal", type=Path, required=True, metavar="PATH", help="the same of the thermal camera")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--gray", action="store_true", help="write 8-bit luma PNGs and nothing else; of a video, one a frame"
    )
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file (default: the images are registered)")
    add_parameters(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--model", type=Path, metavar="ONNX", help="model (default: the one of the package)")
    how.add_argument("--method", metavar="NAME", help="a method of the literature, without labels (vi-fusion methods)")
    parser.add_argument("--weights", type=Path, metavar="ONNX", help="weights of the method (vi-fusion export)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads of the model (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores of each frame and totals to FILE")


def run(args: argparse.Namespace) -> int:
    """Fuse everything; what cannot be used is named, counted and left out."""
    from vi_fusion_ros.cli.fuse.inputs import open_pairs
    from vi_fusion_ros.cli.fuse.outputs import open_output, write_json
    from vi_fusion_ros.cli.pipeline_options import make_pipeline
    from vi_fusion_ros.engines.load import load_engine
    from vi_fusion_ros.methods.engine import MethodEngine
    from vi_fusion_ros.methods.registry import chosen
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.resources import default_model

    if args.weights and not args.method:
        raise ValueError(f"--weights {args.weights} goes with --method NAME; expected both, or --model for a model")
    if args.out.resolve() in (args.visible.resolve(), args.thermal.resolve()):
        raise ValueError(f"--out {args.out} is one of the inputs, which are never overwritten; name another folder")
    rig = Rig.load(args.rig) if args.rig else Rig.identity()
    source = open_pairs(args.visible, args.thermal, rig.time_offset_ns)
    for note in source.notes:
        print(f"vi-fusion: {note}", file=sys.stderr)
    engine: Engine = (
        MethodEngine(chosen(args.method, [args.weights] if args.weights else ())[0])
        if args.method
        else load_engine(args.model or default_model(), args.threads)
    )
    pipeline = make_pipeline(engine, rig, args.parameters)
    with open_output(args.out, source.rate_hz, args.gray) as output:
        frames, problems = _fuse(source, pipeline, output)
    if args.json:
        about: dict[str, Any] = {"notes": list(source.notes)} if source.notes else {}
        about |= {"model": engine.manifest.model_id, "engine": engine.description, "rig": rig.source}
        write_json(args.json, {**about, "totals": _totals(frames, problems, source.unpaired), "frames": frames,
                               "problems": problems})  # fmt: skip
    return _report(args.out, len(frames), problems, source.unpaired)


def _fuse(source: PairSource, pipeline: FusionPipeline, output: Output) -> tuple[list[dict[str, Any]], Problems]:
    from tqdm import tqdm

    frames: list[dict[str, Any]] = []
    problems: Problems = []
    for item in tqdm(source, total=source.total, unit="frame", desc="fuse", disable=None):
        if source.stills:
            pipeline.reset()  # no still depends on the one before it
        try:
            result = pipeline.process(item.load())
        except ValueError as error:
            problems.append({"name": item.name, "reason": str(error)})
            continue
        time_s = result.pair.reference.stamp_ns / 1e9
        output.write(item.name, result, time_s)
        about = {} if source.stills else {"time_s": round(time_s, 6)}
        frames.append(about | _summary(item.name, result))
    return frames, problems


def _summary(name: str, result: FusionResult) -> dict[str, Any]:
    from vi_fusion_ros.objects import as_json

    return {
        "name": name,
        "mode": result.pair.mode.name,
        "skew_ms": round(result.pair.skew_ns / 1e6, 3),
        "overlap": round(result.overlap, 6),
        "thermal_attention": round(result.thermal_attention, 6),
        "illumination": {"label": result.illumination, "probability": round(result.illumination_probability, 6)},
        "scores": {s.label: {"probability": round(s.probability, 6), "present": s.present} for s in result.scores},
        "objects": [as_json(found) for found in result.objects],
        "timings_ms": {stage: round(ms, 3) for stage, ms in result.timings_ms.items()},
    }


def _totals(frames: list[dict[str, Any]], problems: Problems, unpaired: Counter[str]) -> dict[str, Any]:
    present = Counter(label for frame in frames for label, score in frame["scores"].items() if score["present"])
    return {
        "fused": len(frames),
        "problems": len(problems),
        "unpaired": dict(unpaired),
        "present": {label: present[label] for label in (frames[0]["scores"] if frames else ())},
        "illumination": dict(Counter(frame["illumination"]["label"] for frame in frames)),
        "mean_overlap": round(sum(frame["overlap"] for frame in frames) / len(frames), 6) if frames else None,
    }


def _report(out: Path, fused: int, problems: Problems, unpaired: Counter[str]) -> int:
    for problem in problems[:_SAID_AT_MOST]:
        print(f"vi-fusion: {problem['name']} skipped: {problem['reason']}", file=sys.stderr)
    if len(problems) > _SAID_AT_MOST:
        print(f"vi-fusion: and {len(problems) - _SAID_AT_MOST} more skipped; --json lists all", file=sys.stderr)
    left = ", ".join(f"{count} {reason}" for reason, count in sorted(unpaired.items()))
    print(f"{fused} fused, {len(problems)} skipped" + (f", frames left unpaired: {left}" if left else "") + f": {out}")
    return 0 if fused else _NOTHING_FUSED
