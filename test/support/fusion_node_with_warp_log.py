"""The fusion node as it is; it prints when, for which sizes and on which thread the warp's maps are computed."""

from __future__ import annotations

import threading
from typing import Any

from vi_fusion_ros.node import fusion_node
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.registration import warp

compute, process = warp._geometry, FusionPipeline.process


def computed(rig: Any, thermal_size: Any, visible_size: Any) -> Any:
    """As ``warp._geometry``."""
    executor = threading.current_thread() is threading.main_thread()
    print(f"maps of {rig.source} {thermal_size} {'executor' if executor else threading.get_ident()}", flush=True)
    return compute(rig, thermal_size, visible_size)


def processed(self: FusionPipeline, pair: Any) -> Any:
    """As ``FusionPipeline.process``."""
    print(f"pair fused on {threading.get_ident()}", flush=True)
    return process(self, pair)


warp._geometry = computed
FusionPipeline.process = processed  # type: ignore[method-assign]
fusion_node.main()
