"""Recursive least squares with forgetting, over K series at once.

Each series has its own weights and its own covariance, and one update is one observation: Haykin,
"Adaptive Filter Theory", chapter 10. Two things keep it sound for good. An innovation counts for no
more than a limit, so an outlier does not wreck the weights. And nothing is forgotten while the
covariance is large, so that of a series which stands still does not grow without end.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Forgetting stops where the covariance has grown to so many times what it began with.
_MOST_GROWN = 10.0


@dataclass(frozen=True)
class Regression:
    """What is common to the regressions of all series.

    Args:
        precision: How firmly each weight is held where it begins, shape `(n,)`.
        start: Where the weights begin, shape `(n,)`.
        memory: Observations after which older ones fade.
        limit: The largest innovation that counts, in units of the target.
    """

    precision: Array
    start: Array
    memory: float
    limit: float

    @cached_property
    def _most(self) -> float:
        return _MOST_GROWN * float((1.0 / self.precision).sum())

    @cached_property
    def _kept(self) -> np.float32:
        return np.float32(1.0 - 1.0 / self.memory)

    @property
    def covariance(self) -> Array:
        """The covariance that a series begins with, shape `(n, n)`."""
        return np.diag(1.0 / self.precision).astype(np.float32)

    def update(self, weights: Array, covariance: Array, x: Array, target: Array) -> None:
        """Take one observation into each of K regressions, in place.

        Args:
            weights: Shape `(K, n)`.
            covariance: Shape `(K, n, n)`.
            x: What was known, shape `(K, n)`.
            target: What came of it, shape `(K,)`.
        """
        gain = np.matmul(covariance, x[:, :, None])[:, :, 0]
        size = covariance.diagonal(axis1=1, axis2=2).sum(axis=1)
        kept = np.where(size > self._most, np.float32(1.0), self._kept)
        norm = kept + dot(x, gain)
        innovation = np.maximum(np.minimum(target - dot(x, weights), self.limit), -self.limit)
        weights += gain * (innovation / norm)[:, None]
        # An outer product of a vector with itself, so that rounding leaves the result symmetric.
        gain /= np.sqrt(norm)[:, None]
        covariance -= gain[:, :, None] * gain[:, None, :]
        # What says nothing, such as the lags of a series without a season, has nothing to forget.
        faded = np.where(x == 0.0, np.float32(1.0), 1.0 / np.sqrt(kept)[:, None])
        covariance *= faded[:, :, None] * faded[:, None, :]


def dot(x: Array, y: Array) -> Array:
    """Return the inner product of each row, shape `(K,)`."""
    product: Array = np.matmul(x[:, None, :], y[:, :, None])[:, 0, 0]
    return product
