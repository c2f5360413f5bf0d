import re

import cv2
import numpy as np
import pytest

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.node.parameters import schema
from vi_fusion_ros.pipeline import SETTINGS, build_pipeline, feather, load_pipeline
from vi_fusion_ros.registration import RegistrationManager, Rig
from vi_fusion_ros.registration.rig import Camera, Extrinsics
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.types import Frame, FramePair, Mode

SIZE = (96, 128)


@pytest.fixture
def make(model):
    def _make(rig=None, threads=1, path=model):
        return build_pipeline(load_engine(path, threads), rig)

    return _make


def color(size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def grey(size=SIZE, seed=1):
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def luma(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image


def pair(visible, thermal, **options):
    return FramePair(*(None if image is None else Frame(image) for image in (visible, thermal)), **options)


def test_both_frames_are_fused_in_the_visible_frame_with_its_chroma(make):
    visible, thermal = color() // 2 + 64, grey()
    the_pair = pair(visible, thermal, skew_ns=5)
    result = make().process(the_pair)
    assert result.pair is the_pair
    assert result.fused.shape == (*SIZE, 3)
    assert result.fused.dtype == np.uint8
    # The tiny model's fused luma is the greater one; here and there a channel saturates.
    expected = np.maximum(luma(visible), thermal)
    free = (result.fused > 0).all(2) & (result.fused < 255).all(2)
    np.testing.assert_allclose(luma(result.fused)[free].astype(int), expected[free], atol=1)
    was, now = (cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[free].astype(int) for image in (visible, result.fused))
    np.testing.assert_allclose(now[:, 1:], was[:, 1:], atol=1)
    assert result.attention.dtype == np.float32
    certain = abs(luma(visible).astype(int) - thermal) > 1
    np.testing.assert_array_equal(result.attention[certain], (thermal > luma(visible))[certain])
    assert result.thermal_registered is thermal
    assert (result.overlap, result.mask.min()) == (1, 255)
    assert list(result.timings_ms) == ["register", "infer", "compose"]
    assert all(ms >= 0 for ms in result.timings_ms.values())


def test_a_grey_visible_image_gives_a_grey_result(make):
    result = make().process(pair(grey(), grey(seed=2)))
    np.testing.assert_array_equal(result.fused, np.maximum(grey(), grey(seed=2)))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (15, 17), (16, 16), (33, 100), (481, 639)])
def test_any_size(make, size):
    pipeline = make()
    for visible, thermal in ((grey(size), grey(size, 2)), (color(size), grey(size, 2)), (color(size), None)):
        result = pipeline.process(pair(visible, thermal))
        assert result.fused.shape == visible.shape
        assert result.attention.shape == size
    np.testing.assert_array_equal(
        pipeline.process(pair(grey(size), grey(size, 2))).fused, np.maximum(grey(size), grey(size, 2))
    )


def test_padding_repeats_the_edge(make):
    # The tiny model's scores are means over the padded image, so a border of zeros would show.
    small, whole = (
        make().process(pair(np.full(s, 200, np.uint8), np.full(s, 100, np.uint8))) for s in ((17, 33), (32, 48))
    )
    assert small.scores[0].probability == pytest.approx(whole.scores[0].probability, abs=1e-6)


def test_one_frame_alone(make):
    pipeline = make()
    alone = pipeline.process(pair(color(), None))
    assert alone.pair.mode == Mode.VISIBLE_ONLY
    np.testing.assert_array_equal(alone.fused, color())
    assert (alone.attention.max(), alone.overlap) == (0, 0)
    assert alone.thermal_registered is None
    assert alone.mask is None

    counts = grey().astype(np.uint16) * 10 + 28000
    alone = pipeline.process(pair(None, counts))
    assert alone.pair.mode == Mode.THERMAL_ONLY
    np.testing.assert_array_equal(alone.fused, ToneMapper()(counts))
    assert (alone.attention.min(), alone.overlap, alone.mask.min()) == (1, 1, 255)
    assert alone.thermal_registered is counts


def test_the_network_sees_zeros_for_a_missing_frame_also_after_others(make):
    pipeline = make()
    white = np.full(SIZE, 255, np.uint8)
    pipeline.process(pair(white, white))
    # logits of the tiny model: mean * 4 - 2
    assert pipeline.process(pair(white, None)).scores[1].probability == pytest.approx(1 / (1 + np.exp(2 / 2.0)))
    assert pipeline.process(pair(None, white)).scores[0].probability == pytest.approx(1 / (1 + np.exp(2 / 0.5)))


def test_scores_are_calibrated_by_mode_and_compared_with_thresholds(make):
    grey_half, grey_60 = np.full(SIZE, 128, np.uint8), np.full(SIZE, 153, np.uint8)
    result = make().process(pair(grey_half, grey_60))
    assert [score.label for score in result.scores] == ["bright", "warm"]
    logits = np.array([128, 153]) / 255 * 4 - 2
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose([score.probability for score in result.scores], expected, atol=1e-4)
    assert [score.present for score in result.scores] == [True, False]  # thresholds 0.5 and 0.6
    assert (result.illumination, result.illumination_probability) == (
        "night", pytest.approx(1 / (1 + np.exp(-(153 - 128) / 255)), abs=1e-4),
    )  # fmt: skip
    alone = make().process(pair(grey_half, None))
    assert alone.scores[0].probability == pytest.approx(1 / (1 + np.exp(-logits[0] / 2)), abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_thermal_images_are_tone_mapped_for_the_network_and_kept_for_the_rest(make, dtype):
    counts = (grey().astype(np.uint16) * 8 + 28000).astype(dtype)
    result = make().process(pair(np.zeros(SIZE, np.uint8), counts))
    assert result.thermal_registered is counts
    np.testing.assert_array_equal(result.fused, ToneMapper()(counts))


def test_a_deep_visible_image_is_tone_mapped(make):
    counts = grey().astype(np.uint16) * 256
    result = make().process(pair(counts, np.zeros(SIZE, np.uint8)))
    np.testing.assert_array_equal(result.fused, ToneMapper()(counts))


def test_a_thermal_image_in_colour_is_taken_by_its_luma(make):
    result = make().process(pair(np.zeros(SIZE, np.uint8), cv2.cvtColor(grey(), cv2.COLOR_GRAY2BGR)))
    np.testing.assert_array_equal(result.thermal_registered, grey())
    np.testing.assert_array_equal(result.fused, grey())


def test_where_there_is_no_thermal_data_the_visible_image_stays_as_it_is_without_a_seam(make):
    rig = Rig(np.array([[1, 0, 40], [0, 1, 0], [0, 0, 1]], float), SIZE[::-1], SIZE[::-1], "test")
    visible = np.full((*SIZE, 3), (90, 100, 110), np.uint8)
    result = make(rig).process(pair(visible, np.full(SIZE, 220, np.uint8)))
    np.testing.assert_array_equal(result.fused[:, :40], visible[:, :40])
    assert not result.attention[:, :40].any()
    assert result.overlap == 88 / 128
    profile = result.fused[48, 38:60, 1].astype(int)
    assert np.all(np.diff(profile) >= 0)
    assert np.diff(profile).max() < 25  # 120 levels are climbed over eight pixels
    assert profile[-1] == 100 + 220 - 102  # the luma rises from 102 to 220
    assert result.attention[48, 60:].min() == 1
    assert result.fused[48, 127, 1] == profile[-1]  # the image's own border is no edge


def test_holes_in_a_float_image_show_the_visible_one(make):
    kelvin = np.linspace(280, 320, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.float32)
    kelvin[40:60, 50:80] = np.nan
    result = make().process(pair(color(), kelvin))
    np.testing.assert_array_equal(result.fused[40:60, 50:80], color()[40:60, 50:80])
    assert not result.attention[40:60, 50:80].any()
    assert np.isfinite(result.attention).all()
    assert result.overlap == 1 - 600 / kelvin.size
    alone = make().process(pair(None, kelvin))
    assert not alone.mask[40:60, 50:80].any()


def test_feather_rises_inside_the_mask_only():
    mask = np.full((20, 60), 255, np.uint8)
    mask[:, :20] = 0
    weight = feather(mask)
    assert not weight[:, :20].any()
    assert np.all(np.diff(weight[10]) >= 0)
    assert weight[:, 40:].min() == 1
    assert feather(np.full((20, 60), 255, np.uint8)).min() == 1
    assert not feather(np.zeros((20, 60), np.uint8)).any()


def test_smoothing_is_forgotten_by_reset(make):
    pipeline, cold = make(), grey().astype(np.uint16) * 8 + 28000
    first = pipeline.process(pair(None, cold)).fused
    pipeline.process(pair(None, cold + np.uint16(9000)))
    assert not np.array_equal(pipeline.process(pair(None, cold)).fused, first)
    pipeline.reset()
    np.testing.assert_array_equal(pipeline.process(pair(None, cold)).fused, first)


def test_results_do_not_change_under_later_pairs(make):
    pipeline = make()
    first = pipeline.process(pair(color(), grey()))
    fused, attention = first.fused.copy(), first.attention.copy()
    pipeline.process(pair(color(seed=5), grey(seed=6)))
    np.testing.assert_array_equal(first.fused, fused)
    np.testing.assert_array_equal(first.attention, attention)


def test_read_only_frames_are_not_written_to(make):
    visible, thermal = color(), grey()
    visible.flags.writeable = thermal.flags.writeable = False
    make().process(pair(visible, thermal))
    np.testing.assert_array_equal(visible, color())
    np.testing.assert_array_equal(thermal, grey())


def test_the_same_pairs_give_the_same_bytes_on_any_number_of_threads(make):
    if not default_model().exists():
        pytest.skip("there is no default model yet")
    rig = Rig(np.array([[1.05, 0, 5], [0, 1.05, 3], [1e-4, 0, 1]], float), SIZE[::-1], SIZE[::-1], "test")
    runs = []
    for threads in (1, 1, 2):
        cv2.setNumThreads(threads)
        pipeline = make(rig, threads, default_model())
        results = [pipeline.process(pair(color(seed=n), grey(seed=n).astype(np.uint16) * 9)) for n in range(3)]
        runs.append([(r.fused.tobytes(), r.attention.tobytes(), [s.probability for s in r.scores]) for r in results])
    cv2.setNumThreads(-1)
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize(
    ("visible", "thermal"),
    [
        (color().astype(np.uint16), grey()),
        (grey().astype(np.float64), grey()),
        (np.zeros((*SIZE, 4), np.uint8), grey()),
        (np.zeros((0, 5, 3), np.uint8), grey()),
        (color(), grey().astype(np.int32)),
        (color(), np.full(SIZE, np.nan, np.float32)),
        (color(), np.zeros((5, 0), np.uint8)),
        (None, np.zeros((*SIZE, 2), np.uint8)),
    ],
)
def test_images_that_cannot_be_used_are_one_sentence_and_the_next_pair_is_fine(make, visible, thermal):
    pipeline = make()
    with pytest.raises(ValueError) as error:  # noqa: PT011 (each has a sentence of its own)
        pipeline.process(pair(visible, thermal))
    assert "\n" not in str(error.value)
    assert pipeline.process(pair(color(), grey())).overlap == 1


def test_sizes_that_do_not_fit_the_rig(make):
    rig = Rig(np.eye(3), (128, 96), (128, 96), "the rig")
    pipeline = make(rig)
    with pytest.raises(ValueError, match="does not fit the rig"):
        pipeline.process(pair(color(), grey((64, 64))))
    assert "does not fit the rig" in pipeline.misfit(pair(color(), grey((64, 64))))
    assert not pipeline.misfit(pair(color(), grey()))
    assert not pipeline.misfit(pair(None, grey((64, 64))))


def test_scores_that_are_not_finite_are_refused(make, tmp_path):
    from tiny_model import write_model

    pipeline = make(path=write_model(tmp_path / "nan.onnx", logits_factor=float("nan")))
    with pytest.raises(ValueError, match="scores that are not finite"):
        pipeline.process(pair(color(), grey()))


def shifted(pixels, scale=None):
    radiometry = scale and {"scale": scale, "offset": 0.0, "unit": "kelvin"}
    size = SIZE[::-1]
    return Rig(np.array([[1, 0, pixels], [0, 1, 0], [0, 0, 1.0]]), size, size, "test", radiometry=radiometry)


@pytest.fixture
def follow(model):
    """Makes a pipeline that asks a manager, as the node's does."""

    def _follow(manager, **settings):
        return build_pipeline(load_engine(model, 1), manager, settings)

    return _follow


def test_a_pipeline_that_was_made_before_a_correction_registers_with_it(follow):
    manager = RegistrationManager(shifted(32))
    swapped_in_later = follow(manager)
    assert follow(manager).process(pair(color(), grey())).overlap == 0.75
    size = SIZE[::-1]
    assert manager.correct(manager.current().revision, shifted(64), size, size)
    assert swapped_in_later.process(pair(color(), grey())).overlap == 0.5


def test_the_radiometry_of_a_rig_applies_from_the_same_pair_on_as_its_geometry(follow):
    manager = RegistrationManager(shifted(32, scale=0.02))
    pipeline = follow(manager, **{"thermal.tone_mapping": "range", "thermal.range": [290.0, 300.0]})
    counts = np.full(SIZE, 14750, np.uint16)  # 295 K
    before = pipeline.process(pair(color(), counts))
    assert (pipeline.radiometry.scale, before.overlap) == (0.02, 0.75)
    assert before.thermal_grey[0, -1] == pytest.approx(128, abs=1)
    manager.set_rig(shifted(64, scale=0.04))  # 590 K
    after = pipeline.process(pair(color(), counts))
    assert (pipeline.radiometry.scale, after.overlap) == (0.04, 0.5)
    assert after.thermal_grey[0, -1] == 255
    manager.set_rig(shifted(64))
    pipeline.process(pair(color(), counts))
    assert pipeline.radiometry is None


def test_settings_that_do_not_fit_the_radiometry_of_a_new_rig_fail_each_pair_until_there_is_another(follow):
    manager = RegistrationManager(shifted(32, scale=0.04))
    pipeline = follow(manager, **{"thermal.tone_mapping": "range", "thermal.range": [290.0, 300.0]})
    counts = np.full(SIZE, 14750, np.uint16)
    manager.set_rig(shifted(64, scale=0.0001))
    for _ in range(2):
        with pytest.raises(ValueError, match="16 bits hold less"):
            pipeline.process(pair(color(), counts))
    manager.set_rig(shifted(64, scale=0.02))
    assert pipeline.process(pair(color(), counts)).thermal_grey[0, -1] == pytest.approx(128, abs=1)


def test_the_defaults_are_those_of_the_nodes_schema():
    defaults = schema.defaults()
    assert {name: defaults[name] for name in SETTINGS} == SETTINGS
    assert {name for name in defaults if name.startswith("thermal.")} - set(SETTINGS) == {
        "thermal.compressed", "thermal.expected_rate", "thermal.image_transport", "thermal.stamp_source",
        "thermal.telemetry", "thermal.time_offset",
    }  # fmt: skip


def test_a_pipeline_is_put_together_in_one_place(repo_root):
    found = [
        str(path.relative_to(repo_root))
        for path in (repo_root / "vi_fusion_ros").rglob("*.py")
        if re.search(r"\bFusionPipeline\(", path.read_text(encoding="utf-8"))
    ]
    assert found == ["vi_fusion_ros/pipeline.py"]


def test_arrays_are_fused_like_a_pair(make):
    visible, thermal = color(), grey()
    np.testing.assert_array_equal(make()(visible, thermal).fused, make().process(pair(visible, thermal)).fused)
    assert make()(None, thermal).pair.mode is Mode.THERMAL_ONLY
    result = make()(visible, None)
    assert result.probabilities == {score.label: score.probability for score in result.scores}


@pytest.mark.parametrize(
    ("visible", "thermal", "sentence"),
    [
        (None, None, "at least one frame"),
        ("visible.png", None, "the visible image is of type str; expected a NumPy array"),
        (None, np.zeros((4, 4), np.float64), "expected one channel of uint8, uint16 or float32"),
        (np.zeros((4, 4, 4), np.uint8), None, "cannot be tone mapped"),
        (np.zeros((0, 4, 3), np.uint8), None, "cannot be tone mapped"),
    ],
)
def test_arrays_that_are_no_images_are_one_sentence(make, visible, thermal, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()(visible, thermal)


def test_load_pipeline_takes_model_rig_and_settings(model, tmp_path):
    kelvin = {"thermal.tone_mapping": "range", "thermal.range": [280.0, 320.0], "thermal.radiometry": "tlinear_0.01"}
    thermal = np.full(SIZE, 30000, np.uint16)
    result = load_pipeline(model, threads=1, settings=kelvin)(color(), thermal)
    assert result.thermal_grey.max() == 128  # 300 K, half way
    with pytest.raises(ValueError, match="missing"):
        load_pipeline(model, tmp_path / "missing.yaml")
    with pytest.raises(ValueError, match=r"missing\.onnx"):
        load_pipeline(tmp_path / "missing.onnx")


def test_each_pixel_at_its_own_distance_and_the_plane_where_that_cannot_be(make):
    lens = Camera(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), np.zeros(5))
    extrinsics = Extrinsics(np.eye(3), np.array([0.2, 0.0, 0.0]))
    rig = Rig(np.eye(3), SIZE[::-1], SIZE[::-1], "rig.yaml", lens, lens, extrinsics).at(10.0)
    visible, thermal = color(), grey()
    depth = np.full(SIZE, 2000, np.uint16)
    depth[:, :20] = 0
    at_plane = make(rig)(visible, thermal)
    result = make(rig).process(pair(visible, thermal, depth=depth))
    assert result.depth_fault == ""
    np.testing.assert_array_equal(result.thermal_registered[:, 30:], thermal[:, 20:-10])  # 10 px at 2 m
    np.testing.assert_array_equal(result.thermal_registered[:, :20], at_plane.thermal_registered[:, :20])
    for wrong, sentence in ((depth[1:], "128x95 pixels; expected 128x96"), (depth * 0, "no distance above 0")):
        result = make(rig).process(pair(visible, thermal, depth=wrong))
        np.testing.assert_array_equal(result.thermal_registered, at_plane.thermal_registered)
        assert sentence in result.depth_fault
    result = make().process(pair(visible, thermal, depth=depth))
    assert "rig identity has no intrinsics and extrinsics, which depth needs" in result.depth_fault
    assert result.thermal_registered is thermal


def test_depth_is_framed_as_the_visible_image_is(model):
    lens = Camera(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), np.zeros(5))
    extrinsics = Extrinsics(np.eye(3), np.array([0.2, 0.0, 0.0]))
    rig = Rig(np.eye(3), SIZE[::-1], SIZE[::-1], "rig.yaml", lens, lens, extrinsics).at(10.0)
    pipeline = build_pipeline(load_engine(model, 1), rig, {"visible.rotate": 180})
    visible, thermal = color(), grey()
    depth = np.full(SIZE, 2000, np.uint16)
    depth[:, -20:] = 0  # turned, it is on the left
    result = pipeline.process(pair(visible, thermal, depth=depth))
    np.testing.assert_array_equal(result.thermal_registered[:, 30:], thermal[:, 20:-10])
    np.testing.assert_array_equal(result.thermal_registered[:, 2:20], thermal[:, :18])
    tall = pipeline.process(pair(visible, thermal, depth=depth.T.copy()))
    assert "96x128 pixels; expected 128x96" in tall.depth_fault
