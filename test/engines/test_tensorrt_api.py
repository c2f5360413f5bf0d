"""Our calls against the signatures of TensorRT 8.6, 10 and 11; and, where TensorRT is installed, against that one."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")

from tensorrt_signatures import FOLDER, OURS, ROOT, installed

from vi_fusion_ros.engines.trt import cuda
from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe, tensorrt_version

try:
    INSTALLED, MISSING = tensorrt_version(), ""
except TensorRTUnavailableError as error:
    INSTALLED, MISSING = "", str(error)

needs_tensorrt = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SIGNATURES = {path.stem: path for path in FOLDER.glob("*.pyi")}
EIGHT, TEN, ELEVEN = ("8.6.0",), ("10.3.0", "10.13.3.9"), ("11.4.0.106",)


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Type-checks ``ours``, the folder of our code, against stubs of TensorRT; gives mypy's complaints about it."""
    cache = tmp_path_factory.mktemp("mypy")

    def _check(stub, ours=OURS):
        folder = tmp_path_factory.mktemp("stubs")
        (folder / "tensorrt.pyi").write_text(stub.read_text())
        # NumPy's own annotations are no concern of this test.
        (folder / "mypy.ini").write_text(
            "[mypy]\nignore_missing_imports = True\ncheck_untyped_defs = True\nexplicit_package_bases = True\n"
            f"mypy_path = {folder}\n[mypy-numpy.*]\nfollow_imports = silent\n[mypy-tensorrt]\nignore_errors = True\n"
        )
        command = [sys.executable, "-m", "mypy", "--config-file", folder / "mypy.ini", "--cache-dir", cache, ours]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "MYPYPATH": ""})
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if ": error:" in line]

    return _check


def test_there_are_signatures_of_every_generation():
    assert set(SIGNATURES) == {*EIGHT, *TEN, *ELEVEN}


@pytest.mark.parametrize("version", SIGNATURES)
def test_our_code_type_checks(check, version):
    """Else our code uses what this version lacks, or a name that tensorrt_signatures.py has not been run for."""
    assert check(SIGNATURES[version]) == []


WRONG = {
    "a method of another version": (
        "builder.py", "plan = builder.build_serialized_network(network, config)",
        "plan = builder.build_engine(network, config)", '"Builder" has no attribute "build_engine"',
    ),
    "a parameter too many": (
        "builder.py", "config.create_timing_cache(b\"\"), False)", "config.create_timing_cache(b\"\", 1), False)",
        'Too many arguments for "create_timing_cache"',
    ),
    "a parameter of another type": (
        "runtime.py", "self._context.set_tensor_address(name, tensor.device.value)",
        "self._context.set_tensor_address(0, tensor.device.value)", 'Argument 1 to "set_tensor_address"',
    ),
    "an attribute that is gone": (
        "builder.py", "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)",
        "config.max_workspace_size = options.workspace_mb << 20", '"IBuilderConfig" has no attribute',
    ),
    "an enumerator that is gone": (
        "builder.py", "trt.BuilderFlag.GPU_FALLBACK", "trt.BuilderFlag.FP16", 'has no attribute "FP16"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_a_version_lacks_is_seen(check, what, tmp_path):
    file, ours, wrong, complaint = WRONG[what]
    copy = tmp_path / "trt"
    shutil.copytree(OURS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / file).read_text()
    assert ours in text
    (copy / file).write_text(text.replace(ours, wrong))
    assert any(complaint in line for line in check(SIGNATURES[ELEVEN[0]], copy))


def members(version, name):
    """Names in a class of the signatures, with what each takes; None where there is no such class."""
    tree = ast.parse(SIGNATURES[version].read_text())
    node = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if node is None:
        return None
    return {
        **{part.target.id: [] for part in node.body if isinstance(part, ast.AnnAssign)},
        **{part.name: [a.arg for a in part.args.args] for part in node.body if isinstance(part, ast.FunctionDef)},
    }


@pytest.mark.parametrize(
    ("owner", "name", "versions"),
    [
        ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", EIGHT + TEN),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED", TEN + ELEVEN),
        ("BuilderFlag", "FP16", EIGHT + TEN),
        ("BuilderFlag", "INT8", EIGHT + TEN),
        ("IBuilderConfig", "progress_monitor", TEN + ELEVEN),
        ("DataType", "UINT8", EIGHT + TEN + ELEVEN),
    ],
)
def test_what_is_asked_for_by_name_is_where_we_expect_it(owner, name, versions):
    """No type check sees getattr(): where it finds nothing, an engine would be built with other flags in silence."""
    assert {version for version in SIGNATURES if name in members(version, owner)} == set(versions)


@pytest.mark.parametrize("version", TEN + ELEVEN)
def test_our_progress_monitor_is_one(version):
    theirs = members(version, "IProgressMonitor")
    source = ast.parse((OURS / "builder.py").read_text())
    ours = next(node for node in ast.walk(source) if isinstance(node, ast.ClassDef) and node.name == "Monitor")
    taken = {part.name: part.args.args for part in ours.body if isinstance(part, ast.FunctionDef)}
    assert set(taken) == set(theirs)
    for name in set(theirs) - {"__init__"}:
        assert [a.arg.lstrip("_") for a in taken[name]] == theirs[name]


def test_8_6_has_no_progress_monitor():
    assert members(EIGHT[0], "IProgressMonitor") is None


@needs_tensorrt
def test_our_code_type_checks_against_the_installed_bindings(check, tmp_path):
    assert check(installed(tmp_path)) == [], f"TensorRT {INSTALLED}"


@needs_tensorrt
@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="the package onnx is not installed")
def test_without_a_gpu_the_builder_says_why_in_one_sentence():
    try:
        cuda.load()
    except cuda.CudaError:
        pass
    else:
        pytest.skip("there is a GPU: test/gpu/ has the tests for that")
    from vi_fusion_ros.engines.trt.builder import BuildError, BuildOptions, build

    said = []
    with pytest.raises(BuildError, match=f"TensorRT {INSTALLED} cannot start on this machine: .*CUDA") as caught:
        build(b"", BuildOptions(), said.append)
    assert "\n" not in str(caught.value)
    with pytest.raises(TensorRTUnavailableError, match=r"no GPU can be used: .*(driver|CUDA)"):
        probe()
