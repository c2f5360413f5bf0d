"""Frames of videos at their own times, with their own depth, to their end."""

import cv2
import numpy as np
import pytest
from matroska import levels, number_of, write_mkv

from vi_fusion_ros.sources.clip import sampled
from vi_fusion_ros.sources.streams import ClipStreams, frame_count
from vi_fusion_ros.sources.video import FrameClock, Video

SLOWING = [round(n / 30, 3) for n in range(15)] + [round(0.5 + n / 6, 3) for n in range(6)]  # 30 Hz, then 6


def read(path):
    return [(frame.time_s, number_of(frame.image)) for frame in Video(path)]


@pytest.mark.parametrize("finished", [True, False], ids=["whole", "killed"])
def test_a_frame_has_the_time_of_its_own_stamp(tmp_path, finished):
    path = write_mkv(tmp_path / "v.mkv", SLOWING, levels(len(SLOWING)), finished)
    times, numbers = zip(*read(path), strict=True)
    assert numbers == tuple(range(len(SLOWING)))
    np.testing.assert_allclose(times, SLOWING, atol=1e-9)


def test_a_video_whose_writer_was_killed_is_measured(tmp_path):
    path = write_mkv(tmp_path / "v.mkv", SLOWING, levels(len(SLOWING)), finished=False)
    path.write_bytes(path.read_bytes()[:-100])  # within the last frame
    video = Video(path)
    assert len(video) == len(SLOWING) - 1 == len(list(video))
    assert video.duration_s == pytest.approx(SLOWING[-2], abs=0.2)


def test_bare_jpegs_one_after_the_other_are_a_video(tmp_path):
    path = tmp_path / "bare.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", image)[1].tobytes() for image in levels(12)))
    video = Video(path)
    assert len(video) == 12
    times, numbers = zip(*read(path), strict=True)
    assert numbers == tuple(range(12))
    np.testing.assert_allclose(np.diff(times), 1 / video.rate_hz, rtol=1e-6)


def test_16_bit_grey_keeps_its_levels(tmp_path):
    path, ramp = tmp_path / "deep.mkv", np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (64, 48), options)
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no 16-bit video")
    for number in range(5):
        writer.write(ramp + np.uint16(20000 + number))
    writer.release()
    if not cv2.VideoCapture(str(path)).set(cv2.CAP_PROP_CONVERT_RGB, 0):
        with pytest.raises(ValueError, match=r"deep\.mkv: its grey levels have 16 bits, of which OpenCV .* gives 8"):
            Video(path)
        return
    frames = [frame.image for frame in Video(path)]
    assert len(frames) == 5
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, ramp + np.uint16(20000 + number))
    streams = ClipStreams(path, path, 16, None)
    np.testing.assert_array_equal(next(iter(streams.thermal(10.0))), frames[0])


def test_a_camera_shows_the_frame_that_is_the_latest_at_each_time(tmp_path):
    video = Video(write_mkv(tmp_path / "v.mkv", SLOWING, levels(len(SLOWING))))
    shown = [number_of(image) for image in sampled(video, 12)]
    expected = [max(n for n, at in enumerate(SLOWING) if at <= k / 12 + 6e-4) for k in range(len(shown))]
    assert shown == expected
    assert len(shown) == 18  # 1.5 s


def test_times_in_whole_milliseconds_lose_and_repeat_no_frame(tmp_path):
    times = [round(n / 30, 3) for n in range(30)]
    video = Video(write_mkv(tmp_path / "v.mkv", times, levels(30)))
    assert [number_of(image) for image in sampled(video, 30)] == list(range(30))
    assert [number_of(image) for image in sampled(video, 10)] == list(range(0, 30, 3))


def test_both_cameras_of_two_videos_show_what_was_to_be_seen(tmp_path):
    for name, count in (("visible", 20), ("thermal", 15)):
        write_mkv(tmp_path / f"{name}.mkv", [n / 20 for n in range(count)], levels(count))
    streams = ClipStreams(tmp_path / "visible.mkv", tmp_path / "thermal.mkv", 8, None)
    shown = [number_of(image) for image in streams.thermal(10.0)]
    assert shown[: frame_count(0.75, 10.0)] == [0, 2, 4, 6, 8, 10, 12]
    assert [number_of(image) for image in streams.visible(20.0)] == list(range(20))


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 0, 0, 0], [0, 0.1, 0.2, 0.3]),  # a backend that knows none
        ([-7.7e12, -7.7e12 + 0.04], [0, 0.1]),  # what OpenCV makes of unknown stamps
        ([float("nan"), float("nan")], [0, 0.1]),
        ([0, 0.2, 0.4, 0, 0], [0, 0.2, 0.4, 0.6, 0.8]),  # OpenCV before 4.8, of the frames that a decoder holds back
        ([0, 0.2, 0.2, 0.5], [0, 0.2, 0.4, 0.5]),  # a stamp twice
        ([5, 5.5, 6, 0.25, 0.75], [5, 5.5, 6, 6.5, 7]),  # two recordings in one file
    ],
)
def test_times_rise_whatever_the_stamps_are(stamps, times):
    clock = FrameClock(10.0)
    np.testing.assert_allclose([clock.time_of(stamp) for stamp in stamps], times, atol=1e-9)


@pytest.mark.data
def test_real_clips_pair_frame_by_frame(data_dir):
    for name in ("0113_1714", "0117_1605", "1230_1202"):
        visible, thermal = (Video(data_dir / "m3svd" / f"{name}_{camera}.mp4") for camera in ("visible", "thermal"))
        assert len(visible) == len(thermal)
        for (a, _), (b, _), number in zip(visible, thermal, range(200), strict=False):
            assert a == b == pytest.approx(number / visible.rate_hz)
