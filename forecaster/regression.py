"""Recursive least squares with forgetting, over K series at once.

Each series has its own weights and its own covariance, and one update is one observation: Haykin,
"Adaptive Filter Theory", chapter 10. Two things keep it sound for good. An innovation counts for no
more than a limit, so an outlier does not wreck the weights. And nothing is forgotten while the
covariance is large, so that of a series which stands still does not grow without end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Forgetting stops where the covariance has grown to so many times what it began with.
_MOST_GROWN = 10.0
_ONE = np.float32(1.0)


@dataclass(frozen=True)
class Regression:
    """What is common to a regression of all series.

    Args:
        columns: Which of the regressors it takes, `n` of them.
        precision: How firmly each weight is held where it begins, shape `(n,)`.
        start: Where the weights begin, shape `(n,)`.
        memory: Observations after which older ones fade.
        limit: The largest innovation that counts, in units of the target.
    """

    columns: NDArray[np.int64]
    precision: Array
    start: Array
    memory: float
    limit: float

    @property
    def covariance(self) -> Array:
        """The covariance that a series begins with, shape `(n, n)`."""
        return np.diag(1.0 / self.precision).astype(np.float32)


class Bank:
    """Regressions of the same target, stepped together: their weights lie side by side.

    A series begins with `start`, shape `(N,)`, and with `covariances`, shape `(n, n)` each.

    Args:
        regressions: R of them, with N weights in all.
    """

    def __init__(self, regressions: Sequence[Regression]) -> None:
        lengths = [len(one.columns) for one in regressions]
        self._first = np.cumsum([0, *lengths[:-1]])
        self._blocks = [
            slice(first, first + n) for first, n in zip(self._first, lengths, strict=True)
        ]
        self._columns = np.concatenate([one.columns for one in regressions])
        self._owner = np.repeat(np.arange(len(regressions)), lengths)
        self._limit = np.array([one.limit for one in regressions], np.float32)
        self._kept = np.array([1.0 - 1.0 / one.memory for one in regressions], np.float32)
        self._most = np.array([_MOST_GROWN * np.trace(one.covariance) for one in regressions])
        self.start = np.concatenate([one.start for one in regressions])
        self.covariances = [one.covariance for one in regressions]

    def forecast(self, weights: Array, x: Array) -> Array:
        """Return what each regression says, shape `(K, R)`.

        Args:
            weights: Shape `(K, N)`.
            x: The regressors, shape `(K, n)`.
        """
        return self._sums(weights * x.take(self._columns, axis=1))

    def update(self, weights: Array, covariances: Sequence[Array], x: Array, target: Array) -> None:
        """Take one observation into the regressions of each of K series, in place.

        Args:
            weights: Shape `(K, N)`.
            covariances: For each regression, shape `(K, n, n)`.
            x: What was known, shape `(K, n)`.
            target: What came of it, shape `(K,)`.
        """
        x = x.take(self._columns, axis=1)
        gain = np.empty_like(x)
        grown = np.empty((len(x), len(covariances)), np.float32)
        for at, (block, covariance) in enumerate(zip(self._blocks, covariances, strict=True)):
            np.matvec(covariance, x[:, block], out=gain[:, block])
            np.add.reduce(covariance.diagonal(axis1=1, axis2=2), axis=1, out=grown[:, at])
        kept = np.where(grown > self._most, _ONE, self._kept)
        norm = kept + self._sums(x * gain)
        innovation = target[:, None] - self._sums(x * weights)
        innovation = np.maximum(np.minimum(innovation, self._limit), -self._limit)
        weights += gain * (innovation / norm).take(self._owner, axis=1)
        # An outer product of a vector with itself, so that rounding leaves the result symmetric.
        gain /= np.sqrt(norm).take(self._owner, axis=1)
        # What says nothing, such as the lags of a series without a season, has nothing to forget.
        faded = np.where(x == 0.0, _ONE, (_ONE / np.sqrt(kept)).take(self._owner, axis=1))
        for block, covariance in zip(self._blocks, covariances, strict=True):
            taken, spread = gain[:, block], faded[:, block]
            covariance -= taken[:, :, None] * taken[:, None, :]
            covariance *= spread[:, :, None] * spread[:, None, :]

    def _sums(self, products: Array) -> Array:
        """Return the sum over each regression's columns, shape `(K, R)`."""
        sums: Array = np.add.reduceat(products, self._first, axis=1)
        return sums
