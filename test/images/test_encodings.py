import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vi_fusion_ros.images import encodings
from vi_fusion_ros.images.encodings import (
    ImageError,
    check_compressed,
    decode_compressed,
    decode_image,
    fill_compressed,
    fill_image,
)

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


@pytest.mark.skipif(importlib.util.find_spec("cv_bridge") is not None, reason="cv_bridge is installed")
@pytest.mark.parametrize("encoding", ["bayer_rggb8", "yuv422", "yuyv"])
def test_other_encodings_name_the_missing_package(encoding):
    with pytest.raises(ImageError, match="needs the package cv_bridge") as caught:
        decode_image(message(GREY8, encoding))
    assert f"'{encoding}'" in str(caught.value)


@pytest.mark.parametrize("encoding", ["", "nonsense", "64FC1", "16SC1", "32SC1", "rgb16", "bayer_rggb16", "8UC4"])
def test_encodings_that_nothing_reads_whole_are_refused_with_or_without_cv_bridge(encoding):
    with pytest.raises(ImageError, match=f"image encoding '{encoding}' is not supported; expected mono8, "):
        decode_image(message(GREY8, encoding))


@pytest.mark.skipif(importlib.util.find_spec("cv_bridge") is None, reason="cv_bridge is not installed here")
def test_bayer_goes_through_cv_bridge():
    from sensor_msgs.msg import Image

    mosaic = np.tile(np.array([[200, 50], [50, 10]], np.uint8), (8, 8))  # uniform red-ish scene
    image = decode_image(fill_image(Image(), mosaic, "bayer_rggb8"))
    assert image.shape == (16, 16, 3)
    np.testing.assert_array_equal(image[8, 8], (10, 50, 200))


@pytest.mark.parametrize("image", [GREY8, GREY16, FLOAT, COLOR, COLOR[:, ::-1]])
def test_what_is_encoded_decodes_to_the_same(image):
    msg = fill_image(SimpleNamespace(), image)
    np.testing.assert_array_equal(decode_image(msg), image)
    assert msg.step * msg.height == len(msg.data)


def test_endianness_is_declared():
    assert fill_image(SimpleNamespace(), GREY16).is_bigendian == (sys.byteorder == "big")


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
        (b"x" * 40, "16UC1; compressedDepth png", "compressedDepth"),
    ],
)
def test_garbage_compressed_images_are_refused_in_a_sentence(data, format_, expected):
    with pytest.raises(ImageError, match=expected):
        decode_compressed(SimpleNamespace(format=format_, data=data))


@pytest.mark.parametrize(
    "format_", ["16UC1; jpeg compressed ", "mono16; jpeg compressed mono8", "32FC1; jpeg compressed"]
)
def test_a_jpeg_of_a_deep_image_is_refused_before_it_is_decoded(format_):
    data = cv2.imencode(".jpg", GREY8)[1].tobytes()
    for check in (check_compressed, decode_compressed):
        with pytest.raises(ImageError, match=f"'{format_}' has kept 8 of the (16|32) bits of .*expected PNG"):
            check(SimpleNamespace(format=format_, data=data))


def test_a_png_of_less_depth_than_its_format_says_is_refused():
    data = cv2.imencode(".png", GREY8)[1].tobytes()
    with pytest.raises(ImageError, match="has kept 8 of the 16 bits of mono16"):
        decode_compressed(SimpleNamespace(format="mono16; png compressed mono16", data=data))


@pytest.mark.parametrize("format_", ["jpeg", "mono8; jpeg compressed mono8", "bgr8; jpeg compressed bgr8"])
def test_other_jpegs_are_taken(format_):
    data = cv2.imencode(".jpg", GREY8)[1].tobytes()
    assert decode_compressed(SimpleNamespace(format=format_, data=data)).shape == GREY8.shape


def test_compressed_16_bit_color_is_refused():
    _, data = cv2.imencode(".png", COLOR.astype(np.uint16))
    with pytest.raises(ImageError, match="3 channels of uint16"):
        decode_compressed(SimpleNamespace(format="png", data=data.tobytes()))


def test_the_codec_needs_no_ros():
    assert not [name for name in vars(encodings) if name in ("rclpy", "sensor_msgs")]


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (
            "raise AttributeError('_ARRAY_API not found')",
            "cannot be loaded (AttributeError: _ARRAY_API not found)",
        ),
        ("import no_such_thing", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_thing')"),
        (
            "class CvBridge:\n    def imgmsg_to_cv2(self, *_, **__): raise SystemError('initialization failed')",
            "cannot be decoded by cv_bridge: SystemError: initialization failed",
        ),
    ],
    ids=["at import", "something it needs", "at its compiled part"],
)
def test_a_cv_bridge_that_fails_is_like_one_that_is_not_there(module, says, tmp_path):
    (tmp_path / "cv_bridge.py").write_text(module)
    code = (
        "from types import SimpleNamespace as N; from vi_fusion_ros.images.encodings import ImageError, decode_image\n"
        "message = N(width=2, height=2, step=2, encoding='bayer_rggb8', data=bytes(4), is_bigendian=0)\n"
        "try: decode_image(message)\nexcept ImageError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert says in done.stdout, done.stderr
