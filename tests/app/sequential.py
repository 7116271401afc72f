"""What the service must answer if calls came one by one, and whether a history could have been so.

The model of a series is its observations and nothing else: no network, no files. A history of calls
that overlapped is right if they can be put in some order, each between its beginning and its end,
in which the model gives the answers that were given (linearizability: Herlihy and Wing, 1990). The
search is that of Wing and Gong (1993), and remembers where it has been, as Lowe's (2017) does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any, Literal, NamedTuple

Ds = int | datetime | None
Mark = Literal["observed", "after-gap", "filled"]


class Step(NamedTuple):
    """A step that a series took."""

    step: int
    ds: Ds
    y: float | None
    mark: Mark = "observed"


class Series(NamedTuple):
    """A series.

    Args:
        step: Observations taken; none of them, and there is no such series.
        ds: The time of the last one.
        y: Its value.
        past: What happened since the series began here; before that it may have been another's.
    """

    step: int = 0
    ds: Ds = None
    y: float | None = None
    past: tuple[Step, ...] = ()

    def after(self, ds: Ds, y: float | None, mark: Mark = "observed") -> "Series":
        """Return the series one step on."""
        taken = Step(self.step + 1, ds, y, mark)
        return Series(taken.step, ds, y, (*self.past, taken))

    def observed(self, ds: Ds) -> Step | None:
        """Return the observation of a time, if there is one that is kept."""
        found = (one for one in self.past if one.ds == ds and one.mark != "filled")
        return next(found, None)

    def newest(self, count: int) -> "Series":
        """Return the series with no more than so much of its past."""
        return self._replace(past=self.past[max(len(self.past) - count, 0) :])


NOTHING = Series()


class Answer(NamedTuple):
    """What a call is answered.

    Args:
        word: `ok`, `applied`, `duplicate`, or the last part of a refusal's type.
        step: The step that is told, if one is.
        ds: The time that is told, if one is.
        past: The history that is told.
    """

    word: str
    step: int | None = None
    ds: Ds = None
    past: tuple[Step, ...] = ()


UNKNOWN = Answer("unknown-series")


def told(document: dict[str, Any] | None) -> Answer:
    """Return what the document of an answer says."""
    if document is None:
        return Answer("ok")
    refusal = str(document.get("type", "")).removeprefix("urn:stepcast:")
    status = document.get("status", "ok")
    past = tuple(
        Step(one["step"], read_ds(one["ds"]), one["y"], one["mark"])
        for one in document.get("history", [])
    )
    return Answer(refusal or status, document.get("step"), read_ds(document.get("ds")), past)


def read_ds(ds: int | str | None) -> Ds:
    """Return a time that the service wrote."""
    return datetime.fromisoformat(ds) if isinstance(ds, str) else ds


def write_ds(ds: Ds) -> int | str | None:
    """Return a time as the service reads it."""
    return ds.isoformat() if isinstance(ds, datetime) else ds


@dataclass(frozen=True)
class Model:
    """What the model of the service is told.

    Args:
        context: Observations that a forecast needs.
        freq: The distance between observations, if there is one.
        on_gap: What becomes of an observation that leaves steps out.
        largest: The largest value.
    """

    context: int = 2
    freq: timedelta | int | None = None
    on_gap: Literal["reject", "skip", "fill"] = "reject"
    largest: float = 1e300

    def observe(
        self, series: Series, y: float | None, ds: Ds = None, expected_step: int | None = None
    ) -> tuple[Series, Answer]:
        """Take an observation: what becomes of the series, and the answer."""
        refusal = self._misfit(series, ds)
        if refusal:
            return series, Answer(refusal, series.step, series.ds)
        if series.step and ds is not None and ds == series.ds:
            word = "duplicate" if y == series.y else "conflicting-observation"
            return series, Answer(word, series.step, series.ds)
        known = None if ds is None else series.observed(ds)
        if known is not None:
            word = "duplicate" if y == known.y else "conflicting-observation"
            return series, Answer(word, series.step, series.ds)
        if expected_step is not None and expected_step != series.step:
            return series, Answer("unexpected-step", series.step)
        refusal, filled, mark = self._gap(series, ds)
        if refusal:
            return series, Answer(refusal, series.step, series.ds)
        if series.step < self.context and (filled or y is None):
            return series, Answer("series-not-warm-yet", series.step)
        if y is not None and abs(y) > self.largest:
            return series, Answer("not-valid")
        for time in filled:
            series = series.after(time, None, "filled")
        series = series.after(ds, y, mark)
        return series, Answer("applied", series.step, series.ds)

    def correct(
        self, series: Series, y: float | None, ds: Ds, expected_step: int | None = None
    ) -> tuple[Series, Answer]:
        """Replace the value of a past observation."""
        if not series.step:
            return series, UNKNOWN
        if expected_step is not None and expected_step != series.step:
            return series, Answer("unexpected-step", series.step)
        if type(ds) is not type(series.ds):
            return series, Answer("another-kind-of-time", series.step, series.ds)
        at = next((at for at, one in enumerate(series.past) if one.ds == ds), None)
        if at is None:
            return series, Answer("observation-not-kept", series.step, series.ds)
        found = series.past[at]
        if found.y == y and found.mark != "filled":
            return series, Answer("duplicate", series.step, series.ds)
        if y is None and found.step <= self.context:
            return series, Answer("series-not-warm-yet", found.step - 1)
        if y is not None and abs(y) > self.largest:
            return series, Answer("not-valid")
        right = found._replace(y=y, mark="observed" if found.mark == "filled" else found.mark)
        past = (*series.past[:at], right, *series.past[at + 1 :])
        corrected = Series(series.step, series.ds, past[-1].y, past)
        return corrected, Answer("applied", series.step, series.ds)

    def seed(
        self, series: Series, values: Sequence[float | None], times: Sequence[Ds]
    ) -> tuple[Series, Answer]:
        """Begin anew with a history, none of which may be refused."""
        begun = Series()
        for at, (y, ds) in enumerate(zip(values, times, strict=True)):
            before = Series(at, times[at - 1] if at else None)
            refusal = self._misfit(before, ds)
            if not refusal and at and ds is not None and ds == before.ds:
                refusal = "out-of-order"
            filled: list[Ds] = []
            mark: Mark = "observed"
            if not refusal:
                refusal, filled, mark = self._gap(before, ds)
            if refusal:
                return series, Answer(refusal, before.step, before.ds)
            for time in filled:
                begun = begun.after(time, None, "filled")
            begun = begun.after(ds, y, mark)
        if any(y is not None and abs(y) > self.largest for y in values):
            return series, Answer("not-valid")
        cold = next((one for one in begun.past[: self.context] if one.y is None), None)
        if cold:
            return series, Answer("series-not-warm-yet", cold.step - 1)
        return begun, Answer("ok", begun.step, begun.ds)

    def copy(self, series: Series, source: Series) -> tuple[Series, Answer]:
        """Begin anew where another series is."""
        if not source.step:
            return series, UNKNOWN
        return source._replace(past=()), Answer("ok", source.step, source.ds)

    def reset(self, series: Series) -> tuple[Series, Answer]:
        """Zero the state, which nobody sees here."""
        return series, Answer("ok") if series.step else UNKNOWN

    def delete(self, series: Series) -> tuple[Series, Answer]:
        """Forget the series."""
        return NOTHING, Answer("ok") if series.step else UNKNOWN

    def status(self, series: Series) -> tuple[Series, Answer]:
        """Say where the series stands."""
        return series, Answer("ok", series.step, series.ds) if series.step else UNKNOWN

    def history(self, series: Series) -> tuple[Series, Answer]:
        """Tell what happened."""
        return series, Answer("ok", past=series.past) if series.step else UNKNOWN

    def forecast(self, series: Series) -> tuple[Series, Answer]:
        """Forecast, of which only the step is told here."""
        if 0 < series.step < self.context:
            return series, Answer("series-not-warm-yet", series.step)
        return series, Answer("ok", series.step) if series.step else UNKNOWN

    def _misfit(self, series: Series, ds: Ds) -> str:
        """Return the refusal of a time of another kind, or nothing."""
        is_other = series.step > 0 and type(ds) is not type(series.ds)
        if self.freq is not None and ds is not None:
            is_other |= isinstance(ds, int) != isinstance(self.freq, int)
        return "another-kind-of-time" if is_other else ""

    def _gap(self, series: Series, ds: Any) -> tuple[str, list[Ds], Mark]:
        """Return the refusal of a time, or nothing; what to fill before it; and its mark."""
        last: Any = series.ds
        if ds is None or not series.step:
            return "", [], "observed"
        if ds < last:
            return "out-of-order", [], "observed"
        freq: Any = self.freq
        if freq is None or ds == last + freq:
            return "", [], "observed"
        if self.on_gap == "skip":
            return "", [], "after-gap"
        if self.on_gap == "reject" or (ds - last) % freq:
            return "gap", [], "observed"
        return "", [last + n * freq for n in range(1, (ds - last) // freq)], "observed"


# Histories


@dataclass(frozen=True)
class Call:
    """A call to one series, as its caller saw it.

    Args:
        apply: What it does to the model.
        began: When it was sent.
        ended: When it was answered; never, if its caller did not wait.
        answer: What it was answered; None if its caller did not wait.
        is_read: Whether it never changes anything that the model knows.
        shown: What it was, for a message.
    """

    apply: Callable[[Series], tuple[Series, Answer]]
    began: float
    ended: float = inf
    answer: Answer | None = None
    is_read: bool = False
    shown: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether its answer says that it changed nothing, whatever there was."""
        if self.answer is None:
            return False
        return self.is_read or self.answer.word not in ("ok", "applied")


class NotSequentialError(AssertionError):
    """No order of the calls gives the answers that were given."""


def order(calls: Sequence[Call], start: Series = NOTHING) -> Series:
    """Put the calls to one series into an order in which the model answers as the service did.

    Returns:
        Where the model's series is at its end.

    Raises:
        NotSequentialError: If there is none. The message tells how far the best one came.
    """
    calls = sorted(calls, key=lambda call: call.began)
    waited = sum(1 << at for at, call in enumerate(calls) if call.answer is not None)
    trail = [_settle(calls, 0, start)]
    seen = set(trail)
    best = trail[0]
    while trail:
        done, series = trail.pop()
        if done & waited == waited:
            return series
        if (done & waited).bit_count() > (best[0] & waited).bit_count():
            best = done, series
        # The one answered first is tried first: it is the last one that is put on the trail.
        for at in sorted(_next(calls, done), key=lambda at: -calls[at].ended):
            after, answer = calls[at].apply(series)
            # Without an answer it may as well not be taken.
            if answer == calls[at].answer or (calls[at].answer is None and after != series):
                found = _settle(calls, done | 1 << at, after)
                if found not in seen:
                    seen.add(found)
                    trail.append(found)
    done, series = best
    left = [f"{calls[at].shown} -> {calls[at].answer}" for at in _next(calls, done)]
    listed = "\n  ".join(left)
    raise NotSequentialError(f"nothing of this may follow {series}:\n  {listed}")


def _settle(calls: Sequence[Call], done: int, series: Series) -> tuple[int, Series]:
    """Take every call that can be next and is idle: the others would be no worse off after it."""
    while True:
        idle = [
            at
            for at in _next(calls, done)
            if calls[at].is_idle and calls[at].apply(series)[1] == calls[at].answer
        ]
        if not idle:
            return done, series
        for at in idle:
            done |= 1 << at


def _next(calls: Sequence[Call], done: int) -> Iterator[int]:
    """Yield the calls that can be next: those that began before any of the others ended."""
    at = (~done & (done + 1)).bit_length() - 1  # the first that is not done
    ends = inf
    open_calls = []
    while at < len(calls) and calls[at].began <= ends:
        if not done >> at & 1:
            open_calls.append(at)
            ends = min(ends, calls[at].ended)
        at += 1
    return iter([at for at in open_calls if calls[at].began <= ends])
