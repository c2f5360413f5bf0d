"""What a JPEG, PNG, TIFF or WebP image says before anything is decoded: its pixels, and whether it is whole.

A few kilobytes of PNG can stand for gigabytes of pixels; what comes over the network is measured first.
"""

from __future__ import annotations

import re
import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = 65536
_JPEG = b"\xff\xd8\xff"
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_JPEG_SIZE_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame; the three are tables
_JPEG_BARE_MARKERS = {0x01, *range(0xD0, 0xD8)}
_JPEG_MARKERS = 4096  # before the size; more are no camera's
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # neither stuffed, nor a restart, nor padding
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_TIFF_VALUE = {3: "H", 4: "I"}
_TIFF_ENTRIES = 4096


def pixel_count(data: bytes | memoryview) -> int:
    """Pixels of an encoded image; for a tiled TIFF those of one tile where a tile is larger.

    Raises:
        ValueError: it is not a JPEG, PNG, TIFF or WebP image, or breaks off before its size.
    """
    data = memoryview(data)
    head = bytes(data[:8])
    try:
        if head == _PNG:
            return _png_pixels(data)
        if head[:3] == _JPEG:
            return _jpeg_pixels(data)
        if head[:4] in _TIFF:
            return _tiff_pixels(data, _TIFF[head[:4]])
        if head[:4] == b"RIFF" and bytes(data[8:12]) == b"WEBP":
            return _webp_pixels(data)
    except (struct.error, IndexError):
        raise ValueError("an image that breaks off before its size") from None
    raise ValueError("neither a JPEG, a PNG, a TIFF nor a WebP image")


def is_cut(data: bytes | memoryview) -> bool:
    """Whether a JPEG or PNG image ends before its end marker. What follows the end marker plays no part.

    Segments are walked by their lengths, so the end markers of thumbnails inside them do not count either. Anything
    that is neither a JPEG nor a PNG, or has a broken header, is left to its decoder: False.
    """
    data = memoryview(data)
    if bytes(data[:8]) == _PNG:
        return _is_cut_png(data)
    return bytes(data[:3]) == _JPEG and _is_cut_jpeg(data)


def _is_cut_png(data: memoryview) -> bool:
    at = len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + length  # with type and checksum
    return True


def _is_cut_jpeg(data: memoryview) -> bool:
    at = 2
    while at + 2 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return False  # broken, which is for the decoder to say
        if marker == _JPEG_END:
            return False
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        elif at + 4 > len(data):
            return True
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + max(length, 2)
            if marker == _JPEG_SCAN:
                found = _MARKER_IN_SCAN.search(data, at)
                if found is None:
                    return True
                at = found.start()
    return True


def _png_pixels(data: memoryview) -> int:
    # The first chunk is IHDR by the standard; decoders insist on it.
    width, height = struct.unpack_from(">II", data, 16)
    at = len(_PNG)
    for _ in range(_PNG_CHUNKS):
        if at == len(data):
            break
        (length,) = struct.unpack_from(">I", data, at)
        at += 12 + length  # with type and checksum
        if at > len(data):  # OpenCV reserves what a chunk claims to hold, up to 2 GB, before it looks
            raise ValueError("a PNG image that breaks off")
    return int(width * height)


def _jpeg_pixels(data: memoryview) -> int:
    at = 2
    for _ in range(_JPEG_MARKERS):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width * height)
        if marker == 0xFF:  # markers may be padded
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + max(length, 2)
    raise ValueError("a JPEG image with a broken header")


def _tiff_pixels(data: memoryview, order: str) -> int:
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    sides: dict[int, int] = {}
    for number in range(min(entries, _TIFF_ENTRIES)):
        entry = at + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if kind in _TIFF_VALUE:
            (sides[tag],) = struct.unpack_from(order + _TIFF_VALUE[kind], data, entry + 8)
    if _TIFF_WIDTH not in sides or _TIFF_HEIGHT not in sides:
        raise ValueError("a TIFF image without a size")
    tile = sides.get(_TIFF_TILE_WIDTH, 0) * sides.get(_TIFF_TILE_HEIGHT, 0)
    return max(sides[_TIFF_WIDTH] * sides[_TIFF_HEIGHT], tile)


def _webp_pixels(data: memoryview) -> int:
    """Of the first chunk, by RFC 9649: lossy, lossless, or the frame around either."""
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return int((width & 0x3FFF) * (height & 0x3FFF))
    if kind == b"VP8L":
        (sides,) = struct.unpack_from("<I", data, 21)
        return int(((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1))
    if kind == b"VP8X":
        width, height = (int.from_bytes(bytes(data[at : at + 3]), "little") + 1 for at in (24, 27))
        if len(data) < 30:
            raise IndexError
        return width * height
    raise ValueError("a WebP image without a size")
