import numpy as np
import pytest

pytest.importorskip("openvino", reason="openvino is not installed (requirements/openvino.txt)")
pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import write_model

from vi_fusion_ros.engines.compile.quantize import quantize
from vi_fusion_ros.engines.compile.verify import noise_pairs, verify
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.openvino_engine import OpenVinoEngine
from vi_fusion_ros.engines.select import Wanted, select_engine
from vi_fusion_ros.resources import default_model


def test_it_computes_what_onnx_runtime_computes():
    engine, reference = OpenVinoEngine(default_model(), 1), OnnxRuntimeEngine(default_model(), 1)
    for size in ((96, 64), (64, 96), (96, 64)):
        result = verify(engine, reference, [], noise_pairs(size), "fp32")
        assert result.verified, result.reason
        assert result.largest < 1e-3
    assert engine.description.startswith("openvino 2")
    assert engine.description.endswith("CPU, 1 thread")


def test_int8(tmp_path):
    path = tmp_path / "int8.onnx"
    quantize(default_model(), path, noise_pairs((64, 64), 4))
    result = verify(OpenVinoEngine(path), OnnxRuntimeEngine(path), [], noise_pairs((96, 64)), "int8")
    assert result.verified, result.reason


def test_outputs_belong_to_the_caller_and_buffers_are_kept(model):
    engine = OpenVinoEngine(model)
    first = engine.buffers(32, 64)
    assert all(a is b for a, b in zip(first, engine.buffers(32, 64), strict=True))
    first[0][...] = 0.5
    output = engine.infer(*first)
    np.testing.assert_allclose(output.fused, 0.5, atol=1e-5)
    first[0][...] = 1.0
    engine.infer(*first)
    np.testing.assert_allclose(output.fused, 0.5, atol=1e-5)
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(*first)


def test_objects(model, object_model):
    assert OpenVinoEngine(model).infer(*OpenVinoEngine(model).buffers(32, 64)).objects is None
    engine, reference = OpenVinoEngine(object_model), OnnxRuntimeEngine(object_model)
    result = verify(engine, reference, [], noise_pairs((96, 64)), "fp32")
    assert (result.verified, result.reason) == (True, "")
    assert result.probability < 1e-3
    assert result.iou > 0.999
    visible, thermal = noise_pairs((96, 64))[0]
    expected = reference.infer(visible, thermal).objects
    np.testing.assert_allclose(engine.infer(visible, thermal).objects, expected, atol=1e-4)


def test_many_sizes(model):
    engine = OpenVinoEngine(model)
    for side in range(16, 16 * 9, 16):
        assert engine.infer(*engine.buffers(side, 16)).fused.shape == (1, 1, side, 16)


def test_what_it_cannot_serve_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"no\.onnx is missing"):
        OpenVinoEngine(tmp_path / "no.onnx")
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match="not the one that its manifest describes"):
        OpenVinoEngine(path)
    engine = OpenVinoEngine(write_model(tmp_path / "n.onnx"))
    with pytest.raises(ValueError, match="failed on an image of 64x32: ") as caught:
        engine.infer(np.zeros((1, 3, 32, 64), np.float32), np.zeros((1, 1, 64, 32), np.float32))
    assert "\n" not in str(caught.value)


def test_it_serves_where_it_is_asked_for(model):
    engine = select_engine(model, Wanted("openvino", threads=1), print, print, print)
    assert engine.description.startswith("openvino ")
    assert (engine.state, engine.reason) == ("ready", "backend is openvino; OpenVINO on the CPU")
