"""A supplier of engines that needs no GPU: a real process "builds" a model by copying it, ONNX Runtime runs the copy.

Everything around TensorRT is what it is in the node: cache, process, threads, the change from one engine to the other.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vi_fusion_ros.engines.compile.build_process import BuildProcess
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.engine_cache import Found
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine

COPY = """
import shutil, sys, time
from pathlib import Path
model, built, go = map(Path, sys.argv[1:])
n = 0
while not go.exists():
    n += 1
    print(f"step {n}", flush=True)
    time.sleep(0.02)
for suffix in (".json", ".onnx"):
    shutil.copy(model.with_suffix(suffix), built.with_suffix(suffix))
"""

FAIL = "import sys; sys.exit('vi-fusion: the kernel fell over')"
HANG = "import time; print('timing kernels', flush=True); time.sleep(600)"
DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


class CopyingSupplier:
    """See ``upgrade.Supplier``.

    Args:
        model: what is copied.
        folder: the cache. The builder waits until a file ``go`` is in it.
        code: of the builder.
        timeout_s: of the builder.
        allowed: whether building is allowed.
    """

    name = "a copied engine"

    def __init__(
        self, model: Path, folder: Path, code: str = COPY, timeout_s: float = 60.0, allowed: bool = True
    ) -> None:
        self._model, self._code, self._timeout_s, self._allowed = model, code, timeout_s, allowed
        self._go = folder / "go"
        self._built = folder / "built.onnx"

    def find(self) -> Found:
        """The copy, if it is there."""
        return Found(self._built) if self._built.exists() else Found(None, "there is no copy")

    def build(self) -> BuildProcess | None:
        """Start to copy."""
        if not self._allowed:
            return None
        command = [sys.executable, "-c", self._code, str(self._model), str(self._built), str(self._go)]
        return BuildProcess(command, self._timeout_s)

    def load(self, path: Path | None) -> Engine:
        """Load the copy on one thread, which tells it from the original."""
        return OnnxRuntimeEngine(path or self._built, 1)
