"""Fold a checkpoint, write it as ONNX, and check that ONNX Runtime agrees with torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet

INPUTS = ("visible", "thermal")
OUTPUTS = ("fused", "attention", "logits", "illumination", "objects")
OPSET = 17
TOLERANCE = 5e-4
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class ParityError(ValueError):
    """The exported file and the network disagree."""


def export_onnx(network: FusionNet, path: Path, pairs: Iterable[Pair] = ()) -> float:
    """Write ``network``, folded, with dynamic H and W; a file at ``path`` is replaced only by one that was checked.

    Args:
        network: trained network.
        path: where to.
        pairs: inputs (1, 3, H, W) and (1, 1, H, W) to check on, besides random ones of three sizes.

    Returns:
        Largest difference seen between ONNX Runtime and the network before folding, as ``largest_difference``.

    Raises:
        ParityError: it is above ``TOLERANCE``.
    """
    part = path.with_suffix(".part.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    example = tuple(torch.zeros(1, channels, 4 * SIZE_MULTIPLE, 6 * SIZE_MULTIPLE) for channels in (3, 1))
    spatial = {name: {2: "height", 3: "width"} for name in (*INPUTS, *OUTPUTS[:2])}
    spatial["objects"] = {2: "rows", 3: "columns"}
    folded = network.folded()
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but its graphs are the plainest and need no further package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            folded,
            example,
            str(part),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=spatial,
            opset_version=OPSET,
            dynamo=False,
        )
    _tidy(part, folded)
    worst = largest_difference(network, part, [*_random_pairs(), *pairs])
    if not worst <= TOLERANCE:
        part.unlink()
        raise ParityError(f"{path}: ONNX Runtime differs from torch by {worst:.2g}; expected at most {TOLERANCE:g}")
    part.replace(path)
    return worst


def _tidy(path: Path, folded: FusionNet) -> None:
    """Give each layer the weights of its name, and convolutions the padding before them.

    The exporter keeps one of several equal tensors and copies it at run time. The branches share what was not trained,
    TensorRT wants weights that are initializers, and ``warm_start`` looks for them by name. A padding of its own makes
    ONNX Runtime put the whole image into another order and back: a fifth of the time.
    """
    import onnx

    from vi_fusion_ros.engines.compile.onnx_variants import remove_unused

    model = onnx.load(str(path))
    made_by = {node.output[0]: node for node in model.graph.node}
    for conv in [n for n in model.graph.node if n.op_type == "Conv" and made_by.get(n.input[0], n).op_type == "Pad"]:
        layer = folded.get_submodule(conv.input[1].removesuffix(".weight"))
        left, right, above, below = cast("tuple[int, ...]", layer.pad)
        pads = next(attribute.ints for attribute in conv.attribute if attribute.name == "pads")
        pads[:] = [above, left, below, right]
        conv.input[0] = made_by[conv.input[0]].input[0]
    remove_unused(model.graph)
    given = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "Identity" and n.input[0] in given]:
        copy = onnx.TensorProto()
        copy.CopyFrom(given[node.input[0]])
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
        model.graph.node.remove(node)
    onnx.save(model, str(path))


@torch.no_grad()
def largest_difference(network: FusionNet, path: Path, pairs: Iterable[Pair]) -> float:
    """Largest difference of any output between ``network`` in eval mode and the ONNX file, over ``pairs``.

    Absolute for values up to 1, relative for larger ones: boxes are hundreds of pixels wide. Distances to the sides of
    boxes count a tenth: each is a mean of two cameras', weighed by exponentials of scores, in which rounding grows.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    network.eval()
    worst = 0.0
    for visible, thermal in pairs:
        expected = network(torch.from_numpy(visible), torch.from_numpy(thermal))
        got = session.run(list(OUTPUTS), {"visible": visible, "thermal": thermal})
        for name, wanted, given in zip(OUTPUTS, (tensor.numpy() for tensor in expected), got, strict=True):
            difference = np.abs(wanted - given) / np.maximum(np.abs(wanted), 1)
            if name == "objects":
                difference[:, network.config.classes :] /= 10
            worst = max(worst, float(difference.max()))
    return worst


def _random_pairs() -> list[Pair]:
    rng = np.random.default_rng(0)
    sizes = ((64, 64), (256, 320), (480, 640))
    return [(rng.random((1, 3, h, w), np.float32), rng.random((1, 1, h, w), np.float32)) for h, w in sizes]
