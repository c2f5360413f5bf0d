"""Methods that find objects: what they are given, what they say, and that nothing fuses by them."""

import json

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.methods import mlf_cnn
from vi_fusion_ros.methods.registry import DETECTORS, METHODS, chosen, chosen_detectors, left_out, listed, method

REFUSAL = (
    "method mlf-cnn is a detector: it yields boxes, no fused image; expected: vi-fusion evaluate detection "
    "--methods mlf-cnn"
)


def test_of_boxes_of_one_label_that_overlap_the_surest_is_kept():
    boxes = np.zeros((4, 2, 4))
    boxes[:, 0] = [(10, 10, 30, 50), (12, 10, 32, 50), (60, 10, 90, 30), (70, 70, 70, 80)]
    boxes[:, 1] = [(10, 10, 30, 50), (500, 500, 600, 600), (0, 0, 9, 9), (90, -5, 130, 20)]
    probabilities = np.array([[0.6, 0.5], [0.8, 0.9], [0.3, 0.005], [0.9, 0.2]])
    found = mlf_cnn.without_doubles(boxes, probabilities, (100, 80))
    wanted = [
        (0, 0.8, 12, 10, 32, 50),  # beside it, 0.6 is a double
        (1, 0.5, 10, 10, 30, 50),  # of another label
        (0, 0.3, 60, 10, 90, 30),
        (1, 0.2, 90, 0, 100, 20),  # cut to the image; beyond it there is nothing
    ]
    np.testing.assert_allclose(found, wanted)
    assert mlf_cnn.without_doubles(boxes[:0], probabilities[:0], (100, 80)).shape == (0, 6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 520, 4), (640, 20, 3)])
def test_what_the_network_sees_is_a_multiple_and_repeats_the_edge(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    scale = mlf_cnn.SIDE / max(shape[:2])
    seen = mlf_cnn.fitted(image, scale)
    height, width = (max(round(side * scale), 1) for side in shape[:2])
    assert seen.shape[2] == shape[2]
    assert [side % 32 for side in seen.shape[:2]] == [0, 0]
    assert all(0 <= made - side < 32 for made, side in zip(seen.shape[:2], (height, width), strict=True))
    assert (seen[height:] == seen[height - 1]).all()
    assert (seen[:, width:] == seen[:, width - 1 : width]).all()


def test_no_fusion_goes_by_a_detector(tmp_path, capsys):
    assert listed("mlf-cnn").kind == "detector"
    assert "mlf-cnn" not in METHODS
    for ask in (method, chosen):
        with pytest.raises(ValueError, match="yields boxes, no fused image") as caught:
            ask("mlf-cnn")
        assert str(caught.value) == REFUSAL
    assert "mlf-cnn" not in [entry.name for entry in chosen("all")]
    assert REFUSAL in left_out(chosen("all"))
    for camera in ("visible", "thermal"):
        (tmp_path / camera).mkdir()
        cv2.imwrite(f"{tmp_path}/{camera}/a.png", np.zeros((30, 44), np.uint8))
    given = ["--visible", f"{tmp_path}/visible", "--thermal", f"{tmp_path}/thermal"]
    for command in (
        ["fuse", *given, "--method", "mlf-cnn", "--out", f"{tmp_path}/out"],
        ["evaluate", "fusion", *given, "--methods", "max,mlf-cnn", "--json", f"{tmp_path}/out.json"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err == f"vi-fusion: {REFUSAL}\n"


def test_all_methods_says_what_it_leaves_out(tmp_path, capsys, monkeypatch):
    for name in set(METHODS) - {"max", "average", "deepfuse-ae"}:  # the others take seconds to minutes
        monkeypatch.delitem(METHODS, name)
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8), (64, 48))
    for camera in ("visible", "thermal"):
        (tmp_path / camera).mkdir()
        cv2.imwrite(f"{tmp_path}/{camera}/a.png", image)
    assert main(["evaluate", "fusion", "--visible", f"{tmp_path}/visible", "--thermal", f"{tmp_path}/thermal",
                 "--methods", "all", "--json", f"{tmp_path}/out.json", "--jobs", "1"]) == 0  # fmt: skip
    said = capsys.readouterr().err
    assert f"vi-fusion: left out of --methods all: {REFUSAL}\n" in said
    assert "vi-fusion: left out of --methods all: method deepfuse-ae has no weights here" in said
    assert set(json.loads((tmp_path / "out.json").read_text())["fusion_methods"]) == {"max", "average"}


def test_lists_of_detectors():
    assert [entry.name for entry in chosen_detectors("mlf-cnn, mlf-cnn")] == ["mlf-cnn"]
    assert [entry.name for entry in chosen_detectors("all")] == list(DETECTORS)
    with pytest.raises(ValueError, match="no method that finds objects is called 'gtf'; expected one of mlf-cnn"):
        chosen_detectors("mlf-cnn,gtf")


@pytest.mark.parametrize(
    ("visible", "thermal", "sentence"),
    [
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 6), np.uint8), "the images are 5×4 and 6×4; expected one size"),
        (None, np.zeros((4, 6), np.uint8), "the visible image is missing; expected"),
        (np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6), np.uint8), "the visible image is uint8 of shape"),
        (np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint16), "the thermal image is uint16 of shape"),
    ],
)
def test_bad_images_of_a_detector_are_one_sentence(visible, thermal, sentence):
    with pytest.raises(ValueError, match="method mlf-cnn: " + sentence):
        DETECTORS["mlf-cnn"].detect(visible, thermal)


@pytest.mark.parametrize("shape", [(1, 1), (33, 50), (480, 640)])
def test_any_size_of_images(shape):
    rng = np.random.default_rng(0)
    found = DETECTORS["mlf-cnn"].detect(*rng.integers(0, 256, (2, *shape), np.uint8))
    assert found.shape[1] == 6
    assert len(found) <= 100
    assert ((found[:, 1] >= 0.01) & (found[:, 1] <= 1)).all()
    assert (np.diff(found[:, 1]) <= 0).all(), "the surest first"
    assert ((found[:, 2:] >= 0) & (found[:, 2:] <= (shape[1], shape[0]) * 2)).all(), "inside the image"
