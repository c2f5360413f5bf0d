"""TensorRT engines on a real GPU: built, verified, served, refused, swapped in."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the package onnx is not installed")

from vi_fusion_ros.cli.engines.camera_pairs import camera_pairs, drawn_pairs, open_dataset
from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.compile.compiling import CompileRequest, compile_engines, target_for
from vi_fusion_ros.engines.compile.quantize import quantize
from vi_fusion_ros.engines.compile.verify import noise_pairs, verify
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.select import Wanted, build_command, select_engine
from vi_fusion_ros.resources import default_model

SIZE = (640, 480)
DEADLINE_S = 900.0

pytestmark = pytest.mark.usefixtures("platform")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


def compiled(folder, precision, timing_cache, model=None, sizes=(SIZE,), real=lambda size: []):
    request = CompileRequest(model or default_model(), folder, sizes, precision, timing_cache=timing_cache)
    return list(compile_engines(request, real, drawn_pairs, print))


@pytest.fixture(scope="module")
def fp16(platform, folder, timing_cache):
    [(path, _)] = compiled(folder, "fp16", timing_cache)
    return path


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_is_built_verified_and_served(folder, precision, timing_cache, platform):
    [(path, manifest)] = compiled(folder, precision, timing_cache)
    assert manifest.verification["verified"] is True
    assert manifest.verification["largest"] <= 1e-2
    assert manifest.verification["psnr_db"] >= 50
    assert manifest.model.gpu == platform.gpu
    assert timing_cache.stat().st_size > 0
    engine, reference = load_engine(path), OnnxRuntimeEngine(default_model())
    result = verify(engine, reference, [], noise_pairs(SIZE, 5), precision)
    assert result.verified, result.reason
    assert "CUDA graph" in engine.description
    assert "no CUDA graph" not in engine.description
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(*noise_pairs(SIZE, 1)[0])


def test_on_real_images(tmp_path, data_dir, timing_cache):
    import zipfile

    with zipfile.ZipFile(data_dir / "roadscene_dev.zip") as archive:
        archive.extractall(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    [(_, manifest)] = compiled(tmp_path, "fp16", timing_cache, real=lambda size: camera_pairs(dataset, 16, size))
    assert manifest.verification["real_pairs"] == 16


def test_int8(tmp_path, timing_cache):
    model = tmp_path / "int8.onnx"
    quantize(default_model(), model, drawn_pairs(SIZE))
    [(path, manifest)] = compiled(tmp_path, "int8", timing_cache, model)
    assert manifest.model.precision == "int8"
    assert verify(load_engine(path), OnnxRuntimeEngine(model), [], drawn_pairs(SIZE), "int8").verified


def test_with_and_without_a_cuda_graph_the_same(fp16):
    from vi_fusion_ros.engines.trt.runtime import TensorRTEngine

    plan, manifest = engine_cache.read(fp16)
    engines = [TensorRTEngine(plan, manifest, graph=graph) for graph in (True, False)]
    for pair in noise_pairs(SIZE):
        first, second = (engine.infer(*pair) for engine in engines)
        for name in ("fused", "attention", "logits", "illumination"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for engine in engines:
        engine.close()


def test_outputs_belong_to_the_caller(fp16):
    engine = load_engine(fp16)
    first, *_ = pairs = noise_pairs(SIZE, 2)
    output = engine.infer(*first)
    kept = output.fused.copy()
    engine.infer(*pairs[1])
    np.testing.assert_array_equal(output.fused, kept)
    engine.close()


def test_a_plan_that_tensorrt_cannot_read_and_a_size_that_it_was_not_built_for(fp16):
    from vi_fusion_ros.engines.trt.runtime import TensorRTEngine

    plan, manifest = engine_cache.read(fp16)
    with pytest.raises(ValueError, match="cannot read the engine; build it again: vi-fusion compile"):
        TensorRTEngine(plan[: len(plan) // 2], manifest)
    engine = TensorRTEngine(plan, manifest)
    with pytest.raises(ValueError, match="built for images of 640x480, these are 320x240"):
        engine.buffers(240, 320)
    engine.close()


def test_a_manifest_of_another_gpu_is_refused(fp16, platform, tmp_path):
    plan, manifest = engine_cache.read(fp16)
    target = target_for(default_model(), Manifest.load(default_model().with_suffix(".json")), SIZE, "fp16", platform)
    other = replace(manifest, model=replace(manifest.model, compute_capability="5.3"))
    path = engine_cache.write(tmp_path, target, plan, other)
    with pytest.raises(ValueError, match=r"for compute capability 5\.3, but"):
        load_engine(path)


def test_a_builder_that_is_killed_leaves_no_engine(tmp_path, platform):
    target = target_for(default_model(), Manifest.load(default_model().with_suffix(".json")), SIZE, "fp16", platform)
    process = subprocess.Popen(build_command(target, tmp_path), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not any("building" in line for line in process.stdout):
        pytest.skip("the build was over before it could be killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("*.engine"))
    assert engine_cache.find(tmp_path, target).path is None


@pytest.mark.parametrize("writable", [True, False])
def test_auto_builds_in_the_background_and_changes_over(tmp_path, writable):
    cache = tmp_path / "cache"
    if not writable:
        (tmp_path / "file").write_text("")
        cache = tmp_path / "file" / "cache"
    said, warned = [], []
    engine = select_engine(default_model(), Wanted("auto", cache=cache), said.append, warned.append, warned.append)
    assert len(warned) == (0 if writable else 1)
    frames = 0
    end = time.monotonic() + DEADLINE_S
    while not engine.description.startswith("tensorrt "):
        assert time.monotonic() < end, engine.reason
        assert engine.state in ("ready", "building"), engine.reason
        visible, thermal = engine.buffers(SIZE[1], SIZE[0])
        assert engine.infer(visible, thermal).fused.shape == (1, 1, 480, 640)
        frames += 1
        threading.Event().wait(0.03)
    assert frames > 10
    engine.close()
    assert bool(list(cache.glob("*.engine")) if writable else []) is writable


def test_the_node_starts_without_torch(fp16):
    code = (
        "import sys\n"
        "from vi_fusion_ros.engines.load import load_engine\n"
        f"engine = load_engine({str(Path(fp16))!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
