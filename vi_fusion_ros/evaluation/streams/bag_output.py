"""Writing the results of a bag back as a bag, while the next pair is fused."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.writer import BagWriter, copy_messages
from vi_fusion_ros.objects import message_fields
from vi_fusion_ros.types import Frame, FusionResult, Image

FUSED_TOPIC = "/fusion_node/fused/image"
CLASSIFICATION_TOPIC = "/fusion_node/classification"
_IMAGE = "sensor_msgs/msg/Image"
_CLASSIFICATION = "vi_fusion_ros/msg/FusedClassification"
_WAITING = 8  # results held until they are written
_NAME = "fused.mcap"  # inside, whatever the bag is called: its metadata names it, and equal runs shall give equal bytes


class ResultBag:
    """Writes the fused images and classifications of results, on the node's topics, with the original stamps.

    A context manager; when the block ends by an exception, nothing is left behind but the pieces of ``cut``.

    Args:
        path: of the bag, ending in ``.mcap``; replaced where it exists.
        model_id: of the model, from its manifest.
        pieces: how many of a process that was killed are there, and are to be the beginning of the bag.
    """

    def __init__(self, path: Path, model_id: str, pieces: int = 0) -> None:
        self._path, self._model_id, self._pieces = path, model_id, pieces
        self._pool = ThreadPoolExecutor(1, "bag_writer")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> ResultBag:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for left in self._path.parent.glob(f".{glob.escape(self._path.name)}.*"):  # by a process that was killed
            if not self._pieces or left != pieces_of(self._path):
                shutil.rmtree(left, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.parent))
        self._begin()
        return self

    def _begin(self) -> None:
        self._bag = BagWriter(self._folder / _NAME)
        self._bag.__enter__()
        self._empty = True

    def write(self, result: FusionResult) -> None:
        """Take a result; waits while too many are unwritten."""
        self._pending.append(self._pool.submit(self._write, result))
        while len(self._pending) > _WAITING:
            self._pending.popleft().result()

    def cut(self) -> int:
        """Put what was written so far where a killed process leaves it; how many pieces there are now."""
        while self._pending:
            self._pending.popleft().result()
        if self._empty:
            return self._pieces
        self._bag.__exit__(None, None, None)
        target = piece(self._path, self._pieces)
        target.parent.mkdir(exist_ok=True)
        (self._folder / _NAME).replace(target)
        self._pieces += 1
        self._begin()
        return self._pieces

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._join()
            else:
                self._pool.shutdown(cancel_futures=True)
                self._bag.__exit__(kind, error, trace)
        finally:
            self._pool.shutdown()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _join(self) -> None:
        """One bag of all pieces, the same to the byte as if it had never been cut."""
        if not self._pieces:
            while self._pending:
                self._pending.popleft().result()
            self._bag.__exit__(None, None, None)
        else:
            pieces = [piece(self._path, number) for number in range(self.cut())]
            for path in pieces if len(pieces) > 1 else ():
                copy_messages(path, self._bag)
            self._bag.__exit__(None, None, None)
            if len(pieces) == 1:
                pieces[0].replace(self._folder / _NAME)
        (self._folder / _NAME).replace(self._path)
        shutil.rmtree(pieces_of(self._path), ignore_errors=True)

    def _write(self, result: FusionResult) -> None:
        self._empty = False
        stamp_ns = result.pair.reference.stamp_ns
        self._bag.write(FUSED_TOPIC, _IMAGE, stamp_ns, image_message(result.fused, result.pair.reference))
        classification = classification_message(result, self._model_id)
        self._bag.write(CLASSIFICATION_TOPIC, _CLASSIFICATION, stamp_ns, classification)


def pieces_of(path: Path) -> Path:
    """The folder of the pieces of a bag that is not whole yet."""
    return path.with_name(f".{path.name}.pieces")


def piece(path: Path, number: int) -> Path:
    """One of them."""
    return pieces_of(path) / f"{number:04d}.mcap"


def image_message(image: Image, frame: Frame) -> Any:
    """A ``sensor_msgs/Image`` of an (H, W) or (H, W, 3) uint8 BGR image, with the header of ``frame``."""
    image = np.ascontiguousarray(image)
    kind = typestore().types[_IMAGE]
    encoding = "mono8" if image.ndim == 2 else "bgr8"
    height, width = image.shape[:2]
    return kind(_header(frame), height, width, encoding, 0, image.strides[0], image.reshape(-1))


def classification_message(result: FusionResult, model_id: str) -> Any:
    """The ``FusedClassification`` that the node would publish."""
    types = typestore().types
    pair, thermal_attention = result.pair, result.thermal_attention
    return types[_CLASSIFICATION](
        header=_header(pair.reference),
        thermal_stamp=_time(pair.thermal.stamp_ns if pair.thermal else 0),
        pair_skew=pair.skew_ns / 1e9,
        mode=int(pair.mode),
        model_id=model_id,
        labels=[types["vi_fusion_ros/msg/LabelScore"](s.label, s.probability, s.present) for s in result.scores],
        objects=[types["vi_fusion_ros/msg/DetectedObject"](**message_fields(found)) for found in result.objects],
        illumination=result.illumination,
        illumination_probability=result.illumination_probability,
        visible_attention=1.0 - thermal_attention,
        thermal_attention=thermal_attention,
        overlap=result.overlap,
    )


def _header(frame: Frame) -> Any:
    return typestore().types["std_msgs/msg/Header"](_time(frame.stamp_ns), frame.frame_id)


def _time(stamp_ns: int) -> Any:
    return typestore().types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
