import os
import signal
import sys
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO_ROOT / "test" / "support"))

# Started in the background, we would start nodes that cannot be interrupted, and that therefore stay.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root of the source tree."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real image pairs; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("VI_FUSION_DATA") or REPO_ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real image pairs at {folder}; name their folder in VI_FUSION_DATA")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A tiny model with the fixed interface; see ``tiny_model``."""
    tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")
    return tiny_model.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def object_model(tmp_path_factory) -> Path:
    """The tiny model with objects."""
    tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")
    return tiny_model.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", outputs=tiny_model.WITH_OBJECTS)
