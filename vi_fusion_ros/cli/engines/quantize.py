"""``vi-fusion quantize``: an int8 model from a float one, and what that costs and gains."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from vi_fusion_ros.cli.sizes import size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "quantize",
        help="turn a model into an int8 one, and measure what that costs",
        description="Quantise a model to int8 (QDQ) with ranges from camera images, and report the loss in fusion "
        "metrics and F1 next to the speed on this CPU. The result serves ONNX Runtime as it is, and "
        "vi-fusion compile --precision int8. Needs the package onnx.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="the float model, its manifest beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="INT8.onnx", help="the int8 model")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="PATH", help="dataset, its .zip or a bag: registered whole frames"
    )
    parser.add_argument("--layout", help="how the dataset lies on disk (default: seen from its folders)")
    parser.add_argument("--pairs", type=int, default=32, help="pairs to calibrate on (default 32)")
    parser.add_argument("--frames", type=int, default=32, help="other pairs to measure fusion on (default 32)")
    parser.add_argument(
        "--labelled", type=Path, metavar="DIR", help="dataset to measure F1 on (default: --data, where it has labels)"
    )
    parser.add_argument("--size", type=size, default=(640, 480), help="of the images to time (default 640x480)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--runs", type=int, default=100, help="timed runs of each model (default 100)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes for F1 (default: one a core)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")


def run(args: argparse.Namespace) -> int:
    """Quantise, measure, print."""
    from vi_fusion_ros.training.datasets.archives import as_folder

    if min(args.pairs, args.frames, args.threads, args.runs, args.jobs) < 1:
        raise ValueError("--pairs, --frames, --threads, --runs and --jobs must be at least 1")
    if args.output.suffix != ".onnx" or args.output.resolve() == args.model.resolve():
        raise ValueError(f"{args.output} cannot be the output; expected another .onnx file than the model")
    with as_folder(args.data) as data:
        return _run(args, data)


def _run(args: argparse.Namespace, data: Path) -> int:
    from vi_fusion_ros.benchmarks import quantization
    from vi_fusion_ros.benchmarks.machine import machine
    from vi_fusion_ros.cli.engines.camera_pairs import camera_pairs, open_dataset, padded
    from vi_fusion_ros.engines.compile.quantize import quantize
    from vi_fusion_ros.engines.manifest import Manifest
    from vi_fusion_ros.evaluation.output import write_json

    dataset = open_dataset(data, args.layout)
    # Halves that do not mix: neighbours of one drive look alike.
    middle = len(dataset.samples) // 2
    calibration, rest = ([*dataset.samples[:middle]], [*dataset.samples[middle:]])
    dataset.samples = calibration or rest
    multiple = Manifest.load(args.model.with_suffix(".json")).multiple
    manifest = quantize(args.model, args.output, padded(camera_pairs(dataset, args.pairs), multiple))
    dataset.samples = rest
    pairs = [(_bgr(visible), thermal[0, 0]) for visible, thermal in camera_pairs(dataset, args.frames)]
    report: dict[str, Any] = {
        "command": "vi-fusion quantize",
        "model": manifest.metrics["quantization"]["of"],
        "int8": manifest.model_id,
        "calibrated_on": manifest.metrics["quantization"]["pairs"],
        "fusion": quantization.fusion_loss(args.model, args.output, pairs),
        "classification": _classification(args, data),
        "speed": quantization.speed(args.model, args.output, args.size, args.threads, args.runs),
        **machine(),
    }
    manifest.metrics["quantization"].update({key: report[key] for key in ("fusion", "classification")})
    manifest.save(args.output.with_suffix(".json"))
    if args.json:
        write_json(args.json, report)
    _print(args.output, report)
    return 0


def _classification(args: argparse.Namespace, data: Path) -> dict[str, Any] | None:
    from vi_fusion_ros.benchmarks.quantization import classification_loss
    from vi_fusion_ros.training.datasets.base import DatasetError
    from vi_fusion_ros.training.datasets.layouts import CLASSIFIED, guess_layout

    root = args.labelled or data
    try:
        layout = guess_layout(root, CLASSIFIED)
    except DatasetError:
        if args.labelled:
            raise
        return None
    return classification_loss(args.model, args.output, root, layout, args.jobs)


def _bgr(planes: Any) -> Any:
    """(1, 3, H, W) RGB to (H, W, 3) BGR."""
    return planes[0, ::-1].transpose(1, 2, 0).copy()


def _print(output: Path, report: dict[str, Any]) -> None:
    print(f"{output}: {report['int8']}, calibrated on {report['calibrated_on']} pairs")
    fusion = report["fusion"]
    print(f"fusion on {fusion['frames']} other frames: PSNR of int8 against float {_short(fusion['psnr_db'])} dB")
    for name, row in fusion["metrics"].items():
        print(f"  {name:<6} float {row['float']:9.4f}  int8 {row['int8']:9.4f}  {row['difference']:+.4f}")
    found = report["classification"]
    if found is None:
        print("F1 not measured: the data has no labels; name a labelled dataset with --labelled")
    else:
        row = found["macro_f1"]
        print(f"macro F1 ({found['layout']}, {found['n']} samples): float {row['float']:.4f}, int8 {row['int8']:.4f}")
    speed = report["speed"]
    print(
        f"ONNX Runtime on this CPU, {speed['size']}, {speed['threads']} threads: float {speed['float']['median_ms']} "
        f"ms, int8 {speed['int8']['median_ms']} ms: int8 is {speed['speedup']} times as fast"
    )
    if "openvino_int8" in speed:
        print(
            f"OpenVINO (backend: openvino): int8 {speed['openvino_int8']['median_ms']} ms: "
            f"{speed['openvino_speedup']} times as fast as float in ONNX Runtime"
        )
    elif "openvino_fault" in speed:
        print(f"OpenVINO (backend: openvino) cannot be used: {speed['openvino_fault']}")
    else:
        print("OpenVINO, which may be faster, is not installed (docs/gpu.md)")


def _short(values: dict[str, float]) -> str:
    return json.dumps({key: round(value, 1) for key, value in values.items()}).strip("{}").replace('"', "")
