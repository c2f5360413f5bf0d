"""Each method against its published outputs, or against what it promises; and bad input."""

import cv2
import numpy as np
import pytest
from methods_support import stripes_and_square, within_one_level

from vi_fusion_ros.methods import atre, csr, tikhonov
from vi_fusion_ros.methods.base import FusionMethod
from vi_fusion_ros.methods.registry import METHODS, chosen, method

QUICK = ["gtf", "atre", "laplacian", "max", "average"]


@pytest.fixture(scope="module")
def pair():
    """See ``stripes_and_square``."""
    return stripes_and_square()


@pytest.mark.parametrize("name", QUICK)
def test_both_cameras_are_seen_and_nothing_is_changed(pair, name):
    visible, thermal = (image.copy() for image in pair)
    fused = method(name).fuse(visible, thermal)
    assert fused.dtype == np.uint8
    assert fused.shape == visible.shape
    assert fused[24:36, 14:26].mean() > fused[24:36, 36:48].mean() + 30, "the warm square"
    assert fused[:, 60:90].std() > 15, "the stripes"
    assert (visible == pair[0]).all()
    assert (thermal == pair[1]).all()


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (33, 50)])
def test_any_size_and_images_without_contrast(name, shape):
    fused = method(name).fuse(np.full(shape, 10, np.uint8), np.full(shape, 200, np.uint8))
    assert fused.shape == shape
    assert 10 <= fused.min() <= fused.max() <= 200


@pytest.mark.data
@pytest.mark.parametrize("stem", ["tno21_14", *(f"road_0{k}" for k in range(1, 7))])
def test_gtf_gives_the_published_images(published, stem):
    fused = method("gtf").fuse(*published.sources(stem))
    assert within_one_level(fused, published.image(f"gtf/{stem}.png")) >= 0.999


@pytest.fixture(scope="module")
def authors_dictionary(published):
    """That of ``csr``."""
    io = pytest.importorskip("scipy.io", reason="scipy reads the dictionary's file")
    held = io.loadmat(published.open("weights/csr_dict.mat"))
    return next(value for name, value in held.items() if not name.startswith("__")).astype(float)


@pytest.mark.data
def test_csr_gives_the_published_image_with_the_authors_dictionary(published, authors_dictionary):
    sources, wanted = published.sources("csr_s01"), published.image("csr_multifocus/csr_s01.png")
    assert within_one_level(csr.fuse(*sources, authors_dictionary, "focus"), wanted) >= 0.999
    mean = (sources[0].astype(int) + sources[1]) // 2
    assert within_one_level(mean, wanted) < 0.6, "the mean of both would not do"


def test_csr_sees_the_same_in_an_image_whose_sides_are_prime():
    rng = np.random.default_rng(0)
    dictionary = rng.normal(size=(8, 8, 32))
    dictionary /= np.linalg.norm(dictionary, axis=(0, 1))
    smooth = [cv2.GaussianBlur(rng.random((60, 60)), (0, 0), 1.5) for _ in range(2)]
    first, second = (cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U) for image in smooth)
    whole = csr.fuse(first, second, dictionary, "modal")
    part = csr.fuse(first[:59, :53], second[:59, :53], dictionary, "modal")
    assert part.shape == (59, 53)
    inner = np.s_[12:47, 12:41]
    unlike = [np.abs(part[inner].astype(int) - np.roll(whole, n, 1)[inner]).mean() for n in (0, 1)]
    assert unlike[0] < 3 < 10 < unlike[1]


def test_warm_objects_are_what_their_transition_region_surrounds(pair):
    visible, thermal = pair
    objects = atre.warm_objects(thermal, atre.descriptor(thermal))
    square = np.zeros_like(objects)
    square[20:40, 10:30] = 1
    assert (objects != square).mean() < 0.01
    fused = atre.atre(visible, thermal)
    assert (fused[24:36, 14:26] == 230).all(), "the object is the thermal image's"
    assert (fused[:, 40:] == visible[:, 40:]).all(), "the rest is the visible image's"
    assert not atre.warm_objects(*(2 * [np.full((9, 9), 7, np.uint8)])).any(), "nothing stands out"


def test_sparse_codes_are_sparse_and_rebuild_the_image():
    rng = np.random.default_rng(0)
    dictionary = rng.normal(size=(8, 8, 32))
    dictionary /= np.linalg.norm(dictionary, axis=(0, 1))
    _, detail = tikhonov.split(cv2.GaussianBlur(rng.random((32, 40)), (0, 0), 1.5))
    code = csr.sparse_code(detail, dictionary)
    spectra = np.fft.rfft2(np.moveaxis(dictionary, 2, 0), detail.shape)
    rebuilt = np.fft.irfft2((spectra * np.fft.rfft2(code)).sum(0), detail.shape)
    assert np.linalg.norm(rebuilt - detail) < 0.5 * np.linalg.norm(detail)
    assert (code != 0).mean() < 0.1


def test_base_and_detail_add_up_and_a_ramp_is_all_base():
    ramp = np.tile(np.linspace(0, 1, 60), (40, 1))
    base, detail = tikhonov.split(ramp)
    np.testing.assert_allclose(base + detail, ramp, atol=1e-12)
    assert np.abs(detail[:, 10:-10]).max() < 1e-3


def test_a_missing_package_is_one_sentence():
    needy = FusionMethod("x", "", "", 2000, "", "", "no_such_package_anywhere", False, lambda a, b: a)
    assert (
        needy.missing
        == "method x needs the package no_such_package_anywhere; expected: pip install no_such_package_anywhere"
    )
    assert method("max").missing == ""


def test_lists_of_names():
    assert [entry.name for entry in chosen("max, gtf,max")] == ["max", "gtf"]
    assert [entry.name for entry in chosen("all")] == [name for name, entry in METHODS.items() if not entry.missing]
    with pytest.raises(ValueError, match="no fusion method is called 'best'; expected one of "):
        chosen("max,best")


@pytest.mark.parametrize(
    ("visible", "thermal", "sentence"),
    [
        (np.zeros((4, 5), np.uint8), np.zeros((4, 6), np.uint8), "the images are 5×4 and 6×4; expected one size"),
        (None, np.zeros((4, 6), np.uint8), "the visible image is missing; expected"),
        (np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint16), "the thermal image is uint16 of shape"),
        (np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8), "the visible image is uint8 of shape"),
        (np.zeros((0, 6), np.uint8), np.zeros((0, 6), np.uint8), "the visible image is uint8 of shape"),
    ],
)
def test_bad_images_are_one_sentence(visible, thermal, sentence):
    with pytest.raises(ValueError, match="method max: " + sentence):
        method("max").fuse(visible, thermal)
