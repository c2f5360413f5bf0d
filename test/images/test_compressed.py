import re
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from encoded_images import DEPTH_HEADER, rvl

from vi_fusion_ros.images.compressed import MAX_PIXELS, check_compressed, decode_compressed, fill_compressed, lost_depth
from vi_fusion_ros.images.compressed_depth import decode_rvl
from vi_fusion_ros.images.encodings import ImageError

HEIGHT, WIDTH = 5, 7
RNG = np.random.default_rng(1)
COLOR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY8 = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
GREY16 = RNG.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)


def test_compressed_grey16_is_lossless_and_color_is_close():
    np.testing.assert_array_equal(decode_compressed(fill_compressed(SimpleNamespace(), GREY16)), GREY16)
    smooth = cv2.GaussianBlur(cv2.resize(COLOR, (64, 48)), (0, 0), 5)
    msg = fill_compressed(SimpleNamespace(), smooth, 95)
    assert msg.format == "bgr8; jpeg compressed bgr8"
    assert np.abs(decode_compressed(msg).astype(int) - smooth).mean() < 2


def test_compressed_alpha_is_dropped():
    _, data = cv2.imencode(".png", np.dstack([COLOR, GREY8]))
    np.testing.assert_array_equal(decode_compressed(SimpleNamespace(format="png", data=data.tobytes())), COLOR)


@pytest.mark.parametrize(
    ("data", "format_", "expected"),
    [
        (b"", "jpeg", "without data"),
        (b"garbage" * 100, "jpeg", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "bgr8; jpeg compressed bgr8", "cannot be decoded"),
        (b"x" * 40, "16UC1; compressedDepth png", "cannot be decoded"),
        (b"x" * 12, "16UC1; compressedDepth png", "12 bytes; expected a header of 12"),
        (b"x" * 40, "16UC1; compressedDepth h264", "codec 'h264' is not supported; expected png or rvl"),
        (b"x" * 40, "bgr8; compressedDepth png", "encoding 'bgr8' is not of this transport"),
    ],
)
def test_garbage_compressed_images_are_refused_in_a_sentence(data, format_, expected):
    with pytest.raises(ImageError, match=expected):
        decode_compressed(SimpleNamespace(format=format_, data=data))


@pytest.mark.parametrize(
    "format_", ["16UC1; jpeg compressed ", "mono16; jpeg compressed mono8", "32FC1; jpeg compressed"]
)
def test_a_jpeg_of_a_deep_image_is_taken_and_what_it_lost_is_said(format_):
    message = SimpleNamespace(format=format_, data=cv2.imencode(".jpg", GREY8)[1].tobytes())
    check_compressed(message)
    image = decode_compressed(message)
    assert (image.shape, image.dtype) == (GREY8.shape, np.uint8)
    said = lost_depth(format_, image)
    assert re.match(f"compressed format '{format_}' has kept 8 of the (16|32) bits of .*set .* to png", said)


@pytest.mark.parametrize(("image", "lost"), [(GREY8, True), (GREY8.astype(np.uint16) << 8, False)])
def test_a_png_of_less_depth_than_its_format_says(image, lost):
    data = cv2.imencode(".png", image)[1].tobytes()
    format_ = "mono16; png compressed mono16"
    decoded = decode_compressed(SimpleNamespace(format=format_, data=data))
    np.testing.assert_array_equal(decoded, image)
    assert ("has kept 8 of the 16 bits of mono16" in lost_depth(format_, decoded)) == lost


@pytest.mark.parametrize("format_", ["jpeg", "mono8; jpeg compressed mono8", "bgr8; jpeg compressed bgr8"])
def test_other_jpegs_have_lost_nothing(format_):
    data = cv2.imencode(".jpg", GREY8)[1].tobytes()
    image = decode_compressed(SimpleNamespace(format=format_, data=data))
    assert image.shape == GREY8.shape
    assert lost_depth(format_, image) == ""


def test_compressed_depth_of_floats_holds_16_bits_and_loses_none_of_them():
    assert lost_depth("32FC1; compressedDepth png", np.zeros((2, 2), np.float32)) == ""
    assert lost_depth("64FC1; compressedDepth png", np.zeros((2, 2), np.float32)) == ""


def test_compressed_16_bit_color_becomes_8_bit_by_full_scale():
    deep = RNG.integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
    _, data = cv2.imencode(".png", deep)
    image = decode_compressed(SimpleNamespace(format="rgb16; png compressed bgr16", data=data.tobytes()))
    np.testing.assert_array_equal(image, np.rint(deep / 257).astype(np.uint8))


def test_compressed_float_colour_is_refused():
    _, data = cv2.imencode(".tiff", COLOR.astype(np.float32))
    with pytest.raises(ImageError, match="3 channels of float32"):
        decode_compressed(SimpleNamespace(format="tiff", data=data.tobytes()))


@pytest.mark.parametrize("zeros", [0.0, 0.02, 0.6, 1.0])
def test_rvl_of_any_image(zeros):
    image = RNG.integers(0, 65536, (37, 51), np.uint16)
    image[RNG.random(image.shape) < zeros] = 0
    np.testing.assert_array_equal(decode_rvl(memoryview(rvl(image)), image.size), image.reshape(-1))


def test_rvl_of_one_long_run_and_of_smooth_images():
    smooth = (np.add.outer(np.arange(480), np.arange(640)) + 29000).astype(np.uint16)
    for image in (smooth, np.zeros_like(smooth), np.full_like(smooth, 65535)):
        np.testing.assert_array_equal(decode_rvl(memoryview(rvl(image)), image.size), image.reshape(-1))


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "ends after 0 of 35 pixels"),
        (rvl(GREY16)[:-8], "run of|ends after"),
        (bytes(8), "run of 0 and 0"),
        (b"\xff" * 16, "ends after 0"),
        (b"\xff" * 16 + bytes(4), "more than 27 bits"),
        (rvl(np.ones((6, 6), np.uint16)), "run of 0 and 36 after 0 of 35"),
    ],
)
def test_broken_rvl_streams_are_refused_in_a_sentence(stream, says):
    data = DEPTH_HEADER + struct.pack("<ii", WIDTH, HEIGHT) + stream
    with pytest.raises(ImageError, match=says):
        decode_compressed(SimpleNamespace(format="16UC1; compressedDepth rvl", data=data))


@pytest.mark.parametrize(
    ("width", "height", "says"), [(0, 5, "0x5 pixels"), (-3, 5, "-3x5"), (2**15, 2**15, "at most")]
)
def test_rvl_of_impossible_sizes_is_refused_before_anything_is_made(width, height, says):
    data = DEPTH_HEADER + struct.pack("<ii", width, height) + bytes(40)
    with pytest.raises(ImageError, match=says):
        decode_compressed(SimpleNamespace(format="16UC1; compressedDepth rvl", data=data))
    assert MAX_PIXELS < 2**30


def test_a_compressed_depth_png_of_colour_is_refused():
    data = DEPTH_HEADER + cv2.imencode(".png", COLOR)[1].tobytes()
    with pytest.raises(ImageError, match="expected 16-bit grey"):
        decode_compressed(SimpleNamespace(format="16UC1; compressedDepth png", data=data))
