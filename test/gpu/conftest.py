"""Tests that need a GPU with TensorRT. Without one they are skipped, and say what is missing."""

import pytest

from vi_fusion_ros.engines.trt.platform import Platform, TensorRTUnavailableError, probe


@pytest.fixture(scope="session")
def platform() -> Platform:
    """TensorRT, CUDA and GPU of this machine."""
    try:
        return probe()
    except TensorRTUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def timing_cache(tmp_path_factory):
    """Shared by all builds of a session."""
    return tmp_path_factory.mktemp("timing") / "timing.cache"
