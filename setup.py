"""For `pip install -e .` and tools that look for it; the metadata is in setup.cfg, and colcon builds with CMake."""

from setuptools import setup

setup()
