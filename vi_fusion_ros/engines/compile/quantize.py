"""Explicit int8 quantisation: one graph for ONNX Runtime and for TensorRT, 8.6 to 11. Needs the package onnx."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from vi_fusion_ros.engines.compile.onnx_variants import is_quantised
from vi_fusion_ros.engines.compile.verify import BytePair
from vi_fusion_ros.engines.engine import INPUTS, to_unit
from vi_fusion_ros.engines.files import write_atomic
from vi_fusion_ros.engines.manifest import Manifest, sha256_of

_QUANTISED_OPERATORS = ["Conv", "Relu"]
_FEWEST_WEIGHTS = 4096
"""Smaller convolutions stay float: they are a small part of the arithmetic, and those at the end of the network, whose
rounding would show in the fused image, are small."""


def quantize(model: Path, output: Path, pairs: Iterable[BytePair]) -> Manifest:
    """Write the int8 model of a float one, in QDQ form, and its manifest without metrics.

    Weights are symmetric int8 per channel, activations symmetric int8 per tensor, between the extremes seen on
    ``pairs``: TensorRT takes no other zero point than 0.

    Args:
        model: ONNX file with the package's interface, its manifest beside it.
        output: where to; its manifest goes beside it.
        pairs: what to calibrate on, sides multiples of ``manifest.multiple``.

    Returns:
        The manifest.

    Raises:
        ValueError: the model is quantised already or cannot be read, or there are no pairs; one sentence.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    manifest = Manifest.load(model.with_suffix(".json"))
    manifest.check_onnx(model)
    graph = onnx.load(str(model))
    if is_quantised(graph):
        raise ValueError(f"model {model} is quantised already; expected a float model")
    reader = _Reader(pairs)
    if not reader.count:
        raise ValueError("there is no pair of images to calibrate on")
    with _without_advice(), tempfile.TemporaryDirectory(prefix="vi_fusion_quantize_") as scratch:
        part = Path(scratch) / "int8.onnx"
        quantize_static(
            graph,
            str(part),
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED_OPERATORS,
            per_channel=True,
            # Seven bits: processors without VNNI add pairs of products in 16 bits, and with eight OpenVINO was off by
            # 0.16 there.
            reduce_range=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_small_convolutions(graph),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        data = part.read_bytes()
    digest = sha256_of(data)
    quantized = replace(
        manifest,
        model_id=f"{manifest.model_id}-int8",
        onnx_sha256=digest,
        precision="int8",
        metrics={"quantization": {"of": manifest.model_id, "pairs": reader.count}},
    )
    write_atomic(output, data)
    quantized.save(output.with_suffix(".json"))
    return quantized


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """ONNX Runtime advises, on the root logger, to fold what the exporter has folded."""

    def keep(record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()

    logger = logging.getLogger()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _small_convolutions(model: onnx.ModelProto) -> list[str]:
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    return [node.name for node in convolutions if weights.get(node.input[1], 0) < _FEWEST_WEIGHTS]


class _Reader:
    """What ONNX Runtime's calibration reads: one pair at a time, None at the end, then from the beginning again."""

    def __init__(self, pairs: Iterable[BytePair]) -> None:
        self._feeds: list[dict[str, npt.NDArray[np.float32]]] = [
            {name: to_unit(plane) for name, plane in zip(INPUTS, pair, strict=True)} for pair in pairs
        ]
        self.count = len(self._feeds)
        self.rewind()

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self._left, None)

    def rewind(self) -> None:
        self._left = iter(self._feeds)

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, npt.NDArray[np.float32]]:
        feed = self.get_next()
        if feed is None:
            raise StopIteration
        return feed
