"""Objects on their way out: as messages, and as JSON."""

import json
import math

import pytest

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.objects import as_json, message_fields, of_message
from vi_fusion_ros.types import HOT_REGION, DetectedObject

KNOWN = DetectedObject("person", 0.75, 1.5, 2.0, 31.5, 62.25, 300.0, 310.5)
UNKNOWN = DetectedObject("car", 0.123456789, 0.0, 0.0, 7.0 / 3, 1.0)
HOT = DetectedObject(HOT_REGION, math.nan, 4.0, 5.0, 20.0, 30.0, 310.0, 320.0)


def test_the_message_of_a_bag_has_the_same_fields():
    """Through CDR: NaN stays NaN."""
    store, name = typestore(), "vi_fusion_ros/msg/DetectedObject"
    for found in (KNOWN, UNKNOWN, HOT):
        sent = store.types[name](**message_fields(found))
        got = of_message(store.deserialize_cdr(store.serialize_cdr(sent, name), name))
        assert got.label == found.label
        assert got.box == pytest.approx(found.box)
        for mine, theirs in ((got.probability, found.probability), (got.max_kelvin, found.max_kelvin)):
            assert mine == pytest.approx(theirs, nan_ok=True)


@pytest.mark.ros
def test_the_message_of_ros_has_the_same_fields():
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from vi_fusion_ros import msg

    assert of_message(msg.DetectedObject(**message_fields(KNOWN))) == KNOWN
    assert math.isnan(msg.DetectedObject(**message_fields(UNKNOWN)).mean_temperature)
    hot = msg.DetectedObject(**message_fields(HOT))
    assert (hot.label, hot.max_temperature) == ("hot_region", 320)
    assert math.isnan(hot.probability)
    assert not of_message(hot).is_of_model


def test_json_knows_no_nan():
    text = json.dumps([as_json(KNOWN), as_json(UNKNOWN), as_json(HOT)], allow_nan=False)
    assert json.loads(text) == [
        {"label": "person", "probability": 0.75, "box": [1.5, 2, 31.5, 62.25], "mean_kelvin": 300, "max_kelvin": 310.5},
        {"label": "car", "probability": 0.123457, "box": [0, 0, 2.33, 1], "mean_kelvin": None, "max_kelvin": None},
        {"label": "hot_region", "probability": None, "box": [4, 5, 20, 30], "mean_kelvin": 310, "max_kelvin": 320},
    ]
