"""tf2_msgs where there is none: the wheels of ROS 2 lack it. Built as everybody builds messages, by colcon."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

_PACKAGE_XML = """<package format="3"><name>tf2_msgs</name><version>0.0.0</version><description>TFMessage</description>
<maintainer email="a@example.org">a</maintainer><license>BSD</license><buildtool_depend>ament_cmake</buildtool_depend>
<buildtool_depend>rosidl_default_generators</buildtool_depend><depend>geometry_msgs</depend>
<member_of_group>rosidl_interface_packages</member_of_group><export><build_type>ament_cmake</build_type></export>
</package>"""
_CMAKE = """cmake_minimum_required(VERSION 3.14)
project(tf2_msgs)
find_package(ament_cmake REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces(tf2_msgs msg/TFMessage.msg DEPENDENCIES geometry_msgs)
ament_package()"""


def environment(folder: Path) -> dict[str, str]:
    """The environment in which processes can import tf2_msgs; builds it below ``folder`` where it is missing."""
    if importlib.util.find_spec("tf2_msgs") is not None:
        return {}
    source, install = folder / "src" / "tf2_msgs", folder / "install"
    (source / "msg").mkdir(parents=True)
    (source / "msg" / "TFMessage.msg").write_text("geometry_msgs/TransformStamped[] transforms\n")
    (source / "package.xml").write_text(_PACKAGE_XML)
    (source / "CMakeLists.txt").write_text(_CMAKE)
    command = ["colcon", "--log-base", "log", "build", "--merge-install", "--cmake-args", "-G", "Ninja",
               f"-DPython3_EXECUTABLE={sys.executable}"]  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    built = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    python = next(install.glob("lib/python3*/*-packages"))
    first = {"LD_LIBRARY_PATH": install / "lib", "PYTHONPATH": python, "AMENT_PREFIX_PATH": install}
    return {name: f"{path}:{os.environ.get(name, '')}" for name, path in first.items()}
