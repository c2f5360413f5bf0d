"""What the fusion loss trades: ``python -m vi_fusion_ros.training.tradeoff CONFIG --json F --picture P``.

Each variant trains ``CONFIG`` (which starts from a trained network) with other weights of the fusion loss, and is
measured on its test frames. No variant is best in every metric; the curve shows what the committed weights chose.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.evaluation.reports.plots import new_figure
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.config import TrainConfig, load_config
from vi_fusion_ros.training.data import frames_of, load_splits
from vi_fusion_ros.training.packed import PackedPairs
from vi_fusion_ros.training.report import frame_fusion
from vi_fusion_ros.training.trainer import train

VARIANTS: dict[str, dict[str, float]] = {
    "committed": {},
    "half the intensity": {"intensity": 4.0},
    "an eighth of the intensity, a quarter of the gradient": {"intensity": 1.0, "gradient": 1.0},
    "twice the intensity": {"intensity": 16.0},
    "twice the gradient": {"gradient": 8.0},
    "no contrast": {"contrast": 0.0},
    "thrice the contrast": {"contrast": 1.8},
}
"""Weights that a variant changes, by its name."""


def tradeoff(config: TrainConfig) -> dict[str, Any]:
    """Train and measure every variant.

    Args:
        config: starts from a trained network and has frames.

    Returns:
        By variant: ``weights`` that differ and the ``metrics``, means over the test frames.

    Raises:
        ValueError: no frames, or bad data.
    """
    part = frames_of(config.data, "test")
    if part is None or config.start_from is None:
        raise ValueError("a trade-off needs data.frames and start_from")
    frames, splits = PackedPairs(part, config.data.cache), load_splits(config.data)
    rows = {}
    for number, (name, changes) in enumerate(VARIANTS.items()):
        varied = dataclasses.replace(
            config, name=f"{config.name}/{number}", fusion=dataclasses.replace(config.fusion, **changes)
        )
        network = FusionNet(config.network)
        network.load_state_dict(checkpoint_weights(train(varied, splits=splits).last)[1])
        rows[name] = {"weights": changes, "metrics": frame_fusion(network, frames)}
    return rows


def picture(rows: dict[str, Any], path: Path) -> None:
    """VIF, Qabf and SSIM against SCD, one point a variant."""
    figure = new_figure(12, 4)
    for axis, metric in zip(figure.subplots(1, 3), ("VIF", "Qabf", "SSIM"), strict=True):
        for name, row in rows.items():
            x, y = row["metrics"]["SCD"], row["metrics"][metric]
            axis.scatter(x, y, color="black" if name == "committed" else "tab:blue", label=name)
            axis.annotate(str(list(rows).index(name)), (x, y), textcoords="offset points", xytext=(5, 4))
        axis.set(xlabel="SCD", ylabel=metric)
        axis.grid(alpha=0.3)
    figure.suptitle("  ".join(f"{number}: {name}" for number, name in enumerate(rows)), fontsize=9)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Write the JSON and the picture."""
    parser = argparse.ArgumentParser(description="Show what the weights of the fusion loss trade.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    args = parser.parse_args()
    rows = tradeoff(load_config(args.config))
    write_json(args.json, rows)
    picture(rows, args.picture)


if __name__ == "__main__":
    main()
