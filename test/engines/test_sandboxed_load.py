import json

import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import write_model

from vi_fusion_ros.engines import sandboxed_load
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.manifest import sha256
from vi_fusion_ros.resources import default_model


def test_a_model_that_ends_onnx_runtime_is_one_sentence(tmp_path):
    path = write_model(tmp_path / "flat.onnx", visible_shape=(1, "H", "W"))  # a convolution of three dimensions
    fatal = r"ends ONNX Runtime \(SIG\w+\) when it is loaded; it is damaged"
    with pytest.raises(ValueError, match=rf"flat\.onnx ({fatal}|cannot be loaded: )"):  # newer versions see it coming
        load_engine(path)


def test_what_is_refused_in_the_ordinary_way_keeps_its_sentence(tmp_path):
    path = tmp_path / "text.onnx"
    write_model(path)
    path.write_bytes(b"no model")
    manifest = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**manifest, "onnx_sha256": sha256(path)}))
    with pytest.raises(ValueError, match=r"model .*text\.onnx cannot be loaded: "):
        load_engine(path)


def test_one_that_never_ends_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sandboxed_load, "TIMEOUT_S", 0.01)
    with pytest.raises(ValueError, match=r"not loaded within 0\.01 s"):
        load_engine(write_model(tmp_path / "slow.onnx"))


def test_the_shipped_model_is_known(monkeypatch):
    monkeypatch.setattr(sandboxed_load.subprocess, "run", lambda *_, **__: pytest.fail("it was tried"))
    sandboxed_load.try_model(default_model())


def test_a_model_is_tried_once(model, monkeypatch):
    load_engine(model).close()
    monkeypatch.setattr(sandboxed_load.subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))
    load_engine(model).close()
