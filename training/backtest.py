"""Walk-forward evaluation: forecast, score, observe, one step at a time.

It drives the `Forecaster` that the service drives, so what is measured is what is served. The
baselines walk the same steps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from forecaster import scores
from forecaster.calendar import Freq
from forecaster.forecaster import Forecaster
from forecaster.head import interval_levels
from forecaster.journal import Season
from forecaster.season import infer_season
from forecaster.spec import QUANTILES, Manifest
from training.data import Panel
from training.errors import DataError

Floats = NDArray[np.float64]
Records = NDArray[np.void]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Walk:
    """What a walk over the held-back observations gave, for K series and `n` steps.

    Args:
        ids: The series.
        y: The actuals, shape `(K, n)`; NaN where one is missing.
        forecasts: One-step forecasts by method, each `(K, n)`.
        quantiles: The model's, at the levels `QUANTILES`, shape `(K, n, levels)`.
        histories: What each series had seen before.
        season: The season of the seasonal naive forecast and of MASE.
        ahead: The model's forecasts by steps ahead, shape `(h, K, n)`; NaN for the first actuals,
            where they would have been made before the test. Just `forecasts["model"]` by default.
    """

    ids: tuple[str, ...]
    y: Floats
    forecasts: dict[str, Floats]
    quantiles: Floats
    histories: tuple[Floats, ...]
    season: int
    ahead: Floats | None = None

    @property
    def steps(self) -> int:
        """How many observations of each series were walked."""
        return int(self.y.shape[1])

    @property
    def intervals(self) -> dict[int, Floats]:
        """The model's intervals, by level in percent: bounds of shape `(K, n, 2)`."""
        return {level: _bounds(self.quantiles, level) for level in scores.LEVELS}

    def of(self, rows: list[int]) -> "Walk":
        """Return the walk of some of the series."""
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            y=self.y[rows],
            forecasts={method: each[rows] for method, each in self.forecasts.items()},
            quantiles=self.quantiles[rows],
            histories=tuple(self.histories[row] for row in rows),
            ahead=None if self.ahead is None else self.ahead[:, rows],
        )

    def series_scores(self, method: str) -> list[dict[str, float]]:
        """Return RMSE, MAE, MASE and sMAPE of each series."""
        return [self._score(row, self.forecasts[method][row]) for row in range(len(self.ids))]

    def coverage(self) -> dict[str, float | None]:
        """Return the share of all actuals inside each of the model's intervals, 0 to 1.

        It is `None` where no actual is known.
        """
        known = ~np.isnan(self.y)
        if not known.any():
            return dict.fromkeys(map(str, self.intervals))
        return {
            str(level): scores.coverage(self.y[known], bounds[known][:, 0], bounds[known][:, 1])
            for level, bounds in self.intervals.items()
        }

    def series_coverage(self, level: int) -> Floats:
        """Return the share of each series' actuals inside the interval; NaN where none is known."""
        known = ~np.isnan(self.y)
        low, high = np.moveaxis(self.intervals[level], -1, 0)
        inside = known & (low <= self.y) & (self.y <= high)
        count = known.sum(axis=1)
        return np.where(count > 0, inside.sum(axis=1) / np.maximum(count, 1), np.nan)

    def pinball(self) -> float | None:
        """Return the mean pinball loss of the model's quantiles, the mean over series.

        It is `None` where no actual is known.
        """
        levels = np.array(QUANTILES)
        rows = [
            scores.pinball(y[known], quantiles[known], levels)
            for y, quantiles, known in zip(self.y, self.quantiles, ~np.isnan(self.y), strict=True)
            if known.any()
        ]
        return _mean(rows)

    def errors_ahead(self) -> dict[str, Floats]:
        """Return the RMSE of each method by steps ahead, shape `(h,)`, means over series.

        The baselines are those of the same steps, from what was known when they were forecast.
        """
        ahead = self.forecasts["model"][None] if self.ahead is None else self.ahead
        far = range(1, len(ahead) + 1)
        told = {
            "model": list(ahead),
            "persistence": [seasonal_naive(self.histories, self.y, 1, h) for h in far],
            "seasonal_naive": [seasonal_naive(self.histories, self.y, self.season, h) for h in far],
        }
        known = ~np.isnan(self.y) & ~np.isnan(ahead)
        return {
            method: np.array(
                [_rmse_of(self.y, each, which) for each, which in zip(all_h, known, strict=True)]
            )
            for method, all_h in told.items()
        }

    def summary(self) -> dict[str, dict[str, JsonValue]]:
        """Return the scores of each method, means over series, as `--json` prints them."""
        result: dict[str, dict[str, JsonValue]] = {}
        for method in scores.METHODS:
            rows = self.series_scores(method)
            result[method] = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        result["model"] |= {"coverage": {**self.coverage()}, "pinball": self.pinball()}
        return result

    def _score(self, row: int, forecast: Floats) -> dict[str, float]:
        known = ~np.isnan(self.y[row])
        if not known.any():
            return dict.fromkeys(scores.MEASURES, float("nan"))
        y, forecast = self.y[row][known], forecast[known]
        history = self.histories[row]
        return {
            "rmse": scores.rmse(y, forecast),
            "mae": scores.mae(y, forecast),
            "mase": scores.mase(
                y, forecast, history=history[~np.isnan(history)], season=self.season
            ),
            "smape": scores.smape(y, forecast),
        }


def backtest(
    forecaster: Forecaster,
    history: Panel,
    test: Panel,
    *,
    season: int,
    h: int = 1,
    seasons: Sequence[Season] | None = None,
    progress: Progress | None = None,
) -> Walk:
    """Seed every series with its history, then walk over the test part.

    Args:
        forecaster: Steps the series.
        history: What was known before the test.
        test: The same series in the same order, the same number of observations of each.
        season: The season of the seasonal naive forecast and of MASE, 1 for none.
        h: How many steps are forecast each time, means alone beyond the first.
        seasons: What the model is told of the season of each series; nothing by default.
        progress: Called with the steps done and the steps there are.

    Raises:
        DataError: If a history does not lead to a first forecast, or there is nothing to score.
    """
    check_walk(history, test, forecaster.context)
    known = [series.y for series in history.series]
    y = np.array([series.y for series in test.series])
    mean = np.empty(y.shape)
    quantiles = np.empty((*y.shape, len(QUANTILES)))
    ahead = np.full((h, *y.shape), np.nan)
    for t, (records, x) in enumerate(_walk(forecaster, history, test, seasons, progress)):
        standing = forecaster.forecast(records, 1, QUANTILES, x=_first(x, 1))
        mean[:, t], quantiles[:, t] = standing.mean[:, 0], standing.quantiles[:, 0]
        ahead[0, :, t] = mean[:, t]
        if h > 1:
            most = min(h, y.shape[1] - t)
            further = forecaster.forecast(records, most, x=_first(x, most)).mean
            for steps in range(1, further.shape[1]):
                ahead[steps, :, t + steps] = further[:, steps]
    return Walk(
        ids=tuple(series.unique_id for series in test.series),
        y=y,
        forecasts={
            "model": mean,
            "persistence": seasonal_naive(known, y, 1),
            "seasonal_naive": seasonal_naive(known, y, season),
        },
        quantiles=quantiles,
        histories=tuple(known),
        season=season,
        ahead=ahead,
    )


def walk_ahead(
    forecaster: Forecaster,
    history: Panel,
    test: Panel,
    h: int,
    *,
    seasons: Sequence[Season] | None = None,
    progress: Progress | None = None,
) -> list[dict[str, JsonValue]]:
    """Walk as `backtest` does, forecasting `h` steps each time, and score each step ahead.

    Args:
        forecaster: Steps the series.
        history: What was known before the test.
        test: The same series in the same order, the same number of observations of each.
        h: How many steps, at most those of the test.
        seasons: What the model is told of the season of each series; nothing by default.
        progress: Called with the steps done and the steps there are.

    Returns:
        For each step ahead RMSE, MAE and coverage, over all its forecasts: RMSE and MAE are means
        over series, `None` where no actual is known.

    Raises:
        DataError: If a history does not lead to a first forecast, or the test is too short.
    """
    check_walk(history, test, forecaster.context)
    y = np.array([series.y for series in test.series])
    count, steps = y.shape
    check_horizon(h, test)
    means = np.full((h, count, steps), np.nan)
    quantiles = np.full((h, count, steps, len(QUANTILES)), np.nan)
    for t, (records, x) in enumerate(_walk(forecaster, history, test, seasons, progress)):
        most = min(h, steps - t)
        standing = forecaster.forecast(records, most, QUANTILES, seed=t, x=_first(x, most))
        for ahead in range(standing.mean.shape[1]):
            means[ahead, :, t + ahead] = standing.mean[:, ahead]
            quantiles[ahead, :, t + ahead] = standing.quantiles[:, ahead]
    return [_score_ahead(number + 1, y, means[number], quantiles[number]) for number in range(h)]


def seeded(
    forecaster: Forecaster, history: Panel, seasons: Sequence[Season] | None = None
) -> Records:
    """Return the records of series at the end of a history.

    Intervals fitted to series are not calibrated by them too: there they hold better than
    elsewhere.
    """
    records = forecaster.seed(
        [series.y for series in history.series],
        [series.ds for series in history.series],
        history.clock,
        seasons,
        [series.x for series in history.series] if forecaster.covariates.names else None,
    )
    return forecaster.uncalibrated(records) if forecaster.is_fitted else records


def _walk(
    forecaster: Forecaster,
    history: Panel,
    test: Panel,
    seasons: Sequence[Season] | None,
    progress: Progress | None,
) -> Iterator[tuple[Records, Floats | None]]:
    """Yield the records of all series as they stand before each observation of the test.

    With them come the covariates of that observation and of those after it.
    """
    y = np.array([series.y for series in test.series])
    ds = np.array([series.ds for series in test.series])
    x = np.array([series.x for series in test.series])
    has_x = bool(forecaster.covariates.names)  # or the panel's are nothing to this model
    steps = y.shape[1]
    records = seeded(forecaster, history, seasons)
    for t in range(steps):
        yield records, x[:, t:] if has_x else None
        now = x[:, t] if has_x else None
        records = forecaster.observe(records, y[:, t], ds[:, t], history.clock, now)
        if progress is not None:
            progress(t + 1, steps)


def _first(x: Floats | None, steps: int) -> Floats | None:
    """Return the covariates of the first steps, if there are any."""
    return None if x is None else x[:, :steps]


def check_horizon(h: int, test: Panel) -> None:
    """Refuse to score further ahead than the test is long.

    Raises:
        DataError: If it is shorter than `h` steps.
    """
    steps = len(test.series[0])
    if h > steps:
        raise DataError(f"h: expected at most the {steps} observations held back, found {h}")


def _score_ahead(ahead: int, y: Floats, mean: Floats, quantiles: Floats) -> dict[str, JsonValue]:
    known = ~np.isnan(y) & ~np.isnan(mean)
    rows = [
        (scores.rmse(y[row][which], mean[row][which]), scores.mae(y[row][which], mean[row][which]))
        for row, which in enumerate(known)
        if which.any()
    ]
    rmse, mae = zip(*rows, strict=True) if rows else ((), ())
    actual = y[known]
    coverage = {
        str(level): scores.coverage(actual, *_bounds(quantiles[known], level).T)
        for level in scores.LEVELS
        if len(actual)
    }
    return {"h": ahead, "rmse": _mean([*rmse]), "mae": _mean([*mae]), "coverage": {**coverage}}


def _bounds(quantiles: Floats, level: int) -> Floats:
    """Return the bounds of an interval, shape `(..., 2)`, from quantiles at all levels."""
    return quantiles[..., [QUANTILES.index(bound) for bound in interval_levels(level)]]


def seasons_of(history: Panel, season: Season | None) -> list[Season]:
    """Return what a model that takes note of seasons is told of each series.

    Args:
        history: The series.
        season: Their season; by default their times tell it.
    """
    if season is not None:
        return [season] * len(history.series)
    return [infer_season(series.ds, history.clock) for series in history.series]


def usual_season(manifest: Manifest | None, panel: Panel) -> int:
    """Return a model's season, or the usual one at the panel's frequency; 1 where there is none."""
    if manifest is not None and manifest.season > 1:
        return manifest.season
    return Freq.parse(panel.freq).season if panel.freq else 1


def check_walk(history: Panel, test: Panel, context: int, path: Path | None = None) -> None:
    """Refuse series that cannot be walked.

    Args:
        history: What was known before the test.
        test: The same series in the same order.
        context: How many observations come before a first forecast. Each of them has to be known,
            since there is no forecast yet to stand in for a missing one.
        path: The file, for the message.

    Raises:
        DataError: If a series has fewer observations before the test or misses one of the first, or
            no observation of the test is known.
    """
    for series in history.series:
        name = f"series {series.unique_id!r}"
        if len(series) < context:
            raise DataError(
                f"{name}: expected {context} or more observations before the test, "
                f"found {len(series)}",
                path=path,
            )
        missing = np.flatnonzero(np.isnan(series.y[:context]))
        if len(missing):
            raise DataError(
                f"{name}: observation {missing[0] + 1} is missing; the first {context} have to be "
                "known",
                path=path,
            )
    if all(np.isnan(series.y).all() for series in test.series):
        raise DataError(
            f"no value is known among the last {len(test.series[0])} observations of any series, "
            "which are held back for the test",
            path=path,
        )


def default_test(panel: Panel) -> int:
    """Return a tenth of the shortest series, at least one observation."""
    return max(min(len(series.y) for series in panel.series) // 10, 1)


def seasonal_naive(histories: Sequence[Floats], y: Floats, season: int, h: int = 1) -> Floats:
    """Return, for each step of the test, the last value of its phase that was known `h` before.

    For one step that is the value one season before it. With a season of 1 this is persistence.
    Where that value is missing or lies before the start, the last known one stands in.

    Args:
        histories: What was known before, one array a series.
        y: The test part, shape `(K, n)`.
        season: The season's length.
        h: How many steps before it was forecast.
    """
    forecasts = np.empty(y.shape)
    for row, history in enumerate(histories):
        whole = np.concatenate([history, y[row]])
        steps = np.arange(len(history), len(whole))
        lag = -(-h // season) * season
        same_phase = whole[np.maximum(steps - (lag if lag <= len(history) else h), 0)]
        before = filled(whole)[np.maximum(steps - h, 0)]
        forecasts[row] = np.where(np.isnan(same_phase), before, same_phase)
    return forecasts


def filled(y: Floats) -> Floats:
    """Return values with the last known one in place of each missing one."""
    known = np.maximum.accumulate(np.where(np.isnan(y), 0, np.arange(len(y))))
    return y[known]


def _rmse_of(y: Floats, forecast: Floats, which: NDArray[np.bool_]) -> float:
    """Return the mean RMSE of the series that have a step to be scored; NaN if none has."""
    rows = [
        scores.rmse(actual[some], told[some])
        for actual, told, some in zip(y, forecast, which, strict=True)
        if some.any()
    ]
    return float(np.mean(rows)) if rows else float("nan")


def _mean(values: list[float]) -> float | None:
    """Return the mean over the series that have one, or None: JSON has no NaN."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
