"""``vi-fusion benchmark settings``: what the settings of ONNX Runtime, and OpenVINO, make of the model on the CPU."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

from vi_fusion_ros.benchmarks.backends import BackendMissingError, Case, frames, load
from vi_fusion_ros.benchmarks.machine import machine
from vi_fusion_ros.benchmarks.timing import interleaved, summary
from vi_fusion_ros.cli.sizes import size
from vi_fusion_ros.engines.engine import outputs_of
from vi_fusion_ros.engines.engine_manifest import size_text
from vi_fusion_ros.errors import one_line
from vi_fusion_ros.resources import default_model

_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_USUAL = "the node's"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "settings",
        help="settings of ONNX Runtime, and OpenVINO, on the CPU",
        description="Time the model on the CPU under each setting of ONNX Runtime that is different from the node's, "
        "with OpenVINO where it is installed, and as int8 where such a model is given; all in turn.",
    )
    parser.add_argument("--model", type=Path, help="ONNX file; the default model where not given")
    parser.add_argument("--int8", type=Path, metavar="ONNX", help="the same model from vi-fusion quantize")
    parser.add_argument("--size", type=size, default=(640, 480), help="WIDTHxHEIGHT, pixels (default 640x480)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--runs", type=int, default=100, help="timed runs of each (default 100)")
    parser.add_argument("--json", nargs="?", const="", metavar="FILE", help="print JSON, or write it to FILE")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.runs < 1 or args.threads < 1:
        raise ValueError("--runs and --threads must be at least 1")
    result = measure(args.model or default_model(), args.int8, args.size, args.threads, args.runs)
    text = json.dumps(result, indent=2) + "\n"
    if args.json:
        Path(args.json).write_text(text, encoding="utf-8")
    if args.json == "":
        print(text, end="")
        return 0
    print(f"{result['model']} at {result['size']}, {args.runs} runs of each in turn; {result['machine']}")
    for row in result["rows"]:
        print(
            f"{row['setting']:<52} median {row['median_ms']:8.3f} ms  p95 {row['p95_ms']:8.3f}  {row['speedup']:6.3f}x"
        )
    for name, reason in result["skipped"].items():
        print(f"not measured: {name}: {reason}")
    return 0


def measure(model: Path, int8: Path | None, size_wh: tuple[int, int], threads: int, runs: int) -> dict[str, Any]:
    """Time the settings in turn.

    Returns:
        ``rows`` by ``setting``, with ``median_ms`` and the like and ``speedup`` against the node's settings;
        ``skipped``; the machine.

    Raises:
        ValueError: a model cannot be run; one sentence.
    """
    try:
        calls, skipped = _calls(model, int8, size_wh, threads)
        times = interleaved(calls, runs)
    except BackendMissingError:
        raise
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise ValueError(f"{model}: cannot be run at {size_text(size_wh)} ({one_line(error)})") from error
    rows: list[dict[str, Any]] = [{"setting": name, **summary(values)} for name, values in times.items()]
    for row in rows:
        row["speedup"] = round(rows[0]["median_ms"] / row["median_ms"], 3)
    return {
        "command": "vi-fusion benchmark settings",
        "model": model.name,
        "onnxruntime": onnxruntime.__version__,
        "size": size_text(size_wh),
        "runs": runs,
        "rows": rows,
        "skipped": skipped,
        **machine(),
    }


def _calls(
    model: Path, int8: Path | None, size_wh: tuple[int, int], threads: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    def named(path: Path, count: int, level: str, arena: bool, spinning: bool) -> Callable[[], Any]:
        return _session_call(path, size_wh, _options(count, level, arena, spinning))

    calls: dict[str, Callable[[], Any]] = {f"{_USUAL}: {threads} threads": named(model, threads, "all", True, False)}
    for count in sorted({1, threads} - {threads}):
        calls[f"{count} thread"] = named(model, count, "all", True, False)
    for level in ("extended", "basic", "none"):
        calls[f"graph optimisation {level}"] = named(model, threads, level, True, False)
    for arena, spinning in itertools.product((True, False), repeat=2):
        if (arena, spinning) != (True, False):
            words = ["memory arena off"] * (not arena) + ["spinning threads"] * spinning
            calls[", ".join(words)] = named(model, threads, "all", arena, spinning)
    if int8 is not None:
        calls["int8 (QDQ)"] = named(int8, threads, "all", True, False)
    skipped = {}
    try:
        calls["OpenVINO fp32"] = load(Case("openvino", model, size_wh, threads)).call
        if int8 is not None:
            calls["OpenVINO int8 (QDQ)"] = load(Case("openvino", int8, size_wh, threads)).call
    except BackendMissingError as error:
        skipped["OpenVINO"] = str(error)
    return calls, skipped


def _options(threads: int, level: str, arena: bool, spinning: bool) -> onnxruntime.SessionOptions:
    """The node's options, but for these."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = _LEVELS[level]
    options.enable_cpu_mem_arena = arena
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return options


def _session_call(model: Path, size_wh: tuple[int, int], options: onnxruntime.SessionOptions) -> Callable[[], Any]:
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    inputs = frames(size_wh)
    outputs = outputs_of([output.name for output in session.get_outputs()])
    return lambda: session.run(outputs, inputs)
