"""The signatures of an installed TensorRT, as far as vi_fusion_ros uses them.

``python test/support/tensorrt_signatures.py`` writes test/engines/data/tensorrt/VERSION.pyi: classes, methods,
parameters and enumerators whose names occur in vi_fusion_ros/engines/trt/, read from the bindings by mypy's stubgen.
To be run with each version that test_tensorrt_api.py checks, whenever the code uses another name. Needs mypy, and no
GPU.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ROOT / "vi_fusion_ros" / "engines" / "trt"
FOLDER = ROOT / "test" / "engines" / "data" / "tensorrt"

_KEPT_ALWAYS = {"__init__", "__int__", "__index__", "__eq__", "__hash__", "__len__", "__getitem__"}


def installed(folder: Path) -> Path:
    """Write the stubs of the installed bindings into ``folder``; the one with the classes in it."""
    stubgen = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
    modules = ["-m", "tensorrt", "-m", "tensorrt.tensorrt"]
    subprocess.run([sys.executable, "-c", stubgen, "--inspect-mode", *modules, "-o", folder], check=True)
    for stub in folder.rglob("*.pyi"):
        stub.write_text(_repaired(stub.read_text()))
    classes = next(stub for stub in folder.rglob("*.pyi") if "class IBuilderConfig" in stub.read_text())
    classes.write_text(classes.read_text() + "\n__version__: str\n")  # which the package adds
    return classes


def _repaired(stub: str) -> str:
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


def names_in(folder: Path) -> set[str]:
    """Whatever our code may mean a part of TensorRT by: attributes, methods, and text for getattr()."""
    nodes = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return attributes | methods | {text for text in texts if text.isidentifier()} | _KEPT_ALWAYS


def pruned(stub: str, names: set[str]) -> str:
    """What of a stub ``names`` can reach: members by name, classes by name or because a kept member has that type."""
    tree = ast.parse(stub)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    wanted, kept = [name for name in classes if name in names], {}
    while wanted:
        name = wanted.pop()
        if name in kept:
            continue
        node = kept[name] = classes[name]
        for part in [part for part in ast.walk(node) if isinstance(part, ast.ClassDef)]:
            part.body = [member for member in part.body if _name(member) in names] or [ast.Expr(ast.Constant(...))]
        mentioned = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        wanted += [other for other in classes if other in mentioned]
    rest = [node for node in tree.body if _name(node) == "__version__"]
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    ordered = [node for name, node in classes.items() if name in kept]
    text = ast.unparse(ast.Module([*imports, *ordered, *rest], []))
    short = re.sub(r":\n +\.\.\.$", ": ...", text, flags=re.MULTILINE)
    return re.sub(r"\n\n(?=    )", "\n", short) + "\n"


def _name(member: ast.stmt) -> str:
    if isinstance(member, (ast.FunctionDef, ast.ClassDef)):
        return member.name
    target = member.target if isinstance(member, ast.AnnAssign) else None
    return target.id if isinstance(target, ast.Name) else ""


def main() -> None:
    """Write the signatures of the TensorRT that is installed."""
    import tensorrt

    with tempfile.TemporaryDirectory() as scratch:
        text = pruned(installed(Path(scratch)).read_text(), names_in(OURS))
    path = FOLDER / f"{tensorrt.__version__}.pyi"
    path.write_text(
        f"# TensorRT {tensorrt.__version__}: the signatures of its Python bindings that vi_fusion_ros uses.\n"
        "# Written by test/support/tensorrt_signatures.py.\n" + text,
        encoding="utf-8",
    )
    print(path)


if __name__ == "__main__":
    main()
