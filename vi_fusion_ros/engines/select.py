"""Which backend serves a model on this machine, and why."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.compile.build_process import BuildProcess
from vi_fusion_ros.engines.compile.compiling import target_for
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.engine_cache import Found
from vi_fusion_ros.engines.engine_manifest import Size, Target, compile_command, size_text
from vi_fusion_ros.engines.hot_swap import HotSwapEngine
from vi_fusion_ros.engines.load import load_engine, load_tensorrt
from vi_fusion_ros.engines.onnx_engine import CPU, OnnxRuntimeEngine, cuda_is_installed
from vi_fusion_ros.engines.sandboxed_load import try_model
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe

BACKENDS = ("auto", "tensorrt", "onnxruntime", "openvino")

Say = Callable[[str], object]


@dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes:
        backend: one of ``BACKENDS``.
        threads: CPU threads of ONNX Runtime.
        precision: of TensorRT engines.
        cache: folder of engines; None: ``engine_cache.default_folder()``.
        build: whether a missing engine may be built.
        build_timeout_s: when a build is stopped for taking too long.
    """

    backend: str = "auto"
    threads: int = 2
    precision: str = "fp16"
    cache: Path | None = None
    build: bool = True
    build_timeout_s: float = 1800.0


def select_engine(model: Path, wanted: Wanted, log: Say, warn: Say, on_failure: Say) -> Engine:
    """The engine that serves a model from now on.

    Args:
        model: ``.onnx``, or ``.engine``, which is served as it is or not at all.
        wanted: the user's choice.
        log: takes what changes later on: a build that starts, an engine that takes over.
        warn: takes what the user may want to put right.
        on_failure: takes a sentence when an engine fails that served or was about to; another one goes on.

    Raises:
        ValueError: the model cannot be served, or the backend that was asked for cannot run here; one sentence.
    """
    if model.suffix != ".onnx":
        return load_engine(model, wanted.threads)
    if wanted.backend == "onnxruntime":
        return onnx_runtime(model, wanted.threads, "backend is onnxruntime")
    if wanted.backend == "openvino":
        return _openvino(model, wanted.threads)
    try:
        platform = probe()
    except TensorRTUnavailableError as error:
        if wanted.backend == "tensorrt":
            raise ValueError(f"backend is tensorrt, but {error}; set backend to auto to serve without it") from error
        return onnx_runtime(model, wanted.threads, f"TensorRT is not used: {error}")
    first = onnx_runtime(model, wanted.threads, "")
    folder = wanted.cache or engine_cache.default_folder()
    if not engine_cache.is_writable(folder):
        warn(f"the engine cache {folder} is not writable: engines are built anew at each start and kept in memory")

    def supplier(size: Size) -> TensorRTSupplier:
        return TensorRTSupplier(target_for(model, first.manifest, size, wanted.precision, platform), folder, wanted)

    return HotSwapEngine(first, supplier, log, f"{platform} is there", on_failure)


def onnx_runtime(model: Path, threads: int, why: str) -> OnnxRuntimeEngine:
    """ONNX Runtime, with its CUDA provider where that is installed and starts."""
    try_model(model)
    engine = OnnxRuntimeEngine(model, threads, cuda=cuda_is_installed())
    where = "on the CPU" if engine.provider == CPU else "on the GPU"
    engine.reason = f"{why}; ONNX Runtime {where}" if why else f"ONNX Runtime {where}"
    return engine


def _openvino(model: Path, threads: int) -> Engine:
    if importlib.util.find_spec("openvino") is None:
        raise ValueError(
            "backend is openvino, but the Python package openvino is not installed (docs/gpu.md); set backend to auto "
            "to serve without it"
        )
    try_model(model)
    from vi_fusion_ros.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(model, threads)


class TensorRTSupplier:
    """Finds, builds and loads one TensorRT engine. See ``background_build.Supplier``.

    Args:
        target: the engine.
        folder: the cache. Where it is not writable, the engine is built into a temporary folder, which is removed when
            the engine is loaded, or with this process.
        wanted: the user's choice.
    """

    def __init__(self, target: Target, folder: Path, wanted: Wanted) -> None:
        self._target, self._folder, self._wanted = target, folder, wanted
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.name = f"a TensorRT engine ({target.precision}, {size_text(target.size)})"

    def find(self) -> Found:
        """See ``Supplier.find``."""
        return engine_cache.find(self._folder, self._target)

    def build(self) -> BuildProcess | None:
        """See ``Supplier.build``."""
        if not self._wanted.build:
            return None
        if not engine_cache.is_writable(self._folder):
            self._scratch = tempfile.TemporaryDirectory(prefix="vi_fusion_engine_")
        return BuildProcess(build_command(self._target, self._place), self._wanted.build_timeout_s)

    def load(self, path: Path | None) -> Engine:
        """See ``Supplier.load``."""
        try:
            return load_tensorrt(path or self._place / (self._target.name + engine_cache.SUFFIX))
        finally:
            if self._scratch is not None:
                self._scratch.cleanup()

    @property
    def _place(self) -> Path:
        return self._folder if self._scratch is None else Path(self._scratch.name)


def build_command(target: Target, folder: Path) -> list[str]:
    """The ``vi-fusion compile`` that builds an engine, as this Python runs it."""
    arguments = compile_command(target.onnx, folder, target.precision, target.size, target.dla)
    return [sys.executable, "-m", "vi_fusion_ros.cli", *arguments[1:], "--timing-cache", str(folder / "timing.cache")]
