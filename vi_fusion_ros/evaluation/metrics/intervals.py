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

    Returns:
        (2, K): lower and upper ends; NaN for a column that holds a value that is not finite.
    """
    finite = np.isfinite(values).all(axis=0)
    ends = bootstrap(np.where(finite, values, 0.0), lambda means: means)
    return np.where(finite, ends, np.nan)


def bootstrap(values: Array, statistic: Callable[[Array], Array]) -> Array:
    """95% percentile bootstrap intervals (Efron 1979) of what can be told from the column means, deterministic.

    Rows are resampled whole, so columns stay comparable. Rows that depend on each other (neighbouring frames of a
    video) make the interval too narrow.

    Args:
        values: (N, K), finite, N at least 1.
        statistic: takes column means of resamples, (R, K), to their values, (R, M).

    Returns:
        (2, M): lower and upper ends.
    """
    n = len(values)
    rng = np.random.default_rng(_SEED)
    share = np.full(n, 1 / n)
    means = [rng.multinomial(n, share, size=_AT_A_TIME) @ values / n for _ in range(RESAMPLES // _AT_A_TIME)]
    ends: Array = np.percentile(statistic(np.concatenate(means)), (2.5, 97.5), axis=0)
    return ends


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
