"""What a verification makes of an engine whose objects differ."""

import re
from dataclasses import replace

import pytest

pytest.importorskip("tiny_model", reason="the package onnx is not installed")

from vi_fusion_ros.engines.compile.verify import noise_pairs, verify
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine


class Changed(OnnxRuntimeEngine):
    """An engine that gets objects wrong."""

    change = staticmethod(lambda objects: None)

    def infer(self, visible, thermal):
        output = super().infer(visible, thermal)
        objects = output.objects.copy()
        self.change(objects[0])
        return replace(output, objects=objects)


def surer(objects):
    objects[1] += 1.0


def wider(objects):
    objects[2] += 10.0


def gone(objects):
    objects[0, 0] = float("nan")


@pytest.mark.parametrize(
    ("change", "precision", "sentence"),
    [
        (surer, "fp32", "an object's probability differs by 0.2.*; at most 0.05 is allowed"),
        (surer, "int8", ""),
        (wider, "fp16", "the boxes of an object have an IoU of 0.7.; at least 0.9 is required"),
        (wider, "int8", ""),
        (gone, "int8", "an object's probability differs by inf; at most 0.25 is allowed"),
    ],
)
def test_objects_that_differ(object_model, monkeypatch, change, precision, sentence):
    monkeypatch.setattr(Changed, "change", staticmethod(change))
    result = verify(Changed(object_model), OnnxRuntimeEngine(object_model), [], noise_pairs((96, 64)), precision)
    assert result.verified == (not sentence)
    if sentence:
        assert re.search(sentence, result.reason)


def test_a_model_without_objects(model):
    result = verify(OnnxRuntimeEngine(model), OnnxRuntimeEngine(model), [], noise_pairs((96, 64)), "fp32")
    assert (result.verified, result.probability, result.iou) == (True, None, None)
