"""The zstd transport; that every encoding comes through it is in test/node/test_every_encoding.py."""

import gzip
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from vi_fusion_ros.images.compressed import check_compressed, decode_compressed
from vi_fusion_ros.images.encodings import ImageError

COUNTS = np.arange(48, dtype="<u2").reshape(6, 8) * 1000


def packed(stream=None, height=6, width=8, step=16, encoding=b"mono16", length=None):
    fields = struct.pack("<IIBII", height, width, 0, step, len(encoding) if length is None else length)
    stream = gzip.compress(COUNTS.tobytes()) if stream is None else stream
    return SimpleNamespace(format="zstd", data=fields + encoding + stream)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_the_image_is_unpacked(pack):
    message = packed(pack(COUNTS.tobytes()))
    check_compressed(message)
    np.testing.assert_array_equal(decode_compressed(message), COUNTS)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (SimpleNamespace(format="zstd", data=b""), "without data"),
        (SimpleNamespace(format="zstd", data=bytes(16)), "of 16 bytes; expected 17 and more"),
        (packed(length=2**31), "ends within its fields"),
        (packed(b"", length=7), "ends within its fields"),
        (packed(width=0), "zero size"),
        (packed(step=15), "step 15 is too small"),
        (packed(encoding=b"cmyk\xff\n"), "encoding 'cmyk.*' is not supported"),
        (packed(height=2**16, width=2**16, step=2**17), "pixels; expected at most"),
        (packed(height=2**16, width=8, step=2**31), "pixels; expected at most"),
    ],
)
def test_fields_that_cannot_be_are_refused_before_anything_is_unpacked(message, expected):
    for read in (check_compressed, decode_compressed):
        with pytest.raises(ImageError, match=expected) as refusal:
            read(message)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"no stream at all", "cannot be unpacked"),
        (gzip.compress(COUNTS.tobytes())[:-30], "truncated: .* bytes, expected 96"),
        (gzip.compress(COUNTS.tobytes()[:-2]), "truncated: 94 bytes, expected 96"),
        (b"\x28\xb5\x2f\xfd" + bytes(40), "in Zstandard; expected gzip"),
        (b"", "truncated: 0 bytes"),
    ],
    ids=["other", "cut", "short", "zstandard", "empty"],  # gzip's bytes hold the time
)
def test_broken_streams_are_refused_in_a_sentence(stream, expected):
    check_compressed(packed(stream))
    with pytest.raises(ImageError, match=expected):
        decode_compressed(packed(stream))


def test_a_stream_that_goes_on_for_ever_is_unpacked_to_the_size_of_the_image():
    stream = gzip.compress(COUNTS.tobytes() + bytes(2**26))
    np.testing.assert_array_equal(decode_compressed(packed(stream)), COUNTS)
