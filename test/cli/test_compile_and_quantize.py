import importlib.util
import json
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")
pytest.importorskip("sklearn", reason="the training requirements are not installed")

from tiny_model import write_model

from vi_fusion_ros import cli
from vi_fusion_ros.benchmarks import quantization
from vi_fusion_ros.benchmarks.backends import load
from vi_fusion_ros.cli.engines.camera_pairs import camera_pairs, drawn_pairs, open_dataset, padded
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.training.datasets.base import DatasetError


@pytest.fixture
def run(capsys):
    def _run(*arguments):
        status = cli.main(list(map(str, arguments)))
        said = capsys.readouterr()
        return status, said.out, said.err

    return _run


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    for camera, shape in (("visible", (60, 90, 3)), ("thermal", (60, 90))):
        folder = tmp_path / "frames" / camera
        folder.mkdir(parents=True)
        for n in range(6):
            smooth = cv2.resize(rng.integers(0, 256, (6, 9, *shape[2:]), np.uint8), shape[1::-1])
            cv2.imwrite(str(folder / f"{n}.png"), smooth)
    return tmp_path / "frames"


def without_gpu():
    try:
        probe()
    except TensorRTUnavailableError as error:
        return str(error)
    return ""


WHY = without_gpu()


@pytest.mark.skipif(not WHY, reason="TensorRT runs here: test/gpu/ has the tests for that")
def test_compile_where_tensorrt_cannot_run_says_why_and_writes_nothing(run, model, tmp_path):
    status, _, err = run("compile", model, "-o", tmp_path / "engines", "--size", "64x48,640x480")
    assert status == 2
    assert err == f"vi-fusion: {WHY}\n"
    assert not (tmp_path / "engines").exists()


def test_compile_of_what_is_no_model(run, tmp_path):
    status, _, err = run("compile", tmp_path / "no.onnx", "-o", tmp_path / "engines")
    assert (status, err.count("\n")) == (2, 1)
    assert "is missing; expected an ONNX file" in err
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(b"changed")
    status, _, err = run("compile", path, "-o", tmp_path / "engines")
    assert status == 2
    assert "not the one that its manifest describes" in err
    assert "--workspace must be at least 1 MB" in run("compile", path, "-o", tmp_path, "--workspace", 0)[2]
    assert "--dla must be 0 or more" in run("compile", path, "-o", tmp_path, "--dla", -1)[2]
    for wrong in (("--size", "64"), ("--precision", "fp8")):
        with pytest.raises(SystemExit):
            run("compile", path, "-o", tmp_path, *wrong)


def test_quantize_measures_what_it_costs(run, frames, tmp_path):
    output, report = tmp_path / "int8.onnx", tmp_path / "report.json"
    arguments = ("--pairs", 2, "--frames", 2, "--size", "64x48", "--runs", 2, "--threads", 1, "--json", report)
    packed = shutil.make_archive(str(tmp_path / "frames"), "zip", frames)  # as a folder, too
    status, out, err = run("quantize", default_model(), "-o", output, "--data", packed, *arguments)
    assert (status, err) == (0, "")
    assert "F1 not measured: the data has no labels" in out
    result = json.loads(report.read_text())
    assert result["calibrated_on"] == 2
    assert result["fusion"]["frames"] == 2
    for row in result["fusion"]["metrics"].values():
        assert row["difference"] == pytest.approx(row["int8"] - row["float"], abs=1e-5)
    assert result["fusion"]["psnr_db"]["min"] > 30
    assert result["speed"]["speedup"] > 0
    has_openvino = importlib.util.find_spec("openvino") is not None
    assert ("openvino_speedup" in result["speed"]) == has_openvino
    assert ("is not installed" in out) != has_openvino
    engine = OnnxRuntimeEngine(output, 1)
    assert engine.manifest.metrics["quantization"]["fusion"]["frames"] == 2


def test_an_engine_that_computes_something_else_is_named_and_not_timed(tmp_path, monkeypatch):
    def load_all_but_openvino(case):
        if case.backend == "openvino":
            raise ValueError("model int8.onnx is not what ONNX Runtime computes in OpenVINO")
        return load(case)

    monkeypatch.setattr(quantization, "load", load_all_but_openvino)
    speed = quantization.speed(default_model(), default_model(), (64, 64), 1, 2)
    assert speed["openvino_fault"] == "model int8.onnx is not what ONNX Runtime computes in OpenVINO"
    assert not {"openvino_int8", "openvino_speedup"} & set(speed)
    assert speed["speedup"] > 0


def test_quantize_of_what_cannot_be(run, frames, tmp_path):
    cases = {
        ("quantize", default_model(), "-o", default_model(), "--data", frames): "cannot be the output",
        ("quantize", default_model(), "-o", tmp_path / "x.bin", "--data", frames): "cannot be the output",
        ("quantize", default_model(), "-o", tmp_path / "x.onnx", "--data", tmp_path / "no"): "no such folder",
        ("quantize", tmp_path / "no.onnx", "-o", tmp_path / "x.onnx", "--data", frames): "no.json cannot be read",
        ("quantize", default_model(), "-o", tmp_path / "x.onnx", "--data", frames, "--pairs", 0): "at least 1",
    }
    for arguments, sentence in cases.items():
        status, _, err = run(*arguments)
        assert (status, err.count("\n")) == (2, 1)
        assert sentence in err
    assert not list(tmp_path.glob("x*"))


def test_pairs_of_a_dataset(frames):
    dataset = open_dataset(frames)
    pairs = camera_pairs(dataset, 3)
    assert len(pairs) == 3
    visible, thermal = pairs[0]
    assert (visible.shape, thermal.shape, visible.dtype) == ((1, 3, 60, 90), (1, 1, 60, 90), np.uint8)
    image = cv2.imread(str(frames / "visible" / "0.png"))
    np.testing.assert_array_equal(visible[0, 0], image[..., 2])  # RGB
    assert [pair[0].shape for pair in padded(pairs, 16)] == [(1, 3, 64, 96)] * 3
    assert camera_pairs(dataset, 2, (32, 16))[0][1].shape == (1, 1, 16, 32)
    (frames / "visible" / "0.png").write_bytes(b"broken")
    assert len(camera_pairs(open_dataset(frames), 6)) == 5
    for path in frames.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError):
        camera_pairs(open_dataset(frames), 6)


def test_drawn_pairs():
    pairs = drawn_pairs((96, 64))
    assert {pair[0].shape for pair in pairs} == {(1, 3, 64, 96)}
    assert len({pair[0].tobytes() for pair in pairs}) == len(pairs)
