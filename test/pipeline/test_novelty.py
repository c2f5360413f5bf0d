"""Pairs that are unlike what the shipped model was trained on, and pairs that are not."""

import json
import zipfile

import cv2
import numpy as np
import pytest

from vi_fusion_ros.novelty import STATISTICS, Novelty, statistics
from vi_fusion_ros.types import Frame, FramePair, FusionResult


@pytest.fixture(scope="module")
def novelty(repo_root):
    return Novelty(json.loads((repo_root / "models" / "default.json").read_text())["novelty"])


@pytest.fixture(scope="module")
def pairs(data_dir):
    """Two pairs of the test part of each of two sets."""
    made = []
    for archive, tested in (("roadscene_dev.zip", slice(101, 145, 20)), ("m3svd_stills.zip", slice(60, 80, 10))):
        with zipfile.ZipFile(data_dir / archive) as files:
            inside = sorted(n for n in files.namelist() if "/visible/" in f"/{n}" and n.endswith((".jpg", ".png")))
            for name in inside[tested][:2]:
                images = [
                    cv2.imdecode(np.frombuffer(files.read(name.replace("visible", camera)), np.uint8), flag)
                    for camera, flag in (("visible", cv2.IMREAD_COLOR), ("thermal", cv2.IMREAD_GRAYSCALE))
                ]
                made.append(tuple(images))
    return made


def moved(image, dx):
    return cv2.warpAffine(
        image, np.float32([[1, 0, dx], [0, 1, 0]]), image.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )


def noise(image):
    return np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)


STRANGE = {
    "noise": lambda v, t: (noise(v), noise(t)),
    "a blank": lambda v, t: (np.full_like(v, 90), np.full_like(t, 90)),
    "a black pair": lambda v, t: (np.zeros_like(v), np.zeros_like(t)),
    "a blank thermal image": lambda v, t: (v, np.full_like(t, 128)),
    "a defocused pair": lambda v, t: (cv2.GaussianBlur(v, (0, 0), 4), cv2.GaussianBlur(t, (0, 0), 4)),
    "a defocused visible image": lambda v, t: (cv2.GaussianBlur(v, (0, 0), 6), t),
    "a misregistered pair": lambda v, t: (v, moved(t, 32)),
    "a mirrored thermal image": lambda v, t: (v, np.ascontiguousarray(t[:, ::-1])),
}


def test_pairs_of_the_test_parts_are_familiar(novelty, pairs):
    assert len(pairs) == 4
    for visible, thermal in pairs:
        assert 0 <= novelty(visible, thermal) <= 1


@pytest.mark.parametrize("what", STRANGE)
def test_it_tells(novelty, pairs, what):
    for pair in pairs:
        assert novelty(*STRANGE[what](*pair)) > 1


def test_a_small_displacement_as_in_training_is_borne(novelty, pairs):
    assert all(novelty(visible, moved(thermal, 2)) <= 1 for visible, thermal in pairs)


def test_any_size_and_grey_images(novelty):
    for shape in ((32, 32), (33, 200), (960, 1280)):
        image = noise(np.zeros(shape, np.uint8))
        appearance, agreement = statistics(image, image)
        assert appearance.shape == (STATISTICS,)
        assert np.isfinite([*appearance, agreement]).all()
        assert novelty(image, image) > 1


def test_a_result_is_judged_where_both_cameras_see(novelty, pairs):
    visible, thermal = pairs[2]
    part = np.s_[40:440, 80:600]
    mask = np.zeros_like(thermal)
    mask[part] = 255
    hidden = np.where(mask > 0, thermal, 0)

    def result(mask):
        pair = FramePair(Frame(visible), Frame(thermal))
        return FusionResult(pair, visible, mask / 255, hidden, mask, 0.5, (), "day", 1.0, thermal_grey=hidden)

    assert novelty.of_result(result(mask)) == novelty(visible[part], thermal[part]) <= 1
    assert novelty(visible, hidden) != novelty.of_result(result(mask))
    assert novelty.of_result(result(np.zeros_like(mask))) == np.inf
    with pytest.raises(ValueError, match="expected both"):
        novelty.of_result(
            FusionResult(FramePair(Frame(visible), None), visible, mask / 255, None, None, 0.0, (), "day", 1.0)
        )
