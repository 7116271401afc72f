"""Bodies of requests. Unknown fields are refused, and so is every number that is none.

Bodies of answers are the values that `app.service` returns.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StrictInt,
    ValidationError,
    model_validator,
)

from app.answers import Ask
from app.intake import ANY_STEP, NO_NAME, Rows
from app.service import History, refusing
from app.settings import Settings
from forecaster.calendar import Clock, encode_time
from forecaster.covariates import Covariates as ModelCovariates
from forecaster.errors import InvalidRequestError
from forecaster.journal import Season
from forecaster.portable import State
from forecaster.scores import LEVELS
from forecaster.season import make_season
from forecaster.spec import MOST_COVARIATES

_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
# Far enough from the ends of 64 bits to count on from.
_LARGEST_INTEGER = 2**62


def _check_ds(value: Any) -> Any:
    """Refuse what pydantic would take for a Unix time: numbers in strings, and fractions."""
    if isinstance(value, int | datetime) or (isinstance(value, str) and _ISO.fullmatch(value)):
        return value
    raise ValueError("expected a whole number, or a date and time in ISO 8601")


def _check_season(value: Any) -> Any:
    """Refuse what is neither kind, before each kind says so for itself."""
    lengths = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    if value is None or all(type(length) is int for length in lengths):
        return value
    raise ValueError("expected a whole number, or two as in [168, 24]")


def _check_year(ds: int | datetime) -> int | datetime:
    """Refuse a time that is in year 0 or 10000 in UTC, as answers write it."""
    if isinstance(ds, datetime) and ds.tzinfo is not None:
        try:
            return ds.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("expected a time from year 1 to 9999 in UTC") from error
    return ds


UniqueId = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["shampoo"])
]
ModelName = Annotated[
    str | None,
    Field(min_length=1, max_length=64, description="The model; the configured one by default."),
]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Ds = Annotated[
    Annotated[StrictInt, Field(ge=-_LARGEST_INTEGER, le=_LARGEST_INTEGER)] | datetime,
    BeforeValidator(_check_ds),
    AfterValidator(_check_year),
    Field(description="ISO 8601 (UTC where no zone is given) or a whole number."),
]
# A covariate's value: a number, or one of the words that the model knows.
Covariate = Value | Annotated[str, Field(max_length=64)] | None
Covariates = Annotated[
    dict[str, Covariate],
    Field(
        max_length=MOST_COVARIATES,
        description="The model's covariates by name, null where one is missing.",
    ),
]
CovariateColumns = Annotated[
    dict[str, Annotated[list[Covariate], Field(fail_fast=True)]],
    Field(
        max_length=MOST_COVARIATES,
        description="The model's covariates by name, a value for each y, null where one is "
        "missing.",
    ),
]
Ahead = Annotated[
    dict[str, Annotated[list[Covariate], Field(fail_fast=True)]],
    Field(
        max_length=MOST_COVARIATES,
        description="The covariates that the model knows ahead, by name, a value for each of the "
        "h steps, null where one is not known.",
    ),
]
Level = Annotated[float, Field(strict=True, gt=0, lt=100)]
Quantile = Annotated[float, Field(strict=True, gt=0, lt=1)]


def _example(**body: Any) -> ConfigDict:
    """Return the configuration of a body that OpenAPI shows so."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [body]})


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None

    def answer_values(self, settings: Settings) -> int:
        """Return about how many values the answer has, names among them; 0 for a short one.

        Raises:
            InvalidRequestError: If they are more than may be.
        """
        return 0


class ObserveRequest(Body):
    """One observation of one series."""

    model_config = _example(unique_id="shampoo", ds="1903-01-01", y=339.7)

    unique_id: UniqueId
    y: Annotated[Value | None, Field(description="The value; null where it is missing.")]
    ds: Ds | None = None
    x: Covariates | None = None
    expected_step: Annotated[
        int | None,
        Field(
            strict=True,
            ge=0,
            le=_LARGEST_INTEGER,
            description="Refuse unless the series is at this step.",
        ),
    ] = None

    correct: Annotated[
        bool,
        Field(strict=True, description="Replace the value of the past observation at `ds`."),
    ] = False

    @model_validator(mode="after")
    def _check_correct(self) -> Self:
        if self.correct and self.ds is None:
            raise ValueError("correct needs the ds of the observation")
        return self

    def observation(self) -> tuple[float, int, Clock]:
        """Return value, time and what the time counts."""
        ds, clock = _time(self.ds)
        return float("nan") if self.y is None else self.y, ds, clock


class SeasonBody(Body):
    """A body that may say what season its histories have."""

    season: Annotated[
        StrictInt | tuple[StrictInt, StrictInt] | None,
        BeforeValidator(_check_season),
        Field(
            description="The season's length, or that of one and of a shorter one within it, as "
            "[168, 24]; 0 for none. By default `ds` tells it."
        ),
    ] = None

    def told_season(self) -> Season | None:
        """Return the season; None where it is not said.

        Raises:
            InvalidRequestError: If there is none such.
        """
        if self.season is None:
            return None
        return make_season(*([self.season] if isinstance(self.season, int) else self.season))


class HistoryBody(SeasonBody):
    """A body that may bring a history."""

    y: Annotated[
        list[Value | None] | None,
        # The first fault is enough: to tell of a million would take seconds.
        Field(
            min_length=1,
            fail_fast=True,
            description="Values in time order, null where one is missing.",
        ),
    ] = None
    ds: Annotated[
        list[Ds] | None, Field(fail_fast=True, description="Their times, one for each value.")
    ] = None
    x: CovariateColumns | None = None

    def _check_goes_with_y(self) -> None:
        given = {"ds": self.ds, "season": self.season, "x": self.x}
        for name, value in given.items():
            if value is not None and self.y is None:
                raise ValueError(f"{name} goes with y")

    def history(self, max_history: int, covariates: ModelCovariates) -> History:
        """Return the history that the body brings to a model with these covariates.

        Raises:
            InvalidRequestError: If it is too long, the lists do not match, or the covariates are
                not the model's.
        """
        y = self.y or []
        if len(y) > max_history:
            raise InvalidRequestError(f"y: expected at most {max_history} values, found {len(y)}")
        values = np.array([np.nan if value is None else value for value in y])
        season, x = self.told_season(), refusing(covariates.read(self.x, len(y)))
        if self.ds is None:
            return History(values, np.zeros(len(y), np.int64), season=season, x=x)
        if len(self.ds) != len(y):
            raise InvalidRequestError(
                f"ds: expected {len(y)} times, one for each y, found {len(self.ds)}"
            )
        times = [_time(one) for one in self.ds]
        clock = times[0][1]
        if any(other is not clock for _, other in times):
            raise InvalidRequestError("ds: expected whole numbers or dates and times, found both")
        ds = np.array([time for time, _ in times], np.int64)
        return History(values, ds, clock, season=season, x=x)


class AskBody(Body):
    """A body that says which forecasts it wants."""

    h: Annotated[int, Field(strict=True, ge=1, description="Steps ahead.")] = 1
    level: Annotated[
        list[Level], Field(max_length=20, description="Central intervals, in percent.")
    ] = list(LEVELS)
    quantiles: Annotated[list[Quantile], Field(max_length=100, description="Quantile levels.")] = []

    def ask(self, max_horizon: int) -> Ask:
        """Return how forecasts are to be told.

        Raises:
            InvalidRequestError: If the horizon is too far.
        """
        if self.h > max_horizon:
            raise InvalidRequestError(f"h: expected at most {max_horizon} steps, found {self.h}")
        return _ask(self.h, tuple(self.level), tuple(self.quantiles))


@lru_cache(maxsize=256)
def _ask(h: int, level: tuple[float, ...], quantiles: tuple[float, ...]) -> Ask:
    # Callers ask for the same over and over, and an Ask keeps what it has worked out.
    return Ask(h, level, quantiles)


class ForecastRequest(HistoryBody, AskBody):
    """The next steps of a series that is kept, or of a history that is sent along."""

    model_config = _example(unique_id="shampoo", h=3, level=[80, 95])

    unique_id: UniqueId | None = None
    x_future: Ahead | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.unique_id is None) == (self.y is None):
            raise ValueError("give either unique_id or y")
        self._check_goes_with_y()
        return self

    def answer_values(self, settings: Settings) -> int:
        """Return about how many values the answer has; see `Body`."""
        ask = self.ask(settings.max_horizon)
        return 2 * ask.h * (_COLUMNS_OF_AN_ANSWER + len(ask.levels))


class SeedRequest(HistoryBody):
    """Begin a series anew, with a history or from a record that there is."""

    model_config = _example(unique_id="sensor-1", y=[20.1, 20.4, 20.2, 20.7])

    unique_id: UniqueId
    copy_from: Annotated[UniqueId | None, Field(description="A series whose record is copied.")] = (
        None
    )
    source: Annotated[
        Literal["training"] | None,
        Field(alias="from", description="Start where training left this series."),
    ] = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [self.y is not None, self.copy_from is not None, self.source is not None]
        if given.count(True) != 1:
            raise ValueError("give exactly one of y, copy_from and from")
        self._check_goes_with_y()
        return self


class StateRequest(Body):
    """The state of a series, as the service that keeps it tells it."""

    model_config = _example(
        format=1,
        unique_id="shampoo",
        model="shampoo",
        fingerprint="5d0f3f2d0b9d6a11",
        step=24,
        ds="1902-12-01T00:00:00Z",
        record={"step": 24, "y": 342.3, "forecast": [377.6, 242.9, 557.3]},
        checksum="0" * 64,
    )

    format: Literal[1]
    unique_id: Annotated[
        str | None, Field(description="Its name there; the path says what it is called here.")
    ] = None
    fingerprint: Annotated[str, Field(max_length=64, description="That of the model.")]
    step: Annotated[StrictInt, Field(ge=1, le=_LARGEST_INTEGER)]
    ds: StrictInt | Annotated[str, Field(max_length=64)] | None
    record: Annotated[
        dict[str, Any],  # `forecaster.portable` knows what belongs there
        Field(description="What is kept of the series, by name: numbers, and lists of them."),
    ]
    checksum: Annotated[str, Field(max_length=64, description="SHA-256 of the document.")]

    def state(self) -> State:
        """Return the state as it was told: nothing of it is checked."""
        return State(self.fingerprint, self.step, self.ds, self.record, self.checksum)


class ResetRequest(Body):
    """Zero the recurrent state of one series, or of all."""

    model_config = _example(unique_id="shampoo")

    unique_id: UniqueId | None = None
    all: Annotated[Literal[True] | None, Field(description="Every series of the model.")] = None

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if (self.unique_id is None) == (self.all is None):
            raise ValueError("give either unique_id or all: true")
        return self


# What a row of a batch's answer holds besides bounds and quantiles.
_COLUMNS_OF_AN_ANSWER = 7

# Means, bounds and quantiles that an answer may hold for each row that there may be.
_NUMBERS_A_ROW = 10

# Past so many faults the whole call is refused: it is not a table of observations, and to tell of
# them all would take longer than to take the rows.
_MOST_FAULTS = 1000
_COLUMNS: dict[str | int, tuple[type, ...]] = {
    "unique_id": (str,),
    "y": (float, int, type(None)),
    "ds": (str, int, type(None)),
}
_VALUES: tuple[type, ...] = (float, int, str, type(None))  # in a column of `x`


class BatchBody(Body):
    """A body of columns of one length.

    A fault in one item of a column is a fault of that row alone, and the others are taken.
    """

    unique_id: Annotated[list[UniqueId], Field(min_length=1)]

    _faults: dict[int, str] = PrivateAttr(default_factory=dict)

    @property
    def faults(self) -> dict[int, str]:
        """What is wrong with a row, by its number."""
        return self._faults

    @model_validator(mode="wrap")
    @classmethod
    def _set_faulty_rows_aside(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        _check_columns(data)
        try:
            return handler(data)
        except ValidationError as error:
            if error.error_count() > _MOST_FAULTS:
                raise ValueError(f"more than {_MOST_FAULTS} faults: nothing was taken") from None
            faults = error.errors(include_url=False)
        cleaned = {name: _copied(column) for name, column in data.items()}
        found: dict[int, str] = {}
        for fault in faults:
            where = _row_of(fault["loc"])
            if where is not None:
                column, row = where
                values = cleaned
                for name in column:
                    values = values[name]
                values[row] = "-" if column == ("unique_id",) else None
                told = fault["msg"].removeprefix("Value error, ")
                found.setdefault(row, f"{'.'.join(column)}: {told}")
        body = handler(cleaned)  # what is wrong with more than a row is refused here
        for row, told in found.items():
            if told.startswith("unique_id"):
                body.unique_id[row] = f"{NO_NAME}{row}"
        body.faults.update(found)
        return body

    def check_rows(self, max_rows: int) -> None:
        """Refuse too many rows.

        Raises:
            InvalidRequestError: If there are more than `max_rows`.
        """
        if len(self.unique_id) > max_rows:
            raise InvalidRequestError(
                f"unique_id: expected at most {max_rows} rows, found {len(self.unique_id)}"
            )


class RowsBody(BatchBody):
    """Observations of any series, as `DataFrame.to_dict("list")` writes a long table."""

    model_config = _example(unique_id=["shampoo", "soap"], ds=["1903-01-01"] * 2, y=[339.7, 210.5])

    y: list[Value | None]
    ds: list[Ds | None] | None = None
    x: Annotated[
        dict[str, list[Covariate]] | None,
        Field(
            max_length=MOST_COVARIATES,
            description="The model's covariates by name, a value for each row, null where one is "
            "missing.",
        ),
    ] = None
    level: Annotated[
        list[Level], Field(max_length=20, description="Intervals to answer with, in percent.")
    ] = []

    def rows(self, max_rows: int, covariates: ModelCovariates) -> Rows:
        """Return the rows that the body brings to a model with these covariates.

        Raises:
            InvalidRequestError: If there are too many, the columns differ in length, or the
                covariates are not the model's.
        """
        self.check_rows(max_rows)
        count = len(self.unique_id)
        for name, column in (("y", self.y), ("ds", self.ds)):
            if column is not None and len(column) != count:
                raise InvalidRequestError(
                    f"{name}: expected {count} items, one for each unique_id, found {len(column)}"
                )
        x, misread = covariates.read(self.x, count)
        times = {ds: _time(ds) for ds in set(self.ds or [])}
        pairs = [times[ds] for ds in self.ds] if self.ds else []
        return Rows(
            ids=self.unique_id,
            y=np.array(self.y, np.float64),
            ds=np.array([ds for ds, _ in pairs] if pairs else np.zeros(count), np.int64),
            clocks=np.array([clock for _, clock in pairs] if pairs else np.zeros(count), np.uint8),
            expected_steps=np.full(count, ANY_STEP),
            faults=misread | self.faults,
            x=x if covariates.names else None,
        )

    def ask(self) -> Ask:
        """Return how forecasts are to be told."""
        return _ask(1, tuple(self.level), ())

    def answer_values(self, settings: Settings) -> int:
        """Return about how many values the answer has; see `Body`."""
        self.check_rows(settings.max_rows)
        return _values(len(self.unique_id), self.ask(), settings.max_rows)


class SeedBatchRequest(SeasonBody, RowsBody):
    """Histories of many series, whose season is the same if it is said."""

    model_config = _example(unique_id=["attic", "attic"], ds=[1, 2], y=[19.5, 19.7], season=24)


class ForecastBatchRequest(BatchBody, AskBody):
    """The next steps of many series."""

    model_config = _example(unique_id=["shampoo", "soap"], h=1, level=[80])

    x_future: Annotated[
        dict[str, list[Annotated[list[Covariate], Field(fail_fast=True)]]] | None,
        Field(
            max_length=MOST_COVARIATES,
            description="The covariates that the model knows ahead, by name: for each unique_id a "
            "list with a value for each of the h steps, null where one is not known.",
        ),
    ] = None

    def flat_x_future(self) -> dict[str, list[Covariate]] | None:
        """Return `x_future` with the steps of all series one after the other.

        Raises:
            InvalidRequestError: If there is not a list for each series, or one of another length.
        """
        if self.x_future is None:
            return None
        count = len(self.unique_id)
        for name, lists in self.x_future.items():
            if len(lists) != count:
                raise InvalidRequestError(
                    f"x_future.{name}: expected {count} lists, one for each unique_id, "
                    f"found {len(lists)}"
                )
            wrong = next((one for one in lists if len(one) != self.h), None)
            if wrong is not None:
                raise InvalidRequestError(
                    f"x_future.{name}: expected lists of {self.h} values, one for each step, "
                    f"found one of {len(wrong)}"
                )
        return {name: [*chain(*lists)] for name, lists in self.x_future.items()}

    def answer_values(self, settings: Settings) -> int:
        """Return about how many values the answer has; see `Body`."""
        self.check_rows(settings.max_rows)
        ask, count = self.ask(settings.max_horizon), len(self.unique_id)
        if ask.h * count > settings.max_rows:
            raise InvalidRequestError(
                f"h: {ask.h} steps of {count} series are more than {settings.max_rows} rows; "
                "split the call"
            )
        return _values(ask.h * count, ask, settings.max_rows)


def _values(rows: int, ask: Ask, max_rows: int) -> int:
    """Return how many values there are in so many rows of an answer.

    Raises:
        InvalidRequestError: If too many of them are numbers.
    """
    numbers, most = rows * (1 + len(ask.levels)), _NUMBERS_A_ROW * max_rows
    if numbers > most:
        raise InvalidRequestError(
            f"level, quantiles: {1 + len(ask.levels)} numbers in each of {rows} rows are more than "
            f"{most}; split the call, or ask for fewer"
        )
    return rows * (_COLUMNS_OF_AN_ANSWER + len(ask.levels))


def _check_columns(data: dict[str, Any]) -> None:
    """Refuse columns with more than a thousand items of a wrong kind, before each is looked at."""
    covariates = data.get("x")
    columns = {str(name): (data.get(str(name)), kinds) for name, kinds in _COLUMNS.items()}
    if isinstance(covariates, dict):
        columns |= {f"x.{name}": (column, _VALUES) for name, column in covariates.items()}
    for name, (column, kinds) in columns.items():
        if isinstance(column, list):
            wrong = sum(type(item) not in kinds for item in column)
            if wrong > _MOST_FAULTS:
                raise ValueError(f"{name}: {wrong} items are of a wrong kind: nothing was taken")


def _row_of(location: tuple[str | int, ...]) -> tuple[tuple[str, ...], int] | None:
    """Return the column and the row that a fault is of, if it is of one row."""
    depth = 1 if location and location[0] in _COLUMNS else 2 if location[:1] == ("x",) else 0
    if not depth or len(location) <= depth or not isinstance(location[depth], int):
        return None
    return tuple(str(name) for name in location[:depth]), int(location[depth])


def _copied(column: Any) -> Any:
    """Return a copy of a column, or of columns by name."""
    if isinstance(column, dict):
        return {name: _copied(values) for name, values in column.items()}
    return list(column) if isinstance(column, list) else column


def _time(ds: int | datetime | None) -> tuple[int, Clock]:
    if ds is None:
        return 0, Clock.NONE
    if isinstance(ds, datetime):
        return encode_time(ds), Clock.TIME
    return ds, Clock.INTEGER
