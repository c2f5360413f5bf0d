"""Maps of a classifier whose cause is known, and of the committed model in torch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("captum", reason="captum is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

from vi_fusion_ros.engines.calibration import Calibration  # noqa: E402
from vi_fusion_ros.engines.load import load_engine  # noqa: E402
from vi_fusion_ros.explain.differentiable import Classifier, load_classifier  # noqa: E402
from vi_fusion_ros.explain.explanation import Explainer  # noqa: E402
from vi_fusion_ros.explain.maps import METHODS, class_activation, saliency  # noqa: E402
from vi_fusion_ros.training.datasets.base import Box  # noqa: E402
from vi_fusion_ros.types import Frame, FramePair, Mode  # noqa: E402


class Region(torch.nn.Module):
    """Label 1 is the thermal brightness around (24, 40); label 0 is the visible one around (8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(2, 2, 1, bias=False)
        self.features.weight.data = torch.eye(2)[:, :, None, None]

    def forward(self, visible, thermal):
        both = torch.nn.functional.avg_pool2d(torch.cat([visible.mean(1, keepdim=True), thermal], 1), 8)
        features = self.features(both)
        return torch.stack([features[:, 0, 1, 1], features[:, 1, 3, 5]], 1)


VISIBLE = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
THERMAL = np.random.default_rng(1).random((1, 1, 64, 96), np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_saliency_lies_where_the_answer_comes_from(method: str) -> None:
    found = saliency(Region(), VISIBLE, THERMAL, 1, method)
    assert not found.visible.any()
    row, column = np.unravel_index(found.thermal.argmax(), found.thermal.shape)
    assert 20 <= row < 36
    assert 36 <= column < 52
    other = saliency(Region(), VISIBLE, THERMAL, 0, method)
    assert not other.thermal.any()
    assert np.unravel_index(other.both.argmax(), (64, 96))[0] < 24


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="saliency method 'magic'; expected one of gradient, perturbation"):
        saliency(Region(), VISIBLE, THERMAL, 0, "magic")


def test_class_activation_lies_where_the_answer_comes_from() -> None:
    bright = THERMAL.copy()
    bright[..., 24:32, 40:48] = 9
    row, column = np.unravel_index(class_activation(Region(), VISIBLE, bright, 1).argmax(), (64, 96))
    assert 20 <= row < 36
    assert 36 <= column < 52


def test_class_activation_has_the_size_of_the_image_and_no_negative_part(network_model: Path) -> None:
    found = class_activation(load_classifier(network_model), VISIBLE, THERMAL, 0)
    assert found.shape == (64, 96)
    assert found.min() >= 0


def test_the_classifier_in_torch_says_what_the_engine_says(network_model: Path) -> None:
    engine, classifier = load_engine(network_model), load_classifier(network_model)
    with torch.no_grad():
        probabilities = torch.sigmoid(classifier(torch.from_numpy(VISIBLE), torch.from_numpy(THERMAL))).numpy()
    logits = engine.infer(VISIBLE, THERMAL).logits
    expected = engine.manifest.probabilities(logits, Mode.BOTH)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)
    assert np.abs(expected - 1 / (1 + np.exp(-logits)))[0, :2].min() > 0.01  # calibration by label took part


def test_what_is_explained_is_the_pipelines_answer(network_model: Path) -> None:
    rng = np.random.default_rng(2)
    pair = FramePair(
        Frame(rng.integers(0, 256, (50, 70, 3), np.uint8)), Frame(rng.integers(7000, 9000, (50, 70), np.uint16))
    )
    found = Explainer(network_model, "gradient").explain("pair", pair, [Box("person", 0, 0, 9, 9)])
    told = {score.label: score.probability for score in found.result.scores}
    assert {row.label: row.probability for row in found.labels} == {
        row.label: pytest.approx(told[row.label], abs=1e-6) for row in found.labels
    }
    assert "person" in {row.label for row in found.labels}
    assert found.labels[0].activation.shape == (50, 70)


def test_a_model_of_other_making_is_refused_in_one_sentence(model: Path) -> None:
    with pytest.raises(ValueError, match="says nothing of the network's sizes; expected a model of vi-fusion export"):
        load_classifier(model)
    with pytest.raises(ValueError, match=r"needs the \.onnx that the engine was built from"):
        load_classifier(Path("model.engine"))


def test_the_classifier_is_calibrated_by_label():
    network = torch.nn.Module()
    network.forward = lambda visible, _thermal: SimpleNamespace(logits=visible.mean((2, 3)))
    calibration = Calibration(np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, -1.0]), np.full(3, 0.5))
    classifier = Classifier(network, calibration)
    visible = torch.ones(1, 3, 8, 8)
    np.testing.assert_allclose(classifier(visible, visible[:, :1]).numpy(), [[1.0, 0.0, 0.5]])
