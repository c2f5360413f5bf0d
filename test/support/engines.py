"""Manifests and targets of engines that need no GPU: what they say is made up, the files are real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.engine_manifest import EngineManifest, Target, engine_model
from vi_fusion_ros.engines.manifest import Manifest, sha256_of

PLAN = bytes(range(256)) * 64


def a_target(model: Path, **changes: object) -> Target:
    """An fp16 engine of ``model`` for an Orin with TensorRT 10.3.0."""
    manifest = Manifest.load(model.with_suffix(".json"))
    return replace(Target(model, manifest, (64, 48), "fp16", "10.3.0", "Orin", "8.7"), **changes)


def a_manifest(target: Target, plan: bytes = PLAN, folder: Path = Path(), verified: bool = True) -> EngineManifest:
    """What goes with ``plan``."""
    return EngineManifest(
        model=engine_model(target.model, target),
        engine_sha256=sha256_of(plan),
        size=target.size,
        onnx=str(target.onnx),
        folder=str(folder),
        dla=target.dla,
        verification={"verified": verified},
    )


def an_engine(folder: Path, target: Target, **changes: object) -> Path:
    """An engine in a cache."""
    return engine_cache.write(folder, target, PLAN, a_manifest(target, folder=folder, **changes))
