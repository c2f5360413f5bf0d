"""The Python in use and the packages that it finds."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from vi_fusion_ros.doctor.findings import Finding, Level

OLDEST, NEWEST = (3, 10), (3, 13)
_OF_LYRICAL = (3, 14)


class Package(NamedTuple):
    """A package that this one uses.

    Attributes:
        module: its import name.
        distribution: its name in the package index, or "" where it comes with ROS 2.
        without: what cannot be done without it.
        needed: whether nothing works without it.
    """

    module: str
    distribution: str
    without: str
    needed: bool = False


PACKAGES = (
    Package("numpy", "numpy", "nothing works", True),
    Package("cv2", "opencv-python-headless", "nothing works", True),
    Package("yaml", "PyYAML", "nothing works", True),
    Package("onnxruntime", "onnxruntime", "no model is served", True),
    Package("rosbags", "rosbags", "no bag is read or written"),
    Package("tqdm", "tqdm", "no vi-fusion command with a progress bar"),
    Package("message_filters", "", "no pairing.policy 'approximate' and 'exact'; 'nearest', the default, needs it not"),
    Package("vision_msgs", "", "no ~/detections, ~/classification_vision and ~/label_info"),
    Package("bond", "", "no bond with nav2's lifecycle manager, which then needs bond_timeout: 0.0"),
    Package("launch_ros", "", "no launch files"),
    Package("av", "av", "no video (H.264), neither of cameras nor of the fused image: ffmpeg and foxglove"),
    Package("mcap", "mcap", "no truncated MCAP bags"),
    Package("sklearn", "scikit-learn", "no vi-fusion evaluate classification and presence"),
    Package("pycocotools", "pycocotools", "no vi-fusion evaluate detection"),
    Package("matplotlib", "matplotlib", "no curves in reports"),
    Package("onnx", "onnx", "no vi-fusion export"),
    Package("torch", "torch", "no training and export; the nodes need it not"),
    Package("lightning", "lightning", "no training"),
)


def python() -> Iterator[Finding]:
    """The interpreter."""
    version = sys.version_info[:2]
    says = f"{platform.python_version()}, {sys.executable}"
    if version < OLDEST:
        yield Finding("Python", "version", Level.ERROR, says, "Python 3.10 or later is needed.")
    elif version == _OF_LYRICAL:
        advice = "It is that of ROS 2 Lyrical (Ubuntu 26.04). Nothing of this package was run on it yet."
        yield Finding("Python", "version", Level.NOTE, says, advice)
    elif version > NEWEST:
        advice = f"Nothing was tried beyond Python {NEWEST[0]}.{NEWEST[1]}."
        yield Finding("Python", "version", Level.WARNING, says, advice)
    else:
        yield Finding("Python", "version", Level.OK, says)


def packages() -> Iterator[Finding]:
    """What is there of ``PACKAGES``, and what each missing one costs."""
    for package in PACKAGES:
        if importlib.util.find_spec(package.module) is not None:
            yield Finding("Packages", package.module, Level.OK, _version(package))
            continue
        source = f"pip install {package.distribution}" if package.distribution else _apt(package.module)
        advice = f"Without it: {package.without}. {source}"
        yield Finding("Packages", package.module, Level.ERROR if package.needed else Level.NOTE, "missing", advice)


def _version(package: Package) -> str:
    for name in filter(None, (package.distribution, package.module)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "installed"


def _apt(module: str) -> str:
    return f"apt install ros-$ROS_DISTRO-{module.replace('_', '-')}"
