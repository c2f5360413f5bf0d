"""The graph that an engine is built from: uint8 pixels in and out, one size, the precision written into it.

TensorRT 11 takes precision from the graph alone, and 10 can; so it is written there for every version. Needs the
package onnx.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference

from vi_fusion_ros.engines.engine import IMAGES, INPUTS, OBJECTS

PRECISIONS = ("fp32", "fp16", "int8")
_QUANTISED = {"QuantizeLinear", "DequantizeLinear"}


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether the graph has quantisation in it."""
    return any(node.op_type in _QUANTISED for node in model.graph.node)


def engine_graph(path: Path, precision: str, size: tuple[int, int]) -> onnx.ModelProto:
    """The graph to build an engine from.

    Args:
        path: ONNX file with the package's interface (float32 in and out, free H and W).
        precision: one of ``PRECISIONS``; ``int8`` wants a file that is quantised already.
        size: width and height, pixels.

    Returns:
        The same graph with ``visible`` (1, 3, H, W) RGB and ``thermal`` (1, 1, H, W) as uint8, ``fused`` and
        ``attention`` (1, 1, H, W) as uint8, rounded to the nearest, and the other outputs as float32.

    Raises:
        ValueError: the file and the precision do not go together; one sentence.
    """
    model = onnx.load(str(path))
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    quantised = is_quantised(model)
    if quantised != (precision == "int8"):
        has = "a" if quantised else "no"
        hint = ": it takes int8" if quantised else f": make one with vi-fusion quantize {path} -o INT8.onnx --data PATH"
        raise ValueError(f"model {path} has {has} quantised graph and precision {precision} was asked for{hint}")
    model = with_bytes(model)
    _fix_size(model, size)
    _constants_to_initializers(model)
    _biases_to_float(model)
    if precision == "fp16":
        model = to_half(model)
    return shape_inference.infer_shapes(model, strict_mode=True)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with float16 weights and arithmetic; float32 inputs and outputs stay what they are."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every weight that is too small for float16
        # Min and Max take float16 since opset 12.
        stay = [name for name in DEFAULT_OP_BLOCK_LIST if name not in ("Min", "Max")]
        half = OnnxModel(convert_float_to_float16(model, keep_io_types=True, op_block_list=stay))
    half.topological_sort()  # around operators that stay float32 it puts casts, behind all other nodes
    return half.model


def with_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with uint8 pixels at its edges: a quarter of the bytes travels to the GPU and back."""
    graph = model.graph
    before = [node for name in INPUTS for node in _decode(name)]
    after = [node for name in IMAGES for node in _encode(name)]
    for node in graph.node:
        node.input[:] = [_inner(name) if name in (*INPUTS, *IMAGES) else name for name in node.input]
        node.output[:] = [_inner(name) if name in IMAGES else name for name in node.output]
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    for value in (*graph.input, *graph.output):
        if value.name in (*INPUTS, *IMAGES):
            value.type.tensor_type.elem_type = TensorProto.UINT8
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("per_level", 1 / 255), ("levels", 255), ("darkest", 0), ("brightest", 1))
    )
    return model


def _decode(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [name], [f"{name}_levels"], f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_levels", "per_level"], [_inner(name)], f"{name}_scale"),
    ]


def _encode(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Clip", [_inner(name), "darkest", "brightest"], [f"{name}_clipped"], f"{name}_clip"),
        helper.make_node("Mul", [f"{name}_clipped", "levels"], [f"{name}_scaled"], f"{name}_scale"),
        helper.make_node("Round", [f"{name}_scaled"], [f"{name}_rounded"], f"{name}_round"),
        helper.make_node("Cast", [f"{name}_rounded"], [name], f"{name}_cast", to=TensorProto.UINT8),
    ]


def _inner(name: str) -> str:
    return f"{name}_unit"


def _constants_to_initializers(model: onnx.ModelProto) -> None:
    """TensorRT's list of operators asks for initializers in some places, for example as the axes of a reduction."""
    constants = [node for node in model.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        model.graph.initializer.append(tensor)
        model.graph.node.remove(node)


def _biases_to_float(model: onnx.ModelProto) -> None:
    """Quantised biases are int32 for ONNX Runtime; TensorRT dequantises no int32, and adds biases as float."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "DequantizeLinear"]:
        levels = tensors.get(node.input[0])
        if levels is not None and levels.data_type == TensorProto.INT32:
            bias = numpy_helper.to_array(levels) * numpy_helper.to_array(tensors[node.input[1]])
            model.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), node.output[0]))
            model.graph.node.remove(node)
    remove_unused(model.graph)


def _fix_size(model: onnx.ModelProto, size: tuple[int, int]) -> None:
    _fix_resizes(model, size)
    shapes = dict.fromkeys((*INPUTS, *IMAGES), size[::-1])
    for value in (*model.graph.input, *model.graph.output):
        sides = (1, *shapes.get(value.name, ()))
        dimensions = value.type.tensor_type.shape.dim
        fixed = dimensions[:1] if value.name == OBJECTS else [dimensions[0], *dimensions[2:]]
        for dimension, side in zip(fixed, sides, strict=True):
            dimension.Clear()
            dimension.dim_value = side
        if value.name == OBJECTS:
            for dimension in dimensions[2:]:
                dimension.Clear()  # inferred: the map's size is the model's own business
    del model.graph.value_info[:]  # shapes of the free size, or none; inferred again


def _fix_resizes(model: onnx.ModelProto, size: tuple[int, int]) -> None:
    """Sizes that the graph computes from those of its inputs become constants, and what computed them goes."""
    graph, known = model.graph, {tensor.name for tensor in model.graph.initializer}
    resizes = [node for node in graph.node if node.op_type == "Resize" and len(node.input) == 4]
    resizes = [node for node in resizes if node.input[3] not in known]
    if not resizes:
        return
    wanted = sorted({node.input[3] for node in resizes})
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [4]) for name in wanted)
    remove_unused(part.graph)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    zeros = {name: np.zeros((1, channels, *size[::-1]), np.uint8) for name, channels in INPUTS.items()}
    values = session.run(wanted, zeros)
    for name, value in zip(wanted, values, strict=True):
        fixed = f"{name}_fixed"
        graph.initializer.append(numpy_helper.from_array(value, fixed))
        for node in resizes:
            if node.input[3] == name:
                node.input[3] = fixed
    remove_unused(graph)


def remove_unused(graph: onnx.GraphProto) -> None:
    """Take away the nodes and the initializers that nobody uses."""
    used = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):  # in topological order: the users of a result come after it
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used.update(node.input)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
