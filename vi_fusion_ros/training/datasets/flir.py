"""FLIR ADAS, versions 1 and 2: two cameras beside each other, whose images are *not* registered.

Thermal frames are 640×512 over 45 degrees; visible frames have other sizes, from 480×720 to 2048×1536, and in version 2
a wider view. So the samples have ``registered=False``: presence labels hold for the pair, boxes only in the image that
they were drawn in, and ``PairDataset.read`` refuses the pair until somebody has registered it. Both versions have each
thermal frame twice: with 8 bits, as the camera's automatic gain shows it, and with 16, its counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vi_fusion_ros.training.datasets.base import DatasetError, Problem, Sample
from vi_fusion_ros.training.datasets.formats.annotations import UNKNOWN, AnnotatedPairs, Labelling, together
from vi_fusion_ros.training.datasets.formats.coco import CocoImage, read_coco, read_json
from vi_fusion_ros.training.datasets.labels import ILLUMINATION

V1_PARTS = ("train", "val", "video")
"""Folders of version 1."""

V2_MAP = "rgb_to_thermal_vid_map.json"
"""The file of version 2 that says which thermal frame belongs to which visible one."""

_NOT_REGISTERED = (
    "its visible and thermal images differ in size and field of view: register them before training or evaluating"
)


class _Flir(AnnotatedPairs):
    """What both versions share.

    Args:
        root: the dataset's folder.
        name: key of ``labels.DATASET_NAMES``.
        bits: of the thermal images, 8 or 16.
    """

    def __init__(self, root: Path, name: str, bits: int) -> None:
        if bits not in (8, 16):
            raise ValueError(f"{name} has thermal images of 8 and 16 bits, not of {bits}")
        super().__init__(root, name)
        self.bits = bits
        self.notes.append(_NOT_REGISTERED)

    def _coco(self, path: Path) -> dict[str, CocoImage]:
        try:
            images, faults = read_coco(path)
        except DatasetError as error:
            self.problems.append(Problem.of(error, "label"))
            return {}
        self.problems += [Problem(path, fault, "label") for fault in faults]
        return images

    def _labels(self, images: dict[str, CocoImage], path: Path, annotation: Path) -> Labelling:
        """What a COCO file says of an image; an image that a file in order does not list is a problem."""
        if path.stem in images:
            return self.checked(path, images[path.stem].drawn)
        if images:
            self.problems.append(Problem(path, f"not listed in {annotation}; its labels are unknown", "label"))
        return UNKNOWN


class FlirV1(_Flir):
    """FLIR ADAS 1.3: ``{train,val,video}/{RGB,thermal_8_bit,thermal_16_bit}/`` and ``thermal_annotations.json``.

    Only the thermal images are annotated. ``order`` is the number of the frame; the frames of ``video`` count from 1
    again, so they follow after 100000.

    Args:
        root: the folder that holds the parts, or one part.
        bits: of the thermal images, 8 or 16.
    """

    def __init__(self, root: Path, bits: int = 8) -> None:
        super().__init__(root, "FLIR ADAS v1", bits)
        folder = f"thermal_{bits}_bit"
        parts = [part for part in (root, *(root / name for name in V1_PARTS)) if (part / folder).is_dir()]
        if not parts:
            raise DatasetError(f"{root}: no {folder} folder; expected {{{','.join(V1_PARTS)}}}/{{RGB,{folder}}}")
        for part in parts:
            self._add(part, folder)

    def _add(self, part: Path, folder: str) -> None:
        annotation = part / "thermal_annotations.json"
        images = self._coco(annotation)
        for stem, visible, thermal in self.pairs(part / "RGB", part / folder):
            found = self._labels(images, thermal, annotation)
            frame = stem.rpartition("_")[2]
            if not frame.isdigit():
                self.problems.append(
                    Problem(visible, "name does not end in a frame number; expected FLIR_00123", "pairing")
                )
                continue
            sample = Sample(
                f"{part.name}/{stem}",
                visible,
                thermal,
                found.present,
                found.known,
                order=int(frame) + (100_000 if "video" in stem else 0),
                registered=False,
                thermal_boxes=found.boxes,
            )
            self.samples.append(sample)


class FlirV2(_Flir):
    """FLIR ADAS 2: the frames of ``video_rgb_test`` and ``video_thermal_test`` that the map file pairs.

    Each folder holds ``data/`` and ``coco.json``; 16-bit thermal frames are in ``analyticsData/``. A pair shows what
    either image shows. The frames of ``images_rgb_*`` and ``images_thermal_*`` were taken at different moments, without
    a map, so they are no pairs and are left out. ``order`` is the rank of the thermal frame, videos one after another.

    Args:
        root: the folder that holds the map file.
        bits: of the thermal images, 8 or 16.
    """

    def __init__(self, root: Path, bits: int = 8) -> None:
        super().__init__(root, "FLIR ADAS v2", bits)
        self.notes.append(f"its images_* folders hold no pairs: only the video frames listed in {V2_MAP} are used")
        if not (root / V2_MAP).is_file():
            raise DatasetError(f"{root}: no {V2_MAP}; without it no visible frame has a thermal partner")
        partners = read_json(root / V2_MAP)
        if not isinstance(partners, dict):
            raise DatasetError(f"{root / V2_MAP}: not a map of visible to thermal file names")
        self._annotations = [root / f"video_{kind}_test" / "coco.json" for kind in ("rgb", "thermal")]
        self._images = [self._coco(path) for path in self._annotations]
        listed = sorted(((str(thermal), str(visible)) for visible, thermal in partners.items()))
        for order, (thermal, visible) in enumerate(listed):
            self._add(order, root / "video_rgb_test" / "data" / Path(visible).name, self._thermal(Path(thermal)))

    def _thermal(self, name: Path) -> Path:
        folder = self.root / "video_thermal_test"
        return folder / "data" / name.name if self.bits == 8 else folder / "analyticsData" / f"{name.stem}.tiff"

    def _add(self, order: int, visible: Path, thermal: Path) -> None:
        missing = [path for path in (visible, thermal) if not path.is_file()]
        if missing:
            self.problems += [
                Problem(path, f"no such image; {V2_MAP} lists it in a pair", "pairing") for path in missing
            ]
            return
        seen, felt = (
            self._labels(images, path, annotation)
            for images, path, annotation in zip(self._images, (visible, thermal), self._annotations, strict=True)
        )
        both = together(seen, felt)
        sample = Sample(
            visible.stem,
            visible,
            thermal,
            both.present,
            both.known,
            seen.boxes,
            _illumination(self._images[0].get(visible.stem)) or _illumination(self._images[1].get(thermal.stem)),
            order,
            registered=False,
            thermal_boxes=felt.boxes,
        )
        self.samples.append(sample)


def _illumination(image: CocoImage | None) -> str | None:
    hours: Any = image.about.get("hours") if image else None
    return hours if hours in ILLUMINATION else None  # "dawn/dusk" is neither
