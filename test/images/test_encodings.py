import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vi_fusion_ros.images import encodings
from vi_fusion_ros.images.encodings import ImageError, decode_image, fill_image

HEIGHT, WIDTH = 5, 7
RNG = np.random.default_rng(1)
COLOR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY8 = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
GREY16 = RNG.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
FLOAT = RNG.normal(300, 10, (HEIGHT, WIDTH)).astype(np.float32)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> SimpleNamespace:
    """An Image message as a driver would write it, row by row."""
    if big_endian:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = [row.tobytes() + b"\xee" * padding for row in pixels]
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(rows[0]),
        data=b"".join(rows),
    )


PLAIN = [
    (GREY8, "mono8", GREY8),
    (GREY8, "8UC1", GREY8),
    (GREY16, "mono16", GREY16),
    (GREY16, "16UC1", GREY16),
    (FLOAT, "32FC1", FLOAT),
    (COLOR, "bgr8", COLOR),
    (COLOR, "8UC3", COLOR),
    (COLOR[..., ::-1], "rgb8", COLOR),
    (np.dstack([COLOR, GREY8]), "bgra8", COLOR),
    (np.dstack([COLOR[..., ::-1], GREY8]), "rgba8", COLOR),
]


@pytest.mark.parametrize("padding", [0, 1, 2, 8])
@pytest.mark.parametrize(("pixels", "encoding", "expected"), PLAIN, ids=[case[1] for case in PLAIN])
def test_plain_encodings_decode_exactly_at_any_step(pixels, encoding, expected, padding):
    image = decode_image(message(pixels, encoding, padding))
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(("pixels", "encoding"), [(GREY16, "mono16"), (GREY16, "16UC1"), (FLOAT, "32FC1")])
def test_big_endian_images_arrive_in_native_order(pixels, encoding, padding):
    image = decode_image(message(pixels, encoding, padding, big_endian=True))
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype.isnative


@pytest.mark.parametrize(("pixels", "encoding"), [(COLOR, "bgr8"), (GREY8, "mono8"), (GREY16, "16UC1")])
def test_native_images_are_views(pixels, encoding):
    msg = message(pixels, encoding)
    msg.data = bytearray(msg.data)
    image = decode_image(msg)
    assert np.shares_memory(image, np.frombuffer(msg.data, np.uint8))


def test_nan_survives_decoding():
    pixels = FLOAT.copy()
    pixels[2, 3] = np.nan
    np.testing.assert_array_equal(decode_image(message(pixels, "32FC1")), pixels)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 0}, "zero size (0x5)"),
        ({"height": 0}, "zero size (7x0)"),
        ({"data": b""}, "truncated: 0 bytes, expected 70"),
        ({"data": b"\x01" * 69}, "truncated: 69 bytes, expected 70 (step 14 x height 5)"),
        ({"step": 13}, "step 13 is too small: 7 pixels of mono16 take 14 bytes a row"),
        ({"width": 2**32 - 1}, "too small"),
        ({"height": 2**32 - 1}, "truncated"),
    ],
)
def test_contradictory_messages_are_refused_in_a_sentence(change, expected):
    msg = message(GREY16, "mono16")
    vars(msg).update(change)
    with pytest.raises(ImageError) as caught:
        decode_image(msg)
    assert expected in str(caught.value)


@pytest.mark.parametrize("encoding", ["", "nonsense", "8UC2", "16SC3", "32FC3", "bayer_rggb32", "nv42"])
def test_encodings_that_cannot_be_read_are_refused(encoding):
    with pytest.raises(ImageError, match=f"image encoding '{encoding}' is not supported; expected mono8, "):
        decode_image(message(GREY8, encoding))


@pytest.mark.parametrize(("encoding", "right"), [("RGB8", "rgb8"), ("Mono16", "mono16"), ("8uc1", "8UC1")])
def test_an_encoding_in_another_spelling_names_the_right_one(encoding, right):
    with pytest.raises(ImageError, match=f"image encoding '{encoding}' is not supported; expected {right}$"):
        decode_image(message(GREY8, encoding))


WIDE = {
    "float": RNG.normal(300, 10, (HEIGHT, WIDTH)),
    "signed": RNG.integers(-(2**15), 2**15, (HEIGHT, WIDTH), np.int16),
}
DEEP_COLOUR = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), np.uint16)
DEEP_AS_8_BIT = np.rint(DEEP_COLOUR[..., :3] / 257).astype(np.uint8)
CONVERTED = [
    (WIDE["float"], "64FC1", WIDE["float"].astype(np.float32)),
    (WIDE["signed"], "16SC1", WIDE["signed"].astype(np.float32)),
    (DEEP_COLOUR[..., :3], "bgr16", DEEP_AS_8_BIT),
    (DEEP_COLOUR[..., 2::-1], "rgb16", DEEP_AS_8_BIT),
    (DEEP_COLOUR, "bgra16", DEEP_AS_8_BIT),
    (DEEP_COLOUR[..., [2, 1, 0, 3]], "rgba16", DEEP_AS_8_BIT),
]


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2, 8])
@pytest.mark.parametrize(("pixels", "encoding", "expected"), CONVERTED, ids=[case[1] for case in CONVERTED])
def test_deep_encodings_become_8_bit_colour_or_float_grey(pixels, encoding, expected, padding, big_endian):
    image = decode_image(message(pixels, encoding, padding, big_endian))
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("width", "height", "encoding"), [(7, 6, "yuyv"), (7, 6, "nv12"), (8, 5, "nv21"), (7, 6, "uyvy")]
)
def test_sides_that_chroma_does_not_divide_are_refused(width, height, encoding):
    pixels = np.zeros((height, 2 * width), np.uint8)
    msg = message(pixels, encoding)
    msg.width = width
    with pytest.raises(ImageError, match=f"image of {width}x{height} pixels in {encoding}, .*; expected a width"):
        decode_image(msg)


@pytest.mark.parametrize(("encoding", "rows"), [("nv12", 9), ("nv21", 9), ("nv24", 18)])
def test_a_missing_plane_of_chroma_is_named(encoding, rows):
    pixels = np.zeros((6, 8), np.uint8)
    with pytest.raises(
        ImageError, match=rf"truncated: 48 bytes, expected {8 * rows} \(step 8 x {rows} rows of {encoding}"
    ):
        decode_image(message(pixels, encoding))


@pytest.mark.parametrize("encoding", sorted(encodings.ENCODINGS))
def test_the_smallest_images_of_every_encoding(encoding):
    layout = encodings.ENCODINGS[encoding]
    for height, width in ((2, 2), (1, 2), (2, 1), (1, 1), (3, 3)):
        msg = SimpleNamespace(
            height=height, width=width, encoding=encoding, is_bigendian=0, step=width * layout.bytes_per_pixel
        )
        msg.data = bytes(msg.step * layout.rows(height))
        if width % layout.multiple_of[0] or height % layout.multiple_of[1]:
            with pytest.raises(ImageError, match="neighbours share colour"):
                decode_image(msg)
        elif (height, width) == (1, 1) and encoding in ("rgb8", "rgb16") and cv2.__version__.startswith("4.5."):
            with pytest.raises(ImageError, match="cannot convert an image of 1x1 pixels"):
                decode_image(msg)
        else:
            assert decode_image(msg).shape[:2] == (height, width)


@pytest.mark.parametrize("image", [GREY8, GREY16, FLOAT, COLOR, COLOR[:, ::-1]])
def test_what_is_encoded_decodes_to_the_same(image):
    msg = fill_image(SimpleNamespace(), image)
    np.testing.assert_array_equal(decode_image(msg), image)
    assert msg.step * msg.height == len(msg.data)


def test_endianness_is_declared():
    assert fill_image(SimpleNamespace(), GREY16).is_bigendian == (sys.byteorder == "big")


def test_the_codec_needs_no_ros():
    assert not [name for name in vars(encodings) if name in ("rclpy", "sensor_msgs")]
