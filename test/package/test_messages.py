"""The message definitions: every field says what it is, and what was built is what stands in msg/."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = sorted((ROOT / "msg").glob("*.msg"))

FIELD = re.compile(r"^(?P<type>[\w/\[\]<>=]+)\s+(?P<name>[a-z]\w*)\s*(?P<comment>#\s*\S.*)?$")


def fields(path: Path) -> list[re.Match[str]]:
    """The lines that define a field, constants left out."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [match for line in lines if line and line[0] != "#" and (match := FIELD.match(line))]


def documented(path: Path) -> set[str]:
    """Fields with a comment on their line, or in a block of lines (no blank between) that begins with one."""
    names: set[str] = set()
    block_has_comment = False
    for line in (raw.strip() for raw in path.read_text(encoding="utf-8").splitlines()):
        if not line:
            block_has_comment = False
        elif line.startswith("#"):
            block_has_comment = True
        elif (match := FIELD.match(line)) and (match["comment"] or block_has_comment):
            names.add(match["name"])
    return names


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_every_field_is_commented(path: Path):
    assert path.read_text(encoding="utf-8").startswith("# "), "a definition begins with what the message is"
    assert [match["name"] for match in fields(path) if match["name"] not in documented(path)] == []


@pytest.mark.ros
@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_the_built_message_has_these_fields(path: Path):
    pytest.importorskip("rclpy", reason="ROS 2 is not sourced")
    message = getattr(importlib.import_module("vi_fusion_ros.msg"), path.stem)
    assert list(message.get_fields_and_field_types()) == [match["name"] for match in fields(path)]


@pytest.mark.ros
def test_messages_cross_the_wire():
    serialization = pytest.importorskip("rclpy.serialization", reason="ROS 2 is not sourced")
    from vi_fusion_ros.msg import DetectedObject, FusedClassification, LabelScore

    sent = FusedClassification(model_id="m", mode=FusedClassification.MODE_THERMAL_ONLY, overlap=0.5)
    sent.labels = [LabelScore(label="person", probability=0.75, present=True)]
    box = {"x": 1.5, "y": 2.0, "width": 30.0, "height": 60.25}
    sent.objects = [
        DetectedObject(label="person", probability=0.5, **box, mean_temperature=300.0, max_temperature=310.0)
    ]
    received = serialization.deserialize_message(serialization.serialize_message(sent), FusedClassification)
    assert received == sent
