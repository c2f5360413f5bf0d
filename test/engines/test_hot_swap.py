import threading
import time

import numpy as np
import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from copying import COPY, DIE, FAIL, HANG, CopyingSupplier
from tiny_model import write_model

from vi_fusion_ros.engines.background_build import Phase, Upgrade
from vi_fusion_ros.engines.hot_swap import SwitchingEngine
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine

DEADLINE_S = 30.0
HW = (48, 64)


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        threading.Event().wait(0.01)


class Camera:
    """Frames that never repeat, through an engine as the pipeline uses it; every result is checked."""

    def __init__(self, engine):
        self._engine = engine
        self._random = np.random.default_rng(0)
        self.frames = 0

    def frame(self, hw=HW):
        visible, thermal = self._engine.buffers(*hw)
        visible[...] = self._random.random(visible.shape)
        thermal[...] = self._random.random(thermal.shape)
        output = self._engine.infer(visible, thermal)
        luma = np.tensordot([0.299, 0.587, 0.114], visible[0], 1)
        np.testing.assert_allclose(output.fused[0, 0], np.maximum(luma, thermal[0, 0]), atol=1e-5)
        self.frames += 1

    def until(self, condition, what):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"not in time: {what}"
            self.frame()


@pytest.fixture
def make(model):
    made = []

    def _make(supplier):
        said = []
        engine = SwitchingEngine(OnnxRuntimeEngine(model, 2), supplier, said.append, why="there is a copier")
        made.append(engine)
        return engine, Camera(engine), said

    yield _make
    for engine in made:
        engine.close()


def test_it_serves_while_a_slow_builder_works_and_then_changes_over(make, model, tmp_path):
    engine, camera, said = make(lambda size: CopyingSupplier(model, tmp_path))
    assert engine.state == "ready"
    assert "until the images' size is known" in engine.reason
    camera.until(lambda: engine.state == "building", "the build")
    camera.until(lambda: "step 20" in engine.reason, "progress in the reason")
    assert engine.reason.startswith("building a copied engine for ")
    assert "ONNX Runtime on the CPU" in engine.reason
    assert "2 threads" in engine.description
    (tmp_path / "go").touch()
    camera.until(lambda: "1 thread" in engine.description, "the new engine")
    assert engine.state == "ready"
    assert len(said) == 2
    assert said[0] == "building a copied engine in the background: there is no copy"
    assert said[1].endswith("serves 64x48 from here on")
    for _ in range(20):
        camera.frame()


def test_an_engine_in_the_cache_is_taken_without_building(make, model, tmp_path):
    write_model(tmp_path / "built.onnx")
    engine, camera, said = make(lambda size: CopyingSupplier(model, tmp_path, code=FAIL))
    camera.until(lambda: "1 thread" in engine.description, "the cached engine")
    assert len(said) == 1


FAILURES = {
    "fails": (FAIL, "the engine builder failed: the kernel fell over"),
    "is killed": (DIE, "was killed by SIGKILL"),
    "hangs": (HANG, "took longer than 3 s and was stopped; its last words: timing kernels"),
    "makes nothing": ("pass", "built.onnx is missing"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_builder_that_does_not_do_it_leaves_onnx_runtime_serving(make, model, tmp_path, how):
    code, sentence = FAILURES[how]
    timeout_s = 3.0 if code == HANG else DEADLINE_S
    engine, camera, said = make(lambda size: CopyingSupplier(model, tmp_path, code=code, timeout_s=timeout_s))
    camera.until(lambda: engine.state == "fallback", "the failure to be seen")
    assert sentence in engine.reason
    assert "ONNX Runtime on the CPU" in engine.reason
    assert sentence in said[-1]
    said_before = len(said)
    for _ in range(20):
        camera.frame()
    assert len(said) == said_before, "a failed build is tried once, not again and again"


def test_building_that_is_not_allowed(make, model, tmp_path):
    engine, camera, _ = make(lambda size: CopyingSupplier(model, tmp_path, allowed=False))
    camera.until(lambda: engine.state == "fallback", "the refusal")
    assert "there is no copy; building one here is switched off" in engine.reason


def test_an_engine_that_computes_something_else_is_never_served(make, model, tmp_path):
    write_model(tmp_path / "built.onnx", logits_factor=40.0)
    engine, camera, _ = make(lambda size: CopyingSupplier(model, tmp_path))
    camera.until(lambda: engine.state == "fallback", "the disagreement to be seen")
    assert "disagrees with ONNX Runtime on this camera's image: the labels differ in 1 of 1 pairs" in engine.reason
    assert "2 threads" in engine.description


def test_each_size_has_its_own_engine_and_one_odd_image_starts_nothing(make, model, tmp_path):
    asked = []

    def supplier(size):
        asked.append(size)
        folder = tmp_path / f"{size[0]}"
        folder.mkdir()
        (folder / "go").touch()
        return CopyingSupplier(model, folder)

    engine, camera, _ = make(supplier)
    for _ in range(30):
        camera.frame((32, 32))
        camera.frame()
    assert asked == []
    camera.until(lambda: "1 thread" in engine.description, "the engine of the first size")
    camera.frame((96, 128))
    assert "2 threads" in engine.description
    camera.frame()
    assert "1 thread" in engine.description
    for _ in range(12):
        camera.frame((96, 128))
    assert asked == [(64, 48), (128, 96)]


def test_closing_stops_the_builder(make, model, tmp_path):
    engine, camera, said = make(lambda size: CopyingSupplier(model, tmp_path, code=HANG))
    camera.until(lambda: "timing kernels" in engine.reason, "the builder")
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < DEADLINE_S
    assert len(said) == 1, "a build that was stopped on purpose is no failure"


def test_the_phases_of_an_upgrade(model, tmp_path):
    changes = []
    upgrade = Upgrade(CopyingSupplier(model, tmp_path, code=COPY), changes.append)
    wait_until(lambda: upgrade.phase is Phase.BUILDING, "building")
    (tmp_path / "go").touch()
    wait_until(lambda: upgrade.phase is Phase.READY, "ready")
    engine = upgrade.take()
    upgrade.close()
    visible, thermal = engine.buffers(*HW)
    assert engine.infer(visible, thermal).fused.shape == (1, 1, *HW)  # what was taken is not closed with the upgrade
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(visible, thermal)
