import cv2
import numpy as np
import pytest

from vi_fusion_ros.sync.stream_monitor import StreamMonitor, StreamState

LIVE, FROZEN, SHUTTERED = StreamState.LIVE, StreamState.FROZEN, StreamState.SHUTTERED
SIZE = (240, 320)


def frame(seed, dtype=np.uint16):
    """A scene with the noise of a sensor."""
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    scene = 29500 + 200 * np.sin(xs / 23) * np.cos(ys / 17) + 300 * (xs > 200)
    noisy = scene + np.random.default_rng(seed).normal(0, 8, SIZE)
    return ((noisy - 28500) / 8 if dtype == np.uint8 else noisy).astype(dtype)


def shutter(seed, dtype=np.uint16):
    """The noise alone, with columns that differ and a lens that shades its corners."""
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    random = np.random.default_rng(seed)
    flat = 29700 - 60 * ((xs / 160 - 1) ** 2 + (ys / 120 - 1) ** 2) + np.random.default_rng(0).normal(0, 4, SIZE[1])
    noisy = flat + random.normal(0, 8, SIZE)
    return ((noisy - 28500) / 8 if dtype == np.uint8 else noisy).astype(dtype)


def states(frames, rate_hz=30.0, monitor=None):
    monitor = monitor or StreamMonitor()
    return [monitor.update(image, n / rate_hz) for n, image in enumerate(frames)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("rate_hz", [9.0, 30.0, 60.0])
def test_a_frozen_stream_is_found_within_a_second_and_ends_with_the_first_new_frame(dtype, rate_hz):
    still, before = frame(0, dtype), [frame(n, dtype) for n in range(1, 4)]
    count = int(rate_hz) + 1
    seen = states([*before, *(still.copy() for _ in range(count)), frame(99, dtype)], rate_hz)
    assert set(seen[:4]) == {LIVE}
    assert seen[3 : 3 + count].index(FROZEN) / rate_hz <= 1.0
    assert seen[2 + count] is FROZEN
    assert seen[-1] is LIVE


def test_a_frozen_float_image_with_holes():
    still = frame(0, np.float32)
    still[::3, ::5] = np.nan
    assert states([still.copy() for _ in range(30)])[-1] is FROZEN


def test_colour_images_are_watched_too():
    still = cv2.cvtColor(frame(0, np.uint8), cv2.COLOR_GRAY2BGR)
    assert states([still.copy() for _ in range(30)])[-1] is FROZEN


def test_repeats_of_a_slow_source_are_no_fault():
    repeated = [frame(n // 4) for n in range(60)]  # 7.5 Hz through a driver of 30 Hz
    assert set(states(repeated)) == {LIVE}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_closing_shutter_is_seen_at_once_and_until_it_opens(dtype):
    scene = [frame(n, dtype) for n in range(10)]
    closed = [shutter(n, dtype) for n in range(1, 40)]
    assert states([*scene, *closed, *scene]) == [LIVE] * 10 + [SHUTTERED] * 39 + [LIVE] * 10


def test_a_shutter_that_repeats_one_picture_stays_a_shutter():
    seen = states([*(frame(n) for n in range(5)), *[shutter(1)] * 40])
    assert seen == [LIVE] * 5 + [SHUTTERED] * 40


def test_a_scene_that_was_plain_from_the_start_is_live():
    assert set(states([shutter(n) for n in range(1, 60)])) == {LIVE}


def test_a_scene_that_fades_away_is_live():
    rates = np.linspace(0, 1, 300)  # ten seconds up to a wall
    fading = [((1 - rate) * frame(n) + rate * shutter(n)).astype(np.uint16) for n, rate in enumerate(rates)]
    assert set(states(fading)) == {LIVE}


def test_a_jump_back_in_time_starts_anew():
    monitor, still = StreamMonitor(), frame(0)
    assert states([still] * 30, monitor=monitor)[-1] is FROZEN
    assert monitor.update(still, 0.0) is LIVE


def test_another_size_or_depth_is_another_frame():
    monitor = StreamMonitor()
    for n in range(60):
        image = frame(0, np.uint8 if n % 2 else np.uint16)
        assert monitor.update(image if n % 4 < 2 else image[:100], n / 30) is LIVE


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (24, 32), (96, 128)])
def test_images_of_any_size_are_taken(shape):
    assert states([np.zeros(shape, np.uint8)] * 30)[-1] is FROZEN


def clip_frames(data_dir, name):
    capture, frames = cv2.VideoCapture(str(data_dir / "m3svd" / f"{name}.mp4")), []
    while (step := capture.read())[0]:
        frames.append(cv2.cvtColor(step[1], cv2.COLOR_BGR2GRAY))
    assert len(frames) > 200
    return frames


@pytest.mark.data
@pytest.mark.parametrize("name", ["1230_1202_thermal", "1230_1202_visible", "0117_1605_thermal", "0117_1605_visible"])
def test_a_real_clip_raises_no_alarm_even_where_it_is_still(data_dir, name):
    assert set(states(clip_frames(data_dir, name), 22.0)) == {LIVE}


@pytest.mark.data
def test_faults_put_into_the_still_clip_are_found(data_dir):
    frames = clip_frames(data_dir, "1230_1202_thermal")
    random = np.random.default_rng(0)
    frames[50:90] = [frames[50]] * 40
    frames[120:135] = [np.clip(random.normal(90, 2, frames[0].shape), 0, 255).astype(np.uint8) for _ in range(15)]
    seen = states(frames, 22.0)
    assert set(seen[:50]) | set(seen[90:120]) | set(seen[135:]) == {LIVE}
    assert seen.index(FROZEN) - 50 <= 22
    assert seen[89] is FROZEN
    assert set(seen[120:135]) == {SHUTTERED}
