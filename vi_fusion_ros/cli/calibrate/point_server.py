"""A page on this machine alone, to click points that belong together."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2

from vi_fusion_ros.cli.calibrate.inputs import Moment
from vi_fusion_ros.cli.local_page import NO_SUCH_PAGE, LocalPage, Reply
from vi_fusion_ros.drawing import grey8

_PAGE = Path(__file__).with_name("point_page.html")

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class PointServer(LocalPage):
    """Serves the page until its points are saved.

    Args:
        moments: the pairs to show.
        port: 0 takes a free one.
        solve: answers ``{"visible": …, "thermal": …, "pair": n}`` with what the page shows; raises ValueError, a
            sentence for the person who clicks.
        save: the same, and ends serving.
    """

    def __init__(self, moments: Sequence[Moment], port: int, solve: Answer, save: Answer) -> None:
        self._moments = moments
        self._answers = {"solve": solve, "save": save}
        self._lock = threading.Lock()
        super().__init__(port)

    def get(self, path: str) -> Reply:
        """The page, ``pairs``, or ``image/PAIR/CAMERA``."""
        if path == "":
            return Reply(200, "text/html; charset=utf-8", _PAGE.read_bytes())
        if path == "pairs":
            return _json([moment.name for moment in self._moments])
        kind, _, rest = path.partition("/")
        number, _, camera = rest.partition("/")
        if kind == "image" and number.isdigit() and int(number) < len(self._moments) and camera in Moment._fields[1:]:
            _, data = cv2.imencode(".png", grey8(getattr(self._moments[int(number)], camera)))
            return Reply(200, "image/png", data.tobytes())
        return NO_SUCH_PAGE

    def post(self, path: str, body: bytes) -> Reply:
        """``solve`` and ``save``; serving ends once the points are saved."""
        if path not in self._answers:
            return NO_SUCH_PAGE
        try:
            with self._lock:
                answer = self._answers[path](json.loads(body))
        except (ValueError, OSError) as error:
            return _json({"error": str(error)})
        return _json(answer)._replace(last=path == "save")


def _json(tree: Any) -> Reply:
    return Reply(200, "application/json", json.dumps(tree).encode())
