"""Objects of the pipeline, with the tiny model, whose answers are known by heart."""

import math

import numpy as np
import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import SIDES, WITH_OBJECTS, write_model

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.evaluation.model_fusion import found_objects
from vi_fusion_ros.methods.engine import MethodEngine
from vi_fusion_ros.methods.registry import method
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.types import HOT_REGION, Frame, FramePair

SIZE = (96, 128)
COLD, WARM = 28000, 31000  # TLinear counts: 280 and 310 K


@pytest.fixture
def make(object_model):
    def _make(path=object_model, rig=None, radiometry=None):
        return build_pipeline(load_engine(path, 1), rig, {"thermal.radiometry": radiometry or "none"})

    return _make


def square(row, column, size=SIZE, dark=0, bright=255, dtype=np.uint8):
    """One place of 8x8 pixels that is bright."""
    image = np.full(size, dark, dtype)
    image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = bright
    return image


def box(label, row, column):
    left, up, right, down = SIDES[label]
    return (8 * column + 4 - left, 8 * row + 4 - up, 8 * column + 4 + right, 8 * row + 4 + down)


def pair(visible, thermal):
    return FramePair(*(None if image is None else Frame(image) for image in (visible, thermal)))


def test_objects_are_in_pixels_of_the_visible_image(make):
    result = make().process(pair(square(5, 6), square(3, 10)))
    assert [(f.label, f.box) for f in result.objects] == [
        ("bright", box("bright", 5, 6)), ("warm", box("warm", 3, 10)),
    ]  # fmt: skip
    assert result.objects[0].probability == pytest.approx(1 / (1 + math.exp(-8)), abs=1e-5)
    assert all(math.isnan(value) for f in result.objects for value in (f.mean_kelvin, f.max_kelvin))


def test_a_model_without_them(make, model):
    assert make(model).process(pair(square(5, 6), square(3, 10))).objects == ()


def test_one_camera_alone(make):
    pipeline = make(radiometry="tlinear_0.01")
    warm = square(3, 10, dark=COLD, bright=WARM, dtype=np.uint16)
    (found,) = pipeline.process(pair(None, warm)).objects
    assert (found.label, found.box) == ("warm", box("warm", 3, 10))
    assert found.max_kelvin == pytest.approx(310)
    (found,) = pipeline.process(pair(square(5, 6), None)).objects
    assert (found.label, found.box) == ("bright", box("bright", 5, 6))
    assert math.isnan(found.max_kelvin)


def test_temperatures_are_those_of_the_registered_thermal_image_inside_the_box(make):
    warm = square(3, 10, dark=COLD, bright=WARM, dtype=np.uint16)
    bright, hot = make(radiometry="tlinear_0.01").process(pair(square(8, 2), warm)).objects
    assert (bright.label, bright.mean_kelvin, bright.max_kelvin) == ("bright", 280, 280)
    assert hot.label == "warm"
    assert hot.max_kelvin == pytest.approx(310)
    area = sum(SIDES["warm"][::2]) * sum(SIDES["warm"][1::2])
    assert hot.mean_kelvin == pytest.approx(280 + 30 * 64 / area, abs=1e-3)  # the whole square is inside
    # Half as large and moved: the square is where the rig brings it, and there is no data on the left.
    rig = Rig(np.array([[2.0, 0, 16.5], [0, 2, 0.5], [0, 0, 1]]), (64, 48), (128, 96), "the rig")
    small = np.full((48, 64), COLD, np.uint16)
    small[12:16, 32:36] = WARM
    bright, hot = make(rig=rig, radiometry="tlinear_0.01").process(pair(square(8, 0), small)).objects
    assert hot.box == box("warm", 3, 10)
    assert hot.max_kelvin == pytest.approx(310)
    assert (bright.label, bright.x0) == ("bright", 0)
    assert bright.mean_kelvin == 280  # of the part that has data


def test_where_there_is_no_thermal_data_there_is_no_temperature(make):
    rig = Rig(np.array([[1.0, 0, 64], [0, 1, 0], [0, 0, 1]]), (64, 96), (128, 96), "the rig")
    thermal = square(3, 7, (96, 64), COLD, WARM, np.uint16)
    found, hot = make(rig=rig, radiometry="tlinear_0.01").process(pair(square(5, 3), thermal)).objects
    assert hot.max_kelvin == pytest.approx(310)
    assert found.label == "bright"
    assert math.isnan(found.mean_kelvin)
    assert math.isnan(found.max_kelvin)


FAINT = 28700  # too faint for the model beside WARM


def with_faint(thermal):
    thermal[60:68, 20:28] = FAINT
    return thermal


def test_hot_regions_come_after_the_objects_of_the_model_where_they_are_asked_for(object_model):
    warm = with_faint(square(3, 10, dark=COLD, bright=WARM, dtype=np.uint16))
    settings = {"thermal.radiometry": "tlinear_0.01", "output.hot_regions": True}
    pipeline = build_pipeline(load_engine(object_model, 1), None, settings)
    both = pair(square(5, 6), warm)
    bright, hot, faint = pipeline.process(both).objects
    assert [bright.label, hot.label] == ["bright", "warm"]  # the warm square lies in the box of warm: not once more
    assert (faint.label, faint.box) == (HOT_REGION, (20, 60, 28, 68))
    assert math.isnan(faint.probability)
    assert not faint.is_of_model
    assert hot.is_of_model
    assert faint.mean_kelvin == faint.max_kelvin == pytest.approx(287)
    assert [found.label for found in pipeline.process(pair(None, warm)).objects] == ["warm", HOT_REGION]
    assert [found.label for found in pipeline.process(pair(square(5, 6), None)).objects] == ["bright"]
    pipeline.hot_regions = False
    assert [found.label for found in pipeline.process(both).objects] == ["bright", "warm"]


def test_hot_regions_need_neither_a_model_with_boxes_nor_a_radiometry(model):
    warm = with_faint(square(3, 10, dark=COLD, bright=WARM, dtype=np.uint16))
    for engine in (load_engine(model, 1), MethodEngine(method("max"))):
        pipeline = build_pipeline(engine, None, {"output.hot_regions": True})
        found = pipeline.process(pair(square(5, 6), warm)).objects
        assert [(f.label, f.box) for f in found] == [(HOT_REGION, (80, 24, 88, 32)), (HOT_REGION, (20, 60, 28, 68))]
        assert all(math.isnan(f.max_kelvin) for f in found)
        assert build_pipeline(engine).process(pair(square(5, 6), warm)).objects == ()


def test_hot_regions_are_where_the_rig_brings_them(model):
    rig = Rig(np.array([[2.0, 0, 16.5], [0, 2, 0.5], [0, 0, 1]]), (64, 48), (128, 96), "the rig")
    small = np.full((48, 64), COLD, np.uint16)
    small[12:16, 32:36] = WARM
    (found,) = build_pipeline(load_engine(model, 1), rig, {"output.hot_regions": True})(square(5, 6), small).objects
    assert found.box == pytest.approx((80, 24, 88, 32), abs=1)


def test_figures_of_the_model_leave_hot_regions_out(object_model):
    warm = with_faint(square(3, 10, dark=COLD, bright=WARM, dtype=np.uint16))
    pipeline = build_pipeline(load_engine(object_model, 1), None, {"output.hot_regions": True})
    result = pipeline.process(pair(square(5, 6), warm))
    assert len(result.objects) == 3
    assert found_objects(result, ("bright", "warm"))[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("size", [(720, 1280), (512, 640), (512, 512), (481, 639), (33, 100), (7, 5), (1, 1)])
def test_a_model_that_wants_multiples_of_32(make, tmp_path, size):
    """Padding repeats the last row and column; boxes end at the image."""
    pipeline = make(write_model(tmp_path / "m.onnx", {"input": {"multiple": 32}}, outputs=WITH_OBJECTS))
    row, column = (size[0] - 1) // 8, (size[1] - 1) // 8
    result = pipeline.process(pair(square(row, column, size), np.zeros(size, np.uint8)))
    assert result.fused.shape == result.attention.shape == size
    assert result.objects
    for found in result.objects:
        assert found.label == "bright"
        assert 0 <= found.x0 < found.x1 <= size[1]
        assert 0 <= found.y0 < found.y1 <= size[0]
    assert max(found.x1 for found in result.objects) == size[1]
    assert max(found.y1 for found in result.objects) == size[0]
    # A border of zeros would change the mean of an image that is white throughout.
    white = np.full(size, 255, np.uint8)
    assert pipeline.process(pair(white, white)).scores[0].probability == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-5)


def test_objects_that_are_not_finite_are_refused(make, tmp_path):
    path = write_model(tmp_path / "nan.onnx", outputs=WITH_OBJECTS, object_factor=float("nan"))
    with pytest.raises(ValueError, match="scores that are not finite"):
        make(path).process(pair(square(1, 1), square(1, 1)))


def test_presence_is_calibrated_by_mode_and_label(make, tmp_path):
    changes = {
        "temperature": {"both": {"bright": 2.0, "warm": 1.0}, "visible_only": 1.0, "thermal_only": 1.0},
        "bias": {"both": {"warm": 1.0}},
        "thresholds": {
            mode: {"bright": t, "warm": t}
            for mode, t in (("both", 0.7), ("visible_only", 0.9), ("thermal_only", 0.5))
        },
    }  # fmt: skip
    pipeline = make(write_model(tmp_path / "m.onnx", changes))
    white = np.full(SIZE, 255, np.uint8)  # logits 2
    both = pipeline.process(pair(white, white)).scores
    assert [s.probability for s in both] == pytest.approx([1 / (1 + math.exp(-1))] * 2)
    assert [s.present for s in both] == [True, True]
    alone = pipeline.process(pair(white, None)).scores[0]
    assert alone.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert not alone.present
