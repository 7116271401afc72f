"""From network outputs to a mean and quantiles, and from those to any quantile asked for.

Quantile curves are drawn through the model's levels as straight lines over the standard normal
score of the level: exact for a normal distribution, and beyond the outermost levels its last line
goes on, which is a normal tail.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from forecaster.spec import HeadSpec

Floats = NDArray[np.float64]

_NORMAL = NormalDist()


class Head:
    """Reads the outputs of a network with this head.

    Args:
        spec: The kind of head and its quantile levels.
    """

    def __init__(self, spec: HeadSpec) -> None:
        self.spec = spec
        self.levels = np.array(spec.quantiles)
        self._scores = normal_scores(self.levels)
        self._median = spec.quantiles.index(0.5)
        self._offsets = np.array(spec.offsets)

    @property
    def width(self) -> int:
        """How many numbers a forecast is: the mean, then one per quantile level."""
        return 1 + len(self.levels)

    def read(self, outputs: NDArray[np.float32]) -> Floats:
        """Return mean and quantiles, in network units.

        Quantiles cannot cross: the median is one output, and each further level adds a positive
        distance, the softplus of its output.

        Args:
            outputs: The network's outputs, shape `(K, outputs)`.

        Returns:
            Shape `(K, 1 + quantiles)`; each row's quantiles never fall.
        """
        out = outputs.astype(np.float64)
        if self.spec.kind == "mean":
            return np.concatenate([out, out + self._offsets], axis=1)
        quantiles = out[:, 1:]
        middle = self._median
        steps = np.logaddexp(0.0, quantiles)  # softplus
        median = quantiles[:, middle : middle + 1].copy()
        steps[:, middle] = 0.0
        steps[:, middle:] = np.cumsum(steps[:, middle:], axis=1)
        steps[:, :middle] = -np.cumsum(steps[:, middle - 1 :: -1], axis=1)[:, ::-1] if middle else 0
        return np.concatenate([out[:, :1], median + steps], axis=1)

    def at(self, quantiles: Floats, levels: Floats) -> Floats:
        """Return the values at other levels.

        Args:
            quantiles: Values at this head's own levels, shape `(..., quantiles)`.
            levels: Levels between 0 and 1, shape `(L,)` for the same ones in every row.

        Returns:
            Shape `(..., L)`, rising with the level.
        """
        return self.at_scores(quantiles, normal_scores(levels))

    def at_scores(self, quantiles: Floats, scores: Floats) -> Floats:
        """Return the values at normal scores, shape `(L,)`; otherwise as `at`."""
        low, share = self._locate(scores)
        return _between(quantiles[..., low], quantiles[..., low + 1], share)

    def draw(self, quantiles: Floats, scores: Floats) -> Floats:
        """Return one value from each path, at the path's own normal score.

        Args:
            quantiles: Shape `(K, paths, quantiles)`.
            scores: Shape `(paths,)`.

        Returns:
            Shape `(K, paths)`.
        """
        low, share = self._locate(scores)
        path = np.arange(len(scores))
        return _between(quantiles[:, path, low], quantiles[:, path, low + 1], share)

    def _locate(self, scores: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return, for each score, the level below it and how far it lies towards the next."""
        low = np.clip(np.searchsorted(self._scores, scores) - 1, 0, len(self._scores) - 2)
        left, right = self._scores[low], self._scores[low + 1]
        return low, (scores - left) / (right - left)


def _between(below: Floats, above: Floats, share: Floats) -> Floats:
    # Not below * (1 - share) + above * share: with this a level of the model comes back to the last
    # bit, and no rounding makes a value fall where its level rises.
    distance = above - below
    return np.where(share < 1.0, below + share * distance, above + (share - 1.0) * distance)


def normal_scores(levels: Floats) -> Floats:
    """Return the standard normal quantile of each level."""
    return np.array([_NORMAL.inv_cdf(level) for level in levels.tolist()])


def interval_levels(percent: float) -> tuple[float, float]:
    """Return the two quantile levels that bound the central interval of so many percent."""
    tail = round((100.0 - percent) / 200.0, 12)
    return tail, round(1.0 - tail, 12)
