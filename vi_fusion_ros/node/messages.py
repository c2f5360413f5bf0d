"""FusionResult to FusedClassification, and time stamps."""

from __future__ import annotations

import math
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from vi_fusion_ros.msg import DetectedObject, FusedClassification, LabelScore
from vi_fusion_ros.objects import message_fields
from vi_fusion_ros.types import Frame, FusionResult


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a ``builtin_interfaces/Time``."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_time(ns: int) -> Time:
    """``builtin_interfaces/Time`` of a stamp in nanoseconds."""
    return Time(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def to_header(frame: Frame) -> Header:
    """The header that a frame came with."""
    return Header(stamp=to_time(frame.stamp_ns), frame_id=frame.frame_id)


def to_classification(result: FusionResult, model_id: str) -> FusedClassification:
    """The classification message of a result."""
    pair = result.pair
    thermal_attention = result.thermal_attention
    return FusedClassification(
        header=to_header(pair.reference),
        thermal_stamp=to_time(pair.thermal.stamp_ns) if pair.thermal else Time(),
        pair_skew=pair.skew_ns / 1e9,
        mode=int(pair.mode),
        model_id=model_id,
        labels=[LabelScore(label=s.label, probability=s.probability, present=s.present) for s in result.scores],
        objects=[DetectedObject(**message_fields(found)) for found in result.objects],
        illumination=result.illumination,
        illumination_probability=result.illumination_probability,
        visible_attention=1.0 - thermal_attention,
        thermal_attention=thermal_attention,
        overlap=result.overlap,
    )


def to_plain(message: Any) -> Any:
    """A message as what JSON knows: dicts, lists, numbers and strings; NaN and infinity become None."""
    if hasattr(message, "get_fields_and_field_types"):
        return {name: to_plain(getattr(message, name)) for name in message.get_fields_and_field_types()}
    if isinstance(message, (str, bool, int)):
        return message
    if isinstance(message, float):
        return message if math.isfinite(message) else None
    return [to_plain(item) for item in message]
