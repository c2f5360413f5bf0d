"""``vi-fusion benchmark model``: how long the model takes, by backend, size and threads, all in one run."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from vi_fusion_ros.benchmarks import memory
from vi_fusion_ros.benchmarks.backends import BACKENDS, BackendMissingError, Case, Ready, load
from vi_fusion_ros.benchmarks.machine import machine
from vi_fusion_ros.benchmarks.timing import interleaved, summary
from vi_fusion_ros.cli.sizes import sizes
from vi_fusion_ros.engines.engine_manifest import size_text
from vi_fusion_ros.resources import default_model

DEFAULT_BACKENDS = ("onnxruntime", "onnxruntime-cuda", "tensorrt", "torch", "torch-cuda")
"""Those measured unless asked otherwise; what is missing is said and left out."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "model",
        help="latency, throughput and memory of the model by backend",
        description="Time the model in one or more backends, in turn, from pixels in host memory to outputs in host "
        "memory, warm-up left out.",
    )
    parser.add_argument("--model", type=Path, help="ONNX file; the default model where not given")
    parser.add_argument(
        "--backend",
        type=_backends,
        metavar="NAME[,NAME]",
        help=f"of {', '.join(BACKENDS)} (default: those of {', '.join(DEFAULT_BACKENDS)} that are there)",
    )
    parser.add_argument(
        "--size", type=sizes, default=((640, 480),), metavar="WxH[,WxH]", help="pixels (default 640x480)"
    )
    parser.add_argument("--threads", type=_numbers, default=(2,), metavar="N[,N]", help="CPU threads (default 2)")
    parser.add_argument(
        "--precision", type=_words, default=("fp16",), metavar="P[,P]", help="of TensorRT engines (default fp16)"
    )
    parser.add_argument(
        "--int8", type=Path, metavar="ONNX", help="the same model from vi-fusion quantize, for --precision int8"
    )
    parser.add_argument("--engines", type=Path, metavar="DIR", help="TensorRT engines (default: the node's cache)")
    parser.add_argument("--no-cuda-graph", action="store_true", help="also time TensorRT without a CUDA graph")
    parser.add_argument("--runs", type=int, default=100, help="timed runs of each (default 100)")
    parser.add_argument("--json", nargs="?", const="", metavar="FILE", help="print JSON, or write it to FILE")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.runs < 1:
        raise ValueError("--runs must be at least 1")
    model = args.model or default_model()
    cases = [
        case
        for size in args.size
        for backend in args.backend or DEFAULT_BACKENDS
        for case in _of_backend(args, Case(backend, model, size, engines=args.engines))
    ]
    result = {
        "command": "vi-fusion benchmark model",
        **measure(cases, args.runs, all_or_nothing=args.backend is not None),
    }
    text = json.dumps(result, indent=2) + "\n"
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if args.json == "":
        print(text, end="")
    else:
        _print(result)
    return 0


def measure(cases: list[Case], runs: int, *, all_or_nothing: bool = True) -> dict[str, Any]:
    """Time cases in turn.

    Args:
        cases: what to time; the first is the one that the others are compared with.
        runs: timed runs of each, after some that are not.
        all_or_nothing: a backend that is missing is an error; else it is left out.

    Returns:
        ``rows``, one for each case that could be loaded, with ``median_ms`` and the like and ``speedup``, how many
        times faster than the first case of the same size; ``skipped``, reasons by backend; the first row's figures
        again on the top; the machine.

    Raises:
        ValueError: a model cannot be run, or a backend is missing; one sentence.
    """
    skipped: dict[str, str] = {}
    ready: dict[Case, Ready] = {}
    for case in cases:
        try:
            ready[case] = load(case)
        except BackendMissingError as error:
            skipped[case.backend] = str(error)
    if not ready or (all_or_nothing and skipped):
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    names = {str(index): case for index, case in enumerate(ready)}
    try:
        times = interleaved({name: ready[case].call for name, case in names.items()}, runs)
    except Exception as error:  # each backend has its own exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{cases[0].model}: cannot be run at {_sizes_text(cases)} ({reason})") from error
    rows = [
        {**_about(case, ready[case]), **summary(times[name]), **memory.measure(case)} for name, case in names.items()
    ]
    for row in rows:
        first = next(other for other in rows if other["size"] == row["size"])
        row["speedup"] = round(first["median_ms"] / row["median_ms"], 3)
    figures = ("size", "threads", "median_ms", "p95_ms", "p99_ms", "min_ms", "throughput_hz")
    return {
        "model": cases[0].model.name,
        "runs": runs,
        **{key: rows[0][key] for key in figures},
        "backend": rows[0]["description"],
        "rows": rows,
        "skipped": skipped,
        **machine(),
    }


def _of_backend(args: argparse.Namespace, case: Case) -> list[Case]:
    if case.backend == "tensorrt":
        graphs = (True, False) if args.no_cuda_graph else (True,)
        int8 = args.int8 or case.model
        models = [(precision, int8 if precision == "int8" else case.model) for precision in args.precision]
        return [replace(case, precision=p, model=model, graph=graph) for p, model in models for graph in graphs]
    if case.backend.endswith("-cuda"):
        return [case]
    return [replace(case, threads=threads) for threads in args.threads]


def _about(case: Case, ready: Ready) -> dict[str, Any]:
    about: dict[str, Any] = {"backend": case.backend, "description": ready.description, "size": size_text(case.size)}
    if case.backend == "tensorrt":
        return {**about, "threads": None, "precision": case.precision, "cuda_graph": case.graph}
    return {**about, "threads": None if case.backend.endswith("-cuda") else case.threads}


def _print(result: dict[str, Any]) -> None:
    print(f"{result['model']}, {result['runs']} runs of each in turn; {result['machine']}; GPU: {result['gpu']}")
    print(f"{'':<44}{'median':>9}{'p95':>9}{'p99':>9} ms{'runs/s':>9}{'memory':>9} MB{'speedup':>9}")
    for row in result["rows"]:
        name = f"{row['description'][:33]} {row['size']}"
        memory_mb = f"{row['memory_mb']:9.0f}" if "memory_mb" in row else f"{'-':>9}"
        print(
            f"{name:<44}{row['median_ms']:9.3f}{row['p95_ms']:9.3f}{row['p99_ms']:9.3f}   {row['throughput_hz']:9.1f}"
            f"{memory_mb}   {row['speedup']:8.2f}x"
        )
    for backend, reason in result["skipped"].items():
        print(f"not measured: {backend}: {reason}")


def _sizes_text(cases: list[Case]) -> str:
    return ", ".join(dict.fromkeys(size_text(case.size) for case in cases))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _backends(text: str) -> tuple[str, ...]:
    names = _words(text)
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no backend; expected some of {', '.join(BACKENDS)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    words = _words(text)
    if not all(word.isdigit() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"{text!r}; expected whole numbers of at least 1, for example 1,2")
    return tuple(int(word) for word in words)
