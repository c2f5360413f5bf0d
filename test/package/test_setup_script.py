"""scripts/setup: what it says when the machine lacks something, and that a second run does nothing."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What the script calls before it installs anything, the compiler and Python aside.
TOOLS = ("bash", "cat", "cut", "dirname", "env", "flock", "mkdir", "rm", "sha256sum", "uname")


def link(folder: Path, *names: str) -> None:
    """Put links to these programs into the folder."""
    for name in names:
        program = shutil.which(name)
        assert program, name
        (folder / name).symlink_to(program)


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what scripts/setup reads, in which nothing is set up, with a PATH of its own in ``bin``."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    link(tmp_path / "bin", *TOOLS)
    return tmp_path


def setup(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), **variables}
    return subprocess.run(
        [str(checkout / "scripts" / "setup"), *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def test_without_a_compiler_it_names_the_package(checkout: Path):
    done = setup(checkout)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "scripts/setup: a C++ compiler is missing: apt-get install g++\n"


def test_without_python_it_names_the_packages(checkout: Path):
    program(checkout / "bin" / "g++", "exit 0")
    # A launcher with no version behind it, as version managers have them, is no Python.
    program(checkout / "bin" / "python3", "exit 1")
    done = setup(checkout, VI_FUSION_PYTHON=str(checkout / "bin" / "python3"))
    assert done.returncode == 1
    assert done.stderr.endswith("apt-get install python3 python3-venv python3-dev\n")


def test_an_interpreter_that_is_not_there_is_named(checkout: Path):
    program(checkout / "bin" / "g++", "exit 0")
    done = setup(checkout, VI_FUSION_PYTHON="python3.99")
    assert done.returncode == 1
    assert done.stderr == "scripts/setup: VI_FUSION_PYTHON=python3.99: there is no such interpreter\n"


@pytest.mark.parametrize(
    ("break_it", "package"),
    [
        ("import sys; sys.version_info = (3, 9, 1)", "python3 python3-venv python3-dev"),
        (
            "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'ensurepip' else f(n)",
            "-venv",
        ),
        ("import sysconfig; sysconfig.get_paths = lambda: {'include': '/nowhere'}", "-dev"),
    ],
    ids=["too old", "no venv", "no headers"],
)
def test_an_incomplete_python_is_one_sentence(checkout: Path, break_it: str, package: str):
    program(checkout / "bin" / "g++", "exit 0")
    (checkout / "site").mkdir()
    (checkout / "site" / "sitecustomize.py").write_text(break_it, encoding="utf-8")
    program(checkout / "bin" / "lame", f'PYTHONPATH="{checkout}/site" exec "{base_python()}" "$@"')
    done = setup(checkout, VI_FUSION_PYTHON="lame")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3" in done.stderr
    assert done.stderr.endswith(f"{package}\n")


def test_an_unknown_option_is_refused(checkout: Path):
    done = setup(checkout, "--gpu")
    assert done.returncode == 1
    assert done.stderr == "scripts/setup: unknown option --gpu; usage: scripts/setup [--test] [--train]\n"


def test_a_virtual_environment_of_somebody_else_is_left_alone(checkout: Path):
    program(checkout / "bin" / "g++", "exit 0")
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "theirs").write_text("precious", encoding="utf-8")
    done = setup(checkout, VI_FUSION_PYTHON=base_python())
    assert done.returncode == 1
    assert "was not made by scripts/setup; move it away" in done.stderr
    assert (checkout / ".venv" / "theirs").read_text(encoding="utf-8") == "precious"


def test_a_second_run_has_nothing_to_do():
    if not (ROOT / ".ros_ws" / "env.sh").exists():
        pytest.skip("this checkout was not set up by scripts/setup")
    command = [str(ROOT / "scripts" / "setup"), "--test"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    again = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert again.stdout == "[setup] everything is in place\n"
    assert again.stderr == ""


def test_paths_baked_into_the_wheels_become_this_environments():
    patched = runpy.run_path(str(ROOT / "scripts" / "patch_wheels.py"))["patched"]
    baked = (
        'INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include/std_msgs;/opt/python/cp310-cp310/include/python3.10;'
        '/opt/python/cp310-cp310/lib/python3.10/site-packages/numpy/_core/include"'
    )
    import numpy as np

    include = sysconfig.get_paths()["include"]
    expected = f'INTERFACE_INCLUDE_DIRECTORIES "${{_IMPORT_PREFIX}}/include/std_msgs;{include};{np.get_include()}"'
    assert patched(baked) == expected
    assert patched(expected) == expected


def base_python() -> str:
    """The interpreter that this environment was made from."""
    return getattr(sys, "_base_executable", sys.executable)
