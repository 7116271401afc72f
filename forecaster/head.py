"""From network outputs to a mean and quantiles, and from those to any quantile asked for.

Quantile curves are drawn through the model's levels as straight lines over the standard normal
score of the level: exact for a normal distribution, and beyond the outermost levels its last line
goes on, which is a normal tail.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import InvalidRequestError
from forecaster.scores import LEVELS
from forecaster.spec import HeadSpec

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Levels further out would rest on nothing but the shape of a normal tail.
LEVEL_RANGE = (0.001, 0.999)

# Enough for the mean of a normal curve to be right to a millionth of its width.
_SLICES = 2000

_NORMAL = NormalDist()
_ZERO = np.float32(0.0)


class Head:
    """Reads the outputs of a network with this head.

    Args:
        spec: The kind of head and its quantile levels.
    """

    def __init__(self, spec: HeadSpec) -> None:
        self.spec = spec
        self._scores = normal_scores(spec.quantiles)
        self._median = spec.quantiles.index(0.5)
        self._offsets = np.array(spec.offsets, np.float32)
        # A curve is linear in its quantiles, and so is its mean: over many equal slices of it.
        slices = normal_scores((np.arange(_SLICES) + 0.5) / _SLICES)
        units = np.eye(len(spec.quantiles))
        low, anchor, share = self._locate(slices)
        rises = units[:, low + 1] - units[:, low]
        self._mean_weights = (units[:, anchor] + share * rises).mean(axis=1)
        # The share of each interval of `LEVELS` in what a quantile is widened by.
        ends = [normal_scores(interval_levels(level))[1] for level in LEVELS]
        self._shares = np.array(
            [np.interp(np.abs(self._scores), ends, unit) for unit in np.eye(len(ends))]
        )
        # Callers ask for the same few levels over and over.
        self._located = lru_cache(maxsize=256)(self._locate_levels)

    @property
    def width(self) -> int:
        """How many numbers a forecast is: the mean, then one per quantile level."""
        return 1 + len(self.spec.quantiles)

    def read(self, outputs: NDArray[np.float32]) -> Floats:
        """Return mean and quantiles, in network units.

        Quantiles cannot cross: the median is one output, and each further level adds a positive
        distance, the softplus of its output.

        Args:
            outputs: The network's outputs, shape `(K, outputs)`.

        Returns:
            Shape `(K, 1 + quantiles)`; each row's quantiles never fall.
        """
        if self.spec.kind == "mean":
            return np.concatenate([outputs, outputs + self._offsets], axis=1).astype(np.float64)
        # Level by level over all series: the sums below run along whole rows.
        read = outputs.T.copy()
        levels, middle = read[1:], self._median
        median = levels[middle].copy()
        np.logaddexp(levels, _ZERO, out=levels)  # the softplus, which cannot overflow
        above, below = levels[middle + 1 :], levels[:middle]
        np.add.accumulate(above, axis=0, out=above)
        np.add.accumulate(below[::-1], axis=0, out=below[::-1])
        above += median
        np.subtract(median, below, out=below)
        levels[middle] = median
        return read.T.astype(np.float64)

    def widen(self, quantiles: Floats, spread: Floats) -> None:
        """Widen or narrow each curve around its median, in place.

        Between the ends of two intervals it is widened by something between, and none falls where
        its level rises.

        Args:
            quantiles: Shape `(K, quantiles)`.
            spread: The logarithm of how much the interval of each of `scores.LEVELS` is widened,
                shape `(K, levels)`.
        """
        middle = self._median
        median = quantiles[:, middle : middle + 1].copy()
        quantiles -= median
        quantiles *= np.exp(spread @ self._shares)
        above, below = quantiles[:, middle:], quantiles[:, middle::-1]
        np.maximum.accumulate(above, axis=1, out=above)
        np.minimum.accumulate(below, axis=1, out=below)
        quantiles += median

    def at(self, quantiles: Floats, levels: Sequence[float]) -> Floats:
        """Return the values at other levels.

        Args:
            quantiles: Values at this head's own levels, shape `(..., quantiles)`.
            levels: Levels between 0 and 1, the same ones for every row.

        Returns:
            Shape `(..., levels)`, rising with the level.

        Raises:
            InvalidRequestError: If a level is outside `LEVEL_RANGE`.
        """
        low, anchor, share = self._located(tuple(levels))
        if share is None:
            return quantiles.take(anchor, axis=-1)
        distance = quantiles[..., low + 1] - quantiles[..., low]
        distance *= share
        distance += quantiles[..., anchor]
        return distance

    def draw(self, quantiles: Floats, scores: Floats) -> Floats:
        """Return one value from each path, at the path's own normal score.

        Args:
            quantiles: Shape `(K, paths, quantiles)`.
            scores: Shape `(paths,)`.

        Returns:
            Shape `(K, paths)`.
        """
        low, anchor, share = self._locate(scores)
        path = np.arange(len(scores))
        distance = quantiles[:, path, low + 1] - quantiles[:, path, low]
        return quantiles[:, path, anchor] + share * distance

    def curve_mean(self, quantiles: Floats) -> Floats:
        """Return the mean of the distribution that each quantile curve describes.

        Args:
            quantiles: Shape `(..., quantiles)`.
        """
        mean: Floats = quantiles @ self._mean_weights
        return mean

    def _locate_levels(self, levels: tuple[float, ...]) -> tuple[Indices, Indices, Floats | None]:
        """Return what `_locate` does; no share where all are levels of this head."""
        lowest, highest = LEVEL_RANGE
        for level in levels:
            if not lowest <= level <= highest:
                raise InvalidRequestError(
                    f"quantile level {level:g}: expected {lowest} to {highest}, "
                    f"a central interval of {100 * (highest - lowest):g}% at most"
                )
        low, anchor, share = self._locate(normal_scores(levels))
        return low, anchor, share if share.any() else None

    def _locate(self, scores: Floats) -> tuple[Indices, Indices, Floats]:
        """Return, for each score, where on the curve it lies.

        Returns:
            The level below it, the nearer one from which its value is counted, and how far from
            that one it lies, as a share of the distance to the next. Counting from the nearer end
            gives the model's own levels back to the last bit, and no rounding makes a value fall
            where its level rises.
        """
        low = np.clip(np.searchsorted(self._scores, scores) - 1, 0, len(self._scores) - 2)
        left, right = self._scores[low], self._scores[low + 1]
        share = (scores - left) / (right - left)
        beyond = share >= 1.0
        return low, low + beyond, share - beyond


def normal_scores(levels: Iterable[float]) -> Floats:
    """Return the standard normal quantile of each level."""
    return np.array([_NORMAL.inv_cdf(level) for level in levels])


def interval_levels(percent: float) -> tuple[float, float]:
    """Return the two quantile levels that bound the central interval of so many percent."""
    tail = round((100.0 - percent) / 200.0, 12)
    return tail, round(1.0 - tail, 12)
