"""From a path to the engine that serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.engine_manifest import EngineManifest, Target
from vi_fusion_ros.engines.manifest import sha256
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.sandboxed_load import try_model
from vi_fusion_ros.engines.trt.cuda import CudaError
from vi_fusion_ros.engines.trt.platform import Platform, probe


def load_engine(path: str | Path, threads: int = 2) -> Engine:
    """Load a model or an engine.

    Args:
        path: an ONNX file, or a TensorRT engine of ``vi-fusion compile``, its manifest beside it.
        threads: CPU threads of one inference.

    Raises:
        ValueError: it cannot be served; one sentence with the path.
    """
    path = Path(path)
    if path.suffix == engine_cache.SUFFIX:
        return load_tensorrt(path)
    if path.suffix != ".onnx":
        raise ValueError(f"model {path} is of an unknown kind; expected an .onnx or .engine file")
    try_model(path)
    return OnnxRuntimeEngine(path, threads)


def load_tensorrt(path: Path) -> Engine:
    """Load a TensorRT engine, if this machine is what it was built for.

    Raises:
        ValueError: it is corrupt or not verified, another machine's, or its model has changed since; one sentence with
            the command that builds it again.
    """
    plan, manifest = engine_cache.read(path)
    reason = manifest.mismatch(path, wanted_here(manifest, probe()))
    if reason:
        raise ValueError(reason)
    from vi_fusion_ros.engines.trt.runtime import TensorRTEngine

    try:
        return TensorRTEngine(plan, manifest)
    except (CudaError, RuntimeError) as error:
        raise ValueError(f"engine {path} cannot be loaded: {error}") from error


def wanted_here(manifest: EngineManifest, platform: Platform) -> Target:
    """What an engine that was asked for by its path has to be: itself, but for this machine and for the model as it is.

    Where the model is no longer at its place only the machine is compared: engines are taken to robots alone.
    """
    onnx = Path(manifest.onnx)
    digest = sha256(onnx) if onnx.is_file() else manifest.model.onnx_sha256
    return Target(
        onnx=onnx,
        model=replace(manifest.model, onnx_sha256=digest),
        size=manifest.size,
        precision=manifest.model.precision,
        tensorrt=platform.tensorrt,
        gpu=platform.gpu,
        compute_capability=platform.compute_capability,
        dla=manifest.dla,
    )
