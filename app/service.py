"""The forecasting service, free of HTTP: it joins a model's forecaster and a store."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.answers import (
    Ask,
    Forecasted,
    ForecastStep,
    Moved,
    Observed,
    Past,
    PastStep,
    Reset,
    Seeded,
    SeriesPage,
    SeriesState,
    SeriesStatus,
)
from app.feed import Feed
from app.intake import ANY_STEP, BLOCK, Intake, Rows, Status, Taken, full
from app.store.protocol import Changed, SeriesStore
from forecaster.calendar import Clock, Freq, format_ds, format_times
from forecaster.covariates import Value
from forecaster.cursor import OnGap, fit_to_freq
from forecaster.errors import (
    ClockError,
    ConflictError,
    ForecastError,
    InvalidRequestError,
    NotKeptError,
    OtherModelError,
    SeriesNotFoundError,
    StepMismatchError,
    StoreUnavailableError,
)
from forecaster.forecaster import Forecast, Work
from forecaster.journal import (
    ENTRY,
    NO_SEASON,
    Entries,
    Mark,
    Season,
    covariates_of,
    is_after,
    observed,
    of_history,
    put_covariates,
    resets,
)
from forecaster.model import Model
from forecaster.portable import FORMAT, State
from forecaster.scores import LEVELS, RunningScores
from forecaster.season import infer_season

Records = NDArray[np.void]
T = TypeVar("T")
Times = NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """Observations in time order.

    Args:
        y: Values, NaN where one is missing.
        ds: Their times, as long as `y`; zeros without a clock.
        clock: What `ds` counts.
        marks: How each came to be, `journal.Mark`; all observed by default.
        season: The season of the series; by default its times tell it.
        x: Covariates, shape `(n, covariates)`, NaN where one is missing; none by default.
    """

    y: NDArray[np.float64]
    ds: Times
    clock: Clock = Clock.NONE
    marks: NDArray[np.uint8] | None = None
    season: Season | None = None
    x: NDArray[np.float64] | None = None

    def entries(self, dtype: np.dtype[np.void], row: int = 0) -> Entries:
        """Return them as journal entries of that dtype; `row` goes into `series`."""
        marks = np.full(len(self.y), Mark.OBSERVED, np.uint8) if self.marks is None else self.marks
        season = self.season or NO_SEASON
        return of_history(self.y, self.ds, self.clock, marks, row, season, dtype, self.x)


class ResetUnfinishedError(StoreUnavailableError):
    """The store failed after some of the series had been reset."""

    def __init__(self, done: int, count: int, why: BaseException | None) -> None:
        super().__init__(
            f"{done} of {count} series were reset, then the store could not make anything durable "
            f"({why}); send it again: to reset a series twice is the same as once"
        )
        self.done = done

    def facts(self) -> dict[str, object]:
        """Return how many series were reset."""
        return {"reset": self.done}


@dataclass(frozen=True)
class Seen:
    """What series were at one time.

    Args:
        records: Their records.
        beginnings: The numbers of their beginnings.
    """

    records: Records
    beginnings: list[int]

    def part(self, start: int, end: int) -> "Seen":
        """Return what some of them were."""
        return Seen(self.records[start:end], self.beginnings[start:end])

    def is_still(self, ids: list[str], current: Records, store: SeriesStore) -> NDArray[np.bool_]:
        """Return which of the series are the same to the last bit, and have not begun anew."""
        same = [
            one.tobytes() == other.tobytes() and store.beginning(unique_id) == beginning
            for unique_id, one, other, beginning in zip(
                ids, current, self.records, self.beginnings, strict=True
            )
        ]
        return np.array(same, np.bool_)


_NO_ENTRIES: Entries = np.empty(0, ENTRY)

# Observations that wait for their turn: what `ForecastService.observe` was given, by its answer.
_Waiting = dict[
    asyncio.Future[Observed], tuple[str, float, int, Clock, int, NDArray[np.float64] | None]
]

# What an observation is answered with.
_NEXT = Ask()

# How often listeners hear that there is nothing to hear: proxies cut what is silent for longer.
HEARTBEAT_SECONDS = 15.0

# How often a correction is worked out again because its series moved meanwhile.
_ATTEMPTS = 20

_MARKS: dict[int, Literal["observed", "after-gap", "filled"]] = {
    Mark.OBSERVED: "observed",
    Mark.AFTER_GAP: "after-gap",
    Mark.FILLED: "filled",
}


class ForecastService:
    """Serves the series of one model.

    Args:
        model: Steps the records.
        store: Keeps them.
        on_gap: What becomes of an observation that leaves steps out.
        season: The season of series about which nothing else is known.
        max_listeners: How many may listen to its series at once.
    """

    def __init__(
        self,
        model: Model,
        store: SeriesStore,
        *,
        on_gap: OnGap = OnGap.REJECT,
        season: Season = NO_SEASON,
        max_listeners: int = 100,
    ) -> None:
        self.model = model
        self.store = store
        self.feed: Feed[Moved] = Feed(max_listeners)
        self._forecaster = model.forecaster
        self.covariates = model.forecaster.covariates
        self.freq = Freq.parse(model.manifest.freq) if model.manifest.freq else None
        self.season = season
        self.intake = Intake(model.forecaster, store, freq=self.freq, on_gap=on_gap, season=season)
        self._on_gap = on_gap
        self._waiting: _Waiting = {}
        self._taking: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many observations wait to be stepped together."""
        return len(self._waiting)

    async def start_from_training(self) -> None:
        """Take the series that the model was trained on to where training ended.

        Series that the store keeps already are left as they are. All this is done once for a model:
        at a later start, what was deleted stays deleted. With a new fingerprint, or another layout
        of its records, it is another model, whose training's series are put again.
        """
        if not self.model.states or await self.store.has_started():
            return
        kept = set(await self.store.ids())
        new = {one: record for one, record in self.model.states.items() if one not in kept}
        if new:
            names, records = list(new), np.array(list(new.values()), self._forecaster.dtype)
            for start in range(0, len(names), BLOCK):
                block = slice(start, start + BLOCK)
                await self.put(names[block], records[block])
        await self.store.note_start()  # last: after a kill the next start puts the rest

    async def observe(
        self,
        unique_id: str,
        y: float,
        ds: int,
        clock: Clock,
        expected_step: int | None = None,
        x: Mapping[str, Value] | None = None,
    ) -> Observed:
        """Take one observation; the same one again changes nothing.

        Observations that arrive together are stepped together.

        Args:
            unique_id: The series; a new one begins with this observation.
            y: The value, NaN if it is missing.
            ds: Its time, as `clock` says.
            clock: What `ds` counts.
            expected_step: The step that the series must be at.
            x: Its covariates by name.

        Raises:
            TimeError: If it does not come next.
            StepMismatchError: If the series is not at `expected_step`.
            SeriesNotWarmError: If a value is missing before there is a forecast.
            InvalidRequestError: If the value is too large, or the covariates are not the model's.
            StoreError: If it cannot be kept.
        """
        row = self._one(x)
        waiting: asyncio.Future[Observed] = asyncio.get_running_loop().create_future()
        expected = ANY_STEP if expected_step is None else expected_step
        self._waiting[waiting] = (unique_id, y, ds, clock, expected, row)
        if self._taking is None:
            # Of no one request: it takes what all of them wait for.
            self._taking = asyncio.create_task(self._take_all_waiting(), context=Context())
        try:
            return await waiting
        except asyncio.CancelledError:  # its caller has gone
            self._waiting.pop(waiting, None)
            raise

    async def _take_all_waiting(self) -> None:
        """Take what waits until nothing does: what comes while the store is busy is one step."""
        try:
            while self._waiting:
                await asyncio.sleep(0)  # a turn more, in which those that are just being read join
                waiting, self._waiting = self._waiting, {}
                if waiting:  # their callers may have gone
                    await self._take(waiting)
        finally:
            self._taking = None

    async def _take(self, waiting: _Waiting) -> None:
        """Take observations in one step. Whatever happens, each one has its answer afterwards."""
        futures = list(waiting)
        try:
            ids, y, ds, clocks, expected, x = zip(*waiting.values(), strict=True)
            rows = Rows(
                ids=list(ids),
                y=np.array(y),
                ds=np.array(ds, np.int64),
                clocks=np.array(clocks, np.uint8),
                expected_steps=np.array(expected, np.int64),
                x=np.concatenate(x) if self.covariates.names else None,
            )
            async for taken in self.intake.take(rows):
                if self.feed.listeners:
                    self.tell(rows, taken)
                for row, answer in self._answers(rows.ids, taken):
                    if isinstance(answer, ForecastError):
                        _refuse(futures[row], answer)
                    elif not futures[row].done():  # or else its caller has gone
                        futures[row].set_result(answer)
        except Exception as error:
            for future in futures:
                _refuse(future, error)
        finally:
            for future in futures:
                future.cancel()  # which does nothing to those that are done

    async def correct(
        self,
        unique_id: str,
        y: float,
        ds: int,
        clock: Clock,
        expected_step: int | None = None,
        x: Mapping[str, Value] | None = None,
    ) -> Observed:
        """Replace the value of a past observation, as if it had been this one from the start.

        The series is taken back to before it, and what was observed since is replayed.

        Args:
            unique_id: The series.
            y: What the value should have been, NaN if it is missing.
            ds: The time of the observation.
            clock: What `ds` counts.
            expected_step: The step that the series must be at.
            x: What its covariates should have been; by default they stay.

        Returns:
            Where the series stands then. The same correction again changes nothing.

        Raises:
            SeriesNotFoundError: If there is no such series.
            NotKeptError: If the observation is not kept, or nothing from before it is.
            ClockError: If the series keeps another kind of time.
            StepMismatchError: If the series is not at `expected_step`.
            ConflictError: If the series moved each time that the correction was worked out.
            SeriesNotWarmError: If the value is missing where there was no forecast yet.
            InvalidRequestError: If the value is too large, the covariates are not the model's, or
                the store keeps no observations.
            StoreError: If it cannot be kept.
        """
        values = None if x is None else self._one(x)
        for _ in range(_ATTEMPTS):
            before = await self._kept(unique_id)
            step = int(before["step"][0])
            if expected_step is not None and expected_step != step:
                raise StepMismatchError(expected=expected_step, step=step)
            if clock != before["clock"][0]:
                raise ClockError(
                    "the series keeps another kind of time", step=step, ds=_last_ds(before[0])
                )
            entries = await self.store.history(unique_id)
            found = np.flatnonzero((entries["ds"] == ds) & (entries["mark"] != Mark.RESET))
            base = None
            if len(found):
                base = await self.store.base(unique_id, int(entries["step"][found[0]]) - 1)
            if (await self.store.read([unique_id])).tobytes() != before.tobytes():
                continue  # what was read is not all of one moment
            if base is None:
                raise NotKeptError(
                    f"no observation of {format_ds(ds, clock)} is kept that could be corrected",
                    step=step,
                    ds=_last_ds(before[0]),
                )
            corrected = entries.copy()
            corrected["series"] = 0
            entry = corrected[found[0]]
            is_same = entry["mark"] != Mark.FILLED and (
                entry["y"] == y or (np.isnan(entry["y"]) and np.isnan(y))
            )
            known = covariates_of(corrected[found[:1]])
            if values is not None and known is not None:
                # Static ones that are left out stay.
                values = np.where(np.isnan(values) & self.covariates.is_static, known, values)
                is_same = is_same and np.array_equal(values, known, equal_nan=True)
            if is_same:
                return self._observed(unique_id, before, "duplicate")
            entry["y"] = y
            if values is not None:
                put_covariates(corrected[found[0] : found[0] + 1], values)
            if entry["mark"] == Mark.FILLED:
                entry["mark"] = Mark.OBSERVED
            later = corrected[is_after(corrected, base["step"])]
            # The record from halfway is kept to replay from. A series whose newest values are all
            # corrected later would have none but its first: the others hold a wrong value.
            halfway = len(later) // 2
            former = await in_slices(self._forecaster.replaying(base, later[:halfway]))
            records = await in_slices(self._forecaster.replaying(former, later[halfway:]))
            corrected[len(corrected) - len(later) :] = later

            anew = {0: int(base["step"][0])}
            changed = Changed(records, True, corrected, anew, {0: former} if halfway else {})

            def change(
                current: Records,
                before: Records = before,
                beginning: int = int(entries["series"][0]),
                changed: Changed[bool] = changed,
            ) -> Changed[bool]:
                has_moved = (
                    current.tobytes() != before.tobytes()
                    or self.store.beginning(unique_id) != beginning
                )
                return Changed(current, False) if has_moved else changed

            if await self.store.update([unique_id], change):
                self.feed.tell_again([unique_id])
                return self._observed(unique_id, records, "applied")
        raise ConflictError(
            "the series moved while it was corrected; send the correction again",
            step=step,
            ds=_last_ds(before[0]),
        )

    async def history(self, unique_id: str, limit: int) -> Past:
        """Return the last steps of a series that are kept.

        Raises:
            SeriesNotFoundError: If there is no such series.
            InvalidRequestError: If the store keeps no observations.
        """
        entries = await self.store.history(unique_id)
        entries = entries[entries["mark"] != Mark.RESET][-limit:]
        return Past(unique_id, self._past_steps(entries))

    def _past_steps(self, entries: Entries) -> list[PastStep]:
        times = format_times(entries["ds"], entries["clock"])
        steps = []
        x = covariates_of(entries)
        for row, (entry, ds) in enumerate(zip(entries, times, strict=True)):
            mean, *bounds = entry["stood"].tolist()
            has_forecast = not np.isnan(mean)
            steps.append(
                PastStep(
                    step=int(entry["step"]),
                    ds=ds,
                    y=None if np.isnan(entry["y"]) else float(entry["y"]),
                    mark=_MARKS[int(entry["mark"])],
                    mean=mean if has_forecast else None,
                    intervals={
                        str(level): (bounds[2 * number], bounds[2 * number + 1])
                        for number, level in enumerate(LEVELS)
                        if has_forecast
                    },
                    x={} if x is None else self.covariates.write(x[row]),
                )
            )
        return steps

    async def events(self, unique_id: str) -> AsyncIterator[Moved | SeriesStatus | None]:
        """Yield what happens to a series, from now on.

        First, and whenever something else than an observation moved it, or too much did at once,
        comes where it stands; `None` comes where nothing happens for long. It ends with the series.

        Raises:
            SeriesNotFoundError: If there is no such series.
            BusyError: If as many listen as may.
        """
        with self.feed.listening(unique_id) as listener:
            yield await self.status(unique_id)
            while not listener.is_closed:
                heard = await listener.hear(HEARTBEAT_SECONDS)
                if not heard and not listener.is_closed:
                    yield None
                for event in heard:
                    if event is not None:
                        yield event
                        continue
                    try:
                        yield await self.status(unique_id)
                    except SeriesNotFoundError:
                        return

    def tell(self, rows: Rows, taken: Taken) -> None:
        """Tell those who listen of observations that were just taken."""
        for at, row in enumerate(taken.rows.tolist()):
            unique_id = rows.ids[row]
            if unique_id not in self.feed.listeners or row in taken.outcomes:
                continue
            records = taken.records[at : at + 1]
            x = None if rows.x is None else rows.x[row : row + 1]
            entries = observed(records, np.zeros(1, np.intp), self._forecaster.entry, x)
            status = self._status(unique_id, records)
            self.feed.tell(unique_id, Moved(self._past_steps(entries)[0], status))

    async def forecast(
        self,
        unique_id: str,
        ask: Ask,
        x_future: Mapping[str, Sequence[Value]] | None = None,
    ) -> Forecasted:
        """Return the forecasts of a series. A pure read.

        `x_future` holds, by name, what is known ahead of each of the `ask.h` steps.

        Raises:
            SeriesNotFoundError: If there is no such series.
            SeriesNotWarmError: If it has too few observations.
            InvalidRequestError: If a level cannot be served.
        """
        x = self._ahead(x_future, ask)
        return await self._forecasted(unique_id, await self._kept(unique_id), ask, x)

    async def forecast_history(
        self,
        history: History,
        ask: Ask,
        x_future: Mapping[str, Sequence[Value]] | None = None,
    ) -> Forecasted:
        """Return the forecasts of a history that is not kept; `x_future` as for `forecast`.

        Raises:
            TimeError: If the history's times are not in order.
            SeriesNotWarmError: If it is too short.
            InvalidRequestError: If a level cannot be served, or a value is too large.
        """
        x = self._ahead(x_future, ask)
        records, _ = await self._seeded(history)
        return await self._forecasted(None, records, ask, x)

    def _ahead(
        self, given: Mapping[str, Sequence[Value]] | None, ask: Ask
    ) -> NDArray[np.float64] | None:
        """Return what is known ahead of `ask.h` steps of one series, if anything is given."""
        if given is None:
            return None
        return refusing(self.covariates.read(given, ask.h, ahead=True))[None]

    async def seed(self, unique_id: str, history: History) -> Seeded:
        """Begin a series anew with a history, whether or not there is one of that name.

        Raises:
            TimeError: If the history's times are not in order.
            SeriesNotWarmError: If a value is missing before there is a forecast.
            ConflictError: If the series moved meanwhile.
            InvalidRequestError: If a value is too large.
        """
        before = await self.seen([unique_id])
        records, entries = await self._seeded(history)
        return await self._put(unique_id, records, entries, before)

    async def seed_from_series(self, unique_id: str, source: str) -> Seeded:
        """Begin a series anew as a copy of another.

        Raises:
            SeriesNotFoundError: If there is no such other series.
            ConflictError: If the series moved meanwhile.
        """
        both = await self.seen([unique_id, source])
        if both.records["step"][1] == 0:
            raise SeriesNotFoundError(source)
        return await self._put(unique_id, both.records[1:], before=both.part(0, 1))

    async def seed_from_training(self, unique_id: str) -> Seeded:
        """Begin a series anew where training left it.

        Raises:
            InvalidRequestError: If the model was not trained on such a series.
        """
        record = self.model.states.get(unique_id)
        if record is None:
            raise InvalidRequestError(
                f"model {self.model.name!r} was not trained on a series {unique_id!r}; "
                "seed it with y, or with copy_from"
            )
        return await self._put(unique_id, np.array([record], self._forecaster.dtype))

    async def state(self, unique_id: str) -> SeriesState:
        """Return the state of a series as a document, with which another service goes on.

        Raises:
            SeriesNotFoundError: If there is no such series.
        """
        records = await self._kept(unique_id)
        state = State.of(records[0], self.model.manifest.fingerprint)
        return SeriesState(FORMAT, unique_id, self.model.name, **vars(state))

    async def seed_from_state(self, unique_id: str, state: State) -> Seeded:
        """Begin a series anew with the state of one, that another service may have told.

        Raises:
            OtherModelError: If another model made it.
            InvalidRequestError: If it is damaged, or no observations can have left it.
        """
        fingerprint = self.model.manifest.fingerprint
        if state.fingerprint != fingerprint:
            raise OtherModelError(self.model.name, expected=fingerprint, found=state.fingerprint)
        return await self._put(unique_id, state.read(self._forecaster, self.freq))

    async def reset(self, unique_id: str) -> Reset:
        """Zero the recurrent state of a series; its last values stay.

        Raises:
            SeriesNotFoundError: If there is no such series.
        """

        def change(records: Records) -> Changed[int]:
            if records["step"][0] == 0:
                raise SeriesNotFoundError(unique_id)
            return self._reset(records)

        found = await self.store.update([unique_id], change)
        self.feed.tell_again([unique_id])
        return Reset(found)

    async def reset_all(self) -> Reset:
        """Zero the recurrent state of every series.

        Raises:
            ResetUnfinishedError: If only some of them could be reset.
            StoreUnavailableError: If none could.
        """
        ids, done = await self.store.ids(), 0
        for start in range(0, len(ids), BLOCK):
            try:
                done += await self.store.update(ids[start : start + BLOCK], self._reset)
            except StoreUnavailableError as error:
                if not done:
                    raise
                raise ResetUnfinishedError(done, len(ids), error.__cause__) from error
            self.feed.tell_again(ids[start : start + BLOCK])
            await asyncio.sleep(0)
        return Reset(done)

    def _reset(self, records: Records) -> Changed[int]:
        """Reset records; the result is how many there are."""
        rows = np.flatnonzero(records["step"] > 0)  # the others were deleted meanwhile
        entries = resets(records[rows], rows, self._forecaster.entry)
        return Changed(self._forecaster.reset(records), len(rows), entries)

    async def delete(self, unique_id: str) -> None:
        """Forget a series.

        Raises:
            SeriesNotFoundError: If there is no such series.
        """
        if not await self.store.delete([unique_id]):
            raise SeriesNotFoundError(unique_id)
        self.feed.tell_again([unique_id])

    async def status(self, unique_id: str) -> SeriesStatus:
        """Return where a series stands.

        Raises:
            SeriesNotFoundError: If there is no such series.
        """
        return self._status(unique_id, await self._kept(unique_id))

    async def page(self, *, prefix: str, after: str, limit: int) -> SeriesPage:
        """Return the first series after the name `after` whose names start with `prefix`."""
        page = await self.store.page(prefix=prefix, after=after, limit=limit)
        found = [
            self._status(unique_id, page.records[row : row + 1])
            for row, unique_id in enumerate(page.ids)
        ]
        return SeriesPage(found, page.ids[-1] if page.more else None)

    async def seen(self, ids: list[str]) -> Seen:
        """Return what series are now, for `put` to tell whether they have moved since."""
        # In this order: a series that begins anew in between is then seen to have moved.
        beginnings = [self.store.beginning(unique_id) for unique_id in ids]
        return Seen(await self.store.read(ids), beginnings)

    async def put(
        self,
        ids: list[str],
        records: Records,
        entries: Entries = _NO_ENTRIES,
        before: Seen | None = None,
    ) -> NDArray[np.bool_]:
        """Put records in the place of whatever series there are of these names.

        Args:
            ids: The series.
            records: What they are to be.
            entries: What brought them there, if that is all known; `series` is a row of `records`.
            before: What they were when the work on `records` began: a series that has moved since
                is left as it is, for what moved it was acknowledged.

        Returns:
            Which series were put.

        Raises:
            StoreError: If they cannot be kept. None was put.
        """

        def change(current: Records) -> Changed[NDArray[np.bool_]]:
            stayed = np.ones(len(ids), np.bool_)
            if before is not None:
                stayed = before.is_still(ids, current, self.store)
            new = np.count_nonzero(current["step"] == 0)
            if new and new > self.store.room:
                raise full()
            return Changed(
                np.where(stayed, records, current),
                stayed,
                entries[stayed[entries["series"]]],
                dict.fromkeys(np.flatnonzero(stayed).tolist(), 0),
            )

        are_put = await self.store.update(ids, change)
        self.feed.tell_again(ids)
        return are_put

    async def _put(
        self,
        unique_id: str,
        records: Records,
        entries: Entries = _NO_ENTRIES,
        before: Seen | None = None,
    ) -> Seeded:
        if not (await self.put([unique_id], records, entries, before)).all():
            assert before is not None
            raise moved(before.records)
        return Seeded(
            unique_id=unique_id,
            step=int(records["step"][0]),
            ds=_last_ds(records[0]),
            next=self._next(records),
        )

    async def _kept(self, unique_id: str) -> Records:
        records = await self.store.read([unique_id])
        if records["step"][0] == 0:
            raise SeriesNotFoundError(unique_id)
        return records

    def checked(self, history: History) -> History:
        """Return a history with its gaps filled, if they are to be, and its season.

        Raises:
            TimeError: If its times are not in order.
            SeriesNotWarmError: If a value is missing before there is a forecast.
            InvalidRequestError: If a value is too large.
        """
        y, ds, marks = fit_to_freq(
            history.y, history.ds, history.clock, freq=self.freq, on_gap=self._on_gap
        )
        self._forecaster.check_history(y)
        x = history.x
        if x is not None and len(y) > len(x):
            x = self.covariates.unknown(len(y))
            x[marks != Mark.FILLED] = history.x
        season = history.season or self.model.season
        if season is None:
            season = infer_season(history.ds, history.clock)
            if season == NO_SEASON:
                season = self.season
        return History(y, ds, history.clock, marks, season, x)

    async def _seeded(self, history: History) -> tuple[Records, Entries]:
        entries = self.checked(history).entries(self._forecaster.entry)
        work = self._forecaster.replaying(self._forecaster.new(1), entries)
        return await in_slices(work), entries

    def _status(self, unique_id: str, records: Records) -> SeriesStatus:
        error = float(records["error"][0])
        return SeriesStatus(
            unique_id=unique_id,
            step=int(records["step"][0]),
            ds=_last_ds(records[0]),
            model=self.model.name,
            error=None if np.isnan(error) else error,
            next=self._next(records),
            scores=RunningScores.of(records[0]),
        )

    def _observed(self, unique_id: str, records: Records, status: Status) -> Observed:
        """Return the answer about a series that stands where its record says."""
        error = float(records["error"][0])
        return Observed(
            unique_id=unique_id,
            step=int(records["step"][0]),
            ds=_last_ds(records[0]),
            status=status,
            error=None if np.isnan(error) else error,
            next=self._next(records),
        )

    def _answers(
        self, ids: list[str], taken: Taken
    ) -> Iterator[tuple[int, Observed | ForecastError]]:
        """Yield the answer to each row that was taken, with its number."""
        records = taken.records
        steps, times = records["step"].tolist(), format_times(records["ds"], records["clock"])
        warm = records["step"] >= self._forecaster.context
        following = iter(self._forecasts(records if warm.all() else records[warm], _NEXT))
        for at, row in enumerate(taken.rows.tolist()):
            next_ = next(following)[0] if warm[at] else None
            outcome = taken.outcomes.get(row, "applied")
            if isinstance(outcome, ForecastError):
                yield row, outcome
                continue
            error = float(records["error"][at])
            yield (
                row,
                Observed(
                    unique_id=ids[row],
                    step=steps[at],
                    ds=times[at],
                    status=outcome,
                    error=None if np.isnan(error) else error,
                    next=next_,
                ),
            )

    def _one(self, x: Mapping[str, Value] | None) -> NDArray[np.float64] | None:
        """Return the covariates of one step, shape `(1, covariates)`, if the model has any."""
        if x is None and not self.covariates.asked:
            return self.covariates.unknown(1) if self.covariates.names else None
        return refusing(
            self.covariates.read({name: [value] for name, value in (x or {}).items()}, 1)
        )

    async def _forecasted(
        self,
        unique_id: str | None,
        records: Records,
        ask: Ask,
        x: NDArray[np.float64] | None = None,
    ) -> Forecasted:
        work = self._forecaster.forecasting(records, ask.h, ask.levels, x=x)
        forecast = await in_slices(work)
        (forecasts,) = self._told(records, forecast, ask)
        return Forecasted(unique_id, int(records["step"][0]), self.model.name, forecasts)

    def _next(self, records: Records) -> ForecastStep | None:
        """Return the forecast that stands for one series, if it is warm."""
        if records["step"][0] < self._forecaster.context:
            return None
        return self._forecasts(records, _NEXT)[0][0]

    def _forecasts(self, records: Records, ask: Ask) -> list[list[ForecastStep]]:
        """Return the forecasts of each series, a list of `ask.h` steps."""
        return self._told(records, self._forecaster.forecast(records, ask.h, ask.levels), ask)

    def _told(self, records: Records, forecast: Forecast, ask: Ask) -> list[list[ForecastStep]]:
        means, quantiles = forecast.mean.tolist(), forecast.quantiles.tolist()
        times = [self._times_ahead(records, t + 1) for t in range(ask.h)]
        intervals, names = ask.names
        return [
            [
                ForecastStep(
                    step=step + t + 1,
                    ds=times[t][row],
                    mean=means[row][t],
                    intervals={
                        name: (values[2 * number], values[2 * number + 1])
                        for number, name in enumerate(intervals)
                    },
                    quantiles=dict(zip(names, values[2 * len(intervals) :], strict=True)),
                )
                for t, values in enumerate(quantiles[row])
            ]
            for row, step in enumerate(records["step"].tolist())
        ]

    def _times_ahead(self, records: Records, steps: int) -> Sequence[int | str | None]:
        """Return the time of each series so many steps on, where it is known."""
        if self.freq is None:
            return [None] * len(records)
        clocks = np.where(records["clock"] == self.freq.clock, records["clock"], Clock.NONE)
        return format_times(self.freq.advance(records["ds"], steps), clocks)


def refusing(read: tuple[NDArray[np.float64], dict[int, str]]) -> NDArray[np.float64]:
    """Return values that were read, if nothing is wrong with any.

    Raises:
        InvalidRequestError: If something is.
    """
    values, faults = read
    if faults:
        first = min(faults)
        where = f", in step {first + 1}" if len(values) > 1 else ""
        raise InvalidRequestError(f"{faults[first]}{where}")
    return values


def _refuse(waiting: asyncio.Future[Observed], error: Exception) -> None:
    """Answer an observation with an error, if it has no answer yet."""
    if not waiting.done():
        waiting.set_exception(error)


async def in_slices(work: Work[T]) -> T:
    """Do work while others have their turn at each of its yields."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


def moved(before: Records) -> ConflictError:
    """Return the refusal of a seed whose series was observed or seeded meanwhile."""
    return ConflictError(
        "the series moved while its history was stepped; send the seed again",
        step=int(before["step"][0]),
        ds=_last_ds(before[0]),
    )


def _last_ds(record: np.void) -> int | str | None:
    return format_ds(int(record["ds"]), int(record["clock"]))
