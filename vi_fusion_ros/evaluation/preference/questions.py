"""Which two pictures each person is asked about, in which order, and which of them stands on the left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Question(NamedTuple):
    """One forced choice: the same scene by two methods.

    Attributes:
        scene: name of the scene.
        left: method whose picture stands on the left.
        right: method of the other one.
    """

    scene: str
    left: str
    right: str


def questions_for(methods: Sequence[str], scenes: Sequence[str], person: int, count: int, seed: int) -> list[Question]:
    """What one person is asked.

    All questions of a study, every pair of methods on every scene, lie in one sequence of rounds; a round has each
    pair once, and the scenes take turns. A person gets ``count`` of them in a row, so that

    - pairs occur equally often, and scenes nearly so,
    - half of a person's questions are the next one's, too (agreement needs questions that two have answered), and the
      other half goes on through the sequence,
    - each pair stands either way round equally often, and the next person sees shared questions the other way round,
    - the order is random, without one scene twice in a row where that can be had.

    Args:
        methods: two or more.
        scenes: one or more.
        person: number of the person, from 0.
        count: questions a person; all where there are fewer.
        seed: of the study.

    Returns:
        The questions in the order in which they are asked; the same for the same arguments.
    """
    rng = np.random.default_rng(seed)
    pairs = list(itertools.combinations(methods, 2))
    pairs = [pairs[i] for i in rng.permutation(len(pairs))]
    shuffled = [scenes[i] for i in rng.permutation(len(scenes))]
    total = len(pairs) * len(shuffled)
    count = min(count, total)
    start = person * -(-count // 2)
    # Where pairs and scenes have a common divisor, turns alone would bring a pair only to some of the scenes.
    before_a_step = len(shuffled) // math.gcd(len(pairs), len(shuffled))
    chosen = []
    for place in range(start, start + count):
        turn, number = divmod(place % total, len(pairs))
        left, right = pairs[number][:: 1 if (turn + number + person) % 2 else -1]
        scene = (place % total + turn // before_a_step) % len(shuffled)
        chosen.append(Question(shuffled[scene], left, right))
    order = np.random.default_rng((seed, person)).permutation(count)
    return _without_repeats([chosen[i] for i in order])


def _without_repeats(questions: list[Question]) -> list[Question]:
    """The first question of another scene comes next, where there is one."""
    rest = list(questions)
    ordered: list[Question] = []
    while rest:
        last = ordered[-1].scene if ordered else None
        index = next((i for i, question in enumerate(rest) if question.scene != last), 0)
        ordered.append(rest.pop(index))
    return ordered
