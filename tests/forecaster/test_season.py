import numpy as np
import pandas as pd
import pytest

from forecaster.calendar import Clock
from forecaster.errors import InvalidRequestError
from forecaster.season import infer_season, make_season, parse_season


def times(freq: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return times as a record keeps them, in microseconds."""
    found = pd.date_range("2023-01-04", periods=count, freq=freq).as_unit("us")
    return found.to_numpy().astype(np.int64)


@pytest.mark.parametrize(
    ("freq", "count", "season"),
    [
        ("h", 100, (24, 0)),
        ("h", 504, (168, 24)),
        ("D", 40, (7, 0)),
        ("D", 5, (7, 0)),
        ("B", 40, (5, 0)),
        ("W", 40, (52, 0)),
        ("MS", 40, (12, 0)),
        ("ME", 3, (12, 0)),
        ("QS", 12, (4, 0)),
        ("YS", 12, (0, 0)),
        ("15min", 40, (96, 0)),
        ("30min", 40, (48, 0)),
        ("5min", 400, (0, 0)),
        ("7min", 400, (0, 0)),
        ("2h", 40, (12, 0)),
        ("12h", 40, (2, 0)),
        ("2D", 40, (0, 0)),
    ],
)
def test_the_distance_of_times_tells_a_season(
    freq: str, count: int, season: tuple[int, int]
) -> None:
    assert infer_season(times(freq, count), Clock.TIME) == season


def test_a_few_gaps_do_not_hide_a_season() -> None:
    assert infer_season(times("h", 100)[np.arange(100) % 10 != 3], Clock.TIME) == (24, 0)


def test_whole_numbers_and_single_times_tell_none() -> None:
    assert infer_season(np.arange(100), Clock.INTEGER) == (0, 0)
    assert infer_season(times("h", 1), Clock.TIME) == (0, 0)
    assert infer_season(np.zeros(5, np.int64), Clock.NONE) == (0, 0)


@pytest.mark.parametrize(
    ("text", "season"),
    [("24", (24, 0)), ("168,24", (168, 24)), ("168, 24", (168, 24)), ("1", (0, 0)), ("0", (0, 0))],
)
def test_a_season_is_read(text: str, season: tuple[int, int]) -> None:
    assert parse_season(text) == season


@pytest.mark.parametrize("text", ["", "a", "-1", "24,24", "24,168", "169", "12,1", "1,2,3", "1.5"])
def test_what_is_no_season_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="season"):
        parse_season(text)


def test_one_step_is_no_season() -> None:
    assert make_season(1) == (0, 0)
