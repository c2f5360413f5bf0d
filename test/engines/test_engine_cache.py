import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from engines import PLAN, a_manifest, a_target, an_engine

from vi_fusion_ros.engines import engine_cache
from vi_fusion_ros.engines.engine_manifest import EngineManifest
from vi_fusion_ros.engines.load import load_engine, wanted_here
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.engines.trt.platform import Platform


@pytest.fixture
def target(model):
    return a_target(model)


def test_an_engine_is_found_again(tmp_path, target):
    path = an_engine(tmp_path, target)
    assert engine_cache.find(tmp_path, target) == engine_cache.Found(path)
    plan, manifest = engine_cache.read(path)
    assert plan == PLAN
    assert manifest.size == (64, 48)
    model = manifest.model
    assert (model.backend, model.backend_version, model.precision) == ("tensorrt", "10.3.0", "fp16")
    assert (model.gpu, model.compute_capability) == ("Orin", "8.7")
    assert model.input["visible"] == {"name": "visible", "shape": [1, 3, 48, 64], "range": [0, 255], "dtype": "uint8"}
    assert model.labels == target.model.labels
    assert model.temperature == target.model.temperature
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".engine", ".json"]


CHANGES = {
    "TensorRT": ({"tensorrt": "10.5.0"}, "built with TensorRT 10.3.0, but 10.5.0 is wanted"),
    "compute capability": ({"compute_capability": "9.0"}, "for compute capability 8.7, but 9.0"),
    "size": ({"size": (1280, 1024)}, "for images of 64x48, but 1280x1024"),
    "precision": ({"precision": "int8"}, "with precision fp16, but int8"),
    "DLA": ({"dla": 0}, "for DLA core None, but 0"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_engine_than_is_wanted_is_named_with_both_sides_and_the_command(tmp_path, target, what):
    changes, sentence = CHANGES[what]
    path = an_engine(tmp_path, target)
    wanted = replace(target, **changes)
    found = engine_cache.find(tmp_path, wanted)
    assert found.path is None
    assert sentence in found.reason
    assert str(path) in found.reason
    width, height = wanted.size
    command = f"vi-fusion compile {target.onnx} -o {tmp_path} --precision {wanted.precision} --size {width}x{height}"
    assert command in found.reason
    assert "\n" not in found.reason


def test_an_engine_that_was_renamed_to_what_is_wanted_is_not_served(tmp_path, target):
    path = an_engine(tmp_path, target)
    wanted = replace(target, tensorrt="10.5.0")
    for suffix in (".engine", ".json"):
        path.with_suffix(suffix).rename((tmp_path / wanted.name).with_name(wanted.name + suffix))
    found = engine_cache.find(tmp_path, wanted)
    assert found.path is None
    assert "built with TensorRT 10.3.0, but 10.5.0 is wanted" in found.reason


def test_an_engine_of_the_model_before_it_changed(tmp_path, target):
    an_engine(tmp_path, target)
    wanted = replace(target, model=replace(target.model, onnx_sha256="f" * 64))
    found = engine_cache.find(tmp_path, wanted)
    assert found.path is None
    assert f"from a model with sha256 {target.model.onnx_sha256[:12]}, but ffffffffffff is wanted" in found.reason


def test_no_engine(tmp_path, target):
    assert "has no engine tiny-1_" in engine_cache.find(tmp_path, target).reason
    assert engine_cache.find(tmp_path / "nowhere", target).path is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_corrupt_engine(tmp_path, target, damage):
    path = an_engine(tmp_path, target)
    data = {"truncated": PLAN[:1000], "flipped": b"x" + PLAN[1:], "empty": b""}[damage]
    path.write_bytes(data)
    found = engine_cache.find(tmp_path, target)
    assert found.path is None
    assert f"is truncated or corrupt ({len(data)} bytes" in found.reason
    assert "build it again: vi-fusion compile" in found.reason


def test_an_engine_that_nobody_verified_is_not_served(tmp_path, target):
    an_engine(tmp_path, target, verified=False)
    assert "was never verified against ONNX Runtime" in engine_cache.find(tmp_path, target).reason


BROKEN = {
    "missing": (lambda d: None, "cannot be read"),
    "not JSON": (lambda d: "{", "is not JSON"),
    "a model's": (lambda d: {k: v for k, v in d.items() if k != "engine"}, "of a model, not of an engine"),
    "without size": (lambda d: {**d, "engine": {**d["engine"], "size": None}}, "engine.size is None; expected width"),
    "a size of 3": (lambda d: {**d, "engine": {**d["engine"], "size": [1, 2, 3]}}, "engine.size is"),
    "without digest": (lambda d: {**d, "engine": {**d["engine"], "engine_sha256": 3}}, "engine.engine_sha256 is 3"),
    "without labels": (lambda d: {**d, "labels": []}, "labels is"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_manifest(tmp_path, target, what):
    path = an_engine(tmp_path, target).with_suffix(".json")
    change, sentence = BROKEN[what]
    document = change(json.loads(path.read_text()))
    if document is None:
        path.unlink()
    else:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    found = engine_cache.find(tmp_path, target)
    assert found.path is None
    assert sentence in found.reason
    assert str(path) in found.reason


WRITER = """
import sys
from pathlib import Path
from vi_fusion_ros.engines.files import write_atomic
path = Path(sys.argv[1])
data = bytes(16 << 20)
print("ready", flush=True)
while True:
    write_atomic(path, data)
"""


def test_a_writer_that_is_killed_in_the_middle_leaves_the_old_file_or_the_new_one_and_the_next_one_cleans_up(tmp_path):
    from vi_fusion_ros.engines.files import write_atomic

    path = tmp_path / "x.engine"
    path.write_bytes(b"old")
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        end = time.monotonic() + 30
        while not list(tmp_path.glob(".*.part")):  # in the middle of the file
            assert time.monotonic() < end
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert path.stat().st_size in (3, 16 << 20)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_manifest_comes_last(tmp_path, target, monkeypatch):
    """An engine whose writer died between the two files is not there."""
    an_engine(tmp_path, target)
    monkeypatch.setattr(EngineManifest, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        engine_cache.write(tmp_path, target, b"another", a_manifest(target, b"another"))
    found = engine_cache.find(tmp_path, target)
    assert found.path is None
    assert "cannot be read" in found.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_not_writable(tmp_path):
    tmp_path.chmod(0o500)
    assert not engine_cache.is_writable(tmp_path)


def test_writable_folders(tmp_path, monkeypatch):
    assert engine_cache.is_writable(tmp_path / "new" / "folder")
    (tmp_path / "file").write_text("")
    assert not engine_cache.is_writable(tmp_path / "file")
    assert not engine_cache.is_writable(tmp_path / "file" / "below")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_cache.default_folder() == tmp_path / "vi_fusion_ros" / "engines"


def test_an_engine_asked_for_by_its_path(tmp_path, target):
    with pytest.raises(ValueError, match=r"gone\.engine is missing; build it with vi-fusion compile"):
        load_engine(tmp_path / "gone.engine")
    path = an_engine(tmp_path, target)
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load_engine(path)


def test_an_engine_asked_for_by_its_path_after_its_model_changed(tmp_path, target, model):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(model.read_bytes())
    copy.with_suffix(".json").write_bytes(model.with_suffix(".json").read_bytes())
    manifest = a_manifest(replace(target, onnx=copy))
    here = Platform("10.3.0", "12.6", "Orin", "8.7")
    path = tmp_path / "x.engine"
    assert manifest.mismatch(path, wanted_here(manifest, here)) is None
    copy.write_bytes(b"another")
    assert "built from a model with sha256" in manifest.mismatch(path, wanted_here(manifest, here))
    copy.unlink()  # on a robot that got the engine alone
    assert manifest.mismatch(path, wanted_here(manifest, here)) is None
    other = Platform("8.6.1", "12.2", "Orin", "8.7")
    assert "with TensorRT 10.3.0, but 8.6.1" in manifest.mismatch(path, wanted_here(manifest, other))


def test_an_engine_manifest_is_a_manifest(tmp_path, target):
    path = an_engine(tmp_path, target).with_suffix(".json")
    assert Manifest.load(path).model_id == "tiny-1"
    assert EngineManifest.load(path) == a_manifest(target, folder=tmp_path)
