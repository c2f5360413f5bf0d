import json

import numpy as np
import pytest

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.engines.manifest import sha256
from vi_fusion_ros.resources import default_model

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from tiny_model import OUTPUTS, SIDES, WITH_OBJECTS, write_model


def inputs(height=32, width=48):
    random = np.random.default_rng(0)
    return random.random((1, 3, height, width), np.float32), random.random((1, 1, height, width), np.float32)


def test_it_serves_the_model_at_any_size(model):
    engine = load_engine(model, 1)
    for size in ((16, 16), (32, 48), (480, 640)):
        visible, thermal = inputs(*size)
        output = engine.infer(visible, thermal)
        luma = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), visible, (0, 1))[None]
        np.testing.assert_allclose(output.fused, np.maximum(luma, thermal), atol=1e-6)
        assert output.attention.shape == (1, 1, *size)
        assert output.logits.shape == output.illumination.shape == (1, 2)
    assert engine.manifest.model_id == "tiny-1"
    assert "onnxruntime" in engine.description
    assert "1 thread" in engine.description
    assert engine.reason


def test_outputs_are_not_written_to_again(model):
    engine = load_engine(model, 1)
    first = engine.infer(*inputs())
    kept = first.fused.copy()
    engine.infer(*(1 - tensor for tensor in inputs()))
    np.testing.assert_array_equal(first.fused, kept)


def test_a_closed_engine_says_so(model):
    engine = load_engine(model)
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(*inputs())


def test_sizes_that_the_model_does_not_take_are_one_sentence(model):
    visible, _ = inputs(32, 48)
    _, thermal = inputs(16, 16)
    with pytest.raises(ValueError, match="model tiny-1 failed on an image of 48x32: ") as error:
        load_engine(model, 1).infer(visible, thermal)
    assert "\n" not in str(error.value)


def refused(path, sentence, threads=1):
    with pytest.raises(ValueError, match=sentence) as error:
        load_engine(path, threads)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_files_that_are_missing(tmp_path):
    assert str(tmp_path) in refused(tmp_path / "no_such.onnx", "is missing; expected an ONNX file")
    path = write_model(tmp_path / "alone.onnx")
    path.with_suffix(".json").unlink()
    refused(path, "manifest .*alone.json cannot be read")


def test_a_file_of_another_kind(tmp_path):
    refused(tmp_path / "model.pt", "unknown kind; expected an .onnx or .engine file")


@pytest.mark.parametrize("damage", ["garbage", "empty", "truncated"])
def test_a_corrupt_model(tmp_path, damage):
    path = write_model(tmp_path / "m.onnx")
    whole = path.read_bytes()
    path.write_bytes({"garbage": b"garbage" * 100, "empty": b"", "truncated": whole[: len(whole) // 2]}[damage])
    refused(path, "not the one that its manifest describes")
    document = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**document, "onnx_sha256": sha256(path)}))
    refused(path, r"m\.onnx cannot be loaded: ")


def test_another_interface(tmp_path):
    refused(
        write_model(tmp_path / "a.onnx", outputs=("fused", "logits", "illumination")), "expected visible, thermal and"
    )
    refused(write_model(tmp_path / "b.onnx", visible_shape=(1, 3, 48, 64)), "with free H and W")
    refused(
        write_model(tmp_path / "c.onnx", {"labels": ["bright"]}), r"logits has the shape \(1, 2\); expected \(1, 1\)"
    )
    refused(write_model(tmp_path / "d.onnx", {"illumination": ["day"]}), "illumination has the shape")


def test_objects_come_where_the_model_has_them(model, object_model):
    assert load_engine(model, 1).infer(*inputs()).objects is None
    visible, thermal = inputs()
    objects = load_engine(object_model, 1).infer(visible, thermal).objects
    assert (objects.shape, objects.dtype) == ((1, 10, 4, 6), np.float32)
    means = thermal.reshape(4, 8, 6, 8).mean((1, 3))
    np.testing.assert_allclose(objects[0, 1], means * 16 - 8, atol=1e-5)
    sides = [side for sides in SIDES.values() for side in sides]
    np.testing.assert_array_equal(objects[0, 2:], np.broadcast_to(np.reshape(sides, (8, 1, 1)), (8, 4, 6)))


def test_objects_of_another_shape(tmp_path):
    path = write_model(tmp_path / "a.onnx", {"input": {"multiple": 12}}, outputs=WITH_OBJECTS)
    refused(path, r"objects has the shape \(1, 10, 1, 3\); expected \(1, 10, 1, 2\) by its manifest")


def test_a_model_decides_how_large_its_places_are(tmp_path):
    path = write_model(tmp_path / "a.onnx", outputs=WITH_OBJECTS, place=4)
    assert load_engine(path, 1).infer(*inputs()).objects.shape == (1, 10, 8, 12)


def test_outputs_that_only_the_manifest_has(tmp_path):
    path = write_model(tmp_path / "a.onnx", {"outputs": WITH_OBJECTS})
    refused(
        path, "a.onnx has no output objects, which its manifest names; it has fused, attention, logits, illumination"
    )
    assert (
        load_engine(write_model(tmp_path / "b.onnx", {"outputs": OUTPUTS}, outputs=WITH_OBJECTS)).outputs
        == WITH_OBJECTS
    )


def test_threads(model):
    refused(model, "threads is 0; expected at least 1", threads=0)
    one, two = (load_engine(model, threads).infer(*inputs(480, 640)) for threads in (1, 2))
    for name in ("fused", "attention", "logits", "illumination"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_the_shipped_model_gives_the_same_bytes_again_and_on_any_number_of_threads():
    if not default_model().exists():
        pytest.skip("there is no default model yet")
    outputs = [load_engine(default_model(), threads).infer(*inputs(96, 128)) for threads in (1, 1, 2)]
    for name in ("fused", "attention", "logits", "illumination"):
        for other in outputs[1:]:
            np.testing.assert_array_equal(getattr(other, name), getattr(outputs[0], name))
