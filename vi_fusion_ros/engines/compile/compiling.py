"""From an ONNX file to verified engines in a folder: what ``vi-fusion compile`` does."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.compile.verify import BytePair, Verification, noise_pairs, verify
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.engine_manifest import EngineManifest, Size, Target, engine_model, size_text
from vi_fusion_ros.engines.manifest import Manifest, sha256_of
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.trt.platform import Platform, probe

Pairs = Callable[[Size], list[BytePair]]
"""Camera pairs, or drawn ones, of a size in pixels."""


@dataclass(frozen=True)
class CompileRequest:
    """What to build.

    Attributes:
        onnx: the model, its manifest beside it.
        folder: where the engines go.
        sizes: width and height of each, pixels.
        precision: ``fp32``, ``fp16``, or ``int8`` where the model is quantised.
        dla: core of the Deep Learning Accelerator; None: the GPU.
        workspace_mb: scratch memory, MB; None: TensorRT's default.
        timing_cache: file of kernel timings, read and written.
    """

    onnx: Path
    folder: Path
    sizes: tuple[Size, ...]
    precision: str = "fp16"
    dla: int | None = None
    workspace_mb: int | None = None
    timing_cache: Path | None = None


class NotVerifiedError(ValueError):
    """An engine was built and computes something else than ONNX Runtime; it was not written."""


def compile_engines(
    request: CompileRequest, real: Pairs, drawn: Pairs, progress: Callable[[str], None]
) -> Iterator[tuple[Path, EngineManifest]]:
    """Build, verify and write one engine after the other.

    Args:
        request: what to build.
        real: camera pairs to verify on; may give none.
        drawn: other pairs to verify on, besides noise.
        progress: takes lines for people.

    Yields:
        Each engine's path and manifest once both are written.

    Raises:
        ValueError: the model cannot be used, TensorRT cannot run here, the folder cannot be written, the build failed
            (``BuildError``), or the engine computes something else (``NotVerifiedError``); one sentence. Nothing is
            written for that size.
    """
    if not request.onnx.is_file():
        raise ValueError(f"model {request.onnx} is missing; expected an ONNX file with its manifest (.json) beside it")
    model = Manifest.load(request.onnx.with_suffix(".json"))
    model.check_onnx(request.onnx)
    platform = probe()
    progress(f"on {platform}")
    if not engine_cache.is_writable(request.folder):
        raise ValueError(f"the folder {request.folder} cannot be written; name another for the engines")
    reference = OnnxRuntimeEngine(request.onnx)
    for asked in request.sizes:
        size = _padded(asked, model, progress)
        plan, seconds = _build(request, size, progress)
        target = target_for(request.onnx, model, size, request.precision, platform, request.dla)
        manifest = _manifest(request, target, platform, plan, seconds)
        progress(f"verifying the engine of {size_text(size)} against ONNX Runtime")
        result = check(plan, manifest, reference, real(size), [*drawn(size), *noise_pairs(size)])
        if not result.verified:
            raise NotVerifiedError(
                f"the engine {manifest.summary} of {request.onnx} was built but is not what ONNX Runtime computes: "
                f"{result.reason}; it was not written"
            )
        manifest = replace(manifest, verification=result.as_dict())
        yield engine_cache.write(request.folder, target, plan, manifest), manifest


def target_for(
    onnx: Path, model: Manifest, size: Size, precision: str, platform: Platform, dla: int | None = None
) -> Target:
    """The engine of a model, a size and a precision for this machine."""
    return Target(
        onnx=onnx,
        model=model,
        size=size,
        precision=precision,
        tensorrt=platform.tensorrt,
        gpu=platform.gpu,
        compute_capability=platform.compute_capability,
        dla=dla,
    )


def check(
    plan: bytes, manifest: EngineManifest, reference: Engine, real: list[BytePair], random: list[BytePair]
) -> Verification:
    """Run a new engine beside ONNX Runtime."""
    from vi_fusion_ros.engines.trt.runtime import TensorRTEngine

    engine = TensorRTEngine(plan, manifest)
    try:
        return verify(engine, reference, real, random, manifest.model.precision)
    finally:
        engine.close()


def _build(request: CompileRequest, size: Size, progress: Callable[[str], None]) -> tuple[bytes, float]:
    from vi_fusion_ros.engines.compile.onnx_variants import engine_graph
    from vi_fusion_ros.engines.trt.builder import BuildOptions, build

    start = time.monotonic()
    graph = engine_graph(request.onnx, request.precision, size).SerializeToString()
    progress(f"building {request.precision} {size_text(size)}")
    options = BuildOptions(request.precision, request.dla, request.workspace_mb, request.timing_cache)
    return build(graph, options, progress), time.monotonic() - start


def _manifest(
    request: CompileRequest, target: Target, platform: Platform, plan: bytes, seconds: float
) -> EngineManifest:
    return EngineManifest(
        model=engine_model(target.model, target),
        engine_sha256=sha256_of(plan),
        size=target.size,
        onnx=str(request.onnx.resolve()),
        folder=str(request.folder.resolve()),
        dla=request.dla,
        cuda=platform.cuda,
        verification={"verified": False},
        options={key: value for key, value in asdict(request).items() if key == "workspace_mb"},
        built=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
    )


def _padded(size: Size, model: Manifest, progress: Callable[[str], None]) -> Size:
    padded = model.padded(size)
    if padded != size:
        progress(f"images of {size_text(size)} reach the network padded to {size_text(padded)}")
    return padded
