"""``pip install .`` into an empty virtual environment: the README's lines of Python work there, the model included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "vi_fusion_ros",
    "models",
    "msg",
    "config",
    "setup.py",
    "setup.cfg",
    "package.xml",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
)

USE = """
import sys
import numpy as np
import vi_fusion_ros as v

assert not {"cv2", "onnxruntime"} & set(sys.modules), "importing the package is not free"
rng = np.random.default_rng(0)
visible = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
for thermal in (rng.integers(0, 256, (48, 64), dtype=np.uint8), rng.integers(29000, 31000, (48, 64)).astype(np.uint16)):
    result = v.load_pipeline()(visible, thermal)
    assert result.fused.shape == visible.shape
    assert result.probabilities and all(0 <= p <= 1 for p in result.probabilities.values())
assert isinstance(v.load_pipeline(), v.FusionPipeline)
pair = v.FramePair(v.Frame(visible), None)
assert isinstance(v.load_pipeline().process(pair), v.FusionResult)
print(v.__file__)
"""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Nothing of the environment of the tests: no PYTHONPATH, no sourced workspace. Proxies and pip's own settings stay.
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AMENT", "VIRTUAL_ENV"))
    }
    keep.pop("LD_LIBRARY_PATH", None)
    return subprocess.run([str(c) for c in command], cwd=cwd, env=keep, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the package and what it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("pip")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    reached = run(python, "-m", "pip", "install", "tqdm>=4.57", cwd=folder)
    if reached.returncode != 0:
        pytest.skip(f"PyPI cannot be reached: {reached.stderr.strip().splitlines()[-1]}")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    installed = run(python, "-m", "pip", "install", source, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return python


def test_the_public_api_works_in_an_empty_environment(python, tmp_path):
    done = run(python, "-c", USE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(python.parents[1])


def test_the_documented_example_runs(python, tmp_path):
    """The block of Python in docs/python_api.md that reads images, on two images."""
    text = (ROOT / "docs" / "python_api.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    make = "import cv2, numpy as np; a = np.arange(96 * 128, dtype=np.uint8).reshape(96, 128); "
    make += "cv2.imwrite('visible.png', np.dstack([a] * 3)); cv2.imwrite('thermal.png', a.astype(np.uint16) + 29000)"
    assert run(python, "-c", make, cwd=tmp_path).returncode == 0
    done = run(python, "-c", example, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "person" in done.stdout
    assert (tmp_path / "fused.png").exists()


def test_the_command_works_in_an_empty_environment(python, tmp_path):
    done = run(python.with_name("vi-fusion"), "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: vi-fusion")


def test_all_shared_files_are_in_the_package(python, tmp_path):
    where = run(python, "-c", "from vi_fusion_ros.resources import share_path; print(share_path())", cwd=tmp_path)
    share = Path(where.stdout.strip())
    expected = {
        path.relative_to(ROOT)
        for folder in ("models", "msg", "config")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(str(path) for path in expected if not (share / path).exists()) == []


def test_importing_the_package_is_free():
    code = "import sys, vi_fusion_ros; print(sorted({'numpy', 'cv2', 'onnxruntime', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_wrong_name_is_an_attribute_error():
    import vi_fusion_ros

    assert set(vi_fusion_ros.__all__) <= set(dir(vi_fusion_ros))
    with pytest.raises(AttributeError, match="no attribute 'load_pipelines'"):
        vi_fusion_ros.load_pipelines  # noqa: B018
