"""Pascal VOC annotation files: ``object`` elements with a ``name`` and a ``bndbox``."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.training.datasets.formats.annotations import Drawn, number, read_text


def read_voc(path: Path) -> list[Drawn]:
    """The objects of one image; none where nothing is annotated.

    Raises:
        DatasetError: the file is missing, empty, no XML, or no VOC annotation.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text:  # no annotation needs one, and the entities that it may declare can expand without end
        raise DatasetError(f"{path}: has a document type declaration; expected a plain VOC annotation")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"{path}: not XML ({error}); expected a VOC annotation") from error
    if root.tag != "annotation":
        raise DatasetError(f"{path}: an XML file of <{root.tag}>; expected a VOC <annotation>")
    return [_drawn(element) for element in root.findall("object")]


def _drawn(element: ElementTree.Element) -> Drawn:
    corners = (number(element.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Drawn(element.findtext("name", ""), *corners)
