"""What many values say together: bootstrap intervals and ranks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RESAMPLES = 2000
_SEED = 20240
_AT_A_TIME = 100  # resamples held in memory, each of as many counts as there are rows


def bootstrap_means(values: Array) -> Array:
    """95% bootstrap intervals of the column means; see ``bootstrap``.

    Args:
        values: (N, K). NaN is a row without a value, and left out of its column's mean.

    Returns:
        (2, K): lower and upper ends; NaN for a column that holds an infinite value or none at all.
    """
    infinite = np.isinf(values).any(axis=0)
    ends = bootstrap_known(np.where(infinite, 0.0, values), lambda means: means)
    return np.where(infinite, np.nan, ends)


def bootstrap_known(values: Array, statistic: Callable[[Array], Array]) -> Array:
    """95% intervals of what can be told from the means of the known values; see ``bootstrap_weights``.

    Args:
        values: (N, K), NaN or finite. NaN is a row without a value, and left out of its column's mean.
        statistic: takes column means of resamples, (R, K), to their values, (R, M); NaN is the mean of a resample
            without a value.

    Returns:
        (2, M): lower and upper ends.
    """
    known = ~np.isnan(values)
    columns = np.concatenate([np.where(known, values, 0.0), known], axis=1)
    return bootstrap(columns, lambda means: statistic(_ratios(*np.split(means, 2, axis=1))))


def known_means(values: Array) -> Array:
    """Means over the rows, (N, ...) to (...); NaN is a row without a value, and NaN is what a column of none has."""
    known = ~np.isnan(values)
    if known.all():
        return np.asarray(values.mean(axis=0))
    return _ratios(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))


def bootstrap(values: Array, statistic: Callable[[Array], Array]) -> Array:
    """95% intervals of what can be told from the column means; see ``bootstrap_weights``.

    Args:
        values: (N, K), finite, N at least 1.
        statistic: takes column means of resamples, (R, K), to their values, (R, M).

    Returns:
        (2, M): lower and upper ends.
    """
    return bootstrap_weights(len(values), lambda counts: statistic(counts @ values / len(values)))


def bootstrap_weights(n: int, statistic: Callable[[Array], Array]) -> Array:
    """95% percentile bootstrap intervals (Efron 1979), deterministic.

    Rows are resampled whole, so columns stay comparable. Rows that depend on each other (neighbouring frames of a
    video) make the interval too narrow.

    Args:
        n: number of rows, at least 1.
        statistic: takes how often each row was drawn in each of R resamples, (R, N), to their values, (R, M). NaN is a
            resample without a value.

    Returns:
        (2, M): lower and upper ends; NaN where no resample has a value.
    """
    rng = np.random.default_rng(_SEED)
    share = np.full(n, 1 / n)
    counts = (rng.multinomial(n, share, size=_AT_A_TIME) for _ in range(RESAMPLES // _AT_A_TIME))
    values = np.concatenate([statistic(drawn.astype(np.float64)) for drawn in counts])
    ends: Array = np.full((2, values.shape[1]), np.nan)
    there = ~np.isnan(values).all(axis=0)
    ends[:, there] = np.nanpercentile(values[:, there], (2.5, 97.5), axis=0)
    return ends


def _ratios(total: Array, count: Array) -> Array:
    """``total / count``, NaN where that is 0."""
    result: Array = np.full(np.shape(total), np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result


def places(values: Array, contenders: npt.NDArray[np.bool_]) -> Array:
    """The place of each row among the contending rows, 1 for the highest value.

    Args:
        values: (M, K); columns are ranked apart.
        contenders: (M,), which rows are ranked among each other. Any other row gets the place that it would take among
            them, and moves nobody.

    Returns:
        (M, K); equal entries share the mean of their places.
    """
    others = np.tile(contenders, (len(values), 1))
    np.fill_diagonal(others, False)
    higher = np.sum(others[:, :, None] & (values[None, :] > values[:, None]), axis=1)
    equal = np.sum(others[:, :, None] & (values[None, :] == values[:, None]), axis=1)
    result: Array = 1 + higher + equal / 2
    return result
