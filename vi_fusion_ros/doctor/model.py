"""The model and what can run it, and the rig."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vi_fusion_ros.doctor.findings import Finding, Level
from vi_fusion_ros.engines.engine import INPUTS
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe
from vi_fusion_ros.registration.rig import Rig

_SIZE = (640, 480)
_RUNS = 5
_WANTED_HZ = 10.0


def hardware(proc: Path = Path("/proc"), etc: Path = Path("/etc")) -> Iterator[Finding]:
    """Processors, GPU and what drives it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "Cameras, DDS and the network share it; expect dropped frames at 30 Hz." if cores < 2 else ""
    yield Finding("Hardware", "processors", Level.WARNING if cores < 2 else Level.OK, str(cores), advice)
    jetson = etc / "nv_tegra_release"
    driver = proc / "driver" / "nvidia" / "version"
    if jetson.exists():
        yield Finding("Hardware", "GPU", Level.OK, f"Jetson: {_first_line(jetson)}")
    elif driver.exists():
        yield Finding("Hardware", "GPU", Level.OK, f"NVIDIA: {_first_line(driver)}")
    else:
        advice = "ONNX Runtime serves the model on the CPU."
        yield Finding("Hardware", "GPU", Level.NOTE, "no NVIDIA driver is loaded", advice)
        return
    try:
        yield Finding("Hardware", "TensorRT", Level.OK, str(probe()))
    except TensorRTUnavailableError as error:
        advice = "No TensorRT engine can be built or served; ONNX Runtime takes over (docs/tutorials/jetson.md)."
        yield Finding("Hardware", "TensorRT", Level.WARNING, str(error), advice)


def model(path: Path, threads: int) -> Iterator[Finding]:
    """Whether the model loads, fits its manifest, and how long one image takes."""
    try:
        engine = load_engine(path, threads)
    except ValueError as error:
        yield Finding(
            "Model", str(path), Level.ERROR, str(error), "Name another with --model, or reinstall the package."
        )
        return
    manifest = engine.manifest
    labels = ", ".join(manifest.labels)
    yield Finding("Model", str(path), Level.OK, f"{manifest.model_id}: {labels}; the manifest's sha256 fits")
    width, height = manifest.padded(_SIZE)
    inputs = [np.zeros((1, channels, height, width), np.float32) for channels in INPUTS.values()]
    times_ms = []
    for _ in range(_RUNS):
        start = time.monotonic()
        engine.infer(*inputs)
        times_ms.append((time.monotonic() - start) * 1e3)
    engine.close()
    median = statistics.median(times_ms)
    says = f"{engine.description}: {median:.1f} ms for {_SIZE[0]}x{_SIZE[1]}, so at most {1000 / median:.0f} Hz"
    slow = 1000 / median < _WANTED_HZ
    advice = "Give it more threads, smaller images, or a GPU." if slow else ""
    yield Finding("Model", "speed", Level.WARNING if slow else Level.OK, says, advice)


def rig(path: Path | None) -> Iterator[Finding]:
    """Whether the rig file can be used, and what it says."""
    if path is None:
        advice = "Where that is not so, make a rig file: vi-fusion calibrate --help"
        yield Finding("Rig", "rig file", Level.NOTE, "none given: the cameras are taken as registered", advice)
        return
    try:
        rig = Rig.load(path)
    except ValueError as error:
        yield Finding("Rig", str(path), Level.ERROR, str(error), "config/rigs/example.yaml shows a whole one.")
        return
    sizes = [f"{size[0]}x{size[1]}" if size else "any size" for size in (rig.thermal_size, rig.visible_size)]
    accuracy = "accuracy unknown" if rig.uncertainty_px is None else f"uncertainty {rig.uncertainty_px:.2f} px"
    yield Finding("Rig", str(path), Level.OK, f"thermal {sizes[0]} into visible {sizes[1]}, {accuracy}")


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:
        return "present"
