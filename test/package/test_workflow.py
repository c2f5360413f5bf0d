"""The workflow of GitHub Actions and the Dockerfile name what is there; neither can be run here."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
FOLDERS = ("scripts", "requirements", "test", "docs", "models", "config")
IN_A_CHECKOUT = {".ros_ws/env.sh", "docs/_build"}  # what the steps before make


def commands(job):
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


@pytest.mark.parametrize("job", JOBS)
def test_every_path_that_a_job_names_is_there(job):
    paths = re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]+", commands(job))
    assert [path for path in paths if path not in IN_A_CHECKOUT and not (ROOT / path).exists()] == []
    assert commands(job).strip()


def test_the_wheels_are_tried_with_the_pythons_and_the_distributions_that_setup_takes():
    setup = (ROOT / "scripts" / "setup").read_text(encoding="utf-8")
    matrix = JOBS["wheels"]["strategy"]["matrix"]["include"]
    assert [entry["python"] for entry in matrix] == ["3.10", "3.11", "3.12", "3.13"]
    assert all(f"python{entry['python']}" in setup for entry in matrix)
    pinned = {path.name for path in (ROOT / "requirements").iterdir() if path.is_dir()}
    assert {entry["ros"] for entry in matrix} == pinned
    assert all(f"$DISTRO == {entry['ros']}" in setup for entry in matrix)


def test_apt_is_tried_with_the_distributions_of_the_documentation():
    distros = set(JOBS["apt"]["strategy"]["matrix"]["distro"])
    assert {"humble", "jazzy", "rolling"} <= distros
    page = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8").lower()
    assert all(distro in page for distro in distros - {"rolling"})


def test_what_the_dockerfile_copies_and_starts_is_there():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sources = [line.split()[1] for line in text.splitlines() if line.startswith("COPY")]
    assert all((ROOT / source).exists() for source in sources)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    needed = ("package.xml", "CMakeLists.txt", "cmake", "msg", "vi_fusion_ros", "config", "launch", "models")
    assert not set(needed) & set(ignored)
    assert (ROOT / "launch" / re.search(r'"(\w+\.launch\.py)"', text)[1]).is_file()
