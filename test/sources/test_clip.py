import itertools

import cv2
import numpy as np
import pytest

from vi_fusion_ros.sources.clip import ClipFrame, Folder, sampled
from vi_fusion_ros.sources.streams import CameraTiming, to_counts
from vi_fusion_ros.sources.video import Video


def test_a_video_has_a_rate_a_length_and_frames(tmp_path):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for n in range(8):
        writer.write(np.full((48, 64, 3), 20 * n, np.uint8))
    writer.release()
    video = Video(path)
    assert (video.rate_hz, len(video), len(list(video)), len(list(video))) == (25.0, 8, 8, 8)


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "is missing"), (b"", "cannot be read"), (b"x" * 999, "cannot")]
)
def test_what_is_no_video_is_named(tmp_path, content, sentence):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"clip.mp4.*{sentence}"):
        Video(path)


def test_a_folder_keeps_16_bits_and_names_a_broken_image_in_its_place(tmp_path):
    for n, suffix in enumerate(["png", "tif", "png"]):
        cv2.imwrite(str(tmp_path / f"{n}.{suffix}"), np.full((4, 6), 30000 + n, np.uint16))
    (tmp_path / "1.tif").write_bytes(b"broken")
    first, broken, last = (frame.image for frame in Folder(tmp_path))
    assert (first.dtype, int(first[0, 0]), int(last[0, 0])) == (np.uint16, 30000, 30002)
    assert isinstance(broken, ValueError)
    assert "1.tif" in str(broken)


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(ValueError, match="has no image"):
        Folder(tmp_path)
    with pytest.raises(ValueError, match="is missing"):
        Folder(tmp_path / "nowhere")


class Numbers:
    rate_hz = 30.0

    def __len__(self):
        return 30

    def __iter__(self):
        return (ClipFrame(number / 30, number) for number in range(30))


@pytest.mark.parametrize(("rate", "shown"), [(30, range(30)), (10, range(0, 30, 3)), (60, [n // 2 for n in range(60)])])
def test_a_camera_of_another_rate_skips_or_repeats(rate, shown):
    assert list(sampled(Numbers(), rate)) == list(shown)


def test_a_schedule_does_not_drift_and_repeats_with_its_seed():
    timing = CameraTiming(30.0, offset_s=0.01, jitter_s=0.02, drop=0.25, seed=3)
    shots = list(timing.schedule(3000))
    assert shots == list(timing.schedule(3000))
    times = np.array([shot.time_s for shot in shots])
    assert (np.diff(times) > 0).all()
    assert np.abs(times - np.arange(3000) / 30 - 0.01).max() <= 0.45 / 30 + 1e-9
    assert sum(shot.lost for shot in shots) == pytest.approx(750, abs=100)
    assert len(list(itertools.islice(timing.schedule(None), 5))) == 5


def test_8_bit_levels_span_0_to_50_degrees():
    np.testing.assert_array_equal(to_counts(np.array([[0, 255]], np.uint8)), [[27315, 32315]])
