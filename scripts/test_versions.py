"""Runs a few core tests with other versions of ONNX Runtime and OpenCV than the pinned ones, in this environment.

Each version goes to a folder of its own, without what it depends on, and comes first on PYTHONPATH: the environment
stays as it is. The exit status is 1 where a test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = {
    "onnxruntime": ("1.23.2", "1.24.4", "1.25.1", "1.26.0", "1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.1", "1.32.0"),
    "opencv-python-headless": ("4.6.0.66", "4.10.0.84", "4.11.0.86", "4.12.0.88", "4.13.0.92", "4.14.0.94", "5.0.0.93"),
}
BESIDE = {"4.6.0.66": ("numpy==1.26.4",)}  # the two of Ubuntu 24.04: that OpenCV is built for NumPy 1
MODULES = {"onnxruntime": "onnxruntime", "opencv-python-headless": "cv2"}
TESTS = {
    "onnxruntime": ("engines/test_onnx_engine.py", "pipeline"),
    "opencv-python-headless": ("images", "thermal", "registration/test_warp.py", "sources/test_video.py"),
}
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def run(package: str, version: str, folder: Path) -> dict[str, object]:
    """Install one version into ``folder`` and run the tests of its package; what came of it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    row: dict[str, object] = {"package": package, "version": version}
    wanted = [f"{package}=={version}", *BESIDE.get(version, ())]
    done = subprocess.run([*pip, "--target", folder, *wanted], capture_output=True, text=True)
    if done.returncode:
        return {**row, "not_installed": done.stderr.strip().splitlines()[-1]}
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    module = f"import {MODULES[package]} as m; print(m.__file__)"
    used = subprocess.run([sys.executable, "-c", module], env=environment, capture_output=True, text=True)
    if not used.stdout.startswith(str(folder)):
        return {**row, "failed": 1, "output": [used.stdout + used.stderr]}
    tests = [str(ROOT / "test" / name) for name in TESTS[package]]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_timeout", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines() or [done.stderr]
    row |= {word: int(count) for count, word in _COUNT.findall(lines[-1])}
    if done.returncode:
        row["output"] = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-5:]
    return row


def main() -> int:
    """Run all of them, print a line for each, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", choices=list(VERSIONS), help="this one alone")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the counts; with --package, those of others stay"
    )
    args = parser.parse_args()
    rows = []
    for package, versions in VERSIONS.items():
        for version in versions if args.package in (None, package) else ():
            with tempfile.TemporaryDirectory() as folder:
                rows.append(run(package, version, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        if args.package and args.json.exists():
            before = json.loads(args.json.read_text(encoding="utf-8"))["rows"]
            rows = [row for row in before if row["package"] != args.package] + rows
        told = {"command": "python scripts/test_versions.py --json", "python": platform.python_version(), "rows": rows}
        args.json.write_text(json.dumps({**told, "tests": TESTS}, indent=2) + "\n", encoding="utf-8")
    return int(any("output" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
