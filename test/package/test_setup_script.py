"""scripts/setup: what it says when the machine lacks something, and that a second run does nothing."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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
    """A copy of what scripts/setup reads, in a path with a space, in which nothing is set up; its PATH is ``bin``."""
    folder = tmp_path / "check out"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "bin").mkdir()
    link(folder / "bin", *TOOLS)
    return folder


def setup(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), "PIP_NO_COMPILE": "1", **variables}
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


def test_a_ros_2_that_there_are_no_wheels_of_is_refused(checkout: Path):
    program(checkout / "bin" / "g++", "exit 0")
    done = setup(checkout, VI_FUSION_ROS="humble")
    assert done.returncode == 1
    assert done.stderr == "scripts/setup: VI_FUSION_ROS=humble: there are wheels of jazzy and kilted\n"
    assert not (checkout / ".venv").exists()


def test_a_virtual_environment_of_somebody_else_is_left_alone(checkout: Path):
    program(checkout / "bin" / "g++", "exit 0")
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "theirs").write_text("precious", encoding="utf-8")
    done = setup(checkout, VI_FUSION_PYTHON=base_python())
    assert done.returncode == 1
    assert "was not made by scripts/setup; move it away" in done.stderr
    assert (checkout / ".venv" / "theirs").read_text(encoding="utf-8") == "precious"


@contextmanager
def waiting_setup(checkout: Path) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A run that has found another one at work, and the lock that this one holds."""
    program(checkout / "bin" / "g++", "exit 0")
    (checkout / ".venv").mkdir()
    (checkout / ".ros_ws").mkdir()
    environment = {"PATH": str(checkout / "bin"), "VI_FUSION_PYTHON": base_python()}
    with (checkout / ".ros_ws" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.Popen(
            [checkout / "scripts" / "setup"], env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert run.stdout.readline() == "[setup] another scripts/setup is at work here; waiting for it\n"
            yield run, lock
        finally:
            run.kill()
            run.communicate()


def test_of_two_at_once_one_waits_and_then_goes_on(checkout: Path):
    with waiting_setup(checkout) as (second, lock):
        fcntl.flock(lock, fcntl.LOCK_UN)
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "was not made by scripts/setup" in errors  # which is what it has to say of this checkout


def test_an_interruption_is_one_sentence(checkout: Path):
    with waiting_setup(checkout) as (run, _):
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 130
        assert errors == "scripts/setup: interrupted; another run goes on from here\n"


@pytest.fixture
def set_up(checkout: Path) -> Path:
    """A checkout with a real virtual environment, in which "ROS 2" is one wheel of many files and colcon does nothing.

    The compiler's look for NumPy, which was what failed, is the stand-in patch_wheels.py's look for the wheel.
    """
    link(checkout / "bin", "cp", "date", "df", "find", "grep", "id", "ln", "ls", "mv", "sed", "sort", "tail", "tr")
    program(checkout / "bin" / "g++", "exit 0")
    for file in (checkout / "requirements").rglob("*.txt"):
        file.write_text("")
    require_many_files(checkout, 8)
    (checkout / "scripts" / "patch_wheels.py").write_text("import many_files.last\nprint('patched')\n")
    for name in ("cmake", "msg", "vi_fusion_ros", "config", "launch", "models"):
        (checkout / name).mkdir()
        (checkout / name / "file").write_text("")
    for name in ("CMakeLists.txt", "package.xml"):
        (checkout / name).write_text("")
    return checkout


def require_many_files(folder: Path, count: int) -> None:
    """Let the checkout need a wheel of many files; its metadata comes first, the last module last."""
    wheel = folder / "many_files-1.0-py3-none-any.whl"
    info = "many_files-1.0.dist-info"
    modules = [f"many_files/m{number}.py" for number in range(count)] + ["many_files/last.py"]
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: many-files\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        for module in modules:
            archive.writestr(module, "")
        archive.writestr(f"{info}/RECORD", "".join(f"{m},,\n" for m in [*modules, f"{info}/METADATA", f"{info}/WHEEL"]))
    (folder / "requirements" / "jazzy" / "ros.txt").write_text(f"many_files @ {wheel.as_uri()}\n")


def fake_colcon(checkout: Path) -> None:
    program(
        checkout / ".venv" / "bin" / "colcon", f"mkdir -p '{checkout}'/.ros_ws/install/lib/python3.99/site-packages"
    )


def test_a_run_that_is_killed_inside_pip_is_finished_by_the_next(set_up: Path):
    require_many_files(set_up, 8000)
    environment = {"PATH": str(set_up / "bin"), "HOME": str(set_up), "VI_FUSION_PYTHON": base_python()}
    killed = subprocess.Popen([set_up / "scripts" / "setup"], env=environment, start_new_session=True)
    until_there = time.monotonic() + 60
    while not list(set_up.glob(".venv/lib/python3.*/site-packages/many_files/m10.py")):
        assert killed.poll() is None
        assert time.monotonic() < until_there
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(set_up.glob(".venv/lib/python3.*/site-packages/many_files/last.py")), "pip was too fast"
    fake_colcon(set_up)
    done = setup(set_up, VI_FUSION_PYTHON=base_python())
    assert (done.returncode, done.stderr) == (0, "")
    assert "an earlier run was interrupted; these are installed anew: many_files" in done.stdout
    assert "patched" in done.stdout
    assert setup(set_up, VI_FUSION_PYTHON=base_python()).stdout == "[setup] everything is in place\n"


def test_a_package_that_pip_was_replacing_is_installed_anew(set_up: Path):
    environment = {"PATH": str(set_up / "bin"), "HOME": str(set_up)}
    subprocess.run([base_python(), "-m", "venv", "--without-pip", set_up / "v"], check=True, env=environment)
    (site,) = set_up.glob("v/lib/python3.*/site-packages")
    for name, record in (("whole", "whole.py,,\n"), ("gone", "gone/__init__.py,,\n"), ("cut", None)):
        (site / f"{name}-1.0.dist-info").mkdir()
        if record is not None:
            (site / f"{name}-1.0.dist-info" / "RECORD").write_text(record)
    (site / "whole.py").write_text("")
    (site / "~one").mkdir()
    command = [set_up / "v" / "bin" / "python", set_up / "scripts" / "repair_wheels.py"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "cut gone\n"
    assert sorted(path.name for path in site.iterdir()) == ["whole-1.0.dist-info", "whole.py"]


def stub_pip(checkout: Path, body: str) -> str:
    """The interpreter to set up with, so that the environment's pip is ``body`` and takes no time."""
    subprocess.run([base_python(), "-m", "venv", "--without-pip", checkout / "v"], check=True)
    (site,) = checkout.glob("v/lib/python3.*/site-packages")
    (site / "pip.py").write_text(f"{body}\n")
    python = checkout / "bin" / "python"
    # This one's venv module makes the environment that is at hand.
    program(
        python,
        f'[ "$1 $2" != "-m venv" ] || exec cp -a \'{checkout}\'/v/. \'{checkout}\'/.venv\nexec {base_python()} "$@"',
    )
    script = checkout / "scripts" / "setup"
    script.write_text(script.read_text().replace("sys._base_executable)", f"{str(python)!r})"))
    return str(python)


def test_a_patch_that_fails_is_not_taken_for_done(set_up: Path):
    (set_up / "scripts" / "patch_wheels.py").write_text("raise SystemExit('no patch')\n")
    python = stub_pip(set_up, "")
    for _ in range(2):
        done = setup(set_up, VI_FUSION_PYTHON=python)
        assert done.returncode == 1
        assert "no patch" in done.stderr


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: Could not find a version that satisfies the requirement numpy", "is the network there?"),
    ],
    ids=["full disk", "no network"],
)
def test_what_stopped_pip_is_named(set_up: Path, says: str, sentence: str):
    done = setup(set_up, VI_FUSION_PYTHON=stub_pip(set_up, f"raise SystemExit({says!r})"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("scripts/setup: ")
    assert sentence in last


@pytest.fixture
def public_checkout() -> Iterator[Path]:
    """A checkout in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "bin").mkdir()
    link(folder / "bin", *TOOLS, "df", "id", "tail", "tr")
    program(folder / "bin" / "g++", "exit 0")
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_checkout_that_cannot_be_written_is_one_sentence(public_checkout: Path):
    public_checkout.chmod(0o555)
    nobody = 65534 if os.geteuid() == 0 else None  # nothing is read-only for root
    done = subprocess.run(
        [public_checkout / "scripts" / "setup"], env={"PATH": str(public_checkout / "bin")}, user=nobody,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"scripts/setup: {public_checkout} cannot be written")
    assert done.stderr.count("\n") == 1


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
