"""What the page of a study asks for. Nothing that it gets names a method."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2

from vi_fusion_ros.cli.local_page import NO_SUCH_PAGE, LocalPage, Reply
from vi_fusion_ros.evaluation.preference.record import QUESTION, SIDES, Study
from vi_fusion_ros.training.datasets.base import read_image

_PAGE = Path(__file__).with_name("page.html")


class StudyPage(LocalPage):
    """Asks the questions of a study, one person after the other.

    Args:
        study: keeps the answers.
        port: 0 takes a free one.
    """

    def __init__(self, study: Study, port: int) -> None:
        self._study = study
        self._lock = threading.Lock()
        super().__init__(port)

    def get(self, path: str) -> Reply:
        """The page, or the picture ``picture/PERSON/QUESTION/SIDE``."""
        if path == "":
            page = _PAGE.read_text(encoding="utf-8").replace("{{question}}", QUESTION)
            return Reply(200, "text/html; charset=utf-8", page.encode())
        words = path.split("/")
        if (
            len(words) != 4
            or words[0] != "picture"
            or words[3] not in SIDES
            or not all(w.isdigit() for w in words[1:3])
        ):
            return NO_SUCH_PAGE
        try:
            question = self._study.people[int(words[1])].questions[int(words[2])]
        except (KeyError, IndexError):
            return NO_SUCH_PAGE
        method = question.left if words[3] == "left" else question.right
        try:
            image = read_image(self._study.pictures[method][question.scene], cv2.IMREAD_COLOR)
        except ValueError as error:
            return Reply(500, "text/plain; charset=utf-8", str(error).encode())
        # Made anew: format, size and metadata of the file could tell the method.
        return Reply(200, "image/png", cv2.imencode(".png", image)[1].tobytes())

    def post(self, path: str, body: bytes) -> Reply:
        """``person`` (a name) and ``answer``; the reply says how far this person is."""
        try:
            asked = json.loads(body)
            with self._lock:
                if path == "person":
                    number = self._study.join(str(asked["name"]))
                elif path == "answer":
                    number = int(asked["person"])
                    self._study.answer(number, int(asked["question"]), str(asked["side"]), float(asked["seconds"]))
                else:
                    return NO_SUCH_PAGE
                return _json(self._progress(number))
        except (KeyError, TypeError):
            return _json({"error": "not a request of this page"})
        except (ValueError, OSError) as error:
            return _json({"error": str(error)})

    def answers(self) -> int:
        """How many answers all people gave; one that is being kept is waited for."""
        with self._lock:
            return sum(len(person.answers) for person in self._study.people.values())

    def _progress(self, number: int) -> dict[str, Any]:
        person = self._study.people[number]
        return {"person": number, "done": len(person.answers), "of": len(person.questions)}


def _json(tree: dict[str, Any]) -> Reply:
    return Reply(200, "application/json", json.dumps(tree).encode())
