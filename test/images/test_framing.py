import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vi_fusion_ros.images.framing import Framing

SIZE = (64, 48)
IMAGE = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)  # every pixel says where it was

framings = st.builds(
    Framing,
    crop=st.sampled_from([(0, 0, 0, 0), (3, 5, 40, 30), (24, 0, 40, 46)]),
    rotate=st.sampled_from([0, 90, 180, 270]),
    flip=st.sampled_from(["none", "horizontal", "vertical"]),
    telemetry_rows=st.integers(-2, 2),
)


def test_nothing_is_the_image_itself():
    assert Framing()(IMAGE) is IMAGE
    assert Framing().changes_nothing


@pytest.mark.parametrize(
    ("framing", "corner", "size"),
    [
        (Framing(telemetry_rows=2), IMAGE[0, 0], (64, 46)),
        (Framing(telemetry_rows=-3), IMAGE[3, 0], (64, 45)),
        (Framing(crop=(5, 7, 20, 10)), IMAGE[7, 5], (20, 10)),
        (Framing(crop=(5, 7, 20, 10), telemetry_rows=-1), IMAGE[8, 5], (20, 10)),
        (Framing(rotate=90), IMAGE[47, 0], (48, 64)),
        (Framing(rotate=180), IMAGE[47, 63], (64, 48)),
        (Framing(rotate=270), IMAGE[0, 63], (48, 64)),
        (Framing(flip="horizontal"), IMAGE[0, 63], (64, 48)),
        (Framing(flip="vertical"), IMAGE[47, 0], (64, 48)),
        (Framing(rotate=90, flip="horizontal"), IMAGE[0, 0], (48, 64)),
    ],
)
def test_what_comes_to_the_top_left(framing, corner, size):
    image = framing(IMAGE)
    assert image[0, 0] == corner
    assert (image.shape[1], image.shape[0]) == size == framing.size(SIZE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [None, 3])
def test_any_kind_of_image(dtype, channels):
    image = (IMAGE % 256).astype(dtype)
    image = image if channels is None else np.dstack([image] * channels)
    for rotate, flip in itertools.product((0, 90, 180, 270), ("none", "horizontal", "vertical")):
        framed = Framing((2, 3, 20, 10), rotate, flip, 1)(image)
        assert framed.dtype == dtype
        assert framed.ndim == image.ndim


@settings(max_examples=150, deadline=None)
@given(
    framing=framings,
    pixel=st.tuples(st.integers(26, 40), st.integers(8, 30)),
    fx=st.floats(30, 90),
    fy=st.floats(30, 90),
    cx=st.floats(20, 44),
    cy=st.floats(15, 33),
    distortion=st.tuples(*[st.floats(-0.05, 0.05)] * 5),
)
def test_the_lens_of_framed_images_sees_each_point_where_its_pixel_went(framing, pixel, fx, fy, cx, cy, distortion):
    before = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    x, y = pixel
    # The direction that the lens sees in this pixel, in the frame that the camera is mounted in.
    undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 has one function for both
    undistorted = undistort(
        np.array([[[x, y]]], np.float64), before, np.array(distortion), R=None, P=None, criteria=(3, 200, 1e-12)
    )[0, 0]
    mirror = {"none": (1, 1, 1), "horizontal": (-1, 1, 1), "vertical": (1, -1, 1)}[framing.flip]
    direction = np.array(mirror) * (framing.turn @ (*undistorted, 1.0))
    matrix, turned = framing.matrix(before, SIZE), framing.distortion(distortion)
    assert matrix[0, 0] > 0
    assert matrix[1, 1] > 0
    seen = cv2.projectPoints(direction[None], np.zeros(3), np.zeros(3), matrix, np.array(turned))[0][0, 0]
    rows, columns = np.nonzero(framing(IMAGE) == IMAGE[y, x])
    np.testing.assert_allclose(seen, (columns[0], rows[0]), atol=1e-5)


@pytest.mark.parametrize(
    ("framing", "says"),
    [
        (Framing(crop=(30, 0, 35, 10)), r"64x48 is too small for the crop \[30, 0, 35, 10\]"),
        (Framing(crop=(0, 0, 64, 48), telemetry_rows=1), r"the crop \[0, 0, 64, 48\] and 1 rows of telemetry"),
        (Framing(telemetry_rows=48), "too small for 48 rows of telemetry"),
    ],
)
def test_images_that_are_too_small_are_refused(framing, says):
    with pytest.raises(ValueError, match=says):
        framing(IMAGE)
    with pytest.raises(ValueError, match=says):
        framing.size(SIZE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"thermal.crop": [0, 0, 10, 0]}, "expected x, y, width and height"),
        ({"thermal.crop": [-1, 0, 10, 10]}, "expected x, y, width and height"),
        ({"thermal.rotate": 45}, "expected 0, 90, 180 or 270"),
        ({"thermal.flip": "both"}, "expected none, horizontal or vertical"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, says):
    from vi_fusion_ros.pipeline import SETTINGS

    with pytest.raises(ValueError, match=says):
        Framing.of({**SETTINGS, **change}, "thermal")
