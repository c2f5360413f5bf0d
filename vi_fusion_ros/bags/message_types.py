"""The message types that bags are read and written with."""

from __future__ import annotations

from functools import cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vi_fusion_ros.resources import share_path

_OWN = ("DetectedObject", "LabelScore", "FusedClassification", "FusionStatus")


@cache
def typestore() -> Typestore:
    """The message types of ROS 2 Jazzy and of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name in _OWN:
        text = (share_path() / "msg" / f"{name}.msg").read_text(encoding="utf-8")
        store.register(get_types_from_msg(text, f"vi_fusion_ros/msg/{name}"))
    return store
