"""ONNX graph to serialised engine, with TensorRT 8.6 to 11. Imports tensorrt: ask ``platform`` first.

What differs between the versions is reached by name: 8.6 wants explicit batch and precision flags, 10 can take the
types of the graph, 11 can do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tensorrt as trt

from vi_fusion_ros.engines.files import write_atomic

Progress = Callable[[str], None]


class BuildError(ValueError):
    """TensorRT cannot build this engine here; one sentence."""


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Attributes:
        precision: of the graph: ``fp32``, ``fp16`` or ``int8``.
        dla: core of the Deep Learning Accelerator to build for (Jetson), with the GPU for what it cannot do; None: the
            GPU alone.
        workspace_mb: most scratch memory a layer may use, MB; None: TensorRT's default, all there is.
        timing_cache: file with the timings of earlier builds, read and written; None: every kernel is timed anew.
    """

    precision: str = "fp16"
    dla: int | None = None
    workspace_mb: int | None = None
    timing_cache: Path | None = None


class _Log(trt.ILogger):
    """Keeps what TensorRT says when something fails: its calls return nothing but None."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def log(self, severity: trt.ILogger.Severity, message: str) -> None:
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
            self.errors.append(" ".join(message.split()))
        elif severity == trt.ILogger.WARNING:
            self.warnings.append(" ".join(message.split()))

    def sentence(self) -> str:
        """The last error, or what was warned of last."""
        said = self.errors or self.warnings
        return said[-1] if said else "it gave no reason"


def build(graph: bytes, options: BuildOptions, progress: Progress) -> bytes:
    """Build an engine for this machine's GPU.

    Args:
        graph: ONNX model with fixed shapes, the precision written into it.
        options: how.
        progress: takes lines for people.

    Returns:
        The serialised engine, TensorRT's plan.

    Raises:
        BuildError: there is no GPU, the graph cannot be parsed, or the build failed.
    """
    log = _Log()
    try:
        builder = trt.Builder(log)
    except (TypeError, RuntimeError) as error:  # pybind11's words for "the factory returned nothing"
        raise BuildError(f"TensorRT {trt.__version__} cannot start on this machine: {log.sentence()}") from error
    network = builder.create_network(_network_flags(options))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors)) or log.sentence()
        raise BuildError(f"TensorRT {trt.__version__} cannot parse the model: {' '.join(reasons.split())}")
    config = builder.create_builder_config()
    _configure(builder, config, options)
    _read_timing_cache(config, options.timing_cache, progress)
    monitor = _monitor(progress)
    if monitor is not None:
        cast(Any, config).progress_monitor = monitor  # 8.6 has no such attribute
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(f"TensorRT {trt.__version__} could not build the engine: {log.sentence()}")
    _write_timing_cache(config, options.timing_cache, progress)
    return bytes(cast(Any, plan))


def _network_flags(options: BuildOptions) -> int:
    kinds = trt.NetworkDefinitionCreationFlag
    names = ["EXPLICIT_BATCH", *(["STRONGLY_TYPED"] if _is_typed(options) else [])]
    return sum(1 << int(getattr(kinds, name)) for name in names if hasattr(kinds, name))


def _is_typed(options: BuildOptions) -> bool:
    """Types from the graph where TensorRT can and the accelerator, which takes no typed network, is not asked for."""
    return options.dla is None and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _configure(builder: trt.Builder, config: trt.IBuilderConfig, options: BuildOptions) -> None:
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not _is_typed(options):
        flag = {"fp16": "FP16", "int8": "INT8"}.get(options.precision)
        if flag is not None and hasattr(trt.BuilderFlag, flag):  # from 11 on the graph says it, always
            config.set_flag(getattr(trt.BuilderFlag, flag))
    if options.dla is not None:
        if options.dla >= builder.num_DLA_cores:
            raise BuildError(f"DLA core {options.dla} was asked for; this machine has {builder.num_DLA_cores}")
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _read_timing_cache(config: trt.IBuilderConfig, path: Path | None, progress: Progress) -> None:
    if path is None:
        return
    stored = _stored(path)
    if stored and config.set_timing_cache(config.create_timing_cache(stored), False):
        return
    if stored:
        progress(f"timing cache {path} is of another TensorRT or GPU; it is replaced")
    config.set_timing_cache(config.create_timing_cache(b""), False)


def _stored(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # most often it is not there yet
        return b""


def _write_timing_cache(config: trt.IBuilderConfig, path: Path | None, progress: Progress) -> None:
    if path is None:
        return
    try:
        write_atomic(path, bytes(cast(Any, config.get_timing_cache().serialize())))
    except OSError as error:  # no reason to lose what was built
        progress(f"timing cache {path} cannot be written: {error}")


def _monitor(progress: Progress) -> Any:
    """TensorRT's own progress, which it tells from 10 on; None before."""
    base = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return None

    class Monitor(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(f"{phase_name}: {step + 1} of {self._steps.get(phase_name, 0)}")
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
