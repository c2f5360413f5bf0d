"""What forced choices say: strengths of methods, agreement between people, and metrics against both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.intervals import bootstrap

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESAMPLES = 1000
_SEED = 20240
_AT_A_TIME = 100
_PRIOR = 0.5
_STEPS, _CLOSE = 1000, 1e-7


class Votes(NamedTuple):
    """N answers, (N,) int64 indices each.

    Attributes:
        person: who answered.
        scene: about which scene.
        winner: method that was chosen.
        loser: method that was not.
    """

    person: Ints
    scene: Ints
    winner: Ints
    loser: Ints


def wins(votes: Votes, methods: int) -> Array:
    """(M, M) how often the method of the row was chosen over that of the column."""
    counts = np.zeros((methods, methods))
    np.add.at(counts, (votes.winner, votes.loser), 1.0)
    return counts


def strengths(counts: Array) -> Array:
    """Scores of the Bradley-Terry model (Bradley and Terry, Biometrika 1952), by Hunter's algorithm (Ann. Stat. 2004).

    Half a win either way is added to each pair, so that a method that always won has a finite score.

    Args:
        counts: (..., M, M) wins of the row over the column, zeros on the diagonal.

    Returns:
        (..., M) natural logarithms with mean 0: a method is chosen over another with the odds exp(difference).
    """
    methods = counts.shape[-1]
    apart = 1.0 - np.eye(methods)
    won = counts + _PRIOR * apart
    games = won + np.swapaxes(won, -1, -2)
    strength = np.ones(counts.shape[:-1])
    for _ in range(_STEPS):
        together = strength[..., :, None] + strength[..., None, :]
        updated = won.sum(-1) / (games * apart / together).sum(-1)
        updated /= np.exp(np.log(updated).mean(-1, keepdims=True))
        change = np.abs(np.log(updated / strength)).max()
        strength = updated
        if change < _CLOSE:
            break
    return np.asarray(np.log(strength))


def strength_intervals(votes: Votes, methods: int) -> Array:
    """95 % intervals of ``strengths``, people and scenes drawn anew; see ``resampled``.

    Returns:
        (2, M): lower and upper ends; deterministic.
    """
    one_hot = np.zeros((len(votes.winner), methods * methods))
    one_hot[np.arange(len(votes.winner)), votes.winner * methods + votes.loser] = 1.0
    values = [strengths((weights @ one_hot).reshape(-1, methods, methods)) for weights in resampled(votes)]
    return np.asarray(np.percentile(np.concatenate(values), (2.5, 97.5), axis=0))


def resampled(votes: Votes) -> Iterator[Array]:
    """How often each answer counts when people and scenes are both drawn anew (Owen, Ann. Appl. Stat. 2007).

    Intervals from it hold for other people of the same kind and other scenes of the same kind. With one person, or one
    scene, that one cannot be drawn anew, and the interval is about the other alone.

    Yields:
        (R, N) weights, ``RESAMPLES`` rows in all; the same in every call.
    """
    rng = np.random.default_rng(_SEED)
    for _ in range(RESAMPLES // _AT_A_TIME):
        weights = np.ones((_AT_A_TIME, len(votes.winner)))
        for index in (votes.person, votes.scene):
            known, place = np.unique(index, return_inverse=True)
            weights *= rng.multinomial(len(known), np.full(len(known), 1 / len(known)), _AT_A_TIME)[:, place]
        yield weights


class Agreement(NamedTuple):
    """Agreement between people.

    Attributes:
        share: of two people who were asked about the same two pictures, how often both chose the same; 0.5 by chance.
        ci95: of ``share``, scenes drawn anew.
        shared: questions that two or more people have answered.
        of_person: (P,) the same between each person and the others, NaN without a shared question.
    """

    share: float
    ci95: tuple[float, float]
    shared: int
    of_person: Array


def agreement(votes: Votes, people: int, scenes: int) -> Agreement:
    """How often people agree.

    ``2 share - 1`` is Kendall's coefficient of agreement u (Kendall and Babington Smith, Biometrika 1940), for
    questions that not everybody has answered.
    """
    low, high = np.minimum(votes.winner, votes.loser), np.maximum(votes.winner, votes.loser)
    keys, question = np.unique(np.stack((votes.scene, low, high)), axis=1, return_inverse=True)
    question = question.ravel()
    chosen_low = (votes.winner == low).astype(np.float64)
    count = np.bincount(question, minlength=keys.shape[1]).astype(np.float64)
    for_low = np.bincount(question, chosen_low, keys.shape[1])
    same = (for_low * (for_low - 1) + (count - for_low) * (count - for_low - 1)) / 2
    pairs = count * (count - 1) / 2
    by_scene = np.stack([_sums(keys[0], column, scenes) for column in (same, pairs)], axis=1)
    ends = bootstrap(by_scene, lambda means: _ratio(means[:, :1], means[:, 1:]))[:, 0]
    with_me = np.where(chosen_low > 0, for_low[question], (count - for_low)[question]) - 1
    others = count[question] - 1
    own = _ratio(_sums(votes.person, with_me, people), _sums(votes.person, others, people))
    share = float(_ratio(same.sum(keepdims=True), pairs.sum(keepdims=True))[0])
    return Agreement(share, (float(ends[0]), float(ends[1])), int((count > 1).sum()), own)


def tau_over_methods(metric: Array, scores: Array) -> tuple[float, float]:
    """Kendall's tau-b between a metric's means and the people's scores, (M,) each, and its two-sided p value."""
    from scipy.stats import kendalltau

    known = np.isfinite(metric)
    if known.sum() < 2:
        return float("nan"), float("nan")
    found = kendalltau(metric[known], scores[known])
    return float(found.statistic), float(found.pvalue)


def tau_over_votes(metric: Array, votes: Votes) -> tuple[float, tuple[float, float]]:
    """Kendall's tau-a between a metric and the answers, scene by scene, and its 95 % interval; see ``resampled``.

    An answer is concordant where the chosen picture has the higher value, discordant where it has the lower one:
    (concordant - discordant) / answers. It is 1 only where people agree with each other, too.

    Args:
        metric: (S, M) value of each method on each scene; answers about a NaN are left out.
        votes: the answers.
    """
    difference = metric[votes.scene, votes.winner] - metric[votes.scene, votes.loser]
    known = np.isfinite(difference)
    if not known.any():
        return float("nan"), (float("nan"), float("nan"))
    columns = np.stack((np.where(known, np.sign(difference), 0.0), known), axis=1)
    sums = np.concatenate([weights @ columns for weights in resampled(votes)])
    low, high = np.nanpercentile(_ratio(sums[:, 0], sums[:, 1]), (2.5, 97.5))
    return float(columns[:, 0].sum() / columns[:, 1].sum()), (float(low), float(high))


def _sums(index: Ints, weights: Array, length: int) -> Array:
    return np.bincount(index, weights, length).astype(np.float64)


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
