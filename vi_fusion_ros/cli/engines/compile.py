"""``vi-fusion compile``: build TensorRT engines from a model, verified against ONNX Runtime."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from vi_fusion_ros.cli.sizes import sizes

_REAL_PAIRS = 16


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "compile",
        help="build verified TensorRT engines from a model",
        description="Build a TensorRT engine for each size on this machine's GPU, compare it with ONNX Runtime, and "
        "write it with its manifest. Needs TensorRT 8.6 or later, a GPU and the package onnx (docs/gpu.md).",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="the model, its manifest (.json) beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the engines")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp16", help="int8 needs a model of vi-fusion quantize"
    )
    parser.add_argument(
        "--size", type=sizes, default=((640, 480),), metavar="WxH[,WxH]", help="of the images (default 640x480)"
    )
    parser.add_argument("--dla", type=int, metavar="N", help="core of the Deep Learning Accelerator (Jetson)")
    parser.add_argument("--workspace", type=int, metavar="MB", help="most scratch memory (default: TensorRT's, all)")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="timings of earlier builds, read and written")
    parser.add_argument("--data", type=Path, metavar="PATH", help="dataset or bag with camera images to verify on")
    parser.add_argument("--layout", help="how the dataset lies on disk (default: seen from its folders)")


def run(args: argparse.Namespace) -> int:
    """Build; print a line for each engine."""
    from vi_fusion_ros.cli.engines.camera_pairs import camera_pairs, drawn_pairs, open_dataset
    from vi_fusion_ros.engines.compile.compiling import CompileRequest, compile_engines

    if args.workspace is not None and args.workspace < 1:
        raise ValueError("--workspace must be at least 1 MB")
    if args.dla is not None and args.dla < 0:
        raise ValueError("--dla must be 0 or more")
    dataset = open_dataset(args.data, args.layout) if args.data else None
    request = CompileRequest(
        args.model, args.output, args.size, args.precision, args.dla, args.workspace, args.timing_cache
    )
    with ProgressLines() as progress:
        for path, manifest in compile_engines(
            request,
            lambda size: camera_pairs(dataset, _REAL_PAIRS, size) if dataset else [],
            drawn_pairs,
            progress.say,
        ):
            found = manifest.verification
            progress.done(
                f"{path}: built in {manifest.seconds:.0f} s; verified on {found['real_pairs']} camera pairs and "
                f"{found['random_pairs']} others: fused differs by {found['largest']:.2g} at most, "
                f"PSNR {found['psnr_db']:.1f} dB, same labels"
            )
    return 0


class ProgressLines:
    """Says once a second what goes on and for how long: over one line on a terminal, else a line each.

    Whoever reads these lines, the fusion node for one, has asked for the work: once nobody does, this process ends.
    """

    def __init__(self) -> None:
        self._now = "starting"
        self._start = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._terminal = sys.stdout.isatty()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> ProgressLines:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._terminal:
            self._print("\r\033[K")

    def say(self, line: str) -> None:
        """What goes on from now on."""
        self._now = line

    def done(self, line: str) -> None:
        """Something that stays on the screen."""
        self._print(f"\r\033[K{line}\n" if self._terminal else f"{line}\n")

    def _beat(self) -> None:
        while True:
            line = f"{time.monotonic() - self._start:.0f} s: {self._now}"
            self._print(f"\r\033[K{line}" if self._terminal else f"{line}\n")
            if self._over.wait(1.0):
                return

    def _print(self, text: str) -> None:
        with self._lock:
            try:
                sys.stdout.write(text)
                sys.stdout.flush()
            except BrokenPipeError:
                os._exit(1)  # from whatever thread; a builder that nobody waits for would hold the GPU
