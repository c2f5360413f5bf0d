"""A study as figures: ``vi-fusion study report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.folders import FrameFiles, evaluate_folders
from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.metrics.intervals import known_means
from vi_fusion_ros.evaluation.preference.record import Person
from vi_fusion_ros.evaluation.preference.scores import (
    Votes,
    agreement,
    strength_intervals,
    strengths,
    tau_over_methods,
    tau_over_votes,
    wins,
)
from vi_fusion_ros.images.files import some_images_by_stem

_OF_STUDY = "study:"  # a method of a study may have the name of a row that every evaluation has


def summary(study: dict[str, Any], people: list[Person], metrics: npt.NDArray[np.float64] | None) -> dict[str, Any]:
    """Everything that the answers say.

    Args:
        study: ``study.json``.
        people: everybody who took part.
        metrics: (S, M, K) values of ``METRICS``, scenes and methods in the study's order; None leaves them out.

    Raises:
        ValueError: nobody has answered, or an answer is about a method or scene that the study does not have.
    """
    methods, scenes = list(study["methods"]), scenes_of(study)
    votes = _votes(people, methods, scenes)
    counts = wins(votes, len(methods))
    score = strengths(counts)
    low, high = strength_intervals(votes, len(methods))
    agreed = agreement(votes, len(people), len(scenes))
    result: dict[str, Any] = {
        "n": len(votes.winner),
        "question": study["question"],
        "people": [
            {
                "name": person.name,
                "answers": len(person.answers),
                "questions": len(person.questions),
                "left": person.answers.count("left") / len(person.answers) if person.answers else None,
                "median_s": float(np.median(person.seconds)) if person.seconds else None,
                "agrees_with_others": float(agreed.of_person[index]),
            }
            for index, person in enumerate(people)
        ],
        "methods": {
            name: {
                "score": float(score[m]),
                "ci95": [float(low[m]), float(high[m])],
                "chosen": int(counts[m].sum()),
                "asked": int(counts[m].sum() + counts[:, m].sum()),
            }
            for m, name in enumerate(methods)
        },
        "wins": {
            name: {other: int(counts[m, k]) for k, other in enumerate(methods) if k != m}
            for m, name in enumerate(methods)
        },
        "agreement": {
            "share": agreed.share,
            "ci95": list(agreed.ci95),
            "kendall_u": 2 * agreed.share - 1,
            "shared_questions": agreed.shared,
        },
        "metrics": None,
    }
    if metrics is not None:
        result["metrics"] = {name: _against(metrics[:, :, k], score, votes) for k, name in enumerate(METRICS)}
    return result


def scenes_of(study: dict[str, Any]) -> list[str]:
    """The scenes of a study, in its order."""
    return list(next(iter(study["methods"].values()))["sha256"])


def metrics_of(study: dict[str, Any], visible: Path, thermal: Path, jobs: int) -> npt.NDArray[np.float64]:
    """Every fusion metric of every picture of a study.

    Args:
        study: ``study.json``.
        visible: folder with a visible image of each scene.
        thermal: folder with its thermal one, registered.
        jobs: number of processes.

    Returns:
        (S, M, K) in the order of the scenes, the methods and ``METRICS``; NaN where a scene has no value.

    Raises:
        ValueError: an image is missing or cannot be used.
    """
    scenes, names = scenes_of(study), list(study["methods"])
    folders = [visible, thermal, *(Path(method["folder"]) for method in study["methods"].values())]
    files = [some_images_by_stem(folder) for folder in folders]
    for folder, found in zip(folders, files, strict=True):
        missing = [scene for scene in scenes if scene not in found]
        if missing:
            raise ValueError(
                f"{folder}: no image of scene '{missing[0]}'; expected one for each of {len(scenes)} scenes"
            )
    frames = [
        FrameFiles(s, files[0][s], files[1][s], {_OF_STUDY + n: f[s] for n, f in zip(names, files[2:], strict=True)})
        for s in scenes
    ]
    measured = evaluate_folders(frames, None, jobs)
    if measured.problems:
        raise ValueError(f"the metrics of {len(measured.problems)} scenes cannot be computed; {measured.problems[0]}")
    return measured.values[:, [measured.methods.index(_OF_STUDY + name) for name in names]]


def _votes(people: list[Person], methods: list[str], scenes: list[str]) -> Votes:
    rows = []
    for number, person in enumerate(people):
        for question, answer in zip(person.questions, person.answers, strict=False):
            chosen, other = (question.left, question.right) if answer == "left" else (question.right, question.left)
            try:
                rows.append((number, scenes.index(question.scene), methods.index(chosen), methods.index(other)))
            except ValueError as error:
                raise ValueError(
                    f"{person.name}'s answers are of another study ({error}); expected this one's"
                ) from error
    if not rows:
        raise ValueError("nobody has answered yet; expected at least one answer")
    return Votes(*np.array(rows, np.int64).T)


def _against(metric: npt.NDArray[np.float64], score: npt.NDArray[np.float64], votes: Votes) -> dict[str, Any]:
    over_methods, p = tau_over_methods(known_means(metric), score)
    over_votes, ci95 = tau_over_votes(metric, votes)
    return {"tau_methods": over_methods, "p": p, "tau_votes": over_votes, "ci95": list(ci95)}
