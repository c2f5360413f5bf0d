"""Results as vision_msgs, for trackers, behaviours and viewers of others that read these. The package is optional."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from std_msgs.msg import Header

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.types import FusionResult

try:
    from vision_msgs.msg import (
        BoundingBox2D,
        Classification,
        Detection2D,
        Detection2DArray,
        LabelInfo,
        ObjectHypothesis,
        ObjectHypothesisWithPose,
        Point2D,
        Pose2D,
        VisionClass,
    )

    INSTALLED = True
    """Whether vision_msgs 4, that of Humble and later, is there; without, nothing else here may be used."""
except ImportError:
    INSTALLED = False

MISSING = (
    "vision_msgs is not installed: no ~/detections, ~/classification_vision and ~/label_info "
    "(apt: ros-$ROS_DISTRO-vision-msgs)"
)


def to_detections(result: FusionResult, header: Header) -> Any:
    """``vision_msgs/Detection2DArray`` of the objects of the model, the surest first.

    Hot regions are left out: a hypothesis needs a score, and they have none.

    Boxes are in pixels of the image that the result is drawn in, x right, y down, the corner of its first pixel at
    (0, 0). ``class_id`` is the key of the label in ``LabelInfo``, as text. Poses are left out: a box has none.
    """
    ids = _ids(score.label for score in result.scores)
    detections = [
        Detection2D(
            header=header,
            results=[ObjectHypothesisWithPose(hypothesis=_hypothesis(ids[found.label], found.probability))],
            bbox=BoundingBox2D(
                center=Pose2D(position=Point2D(x=(found.x0 + found.x1) / 2, y=(found.y0 + found.y1) / 2)),
                size_x=found.x1 - found.x0,
                size_y=found.y1 - found.y0,
            ),
        )
        for found in result.objects
        if found.is_of_model
    ]
    return Detection2DArray(header=header, detections=detections)


def to_classification(result: FusionResult, header: Header) -> Any:
    """``vision_msgs/Classification``: the probability of presence of each label, in the order of the manifest."""
    return Classification(
        header=header, results=[_hypothesis(key, score.probability) for key, score in enumerate(result.scores)]
    )


def to_label_info(manifest: Manifest, header: Header) -> Any:
    """``vision_msgs/LabelInfo``: labels by key, their place in the manifest, and the lowest threshold of objects."""
    return LabelInfo(
        header=header,
        class_map=[VisionClass(class_id=key, class_name=label) for label, key in _ids(manifest.labels).items()],
        threshold=min(map(float, manifest.object_calibration.thresholds), default=0.0),
    )


def _ids(labels: Iterable[str]) -> dict[str, int]:
    return {label: key for key, label in enumerate(labels)}


def _hypothesis(key: int, probability: float) -> Any:
    return ObjectHypothesis(class_id=str(key), score=float(probability))
