"""Packages of messages that the wheels of ROS 2 lack, built as everybody builds messages, by colcon."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_PACKAGE_XML = """<package format="3"><name>{name}</name><version>0.0.0</version><description>messages</description>
<maintainer email="a@example.org">a</maintainer><license>Apache-2.0</license>
<buildtool_depend>ament_cmake</buildtool_depend><buildtool_depend>rosidl_default_generators</buildtool_depend><depend>std_msgs</depend>
<depend>geometry_msgs</depend><depend>builtin_interfaces</depend>
<member_of_group>rosidl_interface_packages</member_of_group><export><build_type>ament_cmake</build_type></export>
</package>"""
_CMAKE = """cmake_minimum_required(VERSION 3.14)
project({name})
find_package(ament_cmake REQUIRED)
find_package(std_msgs REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(builtin_interfaces REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces({name} {files} DEPENDENCIES std_msgs geometry_msgs builtin_interfaces)
ament_package()"""

TF2 = {"TFMessage": "geometry_msgs/TransformStamped[] transforms"}

BOND = {
    "Status": "std_msgs/Header header\nstring id\nstring instance_id\nbool active\nfloat32 heartbeat_timeout\n"
    "float32 heartbeat_period"
}

FOXGLOVE = {
    "CompressedVideo": "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format",
}

FFMPEG = {
    "FFMPEGPacket": "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n"
    "bool is_bigendian\nuint8[] data"
}

# Version 4, that of Humble and later: what the node publishes and what it consists of.
VISION = {
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "Classification": "std_msgs/Header header\nObjectHypothesis[] results",
    "Detection2D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nDetection2D[] detections",
    "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "VisionClass": "uint16 class_id\nstring class_name",
}


def environment(folder: Path, name: str, messages: Mapping[str, str]) -> dict[str, str]:
    """The environment in which processes can import a package of messages.

    Args:
        folder: an empty one; the package is built there where it is not installed and no run before has built it.
        name: of the package.
        messages: their definitions by name; they may use std_msgs, geometry_msgs and builtin_interfaces.
    """
    if importlib.util.find_spec(name) is not None:
        return {}
    kept = _kept(name, messages)
    install = kept if kept is not None and kept.is_dir() else _built(folder, name, messages)
    if kept is not None and install != kept:
        _keep(install, kept)
    python = next(install.glob("lib/python3*/*-packages"))
    first = {"LD_LIBRARY_PATH": install / "lib", "PYTHONPATH": python, "AMENT_PREFIX_PATH": install}
    return {name: f"{path}:{os.environ.get(name, '')}" for name, path in first.items()}


def _kept(name: str, messages: Mapping[str, str]) -> Path | None:
    """Where a package is kept for the next run; None where scripts/setup has not set this checkout up."""
    set_up = Path(__file__).resolve().parents[2] / ".ros_ws" / "env.sh"
    if not set_up.is_file():
        return None
    made_of = repr((set_up.read_text(), sys.version, sorted(messages.items()), _PACKAGE_XML, _CMAKE))
    return set_up.parent / "test_messages" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def _keep(install: Path, kept: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=kept.parent))
    shutil.copytree(install, part, dirs_exist_ok=True)
    try:
        part.rename(kept)
    except OSError:  # another suite was faster
        shutil.rmtree(part)


def _built(folder: Path, name: str, messages: Mapping[str, str]) -> Path:
    source = folder / "src" / name
    (source / "msg").mkdir(parents=True)
    for message, definition in messages.items():
        (source / "msg" / f"{message}.msg").write_text(f"{definition}\n")
    (source / "package.xml").write_text(_PACKAGE_XML.format(name=name))
    files = " ".join(f"msg/{message}.msg" for message in messages)
    (source / "CMakeLists.txt").write_text(_CMAKE.format(name=name, files=files))
    command = ["colcon", "--log-base", "log", "build", "--merge-install", "--cmake-args", "-G", "Ninja",
               f"-DPython3_EXECUTABLE={sys.executable}"]  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    built = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "install"
