"""The fusion node as it is, but for where its better engine comes from: a copying process instead of TensorRT.

Arguments: the cache's folder, the builder's kind, then those of the node.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import copying

from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.hot_swap import HotSwapEngine
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.engines.select import Wanted
from vi_fusion_ros.node import fusion_node

FOLDER, CODE = Path(sys.argv.pop(1)), getattr(copying, sys.argv.pop(1))


Say = Callable[[str], None]


def select(model: Path, wanted: Wanted, log: Say, _warn: Say, on_failure: Say) -> Engine:
    """What ``select_engine`` does where TensorRT is there."""

    def supplier(_size: tuple[int, int]) -> copying.CopyingSupplier:
        return copying.CopyingSupplier(model, FOLDER, CODE, wanted.build_timeout_s, wanted.build)

    return HotSwapEngine(OnnxRuntimeEngine(model, wanted.threads), supplier, log, "there is a copier", on_failure)


fusion_node.select_engine = select
fusion_node.main()
