"""Day and night: the layer that is fitted after training."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model.network import FusionNet, NetworkConfig  # noqa: E402
from vi_fusion_ros.training.config import DataConfig, SetConfig  # noqa: E402
from vi_fusion_ros.training.data import frames_of  # noqa: E402
from vi_fusion_ros.training.predict import predict_sets  # noqa: E402
from vi_fusion_ros.training.release.illumination import _weights, fit_illumination  # noqa: E402


def data_of(root, nights):
    """24 frames of 96×64 pixels, the first ``nights`` of them dark."""
    rng, entries = np.random.default_rng(3), []
    for kind in ("visible", "thermal"):
        (root / "street" / kind).mkdir(parents=True)
    for number in range(24):
        level, stem = 30 if number < nights else 150, f"S_{number:03d}"
        for kind, shape, mean in (("visible", (64, 96, 3), level), ("thermal", (64, 96), 90)):
            cv2.imwrite(str(root / "street" / kind / f"{stem}.png"), np.uint8(rng.normal(mean, 12, shape).clip(0, 255)))
        light = "night" if number < nights else "day"
        entries.append({"frame": stem, "day_night": light, "labelled": True, "objects": []})
    (root / "street" / "frames.json").write_text(json.dumps(entries))
    entry = SetConfig(path=Path("street"), layout="roadscene", train=((-1, 10_000),))
    return DataConfig(sets={"street": entry}, root=root, cache=root / "cache")


@pytest.fixture
def network(monkeypatch):
    monkeypatch.delenv("VI_FUSION_DATA", raising=False)
    torch.manual_seed(0)
    sizes = NetworkConfig(branch=8, blocks=1, fused=8, backbone="centernet-mobilenetv3", pyramid=(8, 8, 8))
    return FusionNet(sizes).eval()


def test_it_tells_dark_frames_from_bright_ones_and_nothing_else_changes(network, tmp_path):
    data = data_of(tmp_path, 9)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit_illumination(network, data)
    frames = frames_of(data, "train")["street"]
    _, light = predict_sets(network, [frames])
    np.testing.assert_array_equal(light.argmax(1), frames.illumination())
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    layer, bounds = "perception.illuminate", "perception.light"
    assert changed == {f"{layer}.weight", f"{layer}.bias", f"{bounds}.low", f"{bounds}.high"}
    _, alone = predict_sets(network, [frames], "visible")
    np.testing.assert_array_equal(alone.argmax(1), frames.illumination())
    _, warm = predict_sets(network, [frames], "thermal")
    assert not warm.any()
    held = sum(network.perception.light.parts[:3])
    assert (network.perception.light.high[:held] < 100).all()
    assert (network.perception.light.high[:held] > network.perception.light.low[:held]).all()


@pytest.mark.parametrize("nights", [3, 24])
def test_with_too_few_frames_of_either_kind_it_stays_as_it_was(network, tmp_path, nights):
    before = network.perception.illuminate.weight.clone()
    fit_illumination(network, data_of(tmp_path, nights))
    assert torch.equal(network.perception.illuminate.weight, before)


def test_a_network_without_a_detector_stays_as_it_was(network, tmp_path):
    other = FusionNet(NetworkConfig(branch=8, blocks=1, fused=8)).eval()
    before = other.perception.illuminate.weight.clone()
    fit_illumination(other, data_of(tmp_path, 9))
    assert torch.equal(other.perception.illuminate.weight, before)


def test_a_few_frames_of_a_set_weigh_as_much_as_many_of_another():
    night = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])
    of_set = torch.tensor([0, 0, 0, 2, 0, 1, 1, 1, 1])
    weight = _weights(night, of_set)
    np.testing.assert_allclose(weight, [1 / 6] * 3 + [1 / 2] + [1 / 2] + [1 / 8] * 4)
