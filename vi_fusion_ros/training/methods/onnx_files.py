"""A method's network as the ONNX file that ``vi_fusion_ros.methods`` runs: it says of which methods it is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from torch import nn

from vi_fusion_ros.methods.networks import FAITHFUL, METHODS
from vi_fusion_ros.training.methods.networks import Ifcnn, LiteFeatures, ResnetFeatures, VggFeatures
from vi_fusion_ros.training.release.onnx_export import OPSET, ParityError

if TYPE_CHECKING:
    import onnx

_EXAMPLE = (64, 96)
_TOLERANCE = 1e-4  # of the largest value
_SMALL = 256  # values: to halve fewer is not worth a node


def write_onnx(network: nn.Module, path: Path, methods: str, faithful: str) -> float:
    """Write a network with free height and width; ``path`` is replaced only by a file that was checked.

    Args:
        network: one of ``networks``.
        path: where to.
        methods: names of the methods that it serves, with commas between.
        faithful: what ``vi-fusion methods`` says of a method with these weights.

    Returns:
        Largest difference between ONNX Runtime and torch on noise, as a share of the largest value.

    Raises:
        ParityError: it is above 1e-4.
    """
    import onnx

    network.eval()
    features = isinstance(network, (LiteFeatures, VggFeatures, ResnetFeatures))
    inputs = ["image"] if features else ["first", "second"]
    channels = 3 if features or isinstance(network, Ifcnn) else 1
    example = tuple(torch.zeros(1, channels, *_EXAMPLE) for _ in inputs)
    with torch.no_grad():
        made = network(*example)
    outputs = [f"stride{_EXAMPLE[1] // tap.shape[3]}" for tap in made] if features else ["fused"]
    part = path.with_suffix(".part.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in release/onnx_export.py
        torch.onnx.export(
            network,
            example,
            str(part),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {2: f"{name}_h", 3: f"{name}_w"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(part))
    _halve(model)
    onnx.helper.set_model_props(model, {METHODS: methods, FAITHFUL: faithful})
    onnx.save(model, str(part))
    worst = _difference(network, part, inputs, channels)
    if not worst <= _TOLERANCE:
        part.unlink()
        raise ParityError(f"{path}: ONNX Runtime differs from torch by {worst:.2g}; expected at most {_TOLERANCE:g}")
    part.replace(path)
    return worst


def round_to_half(network: nn.Module) -> None:
    """Round every weight to what half precision holds, so that its file is half as large and gives the same."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())


def _halve(model: onnx.ModelProto) -> None:
    """Store the weights that half precision holds in half precision; they are computed with in single precision."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for held in model.graph.initializer:
        value = numpy_helper.to_array(held)
        if value.dtype != np.float32 or value.size < _SMALL or (value.astype(np.float16) != value).any():
            continue
        name = held.name
        held.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [held.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@torch.no_grad()
def _difference(network: nn.Module, path: Path, inputs: list[str], channels: int) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in ((32, 48), (45, 71)):
        images = {name: rng.random((1, channels, *size), np.float32) for name in inputs}
        wanted = network(*(torch.from_numpy(image) for image in images.values()))
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for tensor, given in zip(wanted, session.run(None, images), strict=True):
            worst = max(worst, float(np.abs(tensor.numpy() - given).max() / max(float(tensor.abs().max()), 1e-9)))
    return worst
