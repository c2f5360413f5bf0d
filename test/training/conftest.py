"""Small made datasets in the layouts of the real ones."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

COLORS = {"person": (40, 200), "car": (200, 60), "bicycle": (120, 120)}


def write_pair(visible, thermal, color, rng, size=(24, 20)):
    for path, level, planes in ((visible, color[0], 3), (thermal, color[1], 1)):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(-20, 20, (*size, planes))
        cv2.imwrite(str(path), np.clip(level + noise, 0, 255).astype(np.uint8).squeeze())


@pytest.fixture
def crops_root(tmp_path):
    """Crops of three labels, day and night, frames 0 to 29."""
    rng, root = np.random.default_rng(0), tmp_path / "crops"
    for light in ("day", "night"):
        for label, color in COLORS.items():
            for frame in range(0, 30, 3):
                name = f"{label}/{frame:05d}_0.jpg"
                write_pair(root / light / "visible" / name, root / light / "thermal" / name, color, rng)
    return root


@pytest.fixture
def frames_root(tmp_path):
    """Six frames of 96×80 pixels; the last one is not labelled."""
    rng, root, entries = np.random.default_rng(1), tmp_path / "frames", []
    for number in range(6):
        stem = f"F_{number:03d}"
        write_pair(root / "visible" / f"{stem}.png", root / "thermal" / f"{stem}.png", (90, 90), rng, (80, 96))
        entry = {"frame": stem, "size_wh": [96, 80], "day_night": "day", "labelled": number < 5}
        entries.append({**entry, "objects": [{"class": "car", "box_xyxy": [10, 10, 40, 40]}] if number < 5 else []})
    (root / "frames.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def config(crops_root, frames_root, tmp_path):
    """A run of seconds on the made datasets."""
    from vi_fusion_ros.training.config import TrainConfig, build

    return build(
        TrainConfig,
        {
            "name": "smoke",
            "runs": tmp_path / "runs",
            "data": {
                "crops": crops_root,
                "frames": frames_root,
                "crops_train": [[0, 18]],
                "crops_select": [[18, 24]],
                "crops_test": [[24, 30]],
                "frames_train": [[1, 4]],
                "frames_select": [[4, 5]],
                "frames_test": [[5, 7]],
                "cache": tmp_path / "cache",
            },
            "network": {"branch": 8, "blocks": 1, "fused": 8, "middle": 8, "deep": 16},
            "batch": {"crops": 12, "crop_sizes": [16], "patches": 2, "patch_size": 64, "paste": 1},
            "optim": {"epochs": 2, "steps": 3, "warmup": 2, "ema": 0.5, "freeze_norm": 0.5},
            "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False},
        },
    )
