import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import video_packets

from vi_fusion_ros.images import video
from vi_fusion_ros.images.encodings import ImageError
from vi_fusion_ros.images.video import FFMPEG, FOXGLOVE, VideoReader

SECOND_NS = 1_000_000_000


def images(count, colour=True):
    """A square that moves over a ramp."""
    for number in range(count):
        grey = np.tile(np.linspace(40, 200, 128, dtype=np.uint8), (96, 1))
        grey[20:50, 5 * number : 5 * number + 30] = 240
        yield np.dstack([grey, grey, grey // 2 + 60]) if colour else grey


def near(image, truth):
    return image.shape == truth.shape and np.abs(image.astype(int) - truth.astype(int)).max() <= 12


@pytest.mark.parametrize(
    ("kind", "make", "codec", "name"),
    [
        (FFMPEG, video_packets.ffmpeg, "libx264", "libx264"),
        (FFMPEG, video_packets.ffmpeg, "libx264", "h264;yuv444p;bgr8"),
        (FFMPEG, video_packets.ffmpeg, "libx265", "hevc_nvenc"),
        (FOXGLOVE, video_packets.foxglove, "libx264", "h264"),
        (FOXGLOVE, video_packets.foxglove, "libx265", "h265"),
    ],
)
def test_each_packet_becomes_its_picture_with_its_stamp(kind, make, codec, name):
    options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {}
    reader, truth = VideoReader(kind), list(images(12))
    pictures = []
    for number, packet in enumerate(video_packets.encoded(truth, codec, **options)):
        pictures.append(reader(make(number * SECOND_NS + 5, packet, name)))
    assert [picture.header.stamp for picture in pictures] == [(number, 5) for number in range(12)]
    assert all(near(picture.image, image) for picture, image in zip(pictures, truth, strict=True))
    assert pictures[0].header.frame_id == "camera"


@pytest.mark.parametrize(
    ("codec", "name"), [("libsvtav1", "av1"), ("libvpx-vp9", "libvpx-vp9;yuv420p;bgr8"), ("libvpx", "vp8")]
)
def test_a_packet_without_others_before_it_is_a_picture_at_once(codec, name):
    reader = VideoReader(FOXGLOVE)
    for number, image in enumerate(images(3)):
        smooth = cv2.GaussianBlur(image, (0, 0), 6)
        picture = reader(video_packets.foxglove(number, video_packets.picture(smooth, codec), name))
        assert picture.header.stamp == (0, number)
        assert near(picture.image, smooth)


def test_a_decoder_that_pyav_lacks_is_named(monkeypatch):
    monkeypatch.setitem(video._DECODERS, "av1", "libnone")
    packet = video_packets.picture(next(images(1)), "libsvtav1")
    with pytest.raises(ImageError, match="has no decoder libnone for video of encoding 'av1'; that of PyPI has it"):
        VideoReader(FOXGLOVE)(video_packets.foxglove(0, packet, "av1"))


def test_grey_stays_grey_where_the_decoder_says_that_it_is():
    reader, truth = VideoReader(FFMPEG), list(images(3, colour=False))
    packets = video_packets.encoded(truth, "libx265", **{"x265-params": "log-level=none:bframes=0"})
    for packet, image in zip(packets, truth, strict=True):
        assert near(reader(video_packets.ffmpeg(0, packet, "libx265")).image, image)


def test_grey_h264_is_colour_to_its_decoder():
    (packet,) = video_packets.encoded(images(1, colour=False))
    assert VideoReader(FFMPEG)(video_packets.ffmpeg(0, packet)).image.shape == (96, 128, 3)


def test_pictures_that_come_late_keep_the_stamp_of_their_packet():
    truth = list(images(12))
    packets = list(video_packets.encoded(truth, tune="film", bf="2", crf="1"))
    reader, pictures = VideoReader(FFMPEG), []
    for number, packet in enumerate(packets):
        try:
            pictures.append(reader(video_packets.ffmpeg(number * SECOND_NS, packet)))
        except ImageError:
            assert number < 4  # held back, for pictures that need later ones
    assert len(pictures) >= 8
    assert len({picture.header.stamp for picture in pictures}) == len(pictures)


def test_what_comes_before_a_key_frame_is_refused_and_then_it_goes_on():
    truth = list(images(12))
    packets = list(video_packets.encoded(truth))
    reader = VideoReader(FFMPEG)
    for number in range(1, 5):
        with pytest.raises(ImageError, match="needs a key frame"):
            reader(video_packets.ffmpeg(number, packets[number]))
    assert near(reader(video_packets.ffmpeg(5, packets[5])).image, truth[5])
    for broken in (b"", b"\0\0\0\1garbage" * 20):
        with pytest.raises(ImageError, match=r"no picture of a video packet of \d+ bytes \(libx264\)"):
            reader(video_packets.ffmpeg(6, broken))
    assert near(reader(video_packets.ffmpeg(10, packets[10])).image, truth[10])


def test_what_cannot_be_read_is_a_sentence(monkeypatch):
    with pytest.raises(ImageError, match=r"encoding 'theora' is not supported; expected H\.264"):
        VideoReader(FFMPEG)(video_packets.ffmpeg(0, b"x", "theora"))
    with pytest.raises(ImageError, match="cut off"):
        VideoReader(FOXGLOVE)(video_packets.foxglove(0, b"x" * 50)[:40])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImageError, match="pip install av"):
        VideoReader(FFMPEG)(video_packets.ffmpeg(0, b"x"))
