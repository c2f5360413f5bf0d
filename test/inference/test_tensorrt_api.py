"""Our calls against the TensorRT that is installed, with or without a GPU: its signatures, and how it fails."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vi_fusion_ros.inference.trt import cuda
from vi_fusion_ros.inference.trt.platform import TensorRTUnavailableError, probe, tensorrt_version

try:
    VERSION, MISSING = tensorrt_version(), ""
except TensorRTUnavailableError as error:
    VERSION, MISSING = "", str(error)

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

PACKAGE = Path(__file__).parents[2] / "vi_fusion_ros" / "inference" / "trt"


def repaired(stub: str) -> str:
    """Stubs that Python can parse: TensorRT documents some optional arguments before required ones."""
    lines = stub.splitlines()
    while True:
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            number = (error.lineno or 1) - 1
            name = re.match(r"\s*def \w+\(", lines[number])
            if name is None:
                raise
            lines[number] = name.group() + "self, *args: object, **kwargs: object): ..."
        else:
            return "\n".join(lines) + "\n"


def test_our_code_type_checks_against_the_signatures_of_its_bindings(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    stubgen = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
    modules = ["-m", "tensorrt", "-m", "tensorrt.tensorrt"]
    subprocess.run([sys.executable, "-c", stubgen, "--inspect-mode", *modules, "-o", tmp_path], check=True)
    stubs = list(tmp_path.rglob("*.pyi"))
    assert any("class IBuilderConfig" in stub.read_text() for stub in stubs)
    for stub in stubs:
        stub.write_text(repaired(stub.read_text()))
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nmypy_path = {tmp_path}\nignore_missing_imports = True\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), "--no-incremental"]
    checked = subprocess.run([*command, str(PACKAGE)], capture_output=True, text=True, cwd=PACKAGE.parents[2])
    assert "tensorrt.pyi" in checked.stdout, "the stubs were not read: " + checked.stdout[-2000:]
    ours = [line for line in checked.stdout.splitlines() if line.startswith("vi_fusion_ros/")]
    assert ours == [], f"TensorRT {VERSION}"


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="the package onnx is not installed")
def test_without_a_gpu_the_builder_says_why_in_one_sentence():
    try:
        cuda.load()
    except cuda.CudaError:
        pass
    else:
        pytest.skip("there is a GPU: test/gpu/ has the tests for that")
    from vi_fusion_ros.inference.trt.builder import BuildError, BuildOptions, build

    said = []
    with pytest.raises(BuildError, match=f"TensorRT {VERSION} cannot start on this machine: .*CUDA") as caught:
        build(b"", BuildOptions(), said.append)
    assert "\n" not in str(caught.value)
    with pytest.raises(TensorRTUnavailableError, match=r"no GPU can be used: .*(driver|CUDA)"):
        probe()
