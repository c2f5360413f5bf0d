import importlib.util
import json

import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from engines import a_target
from tiny_model import write_model

from vi_fusion_ros.engines.select import BACKENDS, Wanted, build_command, select_engine
from vi_fusion_ros.engines.trt import cuda
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe


def without_tensorrt():
    try:
        probe()
    except TensorRTUnavailableError as error:
        return str(error)
    return ""


NO_TENSORRT = without_tensorrt()

needs_none = pytest.mark.skipif(not NO_TENSORRT, reason="TensorRT runs here: test/gpu/ has the tests for that")


def select(model, backend="auto", **wanted):
    said = []
    engine = select_engine(model, Wanted(backend, threads=1, **wanted), said.append, said.append, said.append)
    assert said == []
    return engine


@needs_none
def test_auto_says_why_there_is_no_tensorrt(model):
    engine = select(model)
    assert engine.state == "ready"
    assert engine.description.startswith("onnxruntime ")
    assert engine.reason == f"TensorRT is not used: {NO_TENSORRT}; ONNX Runtime on the CPU"


@needs_none
def test_tensorrt_asked_for_where_it_cannot_run(model):
    with pytest.raises(ValueError, match=r"backend is tensorrt, but .*; set backend to auto to serve without it"):
        select(model, "tensorrt")


def test_onnx_runtime_asked_for(model):
    engine = select(model, "onnxruntime")
    assert engine.reason.startswith("backend is onnxruntime; ONNX Runtime on the ")


@pytest.mark.parametrize("backend", BACKENDS[::2])
def test_a_model_that_cannot_be_served(tmp_path, backend):
    with pytest.raises(ValueError, match="is missing"):
        select(tmp_path / "no.onnx", backend)
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(b"garbage")
    with pytest.raises(ValueError, match="not the one that its manifest describes"):
        select(path, backend)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="tensorrt is installed")
def test_what_is_missing_is_said():
    with pytest.raises(TensorRTUnavailableError, match="tensorrt is not installed"):
        probe()


@pytest.mark.skipif(not NO_TENSORRT or bool(cuda._in_wheels()), reason="there is a CUDA runtime")
def test_no_cuda():
    cuda.load.cache_clear()
    with pytest.raises(cuda.CudaError, match=r"NVIDIA driver|no CUDA runtime|CUDA error"):
        cuda.load()


def test_the_builder_that_the_node_starts_is_the_compile_command(model, tmp_path):
    command = build_command(a_target(model), tmp_path)
    assert command[1:4] == ["-m", "vi_fusion_ros.cli", "compile"]
    assert command[4:] == [
        str(model), "-o", str(tmp_path), "--precision", "fp16", "--size", "64x48",
        "--timing-cache", str(tmp_path / "timing.cache"),
    ]  # fmt: skip


def test_engines_are_told_apart_by_all_that_makes_them_different(model):
    names = {
        a_target(model, **changes).name
        for changes in (
            {},
            {"size": (1, 2)},
            {"precision": "int8"},
            {"tensorrt": "8.6.1"},
            {"compute_capability": "9.0"},
            {"dla": 1},
        )
    }
    assert len(names) == 6
    document = json.loads(model.with_suffix(".json").read_text())
    assert all(name.startswith(f"tiny-1_{document['onnx_sha256'][:8]}_") for name in names)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is not None, reason="openvino is installed")
def test_openvino_asked_for_where_it_is_missing(model):
    with pytest.raises(ValueError, match="the Python package openvino is not installed"):
        select(model, "openvino")
