"""Our own serialisation against that of the RMW."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from builtin_interfaces.msg import Time
from harness import scene
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vi_fusion_ros.images.compressed import fill_compressed
from vi_fusion_ros.images.encodings import ImageError, decode_image, fill_image
from vi_fusion_ros.images.wire_format import image_bytes, read_compressed, read_image

pytestmark = pytest.mark.ros

IMAGES = {
    "colour": scene("visible"),
    "16 bit": scene("thermal"),
    "float": scene("thermal").astype(np.float32),
    "odd": np.arange(15, dtype=np.uint8).reshape(3, 5),
    "slice": scene("visible")[::2, 1::3],
}
FRAME_IDS = ["", "a", "ab", "abc", "abcd", "camera_optical_frame", "kamera_öäü"]


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("frame_id", FRAME_IDS)
def test_what_is_written_is_what_the_rmw_reads(image, frame_id):
    message = deserialize_message(image_bytes((1_700_000_000, 5), frame_id, image), Image)
    assert message.header == Header(stamp=Time(sec=1_700_000_000, nanosec=5), frame_id=frame_id)
    expected = fill_image(Image(header=message.header), image)
    assert message == expected
    np.testing.assert_array_equal(decode_image(message), image)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("frame_id", FRAME_IDS)
def test_what_the_rmw_writes_is_read(image, frame_id):
    message = fill_image(Image(header=Header(stamp=Time(sec=-3, nanosec=999), frame_id=frame_id)), image)
    read = read_image(serialize_message(message))
    for field in ("height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(read, field) == getattr(message, field)
    assert (read.header.stamp.sec, read.header.stamp.nanosec, read.header.frame_id) == (-3, 999, frame_id)
    np.testing.assert_array_equal(decode_image(read), image)


@pytest.mark.parametrize("frame_id", FRAME_IDS)
def test_compressed_images(frame_id):
    message = fill_compressed(CompressedImage(header=Header(frame_id=frame_id)), scene("visible"))
    read = read_compressed(serialize_message(message))
    assert (read.header.frame_id, read.format, bytes(read.data)) == (frame_id, message.format, bytes(message.data))


def test_both_byte_orders():
    little = image_bytes((1, 2), "a", np.zeros((1, 1), np.uint8))
    big = bytearray(little)
    big[1] = 0
    # sec, nanosec, length, "a" and padding, height, width, length, "mono8", big-endian flag, padding, step, length
    for at in (4, 8, 12, 20, 24, 28, 40, 44):
        big[at : at + 4] = big[at : at + 4][::-1]
    assert read_image(bytes(big)) == read_image(little)


@pytest.mark.parametrize("read", [read_image, read_compressed])
def test_every_cut_is_one_sentence(read):
    message = Image() if read is read_image else CompressedImage()
    message.header.frame_id, message.data = "frame", [1, 2, 3]
    wire = serialize_message(message)
    # Fast DDS pads the end: what is missing there is not missed.
    for length in range(len(wire) - 4):
        with pytest.raises(ImageError, match=r"cut off|plain CDR"):
            read(wire[:length])


def test_another_representation_is_refused():
    with pytest.raises(ImageError, match="begins with 00030000; expected plain CDR"):
        read_image(b"\x00\x03\x00\x00" + bytes(60))
