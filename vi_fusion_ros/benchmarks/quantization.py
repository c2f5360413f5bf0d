"""What quantising a model costs, in fusion and in classification, and what it gains on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.benchmarks.backends import BackendMissingError, Case, load
from vi_fusion_ros.benchmarks.timing import interleaved, summary
from vi_fusion_ros.engines.engine_manifest import Size, size_text
from vi_fusion_ros.evaluation.fusion.evaluation import RANKED
from vi_fusion_ros.evaluation.metrics.fusion import fusion_metrics, to_gray
from vi_fusion_ros.evaluation.model_fusion import fuse_pair
from vi_fusion_ros.types import Image

Pair = tuple[Image, Image]


def fusion_loss(model: Path, quantized: Path, pairs: list[Pair]) -> dict[str, Any]:
    """Fusion metrics of both models on the same pairs.

    Args:
        model: the float model.
        quantized: made from it.
        pairs: visible (H, W, 3) BGR and thermal (H, W), uint8, registered.

    Returns:
        ``frames``; by metric of those that are ranked, the means ``float`` and ``int8`` and their ``difference``; and
        ``psnr_db``, of the quantised fused images against the float ones, mean and minimum over frames.
    """
    rows: dict[str, list[list[float]]] = {"float": [], "int8": []}
    psnr = []
    for visible, thermal in pairs:
        grey = to_gray(visible)
        fused = [to_gray(fuse_pair(path, visible, thermal).fused) for path in (model, quantized)]
        for name, image in zip(rows, fused, strict=True):
            rows[name].append(list(fusion_metrics(image, grey, thermal, RANKED).values()))
        psnr.append(_psnr_db(*fused))
    means = {name: np.mean(values, axis=0) for name, values in rows.items()}
    metrics = {
        metric: {"float": float(a), "int8": float(b), "difference": float(b - a)}
        for metric, a, b in zip(RANKED, means["float"], means["int8"], strict=True)
    }
    return {
        "frames": len(pairs),
        "metrics": metrics,
        "psnr_db": {"mean": float(np.mean(psnr)), "min": float(np.min(psnr))},
    }


def classification_loss(model: Path, quantized: Path, root: Path, layout: str, jobs: int) -> dict[str, Any]:
    """Macro F1 and accuracy of both models on a labelled dataset: ``float``, ``int8`` and ``difference``."""
    from vi_fusion_ros.evaluation.metrics.classification import figures
    from vi_fusion_ros.evaluation.prediction import judge

    results = {}
    for name, path in (("float", model), ("int8", quantized)):
        judged = judge(root, layout, path, jobs)
        results[name] = figures(judged, "both", np.ones(len(judged.samples), bool))
    return {
        "layout": layout,
        "n": results["float"]["n"],
        **{
            key: {
                "float": results["float"][key],
                "int8": results["int8"][key],
                "difference": results["int8"][key] - results["float"][key],
            }
            for key in ("macro_f1", "accuracy")
        },
    }


def speed(model: Path, quantized: Path, size: Size, threads: int, runs: int) -> dict[str, Any]:
    """Latency of both models on the CPU, in turn.

    Returns:
        ``float`` and ``int8`` in ONNX Runtime, ``openvino_int8`` where OpenVINO is installed; ``speedup`` and
        ``openvino_speedup`` against ``float``, above 1 where int8 is the faster. ``openvino_fault`` in place of both
        where OpenVINO does not compute the same.
    """
    fault: dict[str, str] = {}
    calls = {
        name: load(Case("onnxruntime", path, size, threads)).call
        for name, path in (("float", model), ("int8", quantized))
    }
    try:
        calls["openvino_int8"] = load(Case("openvino", quantized, size, threads)).call
    except BackendMissingError:
        pass
    except ValueError as error:
        fault["openvino_fault"] = str(error)
    rows = {name: summary(times) for name, times in interleaved(calls, runs).items()}
    speedups = {
        name.replace("int8", "speedup"): round(rows["float"]["median_ms"] / row["median_ms"], 3)
        for name, row in rows.items()
        if name != "float"
    }
    return {"size": size_text(size), "threads": threads, "runs": runs, **rows, **speedups, **fault}


def _psnr_db(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    error = float(np.mean(np.square(a.astype(np.float64) - b)))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))
