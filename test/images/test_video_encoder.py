import re

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import video_packets

from vi_fusion_ros.images.video import FOXGLOVE, VideoReader
from vi_fusion_ros.images.video_encoder import VideoEncoder

SECOND_NS = 1_000_000_000
PARAMETERS, PICTURE_PARAMETERS, KEY = 7, 8, 5
"""Types of units of H.264."""


def images(count, height=96, width=128, colour=True):
    """A square that moves over a ramp."""
    for number in range(count):
        grey = np.tile(np.linspace(40, 200, width, dtype=np.uint8), (height, 1))
        grey[20:50, 5 * number : 5 * number + 30] = 240
        yield np.dstack([grey, grey, grey // 2 + 60]) if colour else grey


def units(data):
    """Types of the units in Annex B."""
    return [match[1][0] & 31 for match in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL)]


def decoded(packets):
    reader = VideoReader(FOXGLOVE)
    return [reader(video_packets.foxglove(0, packet.data)).image for packet in packets]


def near(image, truth):
    # 4:2:0 blurs colour at edges: the luma is what is compared.
    return image.shape == truth.shape and np.abs(image[..., 0].astype(int) - truth[..., 0].astype(int)).mean() < 4


def test_each_image_leaves_at_once_as_a_packet_that_its_decoder_reads():
    encoder, truth = VideoEncoder(60.0), list(images(8))
    packets = [encoder.encode(image, 0) for image in truth]
    assert [packet.number for packet in packets] == list(range(8))
    assert all(near(image, original) for image, original in zip(decoded(packets), truth, strict=True))
    assert [packet.key for packet in packets] == [True] + [False] * 7


def test_key_frames_come_at_the_interval_and_on_demand_with_all_that_they_need():
    encoder = VideoEncoder(0.5)
    times_s = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
    demanded = (0, 0, 0, 0, 1, 0, 0)
    packets = [
        encoder.encode(image, int(time_s * SECOND_NS), bool(key))
        for image, time_s, key in zip(images(7), times_s, demanded, strict=True)
    ]
    assert [packet.key for packet in packets] == [True, False, False, True, True, False, False]
    for packet in packets:
        found = units(packet.data)
        assert ({PARAMETERS, PICTURE_PARAMETERS, KEY} <= set(found)) == packet.key
        assert packet.key or KEY not in found
    assert len(decoded(packets[4:])) == 3  # whoever comes late begins there


def test_without_an_interval_each_picture_is_a_key_frame():
    encoder = VideoEncoder(0.0)
    assert all(encoder.encode(image, 5).key for image in images(4))


@pytest.mark.parametrize(("height", "width"), [(95, 128), (96, 127), (95, 127), (51, 1)])
def test_odd_sizes_repeat_the_last_row_and_column(height, width):
    image = next(images(1, height, width))
    (picture,) = decoded([VideoEncoder(1.0).encode(image, 0)])
    assert picture.shape == (height + height % 2, width + width % 2, 3)
    assert near(picture[:height, :width], image)


def test_another_size_and_grey_start_with_a_key_frame_where_they_have_to():
    encoder, reader = VideoEncoder(60.0), VideoReader(FOXGLOVE)
    colour, small = list(images(3)), list(images(2, 64, 80))
    grey = next(images(1, colour=False))
    packets = [encoder.encode(image, 0) for image in (*colour, *small, grey)]
    assert [packet.key for packet in packets] == [True, False, False, True, False, True]
    pictures = [reader(video_packets.foxglove(0, packet.data)).image for packet in packets]
    assert [picture.shape[:2] for picture in pictures] == [(96, 128)] * 3 + [(64, 80)] * 2 + [(96, 128)]
    assert near(pictures[-1], np.dstack([grey] * 3))


def test_the_stream_says_how_its_colours_are_meant():
    import av

    packet = VideoEncoder(1.0).encode(next(images(1)), 0)
    decoder = av.CodecContext.create("h264", "r")
    decoder.decode(av.Packet(packet.data))
    decoder.decode(None)
    assert (decoder.colorspace, decoder.color_range) == (6, 1)  # SMPTE 170M, which is BT.601; limited


def test_what_no_encoder_takes_is_refused_in_a_sentence_and_the_next_image_starts_anew():
    encoder = VideoEncoder(60.0)
    first = next(images(1))
    encoder.encode(first, 0)
    with pytest.raises(ValueError, match="an image of 40000x2 cannot be encoded: "):
        encoder.encode(np.zeros((2, 40_000, 3), np.uint8), 0)
    assert encoder.encode(first, 0).key
