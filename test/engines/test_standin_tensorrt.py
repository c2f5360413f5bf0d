"""Compiling, serving and changing over from end to end, with a stand-in where TensorRT, CUDA and the GPU are.

What test/support/standin/ stands in for is not tested here: test_tensorrt_api.py and test/gpu/ are about that. All else
is real: the command, its process, the graphs, the verification, the files, pinned memory by ctypes.
"""

import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("onnx", reason="the package onnx is not installed")

import standin_tensorrt

from vi_fusion_ros.engines.compile.quantize import quantize
from vi_fusion_ros.engines.compile.verify import noise_pairs
from vi_fusion_ros.resources import default_model

pytestmark = pytest.mark.skipif(standin_tensorrt.compiler() is None, reason="there is no C compiler")

TIMEOUT_S = 60.0
VERSIONS = ["8.6.0", "10.3.0", "11.4.0.106"]
SIZE = "96x64"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    return standin_tensorrt.build(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def python(libraries):
    """Runs Python with the stand-in; settings are its (``test/support/standin``)."""

    def _python(*arguments, **settings):
        environment = standin_tensorrt.environment(libraries, **settings)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S)

    return _python


@pytest.fixture
def compile_(python):
    def _compile(folder, *arguments, model=None, size=SIZE, **settings):
        words = ("-m", "vi_fusion_ros.cli", "compile", model or default_model(), "-o", folder, "--size", size)
        return python(*words, *arguments, **settings)

    return _compile


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    quantize(default_model(), path, noise_pairs((64, 64), 2))
    return path


@pytest.fixture
def engine(compile_, tmp_path):
    """An engine of 96x64 for TensorRT 10.3.0."""
    assert compile_(tmp_path / "engines").returncode == 0
    [path] = (tmp_path / "engines").glob("*.engine")
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_engines_are_built_verified_and_written(compile_, tmp_path, version):
    cache = tmp_path / "timing.cache"
    done = compile_(tmp_path / "engines", "--timing-cache", cache, size="96x64,62x48", version=version)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("verified on 0 camera pairs and 7 others: fused differs by") == 2
    manifests = sorted((tmp_path / "engines").glob("*.json"))
    assert [path.with_suffix(".engine").is_file() for path in manifests] == [True, True]
    documents = [json.loads(path.read_text()) for path in manifests]
    assert [document["engine"]["size"] for document in documents] == [[64, 64], [96, 64]]
    for document in documents:
        assert document["engine"]["verification"]["verified"] is True
        assert document["engine"]["verification"]["psnr_db"] >= 50
        assert document["engine"]["cuda"] == "12.6"
        assert (document["backend_version"], document["gpu"], document["compute_capability"]) == (
            version, "Stand-in", "8.7",
        )  # fmt: skip
    assert version.encode() in cache.read_bytes()
    assert len(list((tmp_path / "engines").iterdir())) == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_int8_and_fp32(compile_, int8, tmp_path, version):
    """Where flags or types were set that the version does not take together, the stand-in refuses."""
    assert compile_(tmp_path, "--precision", "int8", model=int8, version=version).stderr == ""
    assert compile_(tmp_path, "--precision", "fp32", "--workspace", 64, version=version).stderr == ""
    assert len(list(tmp_path.glob("*.engine"))) == 2


def test_an_engine_that_computes_something_else_is_not_written(compile_, tmp_path):
    done = compile_(tmp_path / "engines", build="wrong")
    assert done.returncode == 2
    assert "was built but is not what ONNX Runtime computes: fused differs by" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "engines").iterdir())


def test_a_build_that_fails_says_what_tensorrt_said(compile_, tmp_path):
    done = compile_(tmp_path / "engines", build="fail")
    assert done.returncode == 2
    assert done.stderr == (
        "vi-fusion: TensorRT 10.3.0 could not build the engine: IBuilder::buildSerializedNetwork: Error Code 10: no "
        "implementation\n"
    )
    assert not list((tmp_path / "engines").iterdir())


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_built(compile_, tmp_path):
    (tmp_path / "file").write_text("")
    done = compile_(tmp_path / "file" / "engines", build="fail")
    assert done.returncode == 2
    assert done.stderr == (
        f"vi-fusion: the folder {tmp_path / 'file' / 'engines'} cannot be written; name another for the engines\n"
    )


def test_a_timing_cache_that_cannot_be_written_costs_no_engine(compile_, tmp_path):
    assert compile_(tmp_path / "engines", "--timing-cache", tmp_path).returncode == 0
    assert list((tmp_path / "engines").glob("*.engine"))


def test_an_accelerator_that_is_not_there(compile_, tmp_path):
    done = compile_(tmp_path / "engines", "--dla", 1)
    assert (done.returncode, done.stderr) == (2, "vi-fusion: DLA core 1 was asked for; this machine has 0\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_killed_in_the_middle_leaves_nothing_and_can_be_repeated(libraries, compile_, tmp_path, number):
    command = [sys.executable, "-m", "vi_fusion_ros.cli", "compile", default_model(), "-o", tmp_path, "--size", SIZE]
    environment = standin_tensorrt.environment(libraries, build="hang")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert any("building fp16 96x64" in line for line in process.stdout)
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) != 0
    assert not list(tmp_path.iterdir())
    assert compile_(tmp_path).returncode == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_the_timing_cache_of_another_tensorrt_is_replaced(compile_, tmp_path):
    cache = tmp_path / "timing.cache"
    for version in ("8.6.0", "10.3.0"):
        assert compile_(tmp_path / "engines", "--timing-cache", cache, version=version).returncode == 0
    assert cache.read_bytes() == b"timed on 10.3.0"


SERVE = """
import ctypes, sys
import numpy as np
from pathlib import Path
from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.trt import runtime
from vi_fusion_ros.engines.compile.verify import noise_pairs, verify
from vi_fusion_ros.resources import default_model

path = Path(sys.argv[1])
live = ctypes.CDLL("libcudart.so.12").standin_live
reference, pairs = OnnxRuntimeEngine(default_model()), noise_pairs((96, 64), 4)
engine = load_engine(path)
assert verify(engine, reference, [], pairs, "fp16").verified
assert verify(engine, reference, [], [], "fp16").reason == "there was no pair to compare"
print(engine.description)

visible, thermal = engine.buffers(64, 96)  # pinned: what is put there needs no copy
visible[...], thermal[...] = pairs[0]
first = engine.infer(visible, thermal)
kept = first.fused.copy()
again = engine.infer(*pairs[1])
assert not np.array_equal(again.fused, kept) and np.array_equal(first.fused, kept)
np.testing.assert_array_equal(engine.infer(*(plane / np.float32(255) for plane in pairs[0])).fused, kept)
plain = runtime.TensorRTEngine(*engine_cache.read(path), graph=False)
np.testing.assert_array_equal(plain.infer(*pairs[0]).fused, kept)
assert plain.description.endswith("no CUDA graph")
for call in (lambda: engine.buffers(64, 64), lambda: engine.infer(pairs[0][0][..., :64], pairs[0][1][..., :64])):
    try:
        call()
    except ValueError as error:
        assert "was built for images of 96x64, these are 64x64; build one: vi-fusion compile" in str(error), error
    else:
        raise AssertionError
for used in (engine, plain):
    used.close()
    used.close()
try:
    engine.infer(*pairs[0])
except ValueError as error:
    assert "closed" in str(error)
assert live() == 0, live()

plan, manifest = engine_cache.read(path)
for broken in (plan[: len(plan) // 2], b""):
    try:
        runtime.TensorRTEngine(broken, manifest)
    except ValueError as error:
        assert "TensorRT 10.3.0 cannot read the engine; build it again: vi-fusion compile" in str(error), error
    else:
        raise AssertionError
assert live() == 0 and "torch" not in sys.modules
"""


def test_an_engine_serves_gives_back_what_it_took_and_refuses_what_it_was_not_built_for(python, engine):
    done = python("-c", SERVE, engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tensorrt 10.3.0 fp16 96x64 on Stand-in, CUDA graph\n"


def test_where_no_graph_can_be_recorded_it_serves_without(python, engine):
    done = python("-c", SERVE, engine, no_graph="1")
    assert done.returncode == 0, done.stderr
    assert "no CUDA graph (cudaStreamEndCapture failed with CUDA error 900: operation not permitted" in done.stdout


SERVE_OBJECTS = """
import sys
from dataclasses import replace
from pathlib import Path
from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.trt import runtime

path = Path(sys.argv[1])
engine = load_engine(path)
first = engine.infer(*engine.buffers(64, 96))
print(None if first.objects is None else first.objects.shape)
plan, manifest = engine_cache.read(path)
outputs = ("fused", "attention", "logits", "illumination", "objects")
named = replace(manifest, model=replace(manifest.model, outputs=outputs))
try:
    runtime.TensorRTEngine(plan, named)
except ValueError as error:
    print(error)
"""


def test_objects_are_served_where_the_model_has_them(python, compile_, tmp_path, object_model):
    done = compile_(tmp_path / "engines", "--precision", "fp32", model=object_model)
    assert (done.returncode, done.stderr) == (0, "")
    [path] = (tmp_path / "engines").glob("*.engine")
    verification = json.loads(path.with_suffix(".json").read_text())["engine"]["verification"]
    assert verification["verified"] is True
    assert verification["probability"] < 0.05
    assert verification["iou"] > 0.99
    done = python("-c", SERVE_OBJECTS, path)
    assert (done.returncode, done.stdout) == (0, "(1, 10, 8, 12)\n"), done.stderr


def test_an_engine_without_the_objects_that_its_manifest_names_is_refused(python, compile_, tmp_path, model):
    assert compile_(tmp_path / "engines", "--precision", "fp32", model=model).returncode == 0
    [engine] = (tmp_path / "engines").glob("*.engine")
    done = python("-c", SERVE_OBJECTS, engine)
    assert done.returncode == 0, done.stderr
    none, sentence = done.stdout.splitlines()
    assert none == "None"
    assert sentence.startswith("the engine fp32 96x64 has the tensors attention, fused, ")
    assert "expected visible, thermal, fused, attention, logits, illumination, objects; build it again" in sentence


LOAD = """
import sys
from vi_fusion_ros.engines.load import load_engine
try:
    load_engine(sys.argv[1])
except ValueError as error:
    print(error)
"""


def test_an_engine_of_another_tensorrt_is_refused_by_its_path(python, engine):
    said = python("-c", LOAD, engine, version="11.4.0.106").stdout
    assert "was built with TensorRT 10.3.0, but 11.4.0.106 is wanted here; build one: vi-fusion compile" in said


AUTO = """
import sys, time
from pathlib import Path
import numpy as np
from vi_fusion_ros.engines.select import Wanted, select_engine
from vi_fusion_ros.resources import default_model

cache, go, timeout = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
said, warned, states, rng = [], [], [], np.random.default_rng(0)
wanted = Wanted("auto", threads=1, cache=cache, build_timeout_s=timeout)
engine = select_engine(default_model(), wanted, said.append, warned.append, warned.append)
end = time.monotonic() + 30
while engine.state != "fallback" and not engine.description.startswith("tensorrt"):
    assert time.monotonic() < end, engine.reason
    visible, thermal = engine.buffers(64, 96)
    visible[...], thermal[...] = rng.random(visible.shape), rng.random(thermal.shape)
    assert engine.infer(visible, thermal).fused.shape == (1, 1, 64, 96)
    if engine.state not in states:
        states.append(engine.state)
    if "building fp16 96x64" in engine.reason:
        go.touch()
print(*states, engine.state, engine.description, engine.reason, *said, "warned:", *warned, sep="\\n")
engine.close()
"""


@pytest.fixture
def auto(python, tmp_path):
    def _auto(cache, timeout_s=TIMEOUT_S, **settings):
        go = tmp_path / "go"
        go.unlink(missing_ok=True)
        done = python("-c", AUTO, cache, go, timeout_s, go=str(go), **settings)
        assert done.returncode == 0, done.stderr
        said, _, warned = done.stdout.partition("warned:\n")
        return said, warned.splitlines()

    return _auto


def test_auto_serves_builds_in_a_process_and_changes_over_and_the_next_time_it_is_there(auto, tmp_path):
    cache = tmp_path / "cache"
    said, warned = auto(cache, build="slow")
    assert said.startswith("ready\nbuilding\nready\ntensorrt 10.3.0 fp16 96x64 on Stand-in, CUDA graph\n")
    assert "building a TensorRT engine (fp16, 96x64) in the background: " in said
    assert "serves 96x64 from here on" in said
    assert warned == []
    assert {path.suffix for path in cache.iterdir()} == {".engine", ".json", ".cache"}
    said, _ = auto(cache, build="fail")
    assert "in the background" not in said
    assert "serves 96x64 from here on" in said


def test_auto_with_a_cache_that_cannot_be_written_warns_once_and_keeps_the_engine_in_memory(
    auto, tmp_path, monkeypatch
):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    said, warned = auto(cache, build="slow")
    assert "tensorrt 10.3.0 fp16 96x64 on Stand-in" in said
    assert warned == [
        f"the engine cache {cache} is not writable: engines are built anew at each start and kept in memory"
    ]
    assert not list(scratch.iterdir())


def test_auto_with_an_engine_that_cannot_be_used_builds_another(auto, engine):
    data = engine.read_bytes()
    engine.write_bytes(data[:1000])
    said, _ = auto(engine.parent)
    assert "is truncated or corrupt (1000 bytes" in said
    assert "serves 96x64 from here on" in said
    assert engine.read_bytes() == data


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        ("fail", "cannot be had: the engine builder failed: TensorRT 10.3.0 could not build the engine: IBuilder"),
        ("hang", "cannot be had: the engine builder took longer than 2 s and was stopped; its last words: "),
        ("wrong", "cannot be had: the engine builder failed: the engine fp16 96x64 of"),
    ],
)
def test_auto_with_a_builder_that_does_not_do_it_goes_on_without(auto, tmp_path, build, sentence):
    said, warned = auto(tmp_path / "cache", timeout_s=2.0 if build == "hang" else TIMEOUT_S, build=build)
    assert "\nfallback\nonnxruntime" in said
    assert sentence in said
    assert not list((tmp_path / "cache").glob("*.engine"))
    assert warned == []


def test_the_benchmark_of_engines(python, compile_, int8, engine):
    words = ("-m", "vi_fusion_ros.cli", "benchmark", "model", "--backend", "tensorrt,onnxruntime", "--size", SIZE)
    compile_(engine.parent, "--precision", "int8", model=int8)
    words += ("--precision", "fp16,int8", "--int8", int8)
    done = python(*words, "--engines", engine.parent, "--no-cuda-graph", "--runs", 2, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(row["backend"], row.get("precision"), row.get("cuda_graph")) for row in result["rows"]] == [
        ("tensorrt", "fp16", True),
        ("tensorrt", "fp16", False),
        ("tensorrt", "int8", True),
        ("tensorrt", "int8", False),
        ("onnxruntime", None, None),
    ]
    assert result["gpu"] == "TensorRT 10.3.0, CUDA 12.6, Stand-in (compute capability 8.7)"
    done = python(*words, "--engines", engine.parent / "none", "--runs", 2)
    assert done.returncode == 2
    assert "build it: vi-fusion compile" in done.stderr
