"""A folder of engines: which one serves what is wanted, and why none does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vi_fusion_ros.engines.engine_manifest import EngineManifest, Target
from vi_fusion_ros.engines.files import write_atomic

SUFFIX = ".engine"


@dataclass(frozen=True)
class Found:
    """The answer of ``find``.

    Attributes:
        path: of the engine; None where there is none that can serve.
        reason: where there is none, why: one sentence.
    """

    path: Path | None
    reason: str = ""


def default_folder() -> Path:
    """``vi_fusion_ros/engines`` in the user's cache (XDG_CACHE_HOME)."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "vi_fusion_ros" / "engines"


def is_writable(folder: Path) -> bool:
    """Whether engines can be written there; the folder is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True


def read(path: Path) -> tuple[bytes, EngineManifest]:
    """An engine and its manifest, checked to belong together.

    Raises:
        ValueError: either is missing or corrupt, or they do not belong together; one sentence.
    """
    if not path.is_file():
        raise ValueError(f"engine {path} is missing; build it with vi-fusion compile (docs/gpu.md)")
    manifest = EngineManifest.load(path.with_suffix(".json"))
    plan = path.read_bytes()
    manifest.check_plan(path, plan)
    return plan, manifest


def write(folder: Path, target: Target, plan: bytes, manifest: EngineManifest) -> Path:
    """Store an engine. It counts as there once its manifest, written last, is.

    Returns:
        The engine's path.
    """
    path = folder / (target.name + SUFFIX)
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomic(path, plan)
    manifest.save(path.with_suffix(".json"))
    return path


def find(folder: Path, target: Target) -> Found:
    """The engine that is wanted, if the folder has it."""
    path = folder / (target.name + SUFFIX)
    if path.is_file():
        try:
            _, manifest = read(path)
        except (ValueError, OSError) as error:
            return Found(None, str(error))
        reason = manifest.mismatch(path, target)
        return Found(path) if reason is None else Found(None, reason)
    relatives = [_mismatch(relative, target) for relative in _relatives(folder, target)]
    reasons = [reason for reason in relatives if reason]
    return Found(None, reasons[0] if reasons else f"{folder} has no engine {target.name}")


def _relatives(folder: Path, target: Target) -> list[Path]:
    """Engines of the same model, the newest first: one of them is what somebody expected to be served."""
    try:
        engines = [path for path in folder.glob(f"{target.model.model_id}_*{SUFFIX}") if path.is_file()]
        return sorted(engines, key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def _mismatch(path: Path, target: Target) -> str | None:
    try:
        return EngineManifest.load(path.with_suffix(".json")).mismatch(path, target)
    except ValueError as error:
        return str(error)
