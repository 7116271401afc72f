"""Observe, forecast, seed and reset: pure functions from records to records.

`forecaster.observe(records, y)` takes K series one step on. The records it is given are left as
they were; whoever owns them puts the new ones in their place.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forecaster import scores
from forecaster.calendar import Clock, Freq, Times
from forecaster.covariates import Covariates
from forecaster.errors import InvalidRequestError, SeriesNotWarmError
from forecaster.head import Head, interval_levels, normal_scores
from forecaster.journal import (
    NO_SEASON,
    Entries,
    Mark,
    Season,
    covariates_of,
    entry_dtype,
    of_history,
)
from forecaster.network import Network
from forecaster.record import copied, raw, record_dtype
from forecaster.spec import LARGEST_VALUE, Policy
from forecaster.transform import Transform

Floats = NDArray[np.float64]
Records = NDArray[np.void]

_OBSERVED = np.uint8(Mark.OBSERVED)  # sooner read than the enumeration

# Sampled paths of a forecast of several steps, and how many series-paths are rolled at once.
_PATHS = 256
_ROWS_AT_ONCE = 4096

# Each interval of `scores.LEVELS` is widened by so much of a logarithm when an actual falls out of
# it, times its level, and narrowed when one falls into it, times the rest: in balance where it
# covers what it says. Gibbs and Candes (2021), "Adaptive conformal inference under distribution
# shift". All go along with each, for a wide interval alone is slow to learn that it is too wide.
# And no further than by a factor of about 7.
_CALIBRATION = 0.02
_EXPECTED_INSIDE = np.array(scores.LEVELS) / 100.0
MOST_SPREAD = 2.0

# Work done between two yields, in series-steps of a large batch, and what a step of any size costs.
_SLICE = 4096
_SINGLE_STEP = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Forecast:
    """Forecasts of K series, in their own units.

    Args:
        mean: Shape `(K, h)`.
        quantiles: Shape `(K, h, levels)`, in the order of the levels asked for.
    """

    mean: Floats
    quantiles: Floats


# Work that yields every few milliseconds, for a caller who has others to answer meanwhile.
Work = Generator[None, None, T]


def run(work: Work[T]) -> T:
    """Do work to its end and return what came of it."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


class Forecaster:
    """Steps the records of one model.

    Args:
        transform: Raw values to network inputs and back.
        network: Does the steps.
        head: Reads the network's outputs.
        state_size: Numbers in `h`, and in `c`.
        policy: Whether state is carried from step to step.
        freq: The distance between observations, for a transform that keeps time.
        covariates: What else the network is told of each step; nothing by default.
    """

    def __init__(
        self,
        *,
        transform: Transform,
        network: Network,
        head: Head,
        state_size: int,
        policy: Policy = Policy.CARRY,
        freq: Freq | None = None,
        covariates: Covariates | None = None,
    ) -> None:
        self.transform = transform
        self.covariates = covariates or Covariates()
        self.features = transform.features + self.covariates.features
        self._freq = freq
        self._network = network
        self._head = head
        self._policy = policy
        self._bounds = [bound for level in scores.LEVELS for bound in interval_levels(level)]
        self.context = transform.context
        self.dtype = record_dtype(
            state_size=state_size,
            width=head.width,
            transform=[*transform.fields, *self.covariates.fields],
        )
        self.entry = entry_dtype(self.dtype)

    def new(self, count: int) -> Records:
        """Return the records of `count` series that have seen nothing."""
        return np.zeros(count, self.dtype)

    def observe(
        self,
        records: Records,
        y: Floats,
        ds: Times | None = None,
        clock: Clock | NDArray[np.uint8] = Clock.NONE,
        x: Floats | None = None,
    ) -> Records:
        """Take one observation into each of K series.

        Args:
            records: Shape `(K,)`. Not modified.
            y: The values, float64 of shape `(K,)`. NaN is a missing one: the series steps with the
                forecast that stood, and the step is not scored.
            ds: The times, shape `(K,)`, if the series keep time.
            clock: What `ds` counts, for all series or for each.
            x: The covariates of the step, shape `(K, covariates)`, NaN where one is missing; by
                default all are.

        Returns:
            New records, one step on. `error` holds `y` minus the forecast that stood for it, NaN
            where there was none.

        Raises:
            SeriesNotWarmError: If a value is missing before there is a forecast to stand in for it.
            InvalidRequestError: If a value is larger than `LARGEST_VALUE`.
        """
        new = copied(records)
        self.observe_in_place(new, y, ds, clock, x)
        return new

    def observe_in_place(
        self,
        records: Records,
        y: Floats,
        ds: Times | None = None,
        clock: Clock | NDArray[np.uint8] = Clock.NONE,
        x: Floats | None = None,
    ) -> None:
        """Do what `observe` does to records that are the caller's own copy.

        Records are left as they were if it raises what `observe` raises.
        """
        check_values(y)
        missing = np.isnan(y)
        is_missing = np.count_nonzero(missing) > 0
        warm = records["step"] >= self.context
        if is_missing and np.count_nonzero(missing & ~warm):
            raise self._not_warm(records[missing & ~warm][0])
        if self.covariates.names and x is None:
            x = self.covariates.unknown(len(records))
        if self.covariates.foresees and x is not None:
            self._settle(records, x)
        standing = records["forecast"]
        mean = standing[:, 0]
        value, scored = y, warm
        if is_missing:
            value, scored = np.where(missing, mean, y), warm & ~missing
            records["gap"] = np.where(missing, records["gap"] + 1, 0)
        else:
            records["gap"] = 0
        records["error"] = np.where(scored, y - mean, np.nan)
        bounds = self._head.at(standing[:, 1:], self._bounds)
        actual = value[:, None]
        inside = (bounds[:, 0::2] <= actual) & (actual <= bounds[:, 1::2])
        if self._head.spec.calibrated:
            _calibrate(records["spread"], inside, scored)
        scores.observe(records, value, inside, scored)
        stood = records["stood"]
        stood[:, 0], stood[:, 1:] = mean, bounds
        if np.count_nonzero(warm) < len(warm):
            stood[~warm] = np.nan
        records["y"] = value
        records["missing"] = missing
        records["mark"] = _OBSERVED
        if ds is not None:
            records["ds"] = ds
            records["clock"] = clock
        self._advance(records, value, x)

    def forecast(
        self,
        records: Records,
        h: int = 1,
        levels: Sequence[float] = (),
        *,
        seed: int = 0,
        x: Floats | None = None,
    ) -> Forecast:
        """Forecast the next `h` steps of K series. A pure read.

        The first step is in the record, unless `x` tells more of it. For the others a copy of the
        state is rolled forward: the mean on its own means, the quantiles by paths drawn from the
        forecast distribution of each step.

        Args:
            records: Shape `(K,)`. Not modified.
            h: The horizon, at least 1.
            levels: Quantile levels, within `head.LEVEL_RANGE`.
            seed: Fixes the draws: the same records and seed give the same forecast.
            x: The covariates of these steps that are known ahead, shape `(K, h, covariates)`, NaN
                where one is not; by default none is.

        Raises:
            SeriesNotWarmError: If a series has fewer than `context` observations.
            InvalidRequestError: If the horizon or a level makes no sense.
        """
        return run(self.forecasting(records, h, levels, seed=seed, x=x))

    def forecasting(
        self,
        records: Records,
        h: int = 1,
        levels: Sequence[float] = (),
        *,
        seed: int = 0,
        x: Floats | None = None,
    ) -> Work[Forecast]:
        """Do what `forecast` does, a few milliseconds at a time."""
        if h < 1:
            raise InvalidRequestError(f"h: expected at least 1 step ahead, found {h}")
        cold = records["step"] < self.context
        if cold.any():
            raise self._not_warm(records[cold][0])
        if not self.covariates.names:
            x = None
        elif x is not None or h > 1:
            if x is None:
                x = np.repeat(self.covariates.unknown(h)[None], len(records), axis=0)
            x = self.covariates.only_ahead(x)
            if self.covariates.foresees:
                records = copied(records)
                self._settle(records, x[:, 0])
        standing = records["forecast"]
        first = Forecast(standing[:, :1].copy(), self._head.at(standing[:, 1:], levels)[:, None])
        if h == 1:
            return first
        paths = _PATHS if levels else 0
        at_once = max(_ROWS_AT_ONCE // (paths + 1), 1)
        means, quantiles = [], []
        for rows in range(0, max(len(records), 1), at_once):
            rng = np.random.default_rng(seed)
            some = slice(rows, rows + at_once)
            ahead = None if x is None else x[some]
            part = yield from self._roll(records[some], h, levels, paths, rng, ahead)
            means.append(part.mean)
            quantiles.append(part.quantiles)
        return Forecast(
            mean=np.concatenate([first.mean, np.concatenate(means)], axis=1),
            quantiles=np.concatenate([first.quantiles, np.concatenate(quantiles)], axis=1),
        )

    def seed(
        self,
        histories: Sequence[Floats],
        ds: Sequence[Times] | None = None,
        clock: Clock = Clock.NONE,
        seasons: Sequence[Season] | None = None,
        x: Sequence[Floats] | None = None,
    ) -> Records:
        """Return the records of series that have observed these histories, from nothing.

        One pass over time with all series side by side: the same as observing one by one.

        Args:
            histories: The values of each series, oldest first, of any lengths, none empty.
            ds: The times of each, in the same shapes.
            clock: What `ds` counts.
            seasons: The season of each, for a transform that takes note of it; none by default.
            x: The covariates of each, shape `(n, covariates)`; by default all are missing.

        Raises:
            SeriesNotWarmError: If a value is missing before there is a forecast to stand in for it.
            InvalidRequestError: If a value is larger than `LARGEST_VALUE`.
        """
        return run(self.seeding(histories, ds, clock, seasons, x))

    def seeding(
        self,
        histories: Sequence[Floats],
        ds: Sequence[Times] | None = None,
        clock: Clock = Clock.NONE,
        seasons: Sequence[Season] | None = None,
        x: Sequence[Floats] | None = None,
    ) -> Work[Records]:
        """Do what `seed` does, a few milliseconds at a time."""
        entries = [
            of_history(
                history,
                np.zeros(len(history), np.int64) if ds is None else ds[row],
                clock,
                np.full(len(history), Mark.OBSERVED, np.uint8),
                row,
                NO_SEASON if seasons is None else seasons[row],
                self.entry,
                None if x is None else x[row],
            )
            for row, history in enumerate(histories)
        ]
        return self.replaying(
            self.new(len(histories)), np.concatenate([np.empty(0, self.entry), *entries])
        )

    def replaying(self, records: Records, entries: Entries) -> Work[Records]:
        """Take journal entries into K series, a few milliseconds at a time.

        One pass over time with all series side by side: the same as observing one by one.

        Args:
            records: Shape `(K,)`. Not modified.
            entries: What happened to them, those of one series in order; `series` is a row of
                `records`. `stood` is filled in.

        Returns:
            The records after all that.

        Raises:
            SeriesNotWarmError: If a value is missing before there is a forecast to stand in for it.
            InvalidRequestError: If a value is larger than `LARGEST_VALUE`.
        """
        lengths = np.bincount(entries["series"], minlength=len(records))
        order = np.argsort(-lengths, kind="stable")  # longest first: those still going are a prefix
        by_series = np.argsort(entries["series"], kind="stable")
        first = (np.cumsum(lengths) - lengths)[order]
        replayed = raw(records)[order].view(self.dtype)
        done = 0
        for t in range(int(lengths.max(initial=0))):
            going = int(np.searchsorted(-lengths[order], -t))
            at = by_series[first[:going] + t]
            self._replay(replayed[:going], entries, at)
            done += going + _SINGLE_STEP
            if done >= _SLICE:
                done = 0
                yield
        in_order = np.empty_like(replayed)
        raw(in_order)[order] = raw(replayed)
        return in_order

    def _replay(self, records: Records, entries: Entries, at: NDArray[np.int64]) -> None:
        """Take one entry into each record, in place."""
        now = entries[at]
        is_reset = now["mark"] == Mark.RESET
        if is_reset.any():
            records[is_reset] = self.reset(records[is_reset])
            rest = ~is_reset
            if rest.any():
                stepped = raw(records)[rest].view(self.dtype)
                self._replay(stepped, entries, at[rest])
                raw(records)[rest] = raw(stepped)
            return
        is_first = records["step"] == 0
        if is_first.any():
            records["season"][is_first] = now["season"][is_first]
        x = covariates_of(now)
        self.observe_in_place(records, now["y"], now["ds"], now["clock"], x)
        records["mark"] = now["mark"]
        entries["stood"][at] = records["stood"]

    def uncalibrated(self, records: Records) -> Records:
        """Return the records with intervals as if no actual had been held against them."""
        new = copied(records)
        self._head.widen(new["forecast"][:, 1:], -new["spread"])
        new["spread"] = 0.0
        return new

    @property
    def is_fitted(self) -> bool:
        """Whether intervals are fitted, so that a history learnt from says nothing of them."""
        return self._head.spec.widened is not None

    def check_history(self, y: Floats) -> None:
        """Refuse a history that cannot be seeded; see `seed`."""
        check_values(y)
        early = np.isnan(y[: self.context])
        if early.any():
            step = int(early.argmax())
            raise SeriesNotWarmError(step=step, missing=self.context - step)

    def reset(self, records: Records) -> Records:
        """Return the records with `h` and `c` at zero.

        What the transform keeps stays, so the next forecast is made at once, by one step of the
        network from the zero state.
        """
        new = copied(records)
        new["h"] = 0.0
        new["c"] = 0.0
        ready = new["step"] >= self.context
        if ready.any():
            rows = new[ready]
            outputs, _, _ = self._network.step(self.inputs(rows), rows["h"], rows["c"])
            rows["forecast"] = self._values(rows, outputs)
            new[ready] = rows
        return new

    def inputs(self, records: Records) -> NDArray[np.float32]:
        """Return what the network is told of K series, shape `(K, features)`."""
        inputs = self.transform.inputs(records)
        if not self.covariates.names:
            return inputs
        told = self.covariates.inputs(records).astype(np.float32)
        return np.concatenate([inputs, told], axis=1)

    def _settle(self, records: Records, x: Floats, *, is_path: bool = False) -> None:
        """Take the last step, now that the covariates of the one to come are known, in place.

        Until then it is taken on what they are thought to be, for the forecast alone: the state
        stays that before it.
        """
        self.covariates.foresee(records, x)
        self._step_warm(records, is_path, is_settled=True)

    def _advance(
        self, records: Records, value: Floats, x: Floats | None, *, is_path: bool = False
    ) -> None:
        """Take values into K records, in place: transform, network, the next forecast.

        Behind missing values quantiles are wider by the root of the steps, as a random walk's are;
        on a path, where what is not known is drawn, they are not.
        """
        self.transform.observe(records, value)
        if x is not None:
            self.covariates.observe(records, x)
        step = records["step"]
        step += 1
        self._step_warm(records, is_path, is_settled=not self.covariates.foresees)

    def _step_warm(self, records: Records, is_path: bool, *, is_settled: bool) -> None:
        ready = records["step"] >= self.context
        number = np.count_nonzero(ready)
        if number == len(ready):
            self._step(records, is_path, is_settled)
        elif number:
            rows = raw(records)[ready].view(self.dtype)
            self._step(rows, is_path, is_settled)
            raw(records)[ready] = raw(rows)

    def _step(self, records: Records, is_path: bool, is_settled: bool) -> None:
        outputs, h, c = self._network.step(self.inputs(records), records["h"], records["c"])
        if is_settled and self._policy is Policy.CARRY:
            records["h"] = h
            records["c"] = c
        records["forecast"] = self._values(records, outputs, is_path)

    def _values(
        self, records: Records, outputs: NDArray[np.float32], is_path: bool = False
    ) -> Floats:
        """Return mean and quantiles in the series' own units, none beyond what may be observed."""
        values = self.transform.unscale(records, self._head.read(outputs))
        if self._head.spec.calibrated:
            spread = records["spread"]
            if self._head.spec.widened is not None:
                spread = spread + self._head.spec.widened
            if np.count_nonzero(records["gap"]) and not is_path:
                spread = spread + 0.5 * np.log1p(records["gap"])[:, None]
            self._head.widen(values[:, 1:], spread)
        return _within(values)

    def _roll(
        self,
        records: Records,
        h: int,
        levels: Sequence[float],
        paths: int,
        rng: np.random.Generator,
        x: Floats | None,
    ) -> Work[Forecast]:
        """Return means `(K, h - 1)` and quantiles `(K, h - 1, levels)` of the steps after the next.

        Row 0 of each series walks on its own mean, the other rows are the sampled paths. `x` is
        what `forecast` takes, for a model that looks at it.
        """
        count = len(records)
        rolled = np.repeat(raw(records), paths + 1).view(self.dtype)
        rolled["missing"] = True  # nothing is learnt from what was not observed
        draws = normal_scores((np.arange(paths) + 0.5) / paths) if paths else np.empty(0)
        mean = np.empty((count, h - 1))
        quantiles = np.empty((count, h - 1, len(levels)))
        values = self._draw(rolled, count, rng.permutation(draws))
        for t in range(h - 1):
            if self._freq is not None and self.transform.keeps_time:
                rolled["ds"] = self._freq.advance(rolled["ds"])
            rolled["gap"] += 1
            now = None if x is None else np.repeat(x[:, t], paths + 1, axis=0)
            self._advance(rolled, values.ravel(), now, is_path=True)
            if x is not None and self.covariates.foresees:
                self._settle(rolled, np.repeat(x[:, t + 1], paths + 1, axis=0), is_path=True)
            values = self._draw(rolled, count, rng.permutation(draws))
            mean[:, t] = values[:, 0]
            if paths:
                quantiles[:, t] = np.quantile(values[:, 1:], list(levels), axis=1).T
            yield
        return Forecast(mean, quantiles)

    def _draw(self, rolled: Records, count: int, draws: Floats) -> Floats:
        """Return the next value of each row, shape `(count, 1 + paths)`: means, then draws."""
        standing = rolled["forecast"].reshape(count, 1 + len(draws), rolled["forecast"].shape[1])
        values = np.empty(standing.shape[:2])
        values[:, 0] = standing[:, 0, 0]
        # Draws are centred on the mean: a skewed or biased curve would have the paths drift away
        # from it, step by step.
        curves = standing[:, 1:, 1:]
        off = standing[:, 1:, 0] - self._head.curve_mean(curves)
        values[:, 1:] = self._head.draw(curves, draws) + off
        return _within(values)

    def _not_warm(self, record: np.void) -> SeriesNotWarmError:
        step = int(record["step"])
        return SeriesNotWarmError(step=step, missing=self.context - step)


def _within(values: Floats) -> Floats:
    # Not np.clip: it takes four times as long for one series.
    return np.maximum(np.minimum(values, LARGEST_VALUE), -LARGEST_VALUE)


def _calibrate(spread: Floats, inside: NDArray[np.bool_], scored: NDArray[np.bool_]) -> None:
    """Take one actual of each series into what its intervals are widened by, in place.

    Args:
        spread: Shape `(K, levels)`.
        inside: Which of the intervals the actual fell into, shape `(K, levels)`.
        scored: Which rows count.
    """
    alone = _CALIBRATION * (_EXPECTED_INSIDE - inside) * scored[:, None]
    moved = spread + alone + alone.sum(axis=1, keepdims=True)
    np.maximum(np.minimum(moved, MOST_SPREAD), -MOST_SPREAD, out=spread)


def check_values(y: Floats) -> None:
    """Refuse values larger than `LARGEST_VALUE`; NaN is none.

    Raises:
        InvalidRequestError: If there is one.
    """
    if np.count_nonzero(np.abs(y) > LARGEST_VALUE):
        largest = np.nanmax(np.abs(y))
        raise InvalidRequestError(
            f"y: expected numbers of size {LARGEST_VALUE:g} at most, found {largest:g}"
        )
