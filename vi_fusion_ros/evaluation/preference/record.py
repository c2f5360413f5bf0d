"""A study's folder: what it compares (``study.json``), and a file of answers for each person (``people/``).

Every answer is on disk before the next question is asked, in a file that is replaced whole: a study that is killed
goes on where it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import math
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.evaluation.preference.questions import Question, questions_for
from vi_fusion_ros.images.files import natural_order, read_image, some_images_by_stem

QUESTION = "Which picture shows the scene better?"
SIDES = ("left", "right")
_VERSION = 1
_LONGEST_NAME = 60


@dataclass
class Person:
    """Somebody who answers.

    Attributes:
        number: in the study, from 0.
        name: as typed.
        questions: what this person is asked.
        answers: ``left`` or ``right`` for the first questions.
        seconds: how long each picture pair was on the screen before the answer.
    """

    number: int
    name: str
    questions: list[Question]
    answers: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As it lies on disk."""
        rows: list[dict[str, Any]] = [question._asdict() for question in self.questions]
        for row, answer, seconds in zip(rows, self.answers, self.seconds, strict=False):
            row.update(answer=answer, seconds=seconds)
        return {"name": self.name, "questions": rows}

    @classmethod
    def read(cls, path: Path) -> Person:
        """Read a file of answers.

        Raises:
            ValueError: it is no such file.
        """
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            rows = tree["questions"]
            answered = list(itertools.takewhile(lambda row: "answer" in row, rows))
            questions = [Question(row["scene"], row["left"], row["right"]) for row in rows]
            return cls(
                int(path.stem) - 1,
                str(tree["name"]),
                questions,
                [SIDES[SIDES.index(row["answer"])] for row in answered],
                [float(row["seconds"]) for row in answered],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: not a file of a study's answers ({error}); expected one as it was saved"
            ) from error


class Study:
    """A study that is being asked.

    Args:
        folder: made where it is missing; one with answers is gone on with.
        pictures: of each method, the folder of its pictures; file stems name the scenes.
        count: questions a person.

    Raises:
        ValueError: fewer than two methods or no common scene, a picture is missing, the folder is of another study or
            is being asked by another process, or a picture cannot be shown or has changed since the study began.
    """

    def __init__(self, folder: Path, pictures: Mapping[str, Path], count: int) -> None:
        if len(pictures) < 2:
            raise ValueError(f"{len(pictures)} method is named; a choice needs two or more, each as NAME=DIR")
        self.pictures = {name: some_images_by_stem(path) for name, path in pictures.items()}
        self.scenes = _common_scenes(self.pictures, pictures)
        self._people_folder = folder / "people"
        self._people_folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        try:
            about = self._about(folder, pictures, count)
            self.people = {person.number: person for person in read_people(folder)}
        except BaseException:
            self.close()
            raise
        self._count, self._seed = int(about["count"]), int(about["seed"])

    def _about(self, folder: Path, pictures: Mapping[str, Path], count: int) -> dict[str, Any]:
        """``study.json``: made where it is missing, compared where it is there."""
        digests = _digests(self.pictures, self.scenes)
        about = {
            "version": _VERSION,
            "question": QUESTION,
            "count": count,
            "seed": int.from_bytes(os.urandom(4), "big"),
            "methods": {
                name: {"folder": str(path.resolve()), "sha256": digests[name]} for name, path in pictures.items()
            },
        }
        path = folder / "study.json"
        if path.exists():
            return _same_study(path, about)
        write_json(path, about)
        return about

    def close(self) -> None:
        """Let another process ask."""
        os.close(self._lock)

    def join(self, name: str) -> int:
        """Number of the person of this name, who is new or goes on.

        Raises:
            ValueError: the name is empty or too long; a sentence for the person.
        """
        name = " ".join(unicodedata.normalize("NFC", name).split())
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"Type a name or a number, at most {_LONGEST_NAME} characters.")
        for person in self.people.values():
            if person.name.casefold() == name.casefold():
                return person.number
        number = max(self.people, default=-1) + 1
        questions = questions_for(list(self.pictures), self.scenes, number, self._count, self._seed)
        self._keep(Person(number, name, questions))
        return number

    def answer(self, number: int, index: int, side: str, seconds: float) -> None:
        """Keep an answer; that to the last answered question can be given again.

        Args:
            number: of the person.
            index: of the question.
            side: ``left`` or ``right``.
            seconds: from when the pictures were there.

        Raises:
            ValueError: no such person, question or side, or it is not that question's turn.
        """
        if number not in self.people or side not in SIDES or not 0 <= seconds < math.inf:
            raise ValueError("no such person, side or time")
        old = self.people[number]
        done = len(old.answers)
        if index not in (done - 1, done) or not 0 <= index < len(old.questions):
            raise ValueError(f"question {index + 1} is not the next one; reload the page")
        answers, times = [*old.answers[:index], side], [*old.seconds[:index], seconds]
        self._keep(Person(number, old.name, old.questions, answers, times))

    def _keep(self, person: Person) -> None:
        write_json(self._people_folder / f"{person.number + 1:03d}.json", person.as_dict())
        self.people[person.number] = person


def read_people(folder: Path) -> list[Person]:
    """Everybody who took part in the study in ``folder``, first come first.

    Raises:
        ValueError: a file is none of a study.
    """
    files = (folder / "people").glob("*.json")
    return [Person.read(path) for path in sorted(files, key=lambda path: natural_order(path.name))]


def answers_of(answers: int, people: int) -> str:
    """How many answers of how many people, in words."""
    return f"{answers} answer{'' if answers == 1 else 's'} of {people} {'person' if people == 1 else 'people'}"


def read_study(folder: Path) -> dict[str, Any]:
    """``study.json`` of a folder.

    Raises:
        ValueError: there is none, or it is another file.
    """
    path = folder / "study.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        known = tree["version"] == _VERSION and all(m["folder"] and m["sha256"] for m in tree["methods"].values())
    except OSError as error:
        raise ValueError(f"{folder}: has no study.json; expected the folder of vi-fusion study --study") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a study ({error}); expected the file as it was made") from error
    if not known:
        raise ValueError(f"{path}: a study of another version; expected version {_VERSION}")
    return dict(tree)


def _common_scenes(pictures: Mapping[str, Mapping[str, Path]], folders: Mapping[str, Path]) -> list[str]:
    first, *others = pictures
    for other in others:
        odd = sorted(pictures[first].keys() ^ pictures[other].keys(), key=natural_order)
        if odd:
            where = folders[other] if odd[0] in pictures[first] else folders[first]
            raise ValueError(
                f"{where}: no picture of '{odd[0]}'; expected the same file stems in each folder, but {len(odd)} differ"
            )
    return sorted(pictures[first], key=natural_order)


def _same_study(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    before = read_study(path.parent)
    if list(before["methods"]) != list(about["methods"]):
        names = ", ".join(before["methods"])
        raise ValueError(
            f"{path.parent}: a study of {names}; expected the same methods in the same order, or another folder"
        )
    if before["count"] != about["count"]:
        raise ValueError(
            f"{path.parent}: a study of {before['count']} questions a person; expected the same, or another folder"
        )
    for name, method in about["methods"].items():
        kept = before["methods"][name]["sha256"]
        changed = [
            scene for scene in kept.keys() | method["sha256"].keys() if kept.get(scene) != method["sha256"].get(scene)
        ]
        if changed:
            raise ValueError(
                f"{path.parent}: {len(changed)} pictures of {name} have changed since the study began, the first is "
                f"'{min(changed, key=natural_order)}'; expected the same pictures, or another folder for a new study"
            )
    return before


def _digests(pictures: Mapping[str, Mapping[str, Path]], scenes: list[str]) -> dict[str, dict[str, str]]:
    """SHA-256 of every picture's file, by method and scene; each can be shown, and beside the others of its scene."""
    digests: dict[str, dict[str, str]] = {name: {} for name in pictures}
    for scene in scenes:
        sizes = {}
        for name, files in pictures.items():
            image = read_image(files[scene])
            if image.dtype != np.uint8:
                raise ValueError(
                    f"{files[scene]}: pixels of type {image.dtype}; expected 8 bits in a picture to look at"
                )
            sizes[f"{image.shape[1]}x{image.shape[0]}"] = files[scene]
            digests[name][scene] = hashlib.sha256(files[scene].read_bytes()).hexdigest()
        if len(sizes) > 1:
            (one, path), (other, odd) = list(sizes.items())[:2]
            raise ValueError(f"{odd}: is {other}, and {path} is {one}; expected one size in a scene")
    return digests


def _locked(folder: Path) -> int:
    """A descriptor that holds the lock on a study; the system lets go of it when the process ends, however it ends."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ValueError(f"{folder}: this study is being asked by another process; expected one at a time") from error
    return lock
