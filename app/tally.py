"""Sums over the observations of one model, cheap enough to keep with each one."""

from collections import Counter
from collections.abc import Mapping
from math import nan

import numpy as np
from numpy.typing import NDArray

from app.errors import NOT_VALID, slug
from forecaster.errors import ForecastError
from forecaster.scores import LEVELS

# Each level with the places of its bounds in the forecast that stood.
_BOUNDS = [(level, 2 * level + 1, 2 * level + 2) for level in range(len(LEVELS))]


class Tally:
    """What became of the observations that came since the process started.

    An error is scaled by the mean absolute change of its series so far, so that series of any units
    count alike. A series that never changed has no scale, and is in the other sums only.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter(applied=0, duplicate=0)
        self.scored = 0
        self.error = 0.0
        self.scaled_error = 0.0
        self.scaled_change = 0.0  # what the scaled error of persistence would be
        self.inside = [0] * len(LEVELS)

    @property
    def mae(self) -> float:
        """The mean absolute error, in the units of the series; NaN before the first."""
        return self.error / self.scored if self.scored else nan

    @property
    def skill(self) -> float:
        """How much smaller the scaled errors are than persistence's; NaN where it has none."""
        return 1.0 - self.scaled_error / self.scaled_change if self.scaled_change else nan

    @property
    def coverage(self) -> list[float]:
        """The share of actuals inside each interval of `scores.LEVELS`."""
        return [count / self.scored if self.scored else nan for count in self.inside]

    def add(
        self,
        rows: NDArray[np.intp],
        records: NDArray[np.void],
        last: NDArray[np.float64],
        outcomes: Mapping[int, str | ForecastError],
    ) -> None:
        """Take in what became of rows.

        Args:
            rows: Their numbers.
            records: The records of their series after them.
            last: The value of each series before.
            outcomes: Those that were not simply applied, by the row's number.
        """
        if outcomes:
            for one in outcomes.values():
                self.outcomes[slug(one) if isinstance(one, ForecastError) else one] += 1
            applied = np.array([row not in outcomes for row in rows.tolist()], np.bool_)
            records, last = records[applied], last[applied]
        self.outcomes["applied"] += len(records)
        # Plain numbers: most often there is one row, for which each sum would take NumPy longer.
        count, sum_error, sum_scaled, sum_change = 0, 0.0, 0.0, 0.0
        inside = self.inside
        for error, y, before, scale, stood in zip(
            records["error"].tolist(),
            records["y"].tolist(),
            last.tolist(),
            records["naive_mae"].tolist(),
            records["stood"].tolist(),
            strict=True,
        ):
            if error != error:
                continue  # NaN: it had no value, or no forecast
            size = abs(error)
            count += 1
            sum_error += size
            if scale > 0.0:
                sum_scaled += size / scale
                sum_change += abs(y - before) / scale
            for level, low, high in _BOUNDS:
                if stood[low] <= y <= stood[high]:
                    inside[level] += 1
        self.scored += count
        self.error += sum_error
        self.scaled_error += sum_scaled
        self.scaled_change += sum_change

    def add_invalid(self, count: int) -> None:
        """Take in rows that were refused as they came."""
        self.outcomes[NOT_VALID] += count
