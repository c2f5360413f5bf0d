"""A model with the fixed interface, small enough to know its answers by heart.

fused = max(luma, thermal); attention = 1 where thermal > luma, else 0; logits = (mean luma, mean thermal) * 4 - 2;
illumination = (mean luma, mean thermal): "day" where the visible image is the brighter one.

Where it is asked for ``objects``: at each place of 8x8 pixels the scores are (mean luma, mean thermal) * 16 - 8, and
the box reaches SIDES pixels from the middle of the place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vi_fusion_ros.engines.manifest import sha256

LABELS = ["bright", "warm"]
MULTIPLE = 16
OUTPUTS = ("fused", "attention", "logits", "illumination")
WITH_OBJECTS = (*OUTPUTS, "objects")
SIDES = {"bright": (10.0, 6.0, 14.0, 18.0), "warm": (20.0, 12.0, 4.0, 8.0)}
"""Left, upper, right and lower."""
TEMPERATURE = {"both": 1.0, "visible_only": 2.0, "thermal_only": 0.5}


def write_model(
    path: Path,
    changes: dict[str, Any] | None = None,
    *,
    visible_shape: tuple[Any, ...] = (1, 3, "H", "W"),
    outputs: tuple[str, ...] = OUTPUTS,
    logits_factor: float = 4.0,
    object_factor: float = 16.0,
    place: int = 8,
) -> Path:
    """Write the model to ``path`` and its manifest beside it, with ``changes`` made to the manifest."""
    constants = {
        "luma_weights": np.array([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1),
        "factor": np.array(logits_factor, np.float32),
        "shift": np.array(2.0, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["visible", "luma_weights"], ["luma"]),
        helper.make_node("Max", ["luma", "thermal"], ["fused"]),
        helper.make_node("Greater", ["thermal", "luma"], ["warmer"]),
        helper.make_node("Cast", ["warmer"], ["attention"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["luma"], ["mean_luma"]),
        helper.make_node("GlobalAveragePool", ["thermal"], ["mean_thermal"]),
        helper.make_node("Concat", ["mean_luma", "mean_thermal"], ["means"], axis=1),
        helper.make_node("Flatten", ["means"], ["illumination"]),
        helper.make_node("Mul", ["illumination", "factor"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "shift"], ["logits"]),
    ]
    if "objects" in outputs:
        nodes += _object_nodes(place)
        constants |= {
            "object_factor": np.array(object_factor, np.float32),
            "object_shift": np.array(8, np.float32),
            "no_weights": np.zeros((8, 2, 1, 1), np.float32),
            "box_sides": np.array([side for sides in SIDES.values() for side in sides], np.float32),
        }
    image = (1, 1, "H", "W")
    shapes = {
        "fused": image,
        "attention": image,
        "logits": (1, 2),
        "illumination": (1, 2),
        "objects": (1, 10, "h", "w"),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_value("visible", visible_shape), _value("thermal", image)],
        [_value(name, shapes[name]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    manifest = {
        "model_id": "tiny-1",
        "onnx_sha256": sha256(path),
        "labels": LABELS,
        "thresholds": {"bright": 0.5, "warm": 0.6},
        "illumination": ["day", "night"],
        "input": {"multiple": MULTIPLE},
        "temperature": TEMPERATURE,
    }
    manifest.update(changes or {})
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def _object_nodes(place: int) -> list[onnx.NodeProto]:
    square = [place, place]
    return [
        helper.make_node("Concat", ["luma", "thermal"], ["pixels"], axis=1),
        helper.make_node("AveragePool", ["pixels"], ["places"], kernel_shape=square, strides=square),
        helper.make_node("Mul", ["places", "object_factor"], ["scaled_places"]),
        helper.make_node("Sub", ["scaled_places", "object_shift"], ["object_scores"]),
        helper.make_node("Conv", ["places", "no_weights", "box_sides"], ["sides"]),
        helper.make_node("Concat", ["object_scores", "sides"], ["objects"], axis=1),
    ]


def _value(name: str, shape: tuple[Any, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
