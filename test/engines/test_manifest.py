import json
import re

import numpy as np
import pytest

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.types import Mode

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import write_model


@pytest.fixture
def document(model):
    return json.loads(model.with_suffix(".json").read_text())


def test_it_is_read_and_written_back(model, tmp_path):
    manifest = Manifest.load(model.with_suffix(".json"))
    assert manifest.labels == ("bright", "warm")
    assert manifest.illumination == ("day", "night")
    assert manifest.multiple == 16
    assert manifest.temperature["visible_only"] == 2
    manifest.save(tmp_path / "copy.json")
    assert Manifest.load(tmp_path / "copy.json") == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["copy.json"]


def test_the_one_of_the_shipped_model(repo_root):
    path = repo_root / "models" / "default.json"
    if not path.exists():
        pytest.skip("there is no default model yet")
    manifest = Manifest.load(path)
    manifest.check_onnx(path.with_suffix(".onnx"))
    assert set(manifest.labels) == {"person", "car", "bicycle"}


def test_novelty_is_read(document, tmp_path):
    assert load(document, tmp_path, novelty=NOVELTY).novelty == NOVELTY
    assert load(document, tmp_path, novelty={}).novelty == {}


def test_keys_of_later_versions_are_ignored(document, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**document, "colour": "blue"}))
    assert Manifest.load(path).model_id == "tiny-1"


WRONG = {
    "model_id": ["", 5, None],
    "onnx_sha256": ["abc", "G" * 64, None],
    "labels": [[], "person", ["a", "a"], [1], None],
    "thresholds": [{"bright": 1.5, "warm": 0}, {"bright": "high", "warm": 0}, [0.5, 0.5], {"bright": True, "warm": 0}],
    "illumination": [[], [""], "day"],
    "input": [{}, {"multiple": 0}, {"multiple": "16"}, {"multiple": True}, 16],
    "temperature": [
        {"both": 1.0},
        {"both": 0, "visible_only": 1, "thermal_only": 1},
        1.0,
        {"both": {"bright": 1, "warm": 0}, "visible_only": 1, "thermal_only": 1},
    ],
}
NOVELTY = {
    "centres": {"a": [1, 2]},
    "whitening": [[1, 0], [0, 1]],
    "distance": 2.0,
    "agreement": {"usual": 0.1, "least": 0.0},
}
WRONG_OPTIONS = {
    "outputs": ["fused", [1], None],
    "bias": [1.0, {"both": 1.0}, {"both": {"warm": "high"}}, {"day": {"warm": 1.0}}, None],
    "novelty": [
        [],
        {"centres": {"a": [1, 2]}},
        {**NOVELTY, "centres": {"a": [1, 2, 3]}},
        {**NOVELTY, "whitening": [[1, 0]]},
        {**NOVELTY, "distance": 0},
        {**NOVELTY, "agreement": {"usual": 0.1, "least": 0.1}},
        None,
    ],
    "objects": [[], {"temperature": {"warm": 0}}, {"bias": 1}, {"thresholds": {"warm": 2}}, None],
}
BY_MODE = {
    "both": {"bright": 0.1, "warm": 0.2},
    "visible_only": {"bright": 0.3, "warm": 0.4},
    "thermal_only": {"bright": 0.5, "warm": 0.6},
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in {**WRONG, **WRONG_OPTIONS}.items() for value in values]
)
def test_a_wrong_field_is_one_sentence(document, tmp_path, name, value):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**document, name: value}))
    with pytest.raises(ValueError, match=rf"m\.json: {name} is .*; expected") as error:
        Manifest.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", WRONG)
def test_a_missing_field_is_one_sentence(document, tmp_path, name):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({key: value for key, value in document.items() if key != name}))
    with pytest.raises(ValueError, match=f"{name} is missing; expected"):
        Manifest.load(path)


def test_a_label_without_threshold(document, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**document, "thresholds": {"bright": 0.5}}))
    with pytest.raises(ValueError, match="no entry for the label 'warm'"):
        Manifest.load(path)


def load(document, tmp_path, **changes):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**document, **changes}))
    return Manifest.load(path)


def test_probabilities_are_of_one_temperature_a_mode(document, tmp_path):
    manifest = load(document, tmp_path)
    logits = np.array([[1.0, -3.0], [0.0, 800.0]], np.float32)
    np.testing.assert_allclose(manifest.probabilities(logits, Mode.BOTH), 1 / (1 + np.exp(-logits.astype(float))))
    np.testing.assert_allclose(manifest.probabilities(logits, Mode.VISIBLE_ONLY), 1 / (1 + np.exp(-logits / 2.0)))
    for mode in Mode:
        assert [manifest.threshold(mode, label) for label in manifest.labels] == [0.5, 0.6]


def test_probabilities_are_calibrated_by_mode_and_label(document, tmp_path):
    temperature = {"both": {"bright": 2.0, "warm": 4}, "visible_only": 3.0, "thermal_only": {"bright": 1, "warm": 1}}
    bias = {"both": {"warm": 1.5}, "thermal_only": {"bright": -1, "warm": 2}}
    manifest = load(document, tmp_path, temperature=temperature, bias=bias, thresholds=BY_MODE)
    expected = {Mode.BOTH: [0.5, (1 - 1.5) / 4], Mode.VISIBLE_ONLY: [1 / 3, 1 / 3], Mode.THERMAL_ONLY: [2, -1]}
    for mode, scores in expected.items():
        got = manifest.probabilities(np.ones(2, np.float32), mode)
        np.testing.assert_allclose(got, 1 / (1 + np.exp(-np.array(scores))))
    assert manifest.threshold(Mode.VISIBLE_ONLY, "warm") == 0.4
    assert manifest.calibration(Mode.THERMAL_ONLY).thresholds.tolist() == [0.5, 0.6]
    manifest.save(tmp_path / "copy.json")
    assert Manifest.load(tmp_path / "copy.json") == manifest


def test_objects_are_calibrated_by_label(document, tmp_path):
    plain = load(document, tmp_path).object_calibration
    assert [plain.temperature.tolist(), plain.bias.tolist(), plain.thresholds.tolist()] == [[1, 1], [0, 0], [0.3, 0.3]]
    objects = {"temperature": {"warm": 2}, "bias": {"warm": -1.0}, "thresholds": {"bright": 0.9}, "iou": 0.5}
    given = load(document, tmp_path, objects=objects).object_calibration
    assert [given.temperature.tolist(), given.bias.tolist(), given.thresholds.tolist()] == [[1, 2], [0, -1], [0.9, 0.3]]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"thresholds": {**BY_MODE, "both": {"warm": 0.5}}}, "thresholds.both has no entry for the label 'bright'"),
        (
            {"temperature": {"both": 1, "visible_only": {"warm": 1}, "thermal_only": 1}},
            "temperature.visible_only has no entry for the label 'bright'",
        ),
        ({"bias": {"both": {"cold": 1.0}}}, "bias.both names 'cold', which is no label; expected bright, warm"),
        ({"objects": {"thresholds": {"cold": 1.0}}}, "objects.thresholds names 'cold', which is no label"),
    ],
)
def test_labels_that_are_missing_or_unknown_in_a_calibration(document, tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=re.escape(f"m.json: {sentence}")):
        load(document, tmp_path, **changes)


@pytest.mark.parametrize("value", [{"both": {"bright": 0.5, "warm": 0.5}}, {**BY_MODE, "night": BY_MODE["both"]}])
def test_thresholds_by_mode_name_each_mode(document, tmp_path, value):
    with pytest.raises(ValueError, match=r"thresholds is .*; expected .* each of both, visible_only, thermal_only"):
        load(document, tmp_path, thresholds=value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "it is not text"),
        (b"[]", "not a JSON object"),
    ],
)
def test_what_is_no_manifest(tmp_path, content, sentence):
    path = tmp_path / "m.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        Manifest.load(path)
    assert str(path) in str(error.value)


def test_another_onnx_file_is_refused(tmp_path):
    one, other = write_model(tmp_path / "a.onnx"), write_model(tmp_path / "b.onnx", logits_factor=5.0)
    Manifest.load(one.with_suffix(".json")).check_onnx(one)
    with pytest.raises(ValueError, match="not the one that its manifest describes"):
        Manifest.load(one.with_suffix(".json")).check_onnx(other)
