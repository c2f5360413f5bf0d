"""Metrics as a library: NumPy arrays in, numbers out. Each name is imported when it is first used.

::

    from vi_fusion_ros.metrics import fusion_metrics, to_gray

    fusion_metrics(to_gray(fused), to_gray(visible), to_gray(thermal), ["VIF", "Qabf"])

docs/metrics.md has range, direction, convention and source of each.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.evaluation.metrics.classification import calibration_error, reliability
    from vi_fusion_ros.evaluation.metrics.flicker import flicker_of
    from vi_fusion_ros.evaluation.metrics.fusion import METRICS, Metric, fusion_metrics, metrics_of_methods, to_gray
    from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_means
    from vi_fusion_ros.evaluation.metrics.temporal import TEMPORAL_METRICS, motion_smoothness, warping_error

__all__ = [
    "METRICS",
    "TEMPORAL_METRICS",
    "Metric",
    "bootstrap_means",
    "calibration_error",
    "flicker_of",
    "fusion_metrics",
    "metrics_of_methods",
    "motion_smoothness",
    "reliability",
    "to_gray",
    "warping_error",
]

_MODULES = {
    "METRICS": "fusion",
    "TEMPORAL_METRICS": "temporal",
    "Metric": "fusion",
    "bootstrap_means": "intervals",
    "calibration_error": "classification",
    "flicker_of": "flicker",
    "fusion_metrics": "fusion",
    "metrics_of_methods": "fusion",
    "motion_smoothness": "temporal",
    "reliability": "classification",
    "to_gray": "fusion",
    "warping_error": "temporal",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vi_fusion_ros.evaluation.metrics.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
