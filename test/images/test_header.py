import struct

import cv2
import numpy as np
import pytest

from vi_fusion_ros.images.header import pixel_count

GREY = np.arange(77 * 45, dtype=np.uint16).reshape(45, 77).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".webp"])
@pytest.mark.parametrize("image", [GREY, cv2.merge([GREY] * 3)], ids=["grey", "color"])
def test_the_pixels_of_what_opencv_writes(suffix, image):
    assert pixel_count(cv2.imencode(suffix, image)[1].tobytes()) == 77 * 45


def test_a_progressive_jpeg_too():
    data = cv2.imencode(".jpg", GREY, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    assert pixel_count(memoryview(data.reshape(-1))) == 77 * 45


def png(width, height):
    data = bytearray(cv2.imencode(".png", GREY)[1].tobytes())
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


def test_a_lossy_webp_and_the_frame_of_an_extended_one():
    lossy = cv2.imencode(".webp", cv2.merge([GREY] * 3), [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    assert lossy[12:16] == b"VP8 "
    assert pixel_count(lossy) == 77 * 45
    sides = (76).to_bytes(3, "little") + (44).to_bytes(3, "little")
    extended = b"RIFF" + bytes(4) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    assert pixel_count(extended) == 77 * 45
    with pytest.raises(ValueError, match="breaks off"):
        pixel_count(extended[:28])


def test_a_few_bytes_that_stand_for_gigabytes():
    assert pixel_count(png(2**31, 2**31)) == 2**62


def test_a_chunk_that_claims_more_than_there_is():
    data = bytearray(png(77, 45))
    data[33:37] = struct.pack(">I", 2**31 - 1)
    with pytest.raises(ValueError, match="breaks off"):
        pixel_count(bytes(data))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "neither a JPEG, a PNG, a TIFF nor a WebP image"),
        (b"BM" + b"\0" * 60, "neither a JPEG"),
        (png(1, 1)[:20], "breaks off before its size"),
        (b"\xff\xd8\xff", "breaks off before its size"),
        (b"\xff\xd8" + b"\xff" * 100_000, "broken header"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * 5000, "broken header"),
        (b"II*\0\xff\xff\xff\x7f", "breaks off"),
        (b"II*\0\x08\0\0\0" + b"\0\0\0\0", "without a size"),
    ],
    ids=range(8),
)
def test_what_is_no_image_is_one_phrase(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        pixel_count(data)
