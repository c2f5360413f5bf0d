import math

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli.benchmark.drift import follow, load, mix, size_of, start
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.drift import DriftMonitor, DriftState
from vi_fusion_ros.registration.planar import corner_error
from vi_fusion_ros.registration.rig import Camera, scaling

SIZE = (480, 360)
RATE_HZ = 2.0


def pair(seed=0, frame=0):
    """A visible and a thermal image of blocks; what is bright in one may be dark in the other, and both have noise."""
    random = np.random.default_rng(seed)
    images = [np.full(SIZE[::-1], level, np.float32) for level in (90, 120)]
    for _ in range(60):
        x, y, w, h = (int(v) for v in random.integers((0, 0, 15, 15), (SIZE[0], SIZE[1], 90, 90)))
        for image in images:
            image[y : y + h, x : x + w] = random.uniform(40, 210)
    noise = np.random.default_rng(1000 * seed + frame)
    visible, thermal = (cv2.GaussianBlur(image, (0, 0), 1) + noise.normal(0, 3, image.shape) for image in images)
    return np.clip(visible, 0, 255).astype(np.uint8), (28000 + 10 * thermal).astype(np.uint16)


def watch(monitor, pairs, first=0):
    return [monitor.update(*one, (first + n) / RATE_HZ) for n, one in enumerate(pairs)]


def rig_off_by(shift_px, rotation_deg=0.0, size=SIZE):
    return Rig(start(size, shift_px, rotation_deg), size, size, "test")


def residual(report, rig):
    return corner_error(report.correction @ rig.H_thermal_to_visible, np.eye(3), SIZE)


def test_a_wrong_registration_is_corrected():
    rig = rig_off_by((7, -5), 1.2)
    monitor = DriftMonitor(rig, correct=True)
    reports = watch(monitor, [pair(frame=n) for n in range(12)])
    assert residual(reports[0], rig) > 8
    assert reports[-1].state is DriftState.CORRECTED
    assert residual(reports[-1], rig) < 0.75
    assert reports[-1].residual_px < 0.75
    assert reports[-1].rotation_deg == pytest.approx(-1.2, abs=0.1)
    assert sum(report.changed for report in reports) == 1
    corrected = monitor.corrected()
    assert corner_error(corrected.homography(SIZE, SIZE), np.eye(3), SIZE) < 0.75


def test_a_correction_made_at_another_size_than_the_rig_s_leaves_its_lenses_as_they_are():
    double = (2 * SIZE[0], 2 * SIZE[1])
    distortion = np.array([-0.25, 0.05, 0, 0, 0])
    lens, straight = (
        Camera(np.array([[700.0, 0, 479.5], [0, 700, 359.5], [0, 0, 1]]), d) for d in (distortion, np.zeros(5))
    )
    half = scaling(double, SIZE) @ lens.matrix

    def seen(image):  # by a thermal camera without distortion
        return cv2.undistort(image, half, distortion)

    rig = Rig(start(double, (14, -10), 1.0), double, double, "test", straight, lens)
    monitor = DriftMonitor(rig, correct=True)
    frames = (pair(frame=n) for n in range(12))
    assert watch(monitor, [(visible, seen(thermal)) for visible, thermal in frames])[-1].state is DriftState.CORRECTED
    columns = np.tile(np.arange(SIZE[0], dtype=np.float32), (SIZE[1], 1))
    rows = np.tile(np.arange(SIZE[1], dtype=np.float32)[:, None], (1, SIZE[0]))
    for values in (columns, rows):
        registered, mask, overlap = Registration(monitor.corrected()).apply(seen(values), SIZE)
        assert overlap > 0.7
        assert np.abs(registered - values)[10:-10, 10:-10][mask[10:-10, 10:-10] > 0].mean() < 1.0


def test_a_scale_is_corrected_too():
    rig = Rig(np.array([[1.015, 0, -3.6], [0, 1.015, -2.7], [0, 0, 1]]), SIZE, SIZE, "test")
    reports = watch(DriftMonitor(rig, correct=True), [pair(frame=n) for n in range(12)])
    assert reports[-1].scale == pytest.approx(1 / 1.015, abs=0.002)
    assert residual(reports[-1], rig) < 0.75


def test_monitor_mode_moves_nothing_and_says_how_far_off_it_is():
    rig = rig_off_by((8, 0))
    monitor = DriftMonitor(rig, correct=False)
    reports = watch(monitor, [pair(frame=n) for n in range(8)])
    assert reports[-1].state is DriftState.DRIFTED
    assert reports[-1].residual_px == pytest.approx(8, abs=0.7)
    assert not reports[-1].out_of_reach
    np.testing.assert_array_equal(reports[-1].correction, np.eye(3))
    assert monitor.corrected() is rig


def test_a_right_registration_holds():
    reports = watch(DriftMonitor(Rig.identity(), correct=True), [pair(frame=n) for n in range(10)])
    assert {report.state for report in reports} == {DriftState.HOLDS}
    assert all(report.residual_px < 0.5 and report.confidence > 0.8 for report in reports)
    np.testing.assert_array_equal(reports[-1].correction, np.eye(3))


@pytest.mark.parametrize("kind", ["another scene", "blank", "noise"])
def test_without_common_structure_nothing_moves_and_it_says_so(kind):
    random = np.random.default_rng(77)
    thermal = {
        "another scene": lambda n: pair(seed=5, frame=n)[1],
        "blank": lambda n: np.full(SIZE[::-1], 30000, np.uint16),
        "noise": lambda n: random.normal(30000, 20, SIZE[::-1]).astype(np.uint16),
    }[kind]
    pairs = [(pair(frame=n)[0], thermal(n)) for n in range(10)]
    reports = watch(DriftMonitor(Rig.identity(), correct=True), pairs)
    assert {report.state for report in reports} == {DriftState.UNSURE}
    assert all(math.isnan(report.residual_px) and report.confidence < 0.4 for report in reports)
    np.testing.assert_array_equal(reports[-1].correction, np.eye(3))


def test_one_frame_is_not_enough_and_a_single_bad_one_changes_nothing():
    right = [pair(frame=n) for n in range(12)]
    odd = pair(frame=6)
    right[6] = (odd[0], np.roll(odd[1], 9, axis=1))
    reports = watch(DriftMonitor(Rig.identity(), correct=True), right)
    assert not any(report.changed for report in reports)
    assert not watch(DriftMonitor(rig_off_by((9, 0)), correct=True), right[:3])[-1].changed


def test_beyond_the_trust_region_it_warns_and_stays():
    rig = rig_off_by((14, 0))  # 12 px is the most at this width
    reports = watch(DriftMonitor(rig, correct=True), [pair(frame=n) for n in range(10)])
    np.testing.assert_array_equal(reports[-1].correction, np.eye(3))
    assert reports[-1].out_of_reach or reports[-1].state is DriftState.UNSURE


def test_a_knock_while_driving_is_found_and_a_correction_that_no_longer_helps_is_taken_back():
    monitor = DriftMonitor(Rig.identity(), correct=True)
    assert watch(monitor, [pair(frame=n) for n in range(6)])[-1].state is DriftState.HOLDS
    knocked = [(visible, np.roll(thermal, 6, axis=1)) for visible, thermal in (pair(frame=n) for n in range(14))]
    reports = watch(monitor, knocked, first=6)
    assert reports[-1].state is DriftState.CORRECTED
    assert reports[-1].shift_px[0] == pytest.approx(-6, abs=0.7)
    back = watch(monitor, [pair(frame=n) for n in range(14)], first=20)
    assert math.hypot(*back[-1].shift_px) < 0.7


def test_images_of_other_sizes_and_a_partial_overlap():
    """A thermal camera of half the resolution that sees the middle of the visible image."""
    visible, _ = pair()
    off = np.array([[1.5, 0, 60 + 6], [0, 1.5, 45 - 5], [0, 0, 1]])
    rig = Rig(off, (240, 180), SIZE, "test")
    true = np.array([[1.5, 0, 60], [0, 1.5, 45], [0, 0, 1]])
    pairs = []
    for n in range(12):
        visible, thermal = pair(frame=n)
        inverse = np.linalg.inv(true)
        pairs.append((visible, cv2.warpPerspective(thermal, inverse, (240, 180), flags=cv2.INTER_AREA)))
    monitor = DriftMonitor(rig, correct=True)
    reports = watch(monitor, pairs)
    assert reports[-1].state is DriftState.CORRECTED
    assert corner_error(monitor.corrected().homography((240, 180), SIZE), true, (240, 180)) < 1.0


def test_a_jump_back_in_time_forgets_frames_but_not_the_correction():
    rig = rig_off_by((8, 0))
    monitor = DriftMonitor(rig, correct=True)
    watch(monitor, [pair(frame=n) for n in range(10)])
    again = watch(monitor, [pair(frame=n) for n in range(3)])
    assert again[0].state is DriftState.CORRECTED
    assert residual(again[-1], rig) < 0.75


def test_sizes_that_do_not_fit_the_rig():
    visible, thermal = pair()
    with pytest.raises(ValueError, match="does not fit the rig"):
        DriftMonitor(rig_off_by((0, 0)), correct=True).update(visible, thermal[:, :300], 0.0)


@pytest.mark.parametrize("thermal_type", [np.uint8, np.uint16, np.float32])
def test_thermal_images_of_any_depth(thermal_type):
    visible, thermal = pair()
    image = (thermal / 128).astype(thermal_type) if thermal_type == np.uint8 else thermal.astype(thermal_type)
    report = DriftMonitor(Rig.identity(), correct=True).update(cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR), image, 0.0)
    assert report.state is DriftState.HOLDS


@pytest.mark.parametrize("size", [(1, 1), (16, 12), (40, 400), (64, 48)])
def test_tiny_and_narrow_images_say_nothing_and_break_nothing(size):
    image = np.random.default_rng(0).integers(0, 255, size[::-1]).astype(np.uint8)
    report = DriftMonitor(Rig.identity(), correct=True).update(image, image, 0.0)
    assert report.correction is not None


@pytest.mark.data
def test_over_a_real_clip(data_dir):
    """`vi-fusion benchmark drift` in short; docs/benchmarks/drift.json has all of it."""
    clip = load(data_dir, "0113_1714", 2.0, 6.0)
    wrong = follow(clip, start(size_of(clip), (9, -7), 1.2), 2.0)
    assert wrong["start_px"] > 12
    assert wrong["end_px"] < 1.5
    assert follow(clip, np.eye(3), 2.0)["furthest_px"] <= 0.5
    mixed = follow(mix(clip, load(data_dir, "1230_1202", 2.0, 6.0)), start(size_of(clip), (0, 0), 0), 2.0)
    assert mixed["furthest_px"] == 0
    assert mixed["share_unsure"] == 1
