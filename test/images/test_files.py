"""The one reader of image files, on what cameras and people really leave in folders."""

import io
import struct

import cv2
import numpy as np
import pytest

from vi_fusion_ros.images.files import image_paths, images_by_stem, read_image, to_grey
from vi_fusion_ros.sources.clip import Folder
from vi_fusion_ros.training.datasets.base import DatasetError, image_files
from vi_fusion_ros.training.datasets.base import read_image as read_for_training

SIZE = (40, 60)


def picture(channels=3, dtype=np.uint8):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, np.iinfo(dtype).max, (*SIZE, channels)).astype(dtype)
    return cv2.GaussianBlur(noise, (0, 0), 2) if channels > 1 else cv2.GaussianBlur(noise, (0, 0), 2).reshape(SIZE)


def encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


def exif(orientation):
    """An APP1 segment that says how the camera was held."""
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    content = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def with_segment(jpeg, segment):
    return jpeg[:2] + segment + jpeg[2:]


def thumbnail():
    """An APP2 segment that holds a whole JPEG, as cameras write."""
    small = encoded(".jpg", picture()[:16, :16])
    return b"\xff\xe2" + struct.pack(">H", len(small) + 2) + small


def grey_alpha_png(grey):
    """OpenCV writes no PNG of colour type 4."""
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = np.dstack([grey, np.full_like(grey, np.iinfo(grey.dtype).max)]).astype(grey.dtype.newbyteorder(">"))
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8 * grey.itemsize, 4, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.pgm", "a.PGM", "A.TIF", "a.tiff", "a.webp", "a.png", "a.PNG", "a.bmp", "a.jpe"])
def test_every_reader_takes_the_same_suffixes(tmp_path, name):
    image = picture(1)
    (tmp_path / name).write_bytes(encoded("." + name.split(".")[1].lower(), image))
    (read,) = (frame.image for frame in Folder(tmp_path))
    assert read.shape[:2] == SIZE
    assert np.abs(to_grey(read).astype(int) - image).mean() < 3
    assert image_files(tmp_path) == images_by_stem(tmp_path) == {name.split(".")[0]: tmp_path / name}
    np.testing.assert_array_equal(read_for_training(tmp_path / name, cv2.IMREAD_UNCHANGED), read)


def test_images_come_in_natural_order_and_what_is_none_is_left_out(tmp_path):
    for name in ("f10.png", "f9.png", "f100.png", "f1.PNG"):
        (tmp_path / name).write_bytes(encoded(".png", picture()))
    for name in ("._f1.png", ".f2.png", "Thumbs.db", "desktop.ini", "f1.png.txt", "f3.png:Zone.Identifier", "f4.xml"):
        (tmp_path / name).write_bytes(b"none")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_paths(tmp_path)] == ["f1.PNG", "f9.png", "f10.png", "f100.png"]
    assert list(image_files(tmp_path)) == ["f1", "f9", "f10", "f100"]


def test_two_images_of_one_stem_are_named_by_every_reader(tmp_path):
    for name in ("f.png", "f.jpg"):
        (tmp_path / name).write_bytes(encoded(".png", picture()))
    for read, kind in ((images_by_stem, ValueError), (image_files, DatasetError), (Folder, ValueError)):
        with pytest.raises(kind, match=r"two images of one stem, f\.jpg and f\.png"):
            read(tmp_path)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_turned_as_exif_says_in_every_reader(tmp_path, orientation):
    image, path = picture(), tmp_path / "a.jpg"
    path.write_bytes(with_segment(encoded(".jpg", image), exif(orientation)))
    turned = np.rot90(image, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    for read in (read_image(path), read_for_training(path, cv2.IMREAD_UNCHANGED)):
        assert np.abs(read.astype(int) - turned).mean() < 5
    grey = read_for_training(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
    assert grey.shape == turned.shape[:2]


@pytest.mark.parametrize("progressive", [0, 1])
def test_whole_jpegs_are_whole(tmp_path, progressive):
    image, path = picture(), tmp_path / "a.jpg"
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    whole = {
        "plain": jpeg,
        "a thumbnail inside": with_segment(jpeg, thumbnail()),
        "data after the end": jpeg + b"MotionPhoto \xff\xd8\xff\xda" + bytes(range(256)),
        "padded": jpeg + bytes(500),
        "another image after it": jpeg + encoded(".jpg", image)[:400],
    }
    for content in whole.values():
        path.write_bytes(content)
        np.testing.assert_array_equal(read_image(path), expected)
        np.testing.assert_array_equal(read_for_training(path, cv2.IMREAD_COLOR), expected)
    for content in (jpeg[:-2], jpeg[: len(jpeg) // 2], with_segment(jpeg, thumbnail())[:-300], jpeg[:100], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.jpg: corrupt or not an image \({len(content)} bytes\)"):
            read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_images_that_break_off_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, picture())[:-200])
    with pytest.raises(ValueError, match="corrupt or not an image"):
        read_image(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_alpha_channel_is_dropped_and_nothing_else(tmp_path, dtype):
    colour = picture(4, dtype)
    (tmp_path / "colour.png").write_bytes(encoded(".png", colour))
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png"), colour[..., :3])
    grey = picture(1, dtype)
    (tmp_path / "grey.png").write_bytes(grey_alpha_png(grey))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), grey)


def test_pgm_of_any_depth_keeps_its_counts(tmp_path):
    for most in (255, 4095, 16383, 65535):
        counts = np.random.default_rng(most).integers(0, most + 1, SIZE)
        data = counts.astype(">u2" if most > 255 else np.uint8).tobytes()
        (tmp_path / "a.pgm").write_bytes(b"P5\n# a camera\n%d %d\n%d\n" % (SIZE[1], SIZE[0], most) + data)
        np.testing.assert_array_equal(read_image(tmp_path / "a.pgm"), counts)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4"])
def test_arrays_are_images_of_one_channel(tmp_path, dtype):
    array = np.arange(24).reshape(4, 6).astype(dtype)
    for given in (array, array[..., None], np.asfortranarray(array)):
        np.save(tmp_path / "a.npy", given)
        read = read_image(tmp_path / "a.npy")
        np.testing.assert_array_equal(read, array)
        assert read.dtype.isnative
        assert cv2.resize(read, (3, 2)).shape == (2, 3)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((4, 6, 3), np.uint8), "shape (4, 6, 3); expected one channel"),
        (np.zeros((4, 6)), "pixels of type float64; expected uint8, uint16, float32"),
        (np.zeros((4, 6), np.int32), "pixels of type int32"),
        (np.array([{}]), "not an array that can be read"),
        (np.zeros((0, 6), np.uint8), "shape (0, 6)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, sentence):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: ") as refused:
        read_image(tmp_path / "a.npy")
    assert sentence in str(refused.value)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    for content in (b"", b"\x93NUMPY\x01\0", b"no array"):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npy: not an array that can be read"):
            read_image(tmp_path / "a.npy")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: cannot be read \(No such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no such folder"):
        image_paths(tmp_path / "no")


def test_cmyk_and_palettes_become_colour(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    image = picture()
    for mode, suffix in (("CMYK", "JPEG"), ("P", "PNG")):
        stream = io.BytesIO()
        pillow.fromarray(np.ascontiguousarray(image[..., ::-1])).convert(mode).save(stream, suffix)
        (tmp_path / "a").write_bytes(stream.getvalue())
        read = read_image(tmp_path / "a")
        assert read.shape == (*SIZE, 3)
        assert np.abs(read.astype(int) - image).mean() < 30
