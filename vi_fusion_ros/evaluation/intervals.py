"""What many values say together: bootstrap intervals and ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
_SEED = 20240


def bootstrap_means(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """95% percentile bootstrap intervals of the column means (Efron 1979), deterministic.

    Rows are resampled whole, so columns stay comparable. Rows that depend on each other (neighbouring frames of a
    video) make the interval too narrow.

    Args:
        values: (N, K), N at least 1.

    Returns:
        (2, K): lower and upper ends; NaN for a column that holds a value that is not finite.
    """
    n = len(values)
    counts = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    finite = np.isfinite(values).all(axis=0)
    means = counts @ np.where(finite, values, 0.0) / n
    return np.where(finite, np.percentile(means, (2.5, 97.5), axis=0), np.nan)


def places(values: npt.NDArray[np.float64], contenders: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
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
    result: npt.NDArray[np.float64] = 1 + higher + equal / 2
    return result
