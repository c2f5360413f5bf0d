"""Video between this package and the program ffmpeg, in both directions."""

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import ffmpeg_program
import video_packets

from vi_fusion_ros.images.encodings import ImageError
from vi_fusion_ros.images.video import FFMPEG, FOXGLOVE, VideoReader
from vi_fusion_ros.images.video_encoder import VideoEncoder

SECOND_NS = 1_000_000_000
PARAMETERS, PICTURE_PARAMETERS, KEY = 7, 8, 5
"""Types of units of H.264."""


def images(count):
    """A square that moves over a ramp, (96, 128, 3) uint8."""
    for number in range(count):
        grey = np.tile(np.linspace(40, 200, 128, dtype=np.uint8), (96, 1))
        grey[20:50, 5 * number : 5 * number + 30] = 240
        yield np.dstack([grey, grey, grey // 2 + 60])


def unlike(pictures, truth):
    """Mean difference of each picture from each image, levels."""
    return np.array([[np.abs(one.astype(int) - other).mean() for other in truth] for one in pictures])


@pytest.mark.parametrize("joined", [0, 4, 6])
def test_the_program_reads_our_packets_from_the_next_key_frame_on(joined):
    encoder, truth = VideoEncoder(60.0), list(images(14))
    packets = [encoder.encode(image, 0, key=number == 6) for number, image in enumerate(truth)]
    for packet in packets:
        assert packet.data.startswith((b"\0\0\0\1", b"\0\0\1")), "Annex B"
        first = [kind for kind in ffmpeg_program.units(packet.data) if kind != 6][:3]  # 6: remarks of the encoder
        assert (first == [PARAMETERS, PICTURE_PARAMETERS, KEY]) == packet.key
    pictures = ffmpeg_program.decoded(b"".join(packet.data for packet in packets[joined:]), 96, 128)
    begin = 0 if joined == 0 else 6
    assert len(pictures) == 14 - begin
    far = unlike(pictures, truth)
    assert (far.argmin(1) == np.arange(begin, 14)).all(), "in order: no picture needs a later one"
    assert far.min(1).max() < 6


def test_each_packet_alone_is_one_picture_to_the_program():
    encoder, truth = VideoEncoder(0.0), list(images(3))  # key frames only
    for image in truth:
        pictures = ffmpeg_program.decoded(encoder.encode(image, 0).data, 96, 128)
        assert unlike(pictures, [image]).shape == (1, 1)
        assert unlike(pictures, [image]).max() < 6


@pytest.mark.parametrize(("kind", "make"), [(FFMPEG, video_packets.ffmpeg), (FOXGLOVE, video_packets.foxglove)])
@pytest.mark.parametrize("options", [("-tune", "zerolatency"), ("-bf", "0"), ("-profile:v", "high444", "-slices", "4")])
def test_packets_of_the_program_are_read_one_by_one(kind, make, options):
    truth = list(images(12))
    packets = ffmpeg_program.encoded(truth, "-g", "5", "-bf", "0", *options)
    assert len(packets) == 12
    reader = VideoReader(kind)
    pictures = [reader(make(number * SECOND_NS, packet)) for number, packet in enumerate(packets)]
    assert [picture.header.stamp for picture in pictures] == [(number, 0) for number in range(12)]
    assert np.diag(unlike([picture.image for picture in pictures], truth)).max() < 2


def shown_order(packets):
    """Numbers of the packets in the order of their pictures, by the structure that the options below ask for."""
    order = []
    for number, packet in enumerate(packets):
        # A B-frame lies in front of the last picture that others need, which it needs and which came before it.
        order.insert(len(order) - 1 if is_disposable(packet) else len(order), number)
    return order


def is_disposable(packet):
    """Whether no other picture needs this one: B-frames here, for there is no pyramid of them."""
    kinds = [(unit[0] >> 5, unit[0] & 31) for unit in packet.split(b"\0\0\1")[1:]]
    return all(needed == 0 for needed, kind in kinds if kind in (1, 5))


def test_with_b_frames_each_picture_has_the_stamp_of_its_own_packet():
    truth = list(images(24))
    settings = "b-adapt=0:b-pyramid=0:scenecut=0:open-gop=0"
    packets = ffmpeg_program.encoded(truth, "-g", "12", "-bf", "2", "-x264-params", settings)
    order = shown_order(packets)
    assert len(packets) == 24
    assert order != sorted(order), "B-frames travel behind what they need"
    for left_out in [number for number, packet in enumerate(packets) if is_disposable(packet)][:4]:
        pictures = ffmpeg_program.decoded(b"".join(packets[:left_out] + packets[left_out + 1 :]), 96, 128)
        there = unlike(pictures, truth).argmin(1)
        assert set(range(24)) - set(there) == {order.index(left_out)}, "the program agrees"
    stamps = {packet: place for place, packet in enumerate(order)}  # as drivers stamp: when the picture was taken
    reader, pictures = VideoReader(FFMPEG), []
    for number, packet in enumerate(packets):
        try:
            pictures.append(reader(video_packets.ffmpeg(stamps[number] * SECOND_NS, packet)))
        except ImageError:
            assert number < 4  # held back, for pictures that need later ones
    found = [picture.header.stamp[0] for picture in pictures]
    assert len(found) >= 20
    assert found == list(range(len(found))), "in the order in which they were taken"
    far = unlike([picture.image for picture in pictures], truth)
    assert (far.argmin(1) == found).all()
    assert far.min(1).max() < 2
