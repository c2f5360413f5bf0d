"""Fuse a visible and a thermal camera: pairing, registration, a compiled dual-branch network, ROS 2 nodes.

The public API, imported when first used: importing this package, or its messages, costs nothing::

    import vi_fusion_ros as v

    result = v.load_pipeline()(visible, thermal)
    result.fused, result.probabilities

docs/python_api.md explains it.
"""

from __future__ import annotations

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.pipeline import FusionPipeline, load_pipeline
    from vi_fusion_ros.types import Frame, FramePair, FusionResult

# The generated messages (vi_fusion_ros.msg) are built into another folder than these sources. Whichever of the two
# Python finds first, both are one package.
__path__ = extend_path(__path__, __name__)

__all__ = ["Frame", "FramePair", "FusionPipeline", "FusionResult", "load_pipeline"]

_MODULES = {
    "Frame": "types",
    "FramePair": "types",
    "FusionPipeline": "pipeline",
    "FusionResult": "types",
    "load_pipeline": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
