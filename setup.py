"""For `pip install .` and tools that look for it; the metadata is in setup.cfg, and colcon builds with CMake."""

from setuptools import find_packages, setup

# Models, messages and configuration lie beside the package in the sources, and inside it where pip installs it:
# vi_fusion_ros/resources.py looks there.
SHARED = {
    "models": "models",
    "msg": "msg",
    "config": "config",
    "config.criteria": "config/criteria",
    "config.dds": "config/dds",
    "config.rigs": "config/rigs",
}

setup(
    packages=[*find_packages(include=["vi_fusion_ros*"]), *(f"vi_fusion_ros.share.{name}" for name in SHARED)],
    package_dir={f"vi_fusion_ros.share.{name}": folder for name, folder in SHARED.items()},
)
