import threading
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from copying import COPY, DIE, FAIL, HANG, CopyingSupplier
from tiny_model import write_model

from vi_fusion_ros.engines.background_build import BackgroundBuild, Phase
from vi_fusion_ros.engines.hot_swap import HotSwapEngine
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


class Faulty:
    """An engine that does what another does until it is told to fail.

    ``faults`` maps a method's name to what it raises, or, for ``infer``, to the logits that it gives instead.
    """

    def __init__(self, engine, faults):
        self._engine, self._faults = engine, faults
        self.manifest, self.description, self.reason = engine.manifest, f"faulty {engine.description}", engine.reason
        self.closed = False

    def _fail(self, name):
        if isinstance(self._faults.get(name), Exception):
            raise self._faults[name]

    def buffers(self, height, width):
        self._fail("buffers")
        return self._engine.buffers(height, width)

    def infer(self, visible, thermal):
        self._fail("infer")
        output = self._engine.infer(visible, thermal)
        return replace(output, logits=output.logits * self._faults["infer"]) if "infer" in self._faults else output

    def close(self):
        self.closed = True
        self._engine.close()
        self._fail("close")


class FaultySupplier(CopyingSupplier):
    """Supplies a faulty engine at once."""

    def __init__(self, model, folder, faults):
        super().__init__(model, folder)
        write_model(folder / "built.onnx")
        self._faults = faults
        self.engines = []

    def load(self, path):
        self.engines.append(Faulty(super().load(path), self._faults))
        return self.engines[-1]


@pytest.fixture
def make(model):
    made = []

    def _make(supplier, failures=None):
        said = []
        on_failure = (said if failures is None else failures).append
        engine = HotSwapEngine(OnnxRuntimeEngine(model, 2), supplier, said.append, "there is a copier", on_failure)
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


ERRORS = [ValueError("the GPU fell off the bus"), MemoryError(), AttributeError("no such thing"), RuntimeError("lost")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["buffers", "infer"])
def test_an_engine_that_fails_after_it_took_over_gives_way_at_once(make, model, tmp_path, method, error):
    faults, failures = {}, []
    supplier = FaultySupplier(model, tmp_path, faults)
    engine, camera, _ = make(lambda size: supplier, failures)
    camera.until(lambda: engine.description.startswith("faulty"), "the new engine")
    camera.frame()
    assert (engine.state, failures) == ("ready", [])
    faults[method] = error
    faults["close"] = RuntimeError("cannot be freed either")
    camera.frame()  # the very image that it fails on has a result
    assert engine.state == "fallback"
    assert "2 threads" in engine.description
    assert "failed while it served 64x48: " in engine.reason
    assert (str(error) or type(error).__name__) in engine.reason
    assert "ONNX Runtime on the CPU" in engine.reason
    assert len(failures) == 1
    assert (str(error) or type(error).__name__) in failures[0]
    assert supplier.engines[0].closed
    for _ in range(30):
        camera.frame()
    assert len(failures) == 1
    assert len(supplier.engines) == 1, "an engine that has failed is not got again"
    assert engine.state == "fallback"


def test_scores_that_are_no_numbers_are_a_failure_too(make, model, tmp_path):
    faults, failures = {}, []
    engine, camera, _ = make(lambda size: FaultySupplier(model, tmp_path, faults), failures)
    camera.until(lambda: engine.description.startswith("faulty"), "the new engine")
    faults["infer"] = np.float32("nan")
    camera.frame()
    assert engine.state == "fallback"
    assert "its scores are not finite" in failures[0]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_engine_that_fails_as_it_takes_over_never_serves(make, model, tmp_path, error):
    failures = []
    supplier = FaultySupplier(model, tmp_path, {"infer": error, "close": error})
    engine, camera, _ = make(lambda size: supplier, failures)
    camera.until(lambda: engine.state == "fallback", "the failure to be seen")
    assert "it failed on this camera's first image: " in engine.reason
    assert (str(error) or type(error).__name__) in failures[0]
    for _ in range(30):
        camera.frame()
    assert len(failures) == 1
    assert supplier.engines[0].closed


def test_a_supplier_that_raises_is_asked_once(make, tmp_path):
    asked, failures = [], []

    def supplier(size):
        asked.append(size)
        raise FileNotFoundError("the model has been removed")

    engine, camera, _ = make(supplier, failures)
    camera.until(lambda: engine.state == "fallback", "the failure to be seen")
    for _ in range(30):
        camera.frame()
    assert asked == [(64, 48)]
    assert len(failures) == 1
    assert "no better engine can be got for 64x48: the model has been removed" in engine.reason


def test_a_failure_at_one_size_leaves_the_other_alone(make, model, tmp_path):
    faults = {(64, 48): {}, (96, 64): {}}

    def supplier(size):
        folder = tmp_path / str(size[0])
        folder.mkdir()
        return FaultySupplier(model, folder, faults[size])

    engine, camera, _ = make(supplier)
    camera.until(lambda: engine.description.startswith("faulty"), "the engine of the first size")

    def other_serves():
        camera.frame((64, 96))
        return engine.description.startswith("faulty")

    wait_until(other_serves, "the engine of the second size")
    camera.frame()
    faults[64, 48]["infer"] = MemoryError()
    camera.frame()
    assert engine.state == "fallback"
    camera.frame((64, 96))
    assert engine.state == "ready"
    assert engine.description.startswith("faulty")
    camera.frame()
    assert engine.state == "fallback"


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
    upgrade = BackgroundBuild(CopyingSupplier(model, tmp_path, code=COPY), changes.append)
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
