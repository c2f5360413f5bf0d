import cv2
import numpy as np
import pytest

from vi_fusion_ros.registration import Registration, Rig


def rig(matrix, thermal=(64, 48), visible=(64, 48)):
    return Rig(np.array(matrix, np.float64), thermal, visible, "test")


def shift(dx, dy):
    return [[1, 0, dx], [0, 1, dy], [0, 0, 1]]


def noise(dtype=np.uint16, size=(64, 48)):
    return np.random.default_rng(0).integers(0, 60000 if dtype != np.uint8 else 255, size[::-1]).astype(dtype)


@pytest.mark.parametrize("the_rig", [Rig.identity(), rig(np.eye(3)), rig(np.eye(3) * -2)])
def test_identity_at_equal_size_costs_nothing(the_rig):
    image = noise()
    registered, mask, overlap = Registration(the_rig).apply(image, (64, 48))
    assert registered is image
    assert mask.shape == (48, 64)
    assert mask.dtype == np.uint8
    assert mask.min() == 255
    assert overlap == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_shift_moves_pixels_exactly_and_leaves_an_exact_mask(dtype):
    image = noise(dtype)
    registered, mask, overlap = Registration(rig(shift(10, -5))).apply(image, (64, 48))
    assert registered.dtype == dtype
    np.testing.assert_array_equal(registered[:43, 10:], image[5:, :54])
    expected = np.zeros((48, 64), np.uint8)
    expected[:43, 10:] = 255
    np.testing.assert_array_equal(mask, expected)
    assert overlap == 54 * 43 / (64 * 48)
    outside = registered[mask == 0]
    assert np.isnan(outside).all() if dtype == np.float32 else not outside.any()


def test_the_direction_is_from_thermal_to_visible():
    matrix = [[1.5, 0.1, 7], [-0.05, 1.4, 3], [1e-4, -1e-4, 1]]
    image = np.zeros((48, 64), np.uint16)
    cv2.circle(image, (20, 30), 3, 50000, -1)
    registered, _, _ = Registration(rig(matrix, visible=(128, 96))).apply(image, (128, 96))
    moments = cv2.moments(registered.astype(np.float32))
    u, v, w = np.array(matrix) @ (20, 30, 1)
    assert moments["m10"] / moments["m00"] == pytest.approx(u / w, abs=0.2)
    assert moments["m01"] / moments["m00"] == pytest.approx(v / w, abs=0.2)


def test_it_agrees_with_opencv():
    matrix = np.array([[1.1, 0.05, -3], [-0.02, 1.2, 2], [1e-4, 2e-4, 1]])
    image = cv2.GaussianBlur(noise(), (0, 0), 2)
    registered, mask, _ = Registration(rig(matrix)).apply(image, (64, 48))
    expected = cv2.warpPerspective(image, matrix, (64, 48))
    inner = cv2.erode(mask, np.ones((3, 3))) > 0
    np.testing.assert_allclose(registered[inner].astype(float), expected[inner], atol=0.02 * np.ptp(image))


def test_16_bit_keeps_its_steps():
    image = np.tile(np.arange(29000, 29064, dtype=np.uint16), (48, 1))
    registered, mask, _ = Registration(rig(shift(3, 0))).apply(image, (64, 48))
    assert len(np.unique(registered[mask > 0])) == 61


@pytest.mark.parametrize("size", [(128, 96), (32, 24), (100, 40)])
def test_identity_resizes(size):
    image = cv2.GaussianBlur(noise(), (0, 0), 3)
    registered, mask, overlap = Registration(Rig.identity()).apply(image, size)
    assert registered.shape == (size[1], size[0])
    assert registered.dtype == np.uint16
    np.testing.assert_array_equal(registered, cv2.resize(image, size))
    assert (mask.min(), overlap) == (255, 1)


def test_a_rig_that_only_scales_covers_everything():
    half_pixels = [[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]
    image = noise()
    registered, _, overlap = Registration(rig(half_pixels, visible=(128, 96))).apply(image, (128, 96))
    assert overlap == 1
    np.testing.assert_array_equal(registered, cv2.resize(image, (128, 96)))


def test_the_geometry_is_made_once_and_again_for_other_sizes():
    registration = Registration(rig(shift(4, 0)))
    masks = [registration.apply(noise(), (64, 48))[1] for _ in range(2)]
    assert masks[0] is masks[1]
    assert registration.apply(noise(), (128, 96))[1].shape == (96, 128)
    _, mask, overlap = registration.apply(noise(size=(32, 24)), (64, 48))
    np.testing.assert_array_equal(mask, masks[0])
    assert overlap == 60 / 64


def test_the_mask_cannot_be_written_to():
    _, mask, _ = Registration(Rig.identity()).apply(noise(), (64, 48))
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


@pytest.mark.parametrize("matrix", [np.eye(3), np.array(shift(10, 0))])
def test_missing_floats_leave_holes_in_the_mask_and_do_not_spread(matrix):
    image = noise(np.float32)
    image[20:24, 30:34] = np.nan
    image[40, 10] = np.inf
    registration = Registration(rig(matrix))
    registered, mask, overlap = registration.apply(image, (64, 48))
    np.testing.assert_array_equal(mask > 0, np.isfinite(registered))
    dx = int(matrix[0, 2])
    assert not mask[20:24, 30 + dx : 34 + dx].any()
    assert mask[16:28, 26 + dx].all()
    assert overlap == np.count_nonzero(mask) / mask.size
    clean = registration.apply(noise(np.float32), (64, 48))
    assert clean[2] == (64 - dx) / 64


def test_the_horizon_does_not_wrap_around():
    matrix = [[1, 0, 0], [0, 1, 0], [0.01, 0, 1]]
    _, mask, overlap = Registration(rig(matrix, visible=(640, 480))).apply(noise(), (640, 480))
    corner = 63.5 / (1 + 0.635)
    assert not mask[:, int(corner) + 1 :].any()
    assert 0 < overlap < 0.01


def test_a_size_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit the rig test"):
        Registration(rig(np.eye(3))).apply(noise(size=(64, 64)), (64, 48))


def test_read_only_views_are_fine():
    image = np.frombuffer(noise().tobytes(), np.uint16).reshape(48, 64)
    registered, _, _ = Registration(rig(shift(1, 0))).apply(image, (64, 48))
    assert registered[0, 1] == image[0, 0]


DENSE = np.array([[1.8, 0.02, 64], [-0.01, 1.82, 51], [1e-5, 2e-5, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_much_larger_visible_image_shows_the_same(dtype):
    image = cv2.GaussianBlur(noise(dtype, (320, 256)), (0, 0), 3)
    registered, mask, _ = Registration(rig(DENSE, (320, 256), (640, 512))).apply(image, (640, 512))
    expected = cv2.warpPerspective(image, DENSE, (640, 512))
    inner = cv2.erode(mask, np.ones((3, 3)), borderValue=0) > 0
    assert registered.dtype == dtype
    np.testing.assert_allclose(registered[inner].astype(float), expected[inner], atol=max(2, 0.02 * np.ptp(image)))
    edge = (mask > 0) & ~inner
    assert abs(registered[edge].astype(float).mean() - image.mean()) < 0.1 * np.ptp(image)
    outside = registered[mask == 0]
    assert np.isnan(outside).all() if dtype == np.float32 else not outside.any()


def test_a_lens_is_undone_and_warped_at_once():
    from vi_fusion_ros.registration.rig import Camera

    size, matrix = (320, 256), np.array([[300.0, 0, 160], [0, 300, 128], [0, 0, 1]])
    lens = Camera(matrix, np.array([-0.25, 0.05, 0, 0, 0]))
    homography = np.array([[1.1, 0.02, 3], [0, 1.1, 5], [0, 0, 1]])
    the_rig = Rig(homography, size, size, "test", thermal_camera=lens)
    image = cv2.GaussianBlur(noise(size=size), (0, 0), 3)
    registered, mask, _ = Registration(the_rig).apply(image, size)
    straight = cv2.undistort(image, matrix, lens.distortion)
    expected = cv2.warpPerspective(straight, homography, size)
    white = cv2.undistort(np.full(size[::-1], 255, np.uint8), matrix, lens.distortion)
    white = cv2.warpPerspective(white, homography, size)  # cv2.undistort cuts what lies outside of its picture
    inner = cv2.erode(np.minimum(mask, white), np.ones((7, 7)), borderValue=0) == 255
    assert inner.mean() > 0.5
    np.testing.assert_allclose(registered[inner].astype(float), expected[inner], atol=0.04 * np.ptp(image))


def test_a_lens_of_the_visible_camera_bends_the_thermal_image_with_it():
    from vi_fusion_ros.registration.rig import Camera

    size, matrix = (320, 256), np.array([[300.0, 0, 160], [0, 300, 128], [0, 0, 1]])
    lens = Camera(matrix, np.array([-0.25, 0.05, 0, 0, 0]))
    image = cv2.GaussianBlur(noise(size=size), (0, 0), 3)
    both = Rig(np.eye(3), size, size, "test", thermal_camera=lens, visible_camera=lens)
    registered, mask, _ = Registration(both).apply(image, size)
    inner = cv2.erode(mask, np.ones((3, 3)), borderValue=0) > 0
    np.testing.assert_allclose(registered[inner].astype(float), image[inner], atol=0.02 * np.ptp(image))
