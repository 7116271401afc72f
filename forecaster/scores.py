"""How good forecasts were: over whole arrays, and running in a record.

Definitions are those of Hyndman and Koehler (2006), "Another look at measures of forecast
accuracy"; the running forms give the same numbers one observation at a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Records = NDArray[np.void]

# What every report shows, and for whom. Training walks the universal model too, as it is.
MEASURES = ("rmse", "mae", "mase", "smape")
METHODS = ("model", "persistence", "seasonal_naive")
UNIVERSAL = "universal"

# Central intervals whose coverage is kept, in percent.
LEVELS = (80, 95)


def rmse(y: Floats, forecast: Floats) -> float:
    """Return the root mean square error, in the units of `y`."""
    return float(np.sqrt(np.mean(np.square(y - forecast))))


def mae(y: Floats, forecast: Floats) -> float:
    """Return the mean absolute error, in the units of `y`."""
    return float(np.mean(np.abs(y - forecast)))


def mase(y: Floats, forecast: Floats, *, history: Floats, season: int) -> float:
    """Return the mean absolute error over that of the seasonal naive forecast in the history.

    Args:
        y: The actuals.
        forecast: Their forecasts.
        history: The values before them.
        season: The season's length, 1 for none.

    Returns:
        NaN where the history is no longer than a season, or repeats itself exactly.
    """
    if len(history) <= season:
        return float("nan")
    scale = float(np.mean(np.abs(history[season:] - history[:-season])))
    return mae(y, forecast) / scale if scale > 0 else float("nan")


def smape(y: Floats, forecast: Floats) -> float:
    """Return the symmetric mean absolute percentage error, 0 to 200; 0/0 counts as no error."""
    size = np.abs(y) + np.abs(forecast)
    ratio = np.divide(np.abs(y - forecast), size, out=np.zeros_like(size), where=size > 0)
    return float(200.0 * np.mean(ratio))


def coverage(y: Floats, low: Floats, high: Floats) -> float:
    """Return the share of `y` inside its interval, 0 to 1."""
    return float(np.mean((low <= y) & (y <= high)))


def pinball(y: Floats, quantiles: Floats, levels: Floats) -> float:
    """Return the mean pinball loss.

    Args:
        y: The actuals, shape `(n,)`.
        quantiles: Their quantile forecasts, shape `(n, levels)`.
        levels: The levels, between 0 and 1.
    """
    error = y[:, None] - quantiles
    return float(np.mean(np.maximum(levels * error, (levels - 1.0) * error)))


def observe(
    records: Records, y: Floats, inside: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> None:
    """Take actuals into the running scores of K records, in place.

    Args:
        records: The records, which still hold the observation before.
        y: The actuals, shape `(K,)`.
        inside: Which of the intervals that stood they fell into, shape `(K, levels)`.
        scored: Which rows count.
    """
    count, covered = records["scored"], records["covered"]
    mae, naive_mae, rmse = records["mae"], records["naive_mae"], records["rmse"]
    count += scored
    share = scored / np.maximum(count, 1)  # nothing, where it does not count
    error = np.where(scored, np.abs(records["error"]), 0.0)
    change = np.abs(y - records["y"])
    mae += (error - mae) * share
    naive_mae += (change - naive_mae) * share
    # hypot, not a sum of squares: errors of 1e300 have a root mean square, and no square.
    np.hypot(rmse * np.sqrt(1.0 - share), error * np.sqrt(share), out=rmse)
    covered += inside & scored[:, None]


@dataclass(frozen=True)
class RunningScores:
    """The running scores of one series; `None` where nothing was scored yet."""

    scored: int
    mae: float | None
    rmse: float | None
    skill: float | None  # 1 - mae / mae of the last value as forecast
    coverage: dict[str, float]

    @classmethod
    def of(cls, record: np.void) -> "RunningScores":
        """Read them out of one record."""
        count = int(record["scored"])
        if count == 0:
            return cls(scored=0, mae=None, rmse=None, skill=None, coverage={})
        naive = float(record["naive_mae"])
        return cls(
            scored=count,
            mae=float(record["mae"]),
            rmse=float(record["rmse"]),
            skill=1.0 - float(record["mae"]) / naive if naive > 0 else None,
            coverage={
                str(level): int(covered) / count
                for level, covered in zip(LEVELS, record["covered"], strict=True)
            },
        )
