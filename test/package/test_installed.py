"""What colcon installed, without the sources beside it: modules, messages, executables, shared files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def prefix() -> Path:
    """The install prefix of the package."""
    packages = pytest.importorskip("ament_index_python.packages", reason="ROS 2 is not sourced")
    try:
        return Path(packages.get_package_prefix("vi_fusion_ros"))
    except packages.PackageNotFoundError:
        pytest.skip("the package is not built, or its workspace is not sourced")


def installed_environment() -> dict[str, str]:
    """This process's environment, less the source tree."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path) != ROOT]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=installed_environment(), cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_and_messages_are_one_package(prefix: Path, tmp_path: Path):
    code = "import vi_fusion_ros.types as f, vi_fusion_ros.msg as m; print(f.__file__, m.__file__, sep='\\n')"
    frames, messages = python(code, tmp_path).split()
    assert Path(frames).parent == Path(messages).parents[1]
    assert prefix in Path(frames).parents


def test_every_module_is_installed(prefix: Path):
    (package,) = prefix.glob("**/*-packages/vi_fusion_ros")
    sources = {path.relative_to(ROOT / "vi_fusion_ros") for path in (ROOT / "vi_fusion_ros").rglob("*.py")}
    assert sorted(path for path in sources if not (package / path).exists()) == []


def test_from_the_source_tree_messages_are_found_too(prefix: Path):
    assert python("import vi_fusion_ros.msg as m; print(m.__file__)", ROOT).startswith(str(prefix))


def test_the_node_starts_without_torch(prefix: Path, tmp_path: Path):
    python("import sys; sys.modules['torch'] = None; import vi_fusion_ros.node.fusion_node", tmp_path)


def test_the_node_starts_without_what_only_evaluation_and_methods_need(prefix: Path, tmp_path: Path):
    extras = ("scipy", "sklearn", "matplotlib", "pycocotools", "sporco", "av")
    python(f"import sys; sys.modules.update(dict.fromkeys({extras})); import vi_fusion_ros.node.fusion_node", tmp_path)


@pytest.mark.parametrize("name", ["fusion_node", "player_node"])
def test_ros2_run_finds_the_nodes(prefix: Path, name: str):
    executable = prefix / "lib" / "vi_fusion_ros" / name
    assert os.access(executable, os.X_OK)
    assert executable.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")


def test_the_command_is_on_the_path(prefix: Path, tmp_path: Path):
    command = shutil.which("vi-fusion")
    assert command, "vi-fusion is not on PATH"
    done = subprocess.run(
        [command, "--help"], env=installed_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: vi-fusion")


@pytest.mark.parametrize("folder", ["config", "launch", "models"])
def test_shared_files_are_installed(prefix: Path, folder: str):
    sources = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sources
    share = prefix / "share" / "vi_fusion_ros" / folder
    assert sorted(path for path in sources if not (share / path.relative_to(ROOT / folder)).exists()) == []


def test_a_worker_process_may_import_the_command(prefix, tmp_path):
    command = prefix / "bin" / "vi-fusion"
    # As multiprocessing's spawn does it in each worker: the file runs under this name and must not start the command.
    python(f"import runpy; runpy.run_path({str(command)!r}, run_name='__mp_main__')", tmp_path)
