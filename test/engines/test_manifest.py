import json

import pytest

from vi_fusion_ros.engines.manifest import Manifest

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
    "temperature": [{"both": 1.0}, {"both": 0, "visible_only": 1, "thermal_only": 1}, 1.0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
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
