"""Small datasets in the layouts in which the real ones ship. Each has four pairs, p0 to p3 in order.

Of the labels that the dataset annotates, p0 shows all, p1 a person only, and p2 and p3 none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

BOX = (4, 6, 14, 26)
"""Where every object is: x0, y0, x1, y1."""

WHO = (("person", "car", "bicycle"), ("person",), (), ())


def image(path: Path, width: int = 64, height: int = 48, deep: bool = False, grey: bool = False) -> Path:
    """Write noise that depends on the path alone."""
    rng = np.random.default_rng(sum(path.name.encode()))
    shape = (height, width) if grey or deep else (height, width, 3)
    pixels = rng.integers(7000, 9000, shape, dtype=np.uint16) if deep else rng.integers(0, 255, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def roadscene(root: Path) -> None:
    for k in range(4):
        image(root / f"crop_LR_visible/FLIR_0000{k}.jpg")
        image(root / f"cropinfrared/FLIR_0000{k}.jpg", grey=True)


def kaist(root: Path) -> None:
    for k, who in enumerate(WHO):
        video = f"set0{k}/V000"
        image(root / video / "visible/I00010.jpg")
        image(root / video / "lwir/I00010.jpg", grey=True)
        names = [{"bicycle": "cyclist"}.get(name, name) for name in who if name != "car"]
        write(root / f"annotations/{video}/I00010.txt", bbgt(*names))


def bbgt(*names: str) -> str:
    x0, y0, x1, y1 = BOX
    lines = [f"{name} {x0} {y0} {x1 - x0} {y1 - y0} 0 0 0 0 0 0 0" for name in names]
    return "\n".join(["% bbGt version=3", *lines, ""])


def llvip(root: Path) -> None:
    for k, who in enumerate(WHO):
        part = "train" if k < 2 else "test"
        image(root / f"visible/{part}/01000{k}.jpg")
        image(root / f"infrared/{part}/01000{k}.jpg", grey=True)
        write(root / f"Annotations/01000{k}.xml", voc(*(name for name in who if name == "person")))


def m3fd(root: Path) -> None:
    names = {"person": "People", "car": "Car", "bicycle": "Motorcycle"}
    for k, who in enumerate(WHO):
        image(root / f"Vis/0000{k}.png")
        image(root / f"Ir/0000{k}.png", grey=True)
        write(root / f"Annotation/0000{k}.xml", voc(*(names[name] for name in who)))


def voc(*names: str, box: tuple[object, ...] = BOX) -> str:
    sides = "".join(f"<{side}>{at}</{side}>" for side, at in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    objects = "".join(f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>" for name in names)
    return f"<annotation><size><width>64</width><height>48</height></size>{objects}</annotation>"


def presence(root: Path) -> None:
    rows = ["frame,time,person,car,bicycle"]
    for k, who in enumerate(WHO):
        image(root / f"visible/0000{k}D.jpg")
        image(root / f"thermal/0000{k}D.jpg", grey=True)
        rows.append(f"0000{k}D,day," + ",".join(str(int(label in who)) for label in WHO[0]))
    write(root / "presence.csv", "\n".join(rows))


MSRS_VALUES = {"car": 1, "person": 2, "bicycle": 3}


def msrs(root: Path) -> None:
    for k, who in enumerate(WHO):
        stem = f"train/{{}}/0000{k}{'DN'[k % 2]}.png" if k < 3 else "test/{}/00003N.png"
        image(root / stem.format("vi"))
        image(root / stem.format("ir"), grey=True)
        mask = np.zeros((48, 64), np.uint8)
        for column, name in enumerate(who):
            mask[3, column] = MSRS_VALUES[name]
        mask[40, 40] = 8
        path = root / stem.format("Segmentation_labels")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask)


def flir_v1(root: Path) -> None:
    for part, numbers in (("train", (1, 2)), ("val", (8863,)), ("video", (1,))):
        stem = "FLIR_video_{:05d}" if part == "video" else "FLIR_{:05d}"
        frames = [stem.format(number) for number in numbers]
        for frame in frames:
            image(root / part / "RGB" / f"{frame}.jpg", 90, 80)
            image(root / part / "thermal_8_bit" / f"{frame}.jpeg", grey=True)
            image(root / part / "thermal_16_bit" / f"{frame}.tiff", deep=True)
        first = {"train": 0, "val": 2, "video": 3}[part]
        shown = {f"thermal_8_bit/{frame}.jpeg": WHO[first + k] for k, frame in enumerate(frames)}
        write(root / part / "thermal_annotations.json", json.dumps(coco(shown, V1_CATEGORIES)))


V1_CATEGORIES = {1: "person", 2: "bicycle", 3: "car", 17: "dog"}
V2_CATEGORIES = {1: "person", 2: "bike", 3: "car", 10: "light"}


def coco(shown: dict[str, tuple[str, ...]], categories: dict[int, str], hours: str = "") -> dict:
    """A COCO file; every image also shows something that is none of our labels."""
    ids = {"person": 1, "bicycle": 2, "car": 3}
    x0, y0, x1, y1 = BOX
    images, annotations = [], []
    for number, (file, who) in enumerate(shown.items()):
        images.append({"id": number, "file_name": file, "extra_info": {"hours": hours} if hours else {}})
        for category in (*(ids[name] for name in who), max(categories)):
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "bbox": box})
    named = [{"id": number, "name": name} for number, name in categories.items()]
    return {"images": images, "annotations": annotations, "categories": named}


def flir_v2(root: Path) -> None:
    frames = {f"video-Vis-frame-00000{k}-a{k}.jpg": f"video-Ir-frame-00000{k}-b{k}.jpg" for k in range(4)}
    for visible, thermal in frames.items():
        image(root / "video_rgb_test/data" / visible, 90, 80)
        image(root / "video_thermal_test/data" / thermal, grey=True)
        image(root / "video_thermal_test/analyticsData" / Path(thermal).with_suffix(".tiff").name, deep=True)
    # The visible camera sees no person: at night only the thermal one does.
    seen = {f"data/{name}": tuple(w for w in who if w != "person") for name, who in zip(frames, WHO, strict=True)}
    felt = {f"data/{name}": who for name, who in zip(frames.values(), WHO, strict=True)}
    write(root / "video_rgb_test/coco.json", json.dumps(coco(seen, V2_CATEGORIES, "night")))
    write(root / "video_thermal_test/coco.json", json.dumps(coco(felt, V2_CATEGORIES, "night")))
    write(root / "rgb_to_thermal_vid_map.json", json.dumps(frames))


MAKERS: dict[str, Callable[[Path], None]] = {
    maker.__name__: maker for maker in (roadscene, presence, kaist, llvip, m3fd, msrs, flir_v1, flir_v2)
}
