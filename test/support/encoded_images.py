"""Images in every encoding and transport, made without the package's code, and what has to come of each."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

HEIGHT, WIDTH = 96, 128
DEPTH_HEADER = struct.pack("<iff", 0, 0.0, 0.0)
_BLOCK = 16
_RNG = np.random.default_rng(15)


@dataclass(frozen=True)
class Raw:
    """The fields of a ``sensor_msgs/Image``."""

    encoding: str
    step: int
    data: bytes
    big_endian: bool = False
    height: int = HEIGHT
    width: int = WIDTH


@dataclass(frozen=True)
class Packed:
    """The fields of a ``sensor_msgs/CompressedImage``."""

    format: str
    data: bytes


@dataclass(frozen=True, eq=False)
class Case:
    """An image as a camera sends it.

    Attributes:
        name: of the encoding or transport.
        form: byte order and padding, or the codec's.
        message: what is sent.
        truth: the pixels that have to come of it.
        within: the largest difference that the encoding itself makes.
        inside: of blocks of one colour, how far from their edges; demosaicing mixes what is nearer.
    """

    name: str
    form: str
    message: Raw | Packed
    truth: np.ndarray
    within: float = 0
    inside: int = 0

    def difference(self, image: np.ndarray) -> float:
        """The largest difference to the truth, infinite where it has another shape, type or other gaps."""
        if image.shape != self.truth.shape or image.dtype != self.truth.dtype:
            return float("inf")
        if not np.array_equal(np.isnan(image), np.isnan(self.truth)):
            return float("inf")
        difference = np.abs(image.astype(np.float64) - self.truth)
        if self.inside:
            along = [np.arange(side) % _BLOCK for side in self.truth.shape[:2]]
            rows, columns = ((a >= self.inside) & (a < _BLOCK - self.inside) for a in along)
            difference = difference[rows][:, columns]
        return float(np.nanmax(difference))


def values(
    least: int, most: int, dtype: type, channels: int | None = None, rng: np.random.Generator = _RNG
) -> np.ndarray:
    """(HEIGHT, WIDTH), or with channels, of the whole range, every pixel another: scenes, which noise alone is not."""
    shape = (HEIGHT, WIDTH, channels or 1)
    coarse = rng.random((6, 8, channels or 1))
    scene = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(shape)
    share = np.clip(1.2 * scene - 0.1 + rng.uniform(-0.05, 0.05, shape), 0, 1)
    image = np.rint(least + share * (most - least)).astype(dtype)
    return image if channels else image[..., 0]


def colour(rng: np.random.Generator = _RNG) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 BGR."""
    return values(0, 255, np.uint8, 3, rng)


def blocks(dtype: type) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) BGR, blocks of one colour each."""
    most = np.iinfo(dtype).max
    few = _RNG.integers(0, most, (HEIGHT // _BLOCK, WIDTH // _BLOCK, 3), dtype, endpoint=True)
    return few.repeat(_BLOCK, 0).repeat(_BLOCK, 1)


def raw(encoding: str, pixels: np.ndarray, padding: int = 0, big: bool = False) -> Raw:
    """Row by row, as a driver writes it."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = [row.tobytes() + b"\xee" * padding for row in pixels]
    return Raw(encoding, len(rows[0]), b"".join(rows), big)


def _form(padding: int, big: bool) -> str:
    words = (["big endian"] if big else []) + (["padded rows"] if padding else [])
    return ", ".join(words) or "plain"


def visible_raw() -> Iterator[Case]:
    """Every colour encoding, and grey ones."""
    for padding in (0, 5):
        form = _form(padding, False)
        image = colour()
        alpha = np.dstack([image, image[..., :1]])
        for name, pixels in (
            ("bgr8", image), ("rgb8", image[..., ::-1]), ("bgra8", alpha), ("rgba8", alpha[..., [2, 1, 0, 3]]),
            ("8UC3", image), ("8UC4", alpha),
        ):  # fmt: skip
            yield Case(name, form, raw(name, pixels, padding), image)
        yield from _bayer(8, padding, False)
        yield from _yuv(padding)
        yield Case("mono8", form, raw("mono8", image[..., 0], padding), image[..., 0])
    for padding, big in ((0, False), (6, False), (0, True), (3, True)):
        yield from _bayer(16, padding, big)
        deep = values(0, 65535, np.uint16, 4)
        truth = np.rint(deep[..., :3] / 257).astype(np.uint8)
        for name, pixels in (
            ("bgr16", deep[..., :3]), ("rgb16", deep[..., 2::-1]), ("bgra16", deep), ("16UC3", deep[..., :3]),
            ("rgba16", deep[..., [2, 1, 0, 3]]), ("16UC4", deep),
        ):  # fmt: skip
            yield Case(name, _form(padding, big), raw(name, pixels, padding, big), truth)


def _bayer(bits: int, padding: int, big: bool) -> Iterator[Case]:
    scene = blocks(np.uint8 if bits == 8 else np.uint16)
    truth = scene if bits == 8 else np.rint(scene / 257).astype(np.uint8)
    for pattern in ("rggb", "bggr", "gbrg", "grbg"):
        mosaic = np.empty((HEIGHT, WIDTH), scene.dtype)
        for place, letter in enumerate(pattern):
            row, column = divmod(place, 2)
            mosaic[row::2, column::2] = scene[row::2, column::2, "bgr".index(letter)]
        name = f"bayer_{pattern}{bits}"
        yield Case(name, _form(padding, big), raw(name, mosaic, padding, big), truth, inside=2)


def _yuv(padding: int) -> Iterator[Case]:
    luma = values(16, 235, np.uint8)
    form = _form(padding, False)

    def chroma(height: int, width: int) -> np.ndarray:
        return _RNG.integers(16, 241, (height, width, 2), np.uint8)

    shared = chroma(HEIGHT, WIDTH // 2)  # by two pixels
    first = np.stack([luma, shared.reshape(HEIGHT, WIDTH)], -1)
    truth = _bgr(luma, shared.repeat(2, 1))
    for name in ("yuyv", "yuv422_yuy2"):
        yield Case(name, form, raw(name, first, padding), truth, within=2)
    for name in ("uyvy", "yuv422"):
        yield Case(name, form, raw(name, first[..., ::-1], padding), truth, within=2)
    quarter = chroma(HEIGHT // 2, WIDTH // 2)  # by four pixels
    truth = _bgr(luma, quarter.repeat(2, 0).repeat(2, 1))
    for name, pairs in (("nv12", quarter), ("nv21", quarter[..., ::-1])):
        planes = np.vstack([luma, pairs.reshape(HEIGHT // 2, WIDTH)])
        yield Case(name, form, raw(name, planes, padding), truth, within=2)
    full = chroma(HEIGHT, WIDTH)
    step = WIDTH + padding
    rows = [np.pad(luma, ((0, 0), (0, padding))), np.pad(full.reshape(HEIGHT, -1), ((0, 0), (0, 2 * padding)))]
    data = b"".join(part.tobytes() for part in rows)
    yield Case("nv24", form, Raw("nv24", step, data), _bgr(luma, full), within=2)


def _bgr(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """BT.601, limited range (ITU-R BT.601-7, 2.5)."""
    y = 255 / 219 * (luma.astype(np.float64) - 16)
    u, v = (255 / 224 * (chroma[..., n].astype(np.float64) - 128) for n in (0, 1))
    blue, red = y + 1.772 * u, y + 1.402 * v
    green = y - 0.114 * 1.772 / 0.587 * u - 0.299 * 1.402 / 0.587 * v
    return np.rint(np.clip(np.dstack([blue, green, red]), 0, 255)).astype(np.uint8)


def thermal_raw() -> Iterator[Case]:
    """Every encoding of one channel."""
    counts = values(0, 65535, np.uint16)
    signed = counts.view(np.int16)
    wide = signed.astype(np.int32) * 500  # within what single precision has exactly
    kelvin = values(27000, 33000, np.int64) / 100 + 1 / 3
    kelvin[5, 7] = np.nan
    single = kelvin.astype(np.float32)
    for padding, big in ((0, False), (0, True), (3, False), (8, True)):
        for name, pixels, truth in (
            ("mono16", counts, counts), ("16UC1", counts, counts), ("16SC1", signed, signed.astype(np.float32)),
            ("32SC1", wide, wide.astype(np.float32)), ("32FC1", single, single), ("64FC1", kelvin, single),
        ):  # fmt: skip
            yield Case(name, _form(padding, big), raw(name, pixels, padding, big), truth)
    eight = values(0, 255, np.uint8)
    for padding in (0, 5):
        yield Case("8UC1", _form(padding, False), raw("8UC1", eight, padding), eight)
        few = eight.view(np.int8)
        yield Case("8SC1", _form(padding, False), raw("8SC1", few, padding), few.astype(np.float32))


def visible_packed() -> Iterator[Case]:
    """The transport ``compressed``, of colour."""
    image = colour()
    deep = values(0, 65535, np.uint16, 3)
    smooth = cv2.GaussianBlur(image, (0, 0), 6)
    yield _packed("jpeg", "8-bit colour", ".jpg", smooth, "bgr8; jpeg compressed bgr8", smooth, within=12)
    yield _packed("jpeg", "8-bit grey", ".jpg", smooth[..., 1], "mono8; jpeg compressed ", smooth[..., 1], within=12)
    yield _packed("png", "8-bit colour", ".png", image, "rgb8; png compressed bgr8", image)
    yield _packed("png", "8-bit grey", ".png", image[..., 0], "mono8; png compressed mono8", image[..., 0])
    yield _packed("png", "with alpha", ".png", np.dstack([image, image[..., 0]]), "png", image)
    shown = np.rint(deep / 257).astype(np.uint8)
    yield _packed("png", "16-bit colour", ".png", deep, "rgb16; png compressed bgr16", shown)
    yield _packed("tiff", "8-bit colour", ".tiff", image, "rgb8; tiff compressed bgr8", image)
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
    yield _packed("webp", "8-bit colour", ".webp", image, "webp", image, options=lossless)


def thermal_packed() -> Iterator[Case]:
    """The transport ``compressed``, of one channel."""
    counts = values(0, 65535, np.uint16)
    kelvin = (values(27000, 33000, np.int64) / 100 + 1 / 3).astype(np.float32)
    yield _packed("png", "16-bit grey", ".png", counts, "mono16; png compressed mono16", counts)
    yield _packed("png", "16-bit grey, 16UC1", ".png", counts, "16UC1; png compressed ", counts)
    yield _packed("tiff", "16-bit grey", ".tiff", counts, "mono16; tiff compressed ", counts)
    yield _packed("tiff", "float grey", ".tiff", kelvin, "32FC1; tiff compressed ", kelvin)


def thermal_depth() -> Iterator[Case]:
    """The transport ``compressedDepth``."""
    counts = (29000 + 4 * np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))).astype(np.uint16)
    counts[20:40, 30:50] = 0
    counts[50:60, 30:50] = _RNG.integers(0, 65536, (10, 20), np.uint16)
    metres = np.linspace(0.5, 5, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    metres[3:9, 4:70] = np.nan
    factor, offset = 10100.0, 1 - 10100.0 / 10  # quantization 100, depth_max 10
    inverse = np.nan_to_num(factor / metres + offset).astype(np.uint16)
    for codec, form in (("png", "16-bit"), ("rvl", "16-bit")):
        yield _depth(codec, form, f"16UC1; compressedDepth {codec}", counts, DEPTH_HEADER, counts)
    yield _depth("png", "16-bit, format without a codec", "16UC1; compressedDepth", counts, DEPTH_HEADER, counts)
    header = struct.pack("<iff", 0, factor, offset)
    for codec in ("png", "rvl"):
        yield _depth(codec, "float", f"32FC1; compressedDepth {codec}", inverse, header, metres, within=0.005)


def visible_zstd() -> Iterator[Case]:
    """The transport ``zstd``, of some of the raw ones: the plugin packs whatever the camera sends."""
    yield from _zstd(visible_raw(), ("bgr8", "rgb8", "bayer_rggb16", "yuyv", "nv12", "nv24"))


def thermal_zstd() -> Iterator[Case]:
    """The same of one channel."""
    yield from _zstd(thermal_raw(), ("mono8", "mono16", "16UC1", "32FC1"))


def _zstd(cases: Iterator[Case], encodings: tuple[str, ...]) -> Iterator[Case]:
    for case in cases:
        sent = case.message
        if case.name in encodings and isinstance(sent, Raw):
            encoding = sent.encoding.encode()
            fields = struct.pack("<IIBII", sent.height, sent.width, sent.big_endian, sent.step, len(encoding))
            data = fields + encoding + gzip.compress(sent.data, 3)
            form = case.name if case.form == "plain" else f"{case.name}, {case.form}"
            yield replace(case, name="zstd", form=form, message=Packed("zstd", data))


def _packed(
    name: str, form: str, suffix: str, image: np.ndarray, format_: str, truth: np.ndarray, within: float = 0,
    options: list[int] | None = None,
) -> Case:  # fmt: skip
    data = cv2.imencode(suffix, image, options or [])[1].tobytes()
    return Case(f"compressed: {name}", form, Packed(format_, data), truth, within)


def _depth(
    codec: str, form: str, format_: str, image: np.ndarray, header: bytes, truth: np.ndarray, within: float = 0
) -> Case:
    if codec == "png":
        stream = cv2.imencode(".png", image)[1].tobytes()
    else:
        stream = struct.pack("<ii", WIDTH, HEIGHT) + rvl(image)
    return Case(f"compressedDepth: {codec}", form, Packed(format_, header + stream), truth, within)


def rvl(image: np.ndarray) -> bytes:
    """An image as RVL, one value after the other as the paper has it."""
    values = [int(value) for value in image.reshape(-1)]
    nibbles: list[int] = []

    def put(number: int) -> None:
        while True:
            digit, number = number & 7, number >> 3
            nibbles.append(digit | (8 if number else 0))
            if not number:
                return

    at = previous = 0
    while at < len(values):
        start = at
        while at < len(values) and values[at] == 0:
            at += 1
        put(at - start)
        start = at
        while at < len(values) and values[at] != 0:
            at += 1
        put(at - start)
        for value in values[start:at]:
            step, previous = value - previous, value
            put(2 * step if step >= 0 else -2 * step - 1)
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{n:x}" for n in nibbles[k : k + 8]), 16) for k in range(0, len(nibbles), 8)]
    return struct.pack(f"<{len(words)}I", *words)
