"""A method's network as the ONNX file that ``vi_fusion_ros.methods`` runs: it says of which methods it is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from torch import nn

from vi_fusion_ros.methods.mlf_cnn import STRIDES
from vi_fusion_ros.methods.networks import FAITHFUL, LABELS, METHODS
from vi_fusion_ros.model.lite0 import CHANNELS
from vi_fusion_ros.training.datasets import labels
from vi_fusion_ros.training.methods.mlf_cnn import MlfCnn
from vi_fusion_ros.training.methods.networks import Ifcnn, LiteFeatures, ResnetFeatures, VggFeatures
from vi_fusion_ros.training.release.onnx_export import OPSET, ParityError

if TYPE_CHECKING:
    import onnx

_EXAMPLE = (64, 96)
_CHECKED = ((32, 48), (45, 71))
_CHECKED_FRAMES = ((96, 160), (128, 96))  # a detector has 1000 anchors at least
_TOLERANCE = 1e-3  # of the largest value; sums of 25,600 products differ by 2.5e-4 on a processor with AVX2 alone
_FEATURES = (LiteFeatures, VggFeatures, ResnetFeatures)
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
        ParityError: it is above 1e-3.
    """
    import onnx

    network.eval()
    inputs, outputs = _inputs(network), _outputs(network)
    example = tuple(torch.zeros(1, *shape) for shape in _shapes(inputs, _EXAMPLE))
    part = path.with_suffix(".part.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in release/onnx_export.py
        torch.onnx.export(
            network,
            example,
            str(part),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={**{name: _plane(name) for name in inputs}, **outputs},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(part))
    _halve(model)
    about = {LABELS: ",".join(labels.LABELS)} if isinstance(network, MlfCnn) else {}
    onnx.helper.set_model_props(model, {METHODS: methods, FAITHFUL: faithful, **about})
    onnx.save(model, str(part))
    worst = _difference(network, part)
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


def _inputs(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Channels of each input, and pixels of the image that one of its values is of."""
    if isinstance(network, MlfCnn):
        streams = tuple(zip(STRIDES, CHANNELS, strict=True))
        return {f"{camera}{stride}": (c, stride) for camera in ("visible", "thermal") for stride, c in streams}
    if isinstance(network, _FEATURES):
        return {"image": (3, 1)}
    return dict.fromkeys(("first", "second"), (3 if isinstance(network, Ifcnn) else 1, 1))


def _outputs(network: nn.Module) -> dict[str, dict[int, str]]:
    """Names of the outputs, and their axes of free length."""
    if isinstance(network, MlfCnn):
        return {"boxes": {0: "places"}, "probabilities": {0: "places"}}
    names = ["fused"]
    if isinstance(network, _FEATURES):
        with torch.no_grad():
            names = [f"stride{_EXAMPLE[1] // tap.shape[3]}" for tap in network(torch.zeros(1, 3, *_EXAMPLE))]
    return {name: _plane(name) for name in names}


def _plane(name: str) -> dict[int, str]:
    return {2: f"{name}_h", 3: f"{name}_w"}


def _shapes(inputs: dict[str, tuple[int, int]], size: tuple[int, int]) -> list[tuple[int, ...]]:
    return [(channels, *(-(-side // stride) for side in size)) for channels, stride in inputs.values()]


@torch.no_grad()
def _difference(network: nn.Module, path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    inputs = _inputs(network)
    for size in _CHECKED_FRAMES if isinstance(network, MlfCnn) else _CHECKED:
        images = {
            name: rng.random((1, *shape), np.float32) for name, shape in zip(inputs, _shapes(inputs, size), strict=True)
        }
        wanted = network(*(torch.from_numpy(image) for image in images.values()))
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for tensor, given in zip(wanted, session.run(None, images), strict=True):
            worst = max(worst, float(np.abs(tensor.numpy() - given).max() / max(float(tensor.abs().max()), 1e-9)))
    return worst
