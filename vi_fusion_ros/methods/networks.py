"""The ONNX files of the methods that run a network: each says in its metadata of which methods it is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.errors import one_line

METHODS = "vi_fusion.methods"
"""Key of the metadata: names of methods, with commas between."""
FAITHFUL = "vi_fusion.faithful"
"""Key of the metadata: what ``Method.faithful`` is with these weights."""
LABELS = "vi_fusion.labels"
"""Key of the metadata: of a detector, what it finds, with commas between."""

Tensor = npt.NDArray[np.float32]


class Network:
    """Runs the network of a file, on one thread.

    Args:
        path: ONNX file, as ``vi-fusion export`` writes it.

    Attributes:
        methods: names of the methods that it is of.
        faithful: what it makes of them.
        labels: of a detector: what it finds.
        outputs: names of what it returns.

    Raises:
        ValueError: no such file, no ONNX file, or one that names no method; one sentence.
    """

    def __init__(self, path: Path) -> None:
        # Methods without weights do without this runtime.
        from vi_fusion_ros.engines.onnx_engine import open_session

        if not path.is_file():
            raise ValueError(f"weights {path} are missing; expected an ONNX file of a fusion method")
        self._path, self._session = path, open_session(path, 1)
        about = self._session.get_modelmeta().custom_metadata_map
        self.methods, self.labels = (
            tuple(name for name in about.get(key, "").split(",") if name) for key in (METHODS, LABELS)
        )
        self.faithful = about.get(FAITHFUL, "")
        self.outputs = tuple(made.name for made in self._session.get_outputs())
        if not self.methods:
            raise ValueError(f"weights {path} name no fusion method; expected a file that vi-fusion export made of one")

    def __call__(self, *images: Tensor) -> list[Tensor]:
        """Outputs of images (1, C, H, W), in the order of the file.

        Raises:
            ValueError: the network failed on them.
        """
        names = [given.name for given in self._session.get_inputs()]
        try:
            return list(self._session.run(None, dict(zip(names, images, strict=True))))
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            size = f"{images[0].shape[3]}×{images[0].shape[2]}"
            raise ValueError(f"weights {self._path} failed on an image of {size}: {one_line(error)}") from error


@cache
def open_network(path: Path) -> Network:
    """``Network``, opened once a process."""
    return Network(path)


def plane(image: npt.NDArray[Any], channels: int = 1) -> Tensor:
    """A grey image (H, W) as (1, ``channels``, H, W) float32, the same in every channel."""
    return np.broadcast_to(image.astype(np.float32), (1, channels, *image.shape)).copy()


def unit_image(network: Network, visible: npt.NDArray[np.uint8], thermal: npt.NDArray[np.uint8]) -> Tensor:
    """What a network of two grey images from 0 to 1 makes of (H, W) uint8 ones: (H, W) float32."""
    return network(plane(visible / np.float32(255)), plane(thermal / np.float32(255)))[0][0, 0]
