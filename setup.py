"""For `pip install .`; metadata is in setup.cfg, the version in package.xml, and colcon builds with CMake."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

# Models, messages and configuration lie beside the package in the sources, and inside it where pip installs it:
# vi_fusion_ros/resources.py looks there.
SHARED = {
    "models": "models",
    "models.methods": "models/methods",
    "msg": "msg",
    "config": "config",
    "config.criteria": "config/criteria",
    "config.dds": "config/dds",
    "config.profiles": "config/profiles",
    "config.rigs": "config/rigs",
}

setup(
    version=ElementTree.parse(Path(__file__).with_name("package.xml")).findtext("version"),
    packages=[*find_packages(include=["vi_fusion_ros*"]), *(f"vi_fusion_ros.share.{name}" for name in SHARED)],
    package_dir={f"vi_fusion_ros.share.{name}": folder for name, folder in SHARED.items()},
)
