"""The graphs that engines are built from: what ONNX Runtime makes of them, and whether TensorRT's parser knows them."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the package onnx is not installed")

import onnx
import onnxruntime
from tiny_model import WITH_OBJECTS, write_model

from vi_fusion_ros.engines.compile.onnx_variants import engine_graph, is_quantised
from vi_fusion_ros.engines.compile.quantize import quantize
from vi_fusion_ros.engines.compile.verify import noise_pairs
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.resources import default_model

PUBLISHED = json.loads((Path(__file__).parent / "data" / "tensorrt_operators.json").read_text())
SIZE = (96, 64)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    quantize(default_model(), path, noise_pairs((64, 64), 2))
    return path


@pytest.fixture(params=["fp32", "fp16", "int8"])
def graph(request):
    model = request.getfixturevalue("quantized") if request.param == "int8" else default_model()
    return request.param, model, engine_graph(model, request.param, SIZE)


def test_only_operators_that_tensorrts_parser_supports(graph):
    _, model, made = graph
    used = {node.op_type for proto in (made, onnx.load(str(model))) for node in proto.graph.node}
    assert len(used) > 10
    for version, operators in PUBLISHED["operators"].items():
        assert sorted(used - set(operators)) == [], f"TensorRT {version}"
    opset = {entry.domain: entry.version for entry in made.opset_import}[""]
    assert all(low <= opset <= high for low, high in PUBLISHED["opset"].values())
    assert {node.domain for node in made.graph.node} <= {"", "ai.onnx"}


def test_what_the_list_restricts(graph):
    """The list's last column, for the operators that we use, and its note that UINT8 is for inputs and outputs only."""
    _, _, made = graph
    known = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    dequantized = {node.output[0] for node in made.graph.node if node.op_type == "DequantizeLinear"}
    for node in made.graph.node:
        if node.op_type.startswith("Reduce"):
            assert set(node.input[1:]) <= set(known), "axes must be an initializer"
        if node.op_type == "Conv":
            assert node.input[1] in dequantized | set(known)
            assert len(shape_of(made, node.input[0])) == 4, "2D or 3D convolutions only"
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert known[node.input[2]] == onnx.TensorProto.INT8, "no other type for 8.6, and ours for the others"
            assert (
                node.op_type == "QuantizeLinear"
                or known.get(node.input[0], onnx.TensorProto.INT8) == onnx.TensorProto.INT8
            )
    assert onnx.TensorProto.UINT8 not in {v.type.tensor_type.elem_type for v in made.graph.value_info}
    edges = [
        node for node in made.graph.node if {"visible", "thermal", "fused", "attention"} & {*node.input, *node.output}
    ]
    assert [node.op_type for node in edges] == ["Cast"] * 4


def shape_of(model, name):
    values = {v.name: v for v in (*model.graph.value_info, *model.graph.input)}
    return [side.dim_value for side in values[name].type.tensor_type.shape.dim]


def test_what_the_exporter_writes_now_uses_no_other_operators(tmp_path):
    pytest.importorskip("torch", reason="the training requirements are not installed")
    from vi_fusion_ros.model.network import FusionNet
    from vi_fusion_ros.training.release.onnx_export import export_onnx

    path = tmp_path / "new.onnx"
    export_onnx(FusionNet(), path)
    used = {node.op_type for node in engine_graph(path, "fp16", SIZE).graph.node}
    for version, operators in PUBLISHED["operators"].items():
        assert sorted(used - set(operators)) == [], f"TensorRT {version}"


def test_the_edges_are_bytes_of_one_size(graph):
    _, _, made = graph
    session = onnxruntime.InferenceSession(made.SerializeToString())
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("visible", "tensor(uint8)", [1, 3, 64, 96]),
        ("thermal", "tensor(uint8)", [1, 1, 64, 96]),
    ]
    outputs = {o.name: (o.type, o.shape) for o in session.get_outputs()}
    assert outputs["fused"] == outputs["attention"] == ("tensor(uint8)", [1, 1, 64, 96])
    assert outputs["logits"] == ("tensor(float)", [1, 3])
    assert outputs["illumination"] == ("tensor(float)", [1, 2])


def test_they_compute_what_the_model_computes(graph):
    """In ONNX Runtime: fp16 within what is asked of an engine, the others up to the rounding to bytes."""
    precision, model, made = graph
    session = onnxruntime.InferenceSession(made.SerializeToString())
    reference = OnnxRuntimeEngine(model, 1)
    for visible, thermal in noise_pairs(SIZE):
        fused, attention, logits, illumination = session.run(
            ["fused", "attention", "logits", "illumination"], {"visible": visible, "thermal": thermal}
        )
        expected = reference.infer(visible, thermal)
        half_a_level = 0.5 / 255 + 1e-4
        limit = 1e-2 if precision == "fp16" else half_a_level
        assert np.abs(fused / np.float32(255) - expected.fused).max() <= limit
        assert np.abs(attention / np.float32(255) - expected.attention).max() <= limit
        np.testing.assert_allclose(logits, expected.logits, atol=2e-2 if precision == "fp16" else 1e-3)
        np.testing.assert_allclose(illumination, expected.illumination, atol=2e-2 if precision == "fp16" else 1e-3)


def test_fp16_is_fp16_throughout():
    made = engine_graph(default_model(), "fp16", SIZE)
    scales = {node.input[2] for node in made.graph.node if node.op_type == "Resize"}  # float32 by the standard
    kinds = Counter(t.data_type for t in made.graph.initializer if t.name not in scales)
    assert kinds[onnx.TensorProto.FLOAT16]
    assert not kinds[onnx.TensorProto.FLOAT]
    assert onnx.TensorProto.FLOAT not in {v.type.tensor_type.elem_type for v in made.graph.value_info}


def test_precision_and_graph_have_to_go_together(quantized):
    assert is_quantised(onnx.load(str(quantized)))
    with pytest.raises(ValueError, match=r"has no quantised graph and precision int8 .*: make one with vi-fusion quan"):
        engine_graph(default_model(), "int8", SIZE)
    with pytest.raises(ValueError, match="has a quantised graph and precision fp16 was asked for: it takes int8"):
        engine_graph(quantized, "fp16", SIZE)
    with pytest.raises(ValueError, match="precision is 'fp8'; expected one of fp32, fp16, int8"):
        engine_graph(default_model(), "fp8", SIZE)


def test_quantized_models_are_served_and_described(quantized, tmp_path):
    engine = OnnxRuntimeEngine(quantized, 1)
    assert engine.manifest.precision == "int8"
    assert engine.manifest.model_id.endswith("-int8")
    assert set(engine.manifest.metrics) == {"quantization"}
    graph = onnx.load(str(quantized)).graph
    zero_points = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name.endswith("zero_point")]
    assert zero_points
    assert not any(np.any(value) for value in zero_points), "TensorRT takes no other zero point than 0"
    with pytest.raises(ValueError, match="is quantised already"):
        quantize(quantized, tmp_path / "again.onnx", noise_pairs(SIZE))
    with pytest.raises(ValueError, match="no pair of images"):
        quantize(default_model(), tmp_path / "none.onnx", [])
    assert not list(tmp_path.iterdir())


def test_the_tiny_model_too(tmp_path):
    """A model of another kind, whose fused image may leave 0 to 1, is cut off there."""
    model = write_model(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(engine_graph(model, "fp32", SIZE).SerializeToString())
    visible, thermal = noise_pairs(SIZE, 1)[0]
    fused = session.run(["fused"], {"visible": visible, "thermal": thermal})[0]
    luma = np.tensordot([0.299, 0.587, 0.114], visible[0].astype(np.float64), 1)
    assert np.abs(fused[0, 0] - np.maximum(luma, thermal[0, 0])).max() <= 0.51


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_objects_are_floats_of_one_size(tmp_path, precision):
    model = write_model(tmp_path / "m.onnx", outputs=WITH_OBJECTS)
    made = engine_graph(model, precision, SIZE)
    onnx.checker.check_model(made)  # also that nodes come after what they need: Max stays float32 between casts
    session = onnxruntime.InferenceSession(made.SerializeToString())
    outputs = {o.name: (o.type, o.shape) for o in session.get_outputs()}
    assert outputs["objects"] == ("tensor(float)", [1, 10, 8, 12])
    visible, thermal = noise_pairs(SIZE, 1)[0]
    objects = session.run(["objects"], {"visible": visible, "thermal": thermal})[0]
    np.testing.assert_allclose(objects, OnnxRuntimeEngine(model, 1).infer(visible, thermal).objects, atol=2e-2)


def test_objects_stay_in_a_quantized_model(tmp_path):
    model = write_model(tmp_path / "m.onnx", {"objects": {"bias": {"warm": 1.0}}}, outputs=WITH_OBJECTS)
    manifest = quantize(model, tmp_path / "int8.onnx", noise_pairs(SIZE, 2))
    assert manifest.object_calibration.bias.tolist() == [0, 1]
    assert OnnxRuntimeEngine(tmp_path / "int8.onnx").outputs == WITH_OBJECTS
