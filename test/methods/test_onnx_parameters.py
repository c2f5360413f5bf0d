"""Parameters of ONNX files, counted without the package onnx."""

import json

import numpy as np
import pytest

from vi_fusion_ros.methods.onnx_parameters import parameters
from vi_fusion_ros.methods.registry import DETECTORS, METHODS
from vi_fusion_ros.resources import default_model

FILES = sorted({path for entry in (*METHODS.values(), *DETECTORS.values()) for path in entry.networks})


@pytest.mark.parametrize("path", [*FILES, default_model()], ids=lambda path: path.stem)
def test_what_the_package_onnx_counts(path):
    onnx = pytest.importorskip("onnx", reason="onnx counts for comparison")
    held = onnx.load(str(path)).graph.initializer
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    assert parameters(path) == sum(int(np.prod(one.dims)) for one in held if one.data_type in floats) > 10_000


def test_what_the_manifest_of_the_default_model_says():
    manifest = json.loads(default_model().with_suffix(".json").read_text())
    assert parameters(default_model()) == manifest["metrics"]["parameters"]


def test_a_method_has_the_parameters_of_all_its_networks():
    alone, backbone = (parameters(path) for path in DETECTORS["mlf-cnn"].networks)
    assert DETECTORS["mlf-cnn"].as_json()["parameters"] == alone + backbone
    assert METHODS["vgg-ml"].as_json()["parameters"] == backbone
    assert METHODS["gtf"].as_json()["parameters"] == 0


@pytest.mark.parametrize("data", [b"\x3a\x7fcut off", b"\x3b", b"\x80\x80"])
def test_what_is_no_onnx_file_is_a_sentence(tmp_path, data):
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.onnx cannot be read as an ONNX file: ") as caught:
        parameters(tmp_path / "x.onnx")
    assert "\n" not in str(caught.value)
