import gzip
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecaster.calendar import Clock, encode_time
from forecaster.cursor import OnGap
from forecaster.errors import ForecastError, InvalidRequestError
from training.data import Gap, Panel, read_panel
from training.errors import DataError

Write = Callable[..., Path]

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text as a file and return its path."""

    def write(text: str, name: str = "sales.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data beside the repository")
    return path


def microseconds(*when: int) -> int:
    return encode_time(datetime(*when, tzinfo=UTC))  # type: ignore[misc, arg-type]


def times(freq: str, start: str, count: int) -> list[str]:
    return [str(one) for one in pd.date_range(start, periods=count, freq=freq)]


def table(ds: list[str], unique_id: str = "a") -> str:
    return "".join(f"{unique_id},{one},{i}\n" for i, one in enumerate(ds))


def panel_of(write: Write, ds: list[str], **options: object) -> Panel:
    path = write("unique_id,ds,y\n" + table(ds))
    return read_panel(path, **options)  # type: ignore[arg-type]


# What is read


def test_a_long_table_becomes_series_in_the_order_of_first_appearance(write: Write) -> None:
    path = write(
        "unique_id,ds,y\nb,2020-01-01,1\na,2020-01-01,10.5\nb,2020-01-02,-2e3\na,2020-01-02,.5\n"
    )

    panel = read_panel(path)

    assert panel.ids == ("b", "a")
    assert len(panel) == 2
    assert panel.observations == 4
    assert panel.clock == Clock.TIME
    assert panel.freq == "D"
    assert panel.gaps == ()
    assert panel.series[0].y.tolist() == [1, -2000]
    assert panel.series[1].y.tolist() == [10.5, 0.5]
    assert panel.series[1].ds.tolist() == [microseconds(2020, 1, 1), microseconds(2020, 1, 2)]


def test_arrays_are_64_bit_and_read_only(write: Write) -> None:
    series = read_panel(write("y\n1\n2\n")).series[0]

    assert series.y.dtype == np.float64
    assert series.ds.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        series.y[0] = 5


@pytest.mark.parametrize("name", ["sales.csv", "Sales.CSV", "sales.csv.gz", "sales.parquet"])
def test_a_table_without_ids_is_one_series_called_as_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = pd.DataFrame({"ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]})
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)

    panel = read_panel(path)

    assert panel.ids == (name.split(".")[0],)


def test_without_a_time_the_rows_are_in_order(write: Write) -> None:
    panel = read_panel(write("unique_id,y\na,1\nb,2\na,3\na,4\n"))

    assert panel.clock == Clock.NONE
    assert panel.freq is None
    assert [series.ds.tolist() for series in panel.series] == [[0, 1, 2], [0]]


def test_without_a_time_a_given_freq_is_kept_for_its_season(write: Write) -> None:
    assert read_panel(write("y\n1\n2\n"), freq="MS").freq == "MS"


def test_integer_time_is_taken_as_it_is(write: Write) -> None:
    panel = read_panel(write("ds,y\n-5,1\n0,2\n+5,3\n"))

    assert panel.clock == Clock.INTEGER
    assert panel.freq == "5"
    assert panel.series[0].ds.tolist() == [-5, 0, 5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-03-01T12:30:00", microseconds(2020, 3, 1, 12, 30)),
        ("2020-03-01 12:30", microseconds(2020, 3, 1, 12, 30)),
        ("2020-03-01T12:30:00Z", microseconds(2020, 3, 1, 12, 30)),
        ("2020-03-01T12:30:00+02:00", microseconds(2020, 3, 1, 10, 30)),
        ("2020-03-01T12:30:00-0530", microseconds(2020, 3, 1, 18)),
        ("2020-03-01T12:30:00.25", microseconds(2020, 3, 1, 12, 30, 0, 250_000)),
        ("2020-03-01T12:30:00.000001000", microseconds(2020, 3, 1, 12, 30, 0, 1)),
        ("2020-03", microseconds(2020, 3, 1)),
        ("1749-01-01", microseconds(1749, 1, 1)),
        ("0001-01-01", microseconds(1, 1, 1)),
        ("9999-12-31", microseconds(9999, 12, 31)),
    ],
)
def test_iso_8601_becomes_microseconds_in_utc(write: Write, text: str, expected: int) -> None:
    panel = read_panel(write(f"ds,y\n{text},1\n"))

    assert panel.clock == Clock.TIME
    assert panel.series[0].ds.tolist() == [expected]


def test_times_with_and_without_a_zone_may_stand_in_one_file(write: Write) -> None:
    panel = panel_of(write, ["2020-01-01T00:00:00", "2020-01-01T03:00:00+02:00"])

    assert panel.freq == "h"


def test_the_classic_year_and_month_counts_from_1900(write: Write) -> None:
    """As the tutorials parse it: `datetime.strptime('190' + x, '%Y-%m')`."""
    path = write('"Month","Sales"\n"1-11",266.0\n"1-12",145.9\n"2-01",183.1\n"2-2",119.3\n')

    panel = read_panel(path, time_column="Month", target_column="Sales")

    assert panel.freq == "MS"
    assert panel.series[0].ds.tolist() == [
        microseconds(1901, 11, 1),
        microseconds(1901, 12, 1),
        microseconds(1902, 1, 1),
        microseconds(1902, 2, 1),
    ]
    assert panel.series[0].y.tolist() == [266.0, 145.9, 183.1, 119.3]


def test_columns_go_by_any_name(write: Write) -> None:
    path = write("shop,when,sold,y\nx,1,10,77\nx,2,20,77\n")

    panel = read_panel(path, id_column="shop", time_column="when", target_column="sold")

    assert panel.ids == ("x",)
    assert panel.series[0].y.tolist() == [10, 20]


def test_other_columns_are_left_out(write: Write) -> None:
    plain = read_panel(write("ds,y\n1,10\n2,20\n"))

    wide = read_panel(write("temp,y,ds,note\n,10,1,cold\nx,20,2,\n"))

    assert wide.fingerprint == plain.fingerprint
    assert (plain.unused, wide.unused) == ((), ("temp", "note"))


def test_the_index_that_a_frame_left_in_a_file_is_no_column(write: Write) -> None:
    panel = read_panel(write(",ds,y\n0,1,10\n1,2,20\n"))

    assert panel.unused == ()


@pytest.mark.parametrize("missing", ["", " ", '""', "NaN", "nan"])
def test_an_empty_target_is_a_missing_value(write: Write, missing: str) -> None:
    panel = read_panel(write(f"y,ds\n1,1\n{missing},2\n3,3\n"))

    assert np.isnan(panel.series[0].y).tolist() == [False, True, False]


def test_an_empty_target_in_the_last_column_is_a_missing_value(write: Write) -> None:
    panel = read_panel(write("ds,y\n1,\n2,2\n3,\n"))

    assert np.isnan(panel.series[0].y).tolist() == [True, False, True]


def test_in_a_table_of_one_column_an_empty_line_is_a_missing_value(write: Write) -> None:
    panel = read_panel(write('y\n1\n\n""\n4\n\n\n'))

    assert np.isnan(panel.series[0].y).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "ds,y\r\n1,10\r\n2,20\r\n",
        "ds,y\n1,10\n2,20",
        "\ufeffds,y\n1,10\n2,20\n",
        "ds, y\n1, 10\n2, 20 \n",
        '"ds","y"\n"1","10"\n"2","20"\n',
        "ds,y\n1,10\n\n2,20\n   \n\n",
        "ds,y\n1,1e1\n2,+20.\n",
    ],
)
def test_the_way_a_csv_is_written_does_not_matter(write: Write, text: str) -> None:
    series = read_panel(write(text)).series[0]

    assert series.ds.tolist() == [1, 2]
    assert series.y.tolist() == [10, 20]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ds;y\n1;10\n2;20\n", [10, 20]),
        ("\ufeffds;y\r\n1;10,5\r\n2;-0,25\r\n", [10.5, -0.25]),
        ('"ds";"y"\n1;"10,5"\n2;\n', [10.5, np.nan]),
        ("ds;y\n1;10.5\n2;20\n", [10.5, 20]),
        ("ds\ty\n1\t10.5\n2\t20\n", [10.5, 20]),
    ],
)
def test_a_spreadsheet_of_another_country_is_read(
    write: Write, text: str, expected: list[float]
) -> None:
    """Semicolons stand between the columns where the comma is the decimal mark; or tabs do."""
    panel = read_panel(write(text))

    assert panel.series[0].y == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ds,y\n1,"1,234.5"\n', "1,234.5"),
        ("ds;y\n1;1.234,5\n", "1.234,5"),
        ("ds;y\n1;1,5\n2;1.5\n", "1,5"),
        ("ds;y\n1;1,234,567\n", "1,234,567"),
        ("ds\ty\n1\t1,5\n", "1,5"),
    ],
)
def test_separators_of_thousands_and_two_decimal_marks_are_refused(
    write: Write, text: str, found: str
) -> None:
    with pytest.raises(DataError, match=f"row 2, column y: .*found '{found}'; write it as 1234.5"):
        read_panel(write(text))


def test_a_fault_between_semicolons_has_its_line(write: Write) -> None:
    with pytest.raises(DataError, match="row 4: expected 2 fields, found 1: '3'"):
        read_panel(write("ds;y\n1;10\n\n3\n4;5\n"))


def test_numbers_are_read_to_the_last_bit(write: Write) -> None:
    numbers = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e299, 123456789.123456789]

    panel = read_panel(write("y\n" + "".join(f"{n!r}\n" for n in numbers)))

    assert panel.series[0].y.tolist() == numbers


def test_names_keep_commas_line_ends_and_other_scripts(write: Write) -> None:
    panel = read_panel(write('unique_id,y\n"a, b",1\n"two\nlines",2\nżółw,3\n007,4\n'))

    assert panel.ids == ("a, b", "two\nlines", "żółw", "007")


# Parquet


def test_parquet_and_csv_give_the_same_panel(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "unique_id": ["b", "b", "a", "a"],
            "ds": pd.to_datetime(["2020-01-01", "2020-01-02"] * 2),
            "y": [0.1, np.nan, 3.0, -0.0],
        }
    )
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_csv(tmp_path / "one.csv.gz", index=False)
    frame.to_parquet(tmp_path / "one.parquet")
    frame.set_index("unique_id").to_parquet(tmp_path / "indexed.pq")

    panels = [read_panel(path) for path in sorted(tmp_path.iterdir())]

    assert len(panels) == 4
    assert {panel.fingerprint for panel in panels} == {panels[0].fingerprint}
    assert {panel.ids for panel in panels} == {("b", "a")}


@pytest.mark.parametrize(
    "ds",
    [
        pd.to_datetime(["2020-01-01", "2020-01-02"]).astype("datetime64[ns]"),
        pd.to_datetime(["2020-01-01", "2020-01-02"]).astype("datetime64[ms]"),
        pd.to_datetime(["2020-01-01", "2020-01-02"]).tz_localize("UTC").tz_convert("Asia/Tokyo"),
        [date(2020, 1, 1), date(2020, 1, 2)],
        ["2020-01-01", "2020-01-02"],
    ],
)
def test_parquet_may_hold_dates_in_any_form(tmp_path: Path, ds: object) -> None:
    pd.DataFrame({"ds": ds, "y": [1, 2]}).to_parquet(tmp_path / "a.parquet")

    series = read_panel(tmp_path / "a.parquet").series[0]

    assert series.ds.tolist() == [microseconds(2020, 1, 1), microseconds(2020, 1, 2)]


def test_parquet_may_hold_whole_numbers_categories_and_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"unique_id": [7, 7], "ds": np.array([1, 2], "u1"), "y": ["1", None]})
    frame.astype({"unique_id": "category"}).to_parquet(tmp_path / "a.parquet")

    panel = read_panel(tmp_path / "a.parquet")

    assert panel.ids == ("7",)
    assert panel.series[0].ds.tolist() == [1, 2]
    assert np.isnan(panel.series[0].y).tolist() == [False, True]


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("y", [1.0, np.inf], r"row 2, column y: expected a number between .*, found inf"),
        ("y", [True, False], r"row 1, column y: expected a number, found True"),
        ("y", [[1], [2]], r"row 1, column y: expected a number, found \[1\]"),
        ("ds", pd.array([1, None], "Int64"), r"row 2, column ds: expected a whole number, found n"),
        (
            "ds",
            pd.Series(["2020-01-01", None], dtype="datetime64[us]"),
            "row 2, column ds: .*, found nothing",
        ),
        ("ds", [1.0, 1.5], "row 1, column ds: expected a date .* or a whole number, found 1.0"),
        ("unique_id", ["a", None], "row 2, column unique_id: .* name of a series, found nothing"),
    ],
)
def test_faults_in_parquet_have_the_number_of_the_record(
    tmp_path: Path, column: str, values: object, problem: str
) -> None:
    path = tmp_path / "a.parquet"
    columns: dict[str, object] = {"unique_id": ["a", "a"], "ds": [1, 2], "y": [1.0, 2.0]}
    pd.DataFrame(columns | {column: values}).to_parquet(path)

    with pytest.raises(DataError, match=f"a.parquet, {problem}"):
        read_panel(path)


# The file itself

GZIPPED = gzip.compress(b"ds,y\n1,2\n", mtime=0)


def test_a_data_error_is_a_forecast_error_that_knows_the_place(write: Write) -> None:
    path = write("ds,y\n1,1\n2,n/a\n")

    with pytest.raises(ForecastError) as caught:
        read_panel(path)

    assert isinstance(caught.value, DataError)
    assert caught.value.facts() == {"path": str(path), "row": 3, "column": "y"}
    assert str(caught.value) == (
        f"{path}, row 3, column y: expected a number, found 'n/a'; "
        "write it as 1234.5, or leave it empty where it is missing"
    )


def test_a_data_error_may_know_no_place() -> None:
    error = DataError("too few")

    assert str(error) == "too few"
    assert error.facts() == {}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        read_panel(tmp_path / "none.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(DataError, match=r"folder\.csv: cannot be read: Is a directory"):
        read_panel(tmp_path / "folder.csv")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.csv.gz", b"", "the file is empty"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("a.csv", b"\n\n", "row 1: expected the names of the columns, found nothing"),
        ("a.csv", b"\nds,y\n1,2\n", "row 1: expected the names of the columns, found nothing"),
        ("a.csv", b"ds,y\n", "expected observations, found no rows"),
        ("a.csv", b"ds,y\n\n\n", "expected observations, found no rows"),
        ("a.csv.gz", b"ds,y\n1,2\n", "expected a gzip file, this is none"),
        ("a.csv.gz", GZIPPED[:-9], "the gzip file is damaged or cut short"),
        ("a.csv.gz", GZIPPED[:-8] + bytes(8), "the gzip file is damaged or cut short"),
        ("a.csv", b"ds,y\n1,2\n\xff\xfe,3\n", "row 3: expected text in UTF-8"),
        ("a.csv", b'ds,y\n1,"2\n', "cannot be read as CSV: .*EOF inside string"),
        ("a.csv", b"x" * 200_000, "row 1: cannot be read as CSV: field larger"),
        ("a.parquet", b"ds,y\n1,2\n", "cannot be read as Parquet"),
        ("a.xlsx", b"PK", r"expected a name that ends in \.csv, \.csv\.gz, \.parquet, \.pq"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(DataError, match=rf"{re.escape(name)}[:,] {problem}"):
        read_panel(path)


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"ds": [], "y": []}).to_parquet(tmp_path / "a.parquet")

    with pytest.raises(DataError, match=r"a\.parquet: expected observations, found no rows"):
        read_panel(tmp_path / "a.parquet")


def test_a_parquet_file_with_text_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"unique_id": ["żółw"], "y": [1]}).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace("żółw".encode(), b"\xff" * 7))

    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read_panel(path)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "expected a column 'y', found 'Month', 'Sales'; --target names another column"),
        ({"target_column": "sales"}, "'sales', found 'Month', 'Sales'; --target"),
        ({"target_column": "Sales", "time_column": "ds"}, "'ds', found .*; --time names"),
        ({"target_column": "Sales", "id_column": "shop"}, "'shop', found .*; --id names"),
    ],
)
def test_a_missing_column_lists_those_found_and_the_flag(
    write: Write, options: dict[str, str], problem: str
) -> None:
    path = write('"Month","Sales"\n"1-01",266.0\n')

    with pytest.raises(DataError, match=problem):
        read_panel(path, **options)  # type: ignore[arg-type]


def test_a_column_that_stands_twice_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="expected one column 'y', found 2"):
        read_panel(write("ds,y,y\n1,2,3\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ds,y\n1,1\n\n2,2,2\n", "row 4: expected 2 fields, found 3"),
        ("ds,y\n1,1,1\n2,2,2\n", "row 2: expected 2 fields, found 3"),
        ("unique_id,ds,y\na,1,1\na,2\n", "row 3: expected 3 fields, found 2: 'a,2'"),
        ("ds,y\n1,1\n2", "row 3: expected 2 fields, found 1: '2'"),
    ],
)
def test_a_row_of_another_width_is_refused(write: Write, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=rf"sales\.csv, {problem}"):
        read_panel(write(text))


@pytest.mark.parametrize("footer", ["Sales over a three year period", '"Sales over a three year"'])
def test_the_footer_of_the_classic_file_is_named(write: Write, footer: str) -> None:
    path = write(f'"Month","Sales"\n"1-01",266.0\n"1-02",145.9\n\n{footer}\n\n')

    with pytest.raises(DataError, match=r"row 5: expected 2 fields, found 1: 'Sales over a three"):
        read_panel(path, time_column="Month", target_column="Sales")


def test_a_footer_with_a_comma_is_named_too(write: Write) -> None:
    path = write('"Month","Sales"\n"1-01",266.0\n\nSales over three years,\n')

    with pytest.raises(DataError, match=r"row 4, column Month: .* such as 1-01, found 'Sales over"):
        read_panel(path, time_column="Month", target_column="Sales")


def test_what_is_quoted_from_a_file_is_cut_short(write: Write) -> None:
    with pytest.raises(DataError, match=r"found 'x{76}\.\.\.;"):
        read_panel(write("y\n" + "x" * 1000 + "\n"))


# Values


@pytest.mark.parametrize(
    "value", ["n/a", "inf", "-Infinity", "1_000", "0x10", "1;5", "None", "--1", "1e", ".", "True"]
)
def test_what_is_no_number_is_refused(write: Write, value: str) -> None:
    path = write(f"ds,y\n1,1\n2,{value}\n")

    with pytest.raises(DataError, match=f"row 3, column y: expected a number, found '{value}';"):
        read_panel(path)


@pytest.mark.parametrize("value", ["1e301", "-1e301", "1e999"])
def test_a_number_too_large_is_refused(write: Write, value: str) -> None:
    path = write(f"ds,y\n1,1e300\n2,{value}\n")

    with pytest.raises(DataError, match=f"row 3, column y: .* -1e.300 and 1e.300, found '{value}'"):
        read_panel(path)


def test_the_first_fault_is_shown_and_the_others_are_counted(write: Write) -> None:
    path = write("ds,y\n1,1\n2,x\n3,3\n4,y\n5,z\n")

    with pytest.raises(DataError, match=r"row 3, .* found 'x' \(and 2 more like it\)"):
        read_panel(path)


def test_a_row_is_the_line_that_an_editor_shows(write: Write) -> None:
    """Empty lines and line ends within quotes count."""
    path = write('unique_id,ds,y\n\n"two\nlines",1,1\n\nb,1,2\nb,2,oops\n')

    with pytest.raises(DataError, match=r"row 7, column y"):
        read_panel(path)


def test_a_series_without_a_name_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"row 3, column unique_id: .* a series, found nothing"):
        read_panel(write("unique_id,ds,y\na,1,1\n,2,2\n"))


# Time


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("2020-01-01", "soon", "a date or time in ISO 8601, found 'soon'"),
        ("2020-01-01", "7", "a date or time in ISO 8601, found '7'"),
        ("2020-01-01", "now", "a date or time in ISO 8601, found 'now'"),
        ("2020-01-01", "01/02/2020", "a date or time in ISO 8601, found '01/02/2020'"),
        ("2020-01-01", "2020-02-30", "a date and time of the calendar, found '2020-02-30'"),
        ("2020-01-01", "2020-01-01T25:00", "a date and time of the calendar, found '2020"),
        ("2020-01-01", "", "a date or time in ISO 8601, found nothing"),
        ("1", "2020-01-01", "a whole number, found '2020-01-01'"),
        ("1", "1.5", "a whole number, found '1.5'"),
        ("1", "", "a whole number, found nothing"),
        ("1", "9223372036854775808", "a whole number between .*, found '9223372036854775808'"),
        ("1", "-9223372036854775809", r"a whole number between .*, found '-922"),
        ("1", str(2**62), "a whole number between .*, found '46"),
        ("1", "9" * 5000, "a whole number between .*, found '99999"),
        ("1-01", "1-13", "a year and month such as 1-01, found '1-13'"),
        ("1-01", "1901-02-01", "a year and month such as 1-01, found '1901"),
    ],
)
def test_a_time_that_cannot_be_read_is_refused(
    write: Write, good: str, bad: str, problem: str
) -> None:
    path = write(f"ds,y\n{good},1\n{bad},2\n")

    with pytest.raises(DataError, match=f"row 3, column ds: expected {problem}"):
        read_panel(path)


def test_where_nothing_is_time_both_kinds_are_offered(write: Write) -> None:
    with pytest.raises(DataError, match=r"row 2, .* ISO 8601 or a whole number, found 'Jan'"):
        read_panel(write("ds,y\nJan,1\nFeb,2\n"))


def test_an_empty_time_in_the_first_row_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="row 2, column ds: expected a whole number, found nothing"):
        read_panel(write("ds,y\n,1\n2,2\n"))


def test_a_time_that_stands_twice_is_refused_with_both_rows(write: Write) -> None:
    path = write("unique_id,ds,y\na,1,1\nb,1,1\na,2,2\nb,2,2\na,1,1\nb,2,3\n")

    with pytest.raises(
        DataError,
        match=r"row 6, column ds: 1 stands in row 2 already, in series 'a' \(and 1 more like it\)",
    ):
        read_panel(path)


def test_one_moment_in_two_zones_stands_twice(write: Write) -> None:
    path = write("ds,y\n2020-01-01T00:00Z,1\n2020-01-01T01:00+01:00,2\n")

    with pytest.raises(DataError, match=r"row 3, .* 2020-01-01T00:00:00Z stands in row 2 already"):
        read_panel(path)


def test_a_duplicate_without_an_id_column_hints_at_one(write: Write) -> None:
    with pytest.raises(DataError, match="if the file holds several series, --id names their col"):
        read_panel(write("shop,ds,y\na,1,1\nb,1,1\n"))


def test_rows_out_of_order_are_refused_not_sorted(write: Write) -> None:
    path = write("unique_id,ds,y\nb,2020-01-05,1\na,2020-01-02,1\na,2020-01-01,2\n")

    with pytest.raises(
        DataError,
        match=r"row 4, column ds: 2020-01-01T00:00:00Z comes after 2020-01-02T00:00:00Z \(row 3\) "
        r"in series 'a': expected each series in order of time; sort the rows by ds$",
    ):
        read_panel(path)


# Freq


@pytest.mark.parametrize(
    ("pandas_freq", "start", "expected"),
    [
        ("s", "2020-01-01", "s"),
        ("30s", "2020-01-01", "30s"),
        ("min", "2020-01-01", "min"),
        ("15min", "2020-01-01", "15min"),
        ("90min", "2020-01-01", "90min"),
        ("h", "2020-01-01", "h"),
        ("6h", "2020-01-01", "6h"),
        ("D", "2020-01-01", "D"),
        ("24h", "2020-01-01 06:30", "D"),
        ("B", "2020-01-01", "B"),
        ("W-WED", "2020-01-01", "W"),
        ("2W", "2020-01-01", "2W"),
        ("MS", "2020-01-01", "MS"),
        ("2MS", "2020-01-01", "2MS"),
        ("ME", "2020-01-31", "ME"),
        ("QS", "2020-01-01", "QS"),
        ("QS-FEB", "2020-02-01", "QS"),
        ("QE", "2020-03-31", "QE"),
        ("YS", "2001-01-01", "YS"),
        ("YE", "2001-12-31", "YE"),
        ("10YS", "1901-01-01", "10YS"),
    ],
)
def test_freq_is_inferred_with_and_without_gaps(
    write: Write, pandas_freq: str, start: str, expected: str
) -> None:
    ds = times(pandas_freq, start, 60)

    whole, holed = panel_of(write, ds), panel_of(write, ds[:20] + ds[21:40] + ds[43:])

    assert (whole.freq, whole.gaps) == (expected, ())
    assert holed.freq == expected
    assert [(gap.missing, gap.position) for gap in holed.gaps] == [(1, 20), (3, 39)]


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (["2020-01-01", "2020-02-01"], "MS"),
        (["2020-01-06", "2020-01-07", "2020-01-08"], "D"),
        (["2020-01-01"], None),
        (["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-08", "2020-01-16"], None),
        (["2020-01-01T00:00:00", "2020-01-01T00:00:00.5", "2020-01-01T00:00:01"], None),
        # Months on the 15th are no freq, and not 31 days either.
        (["2020-05-15", "2020-06-15", "2020-07-15", "2020-08-15", "2020-09-15"], None),
        ([f"{2000 + n // 12}-{n % 12 + 1:02}-15" for n in range(60)], None),
        ([f"{2000 + n // 4}-{n % 4 * 3 + 2:02}-15" for n in range(40)], None),
        ([f"{2000 + n}-06-15T12:00" for n in range(20)], None),
        # One month of 31 days among 30 of 30 is as uneven.
        ([*times("30D", "2020-01-01", 31), "2022-07-20"], None),
        (times("4W", "2020-01-01", 30), "4W"),
        (times("D", "2020-01-01", 10)[::2] + times("D", "2020-01-10", 5), None),
        (["1", "2", "3", "7"], "1"),
        (["1"], None),
        (["0", str(10**15), str(2 * 10**15)], None),
        (["0001-01-01", "4000-01-02", "7999-01-03"], None),
    ],
)
def test_freq_of_few_or_uneven_times(write: Write, ds: list[str], expected: str | None) -> None:
    assert panel_of(write, ds).freq == expected


def test_the_distances_of_all_series_vote(write: Write) -> None:
    hourly = table(times("h", "2020-01-01", 28), "a")
    daily = table(times("D", "2020-01-01", 4), "b") + table(["2020-01-01"], "c")

    panel = read_panel(write("unique_id,ds,y\n" + hourly + daily))

    assert panel.freq == "h"
    assert [(gap.unique_id, gap.missing) for gap in panel.gaps] == [("b", 23)] * 3


def test_a_time_between_steps_of_an_inferred_freq_is_a_gap_of_none_missing(write: Write) -> None:
    ds = [*times("D", "2020-01-01", 5), "2020-01-05T12:00:00", *times("D", "2020-01-06T12", 5)]

    panel = panel_of(write, ds)

    assert panel.gaps == (Gap("a", "2020-01-05T00:00:00Z", "2020-01-05T12:00:00Z", 0, 5),)


def test_a_given_freq_is_kept_as_written(write: Write) -> None:
    assert panel_of(write, times("W-SUN", "2020-01-05", 4), freq="W-SUN").freq == "W-SUN"


@pytest.mark.parametrize(
    ("ds", "freq", "problem"),
    [
        (["2020-01-01", "2020-02-15"], "MS", "row 3, .* 2020-02-15T00:00:00Z is not a time of"),
        (["2020-01-15", "2020-02-01"], "MS", "row 2, .* 2020-01-15T00:00:00Z is not a time of"),
        (["2020-01-03", "2020-01-04"], "B", "row 3, .* 2020-01-04T00:00:00Z is not a time of"),
        (["2020-01-01", "2020-01-08"], "W-SUN", "row 2, .* 2020-01-01T00:00:00Z is not a time of"),
        (["2020-01-01", "2020-04-01"], "QS-FEB", "row 2, .* 2020-01-01T00:00:00Z is not a time of"),
        (["2020-01-01", "2020-01-02", "2020-01-02T12:00"], "D", "row 4, .*between steps of freq D"),
        (["2020-01-01", "2020-02-01"], "QS", "row 3, .* between steps of freq QS"),
        (["1", "2", "4"], "2", "row 3, column ds: 2 follows 1 in series 'a': between steps of"),
    ],
)
def test_a_time_off_the_grid_of_a_given_freq_is_refused(
    write: Write, ds: list[str], freq: str, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        panel_of(write, ds, freq=freq)


@pytest.mark.parametrize(
    ("ds", "freq", "problem"),
    [
        (["1", "2"], "D", "column ds: .* needs dates and times as ds, found whole numbers as ds"),
        (["2020-01-01"], "1", "column ds: .* needs whole numbers as ds, found dates and times as"),
    ],
)
def test_a_freq_for_another_clock_is_refused(
    write: Write, ds: list[str], freq: str, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        panel_of(write, ds, freq=freq)


def test_an_unknown_freq_is_refused(write: Write) -> None:
    with pytest.raises(InvalidRequestError, match="freq 'fortnight' is not known"):
        panel_of(write, ["1"], freq="fortnight")


# Gaps

HOLED = ["2020-01-31", "2020-02-29", "2020-05-31", "2020-06-30", "2020-08-31"]


def test_gaps_are_listed_and_skipped(write: Write) -> None:
    panel = panel_of(write, HOLED, freq="ME")

    assert panel.gaps == (
        Gap("a", "2020-02-29T00:00:00Z", "2020-05-31T00:00:00Z", 2, 2),
        Gap("a", "2020-06-30T00:00:00Z", "2020-08-31T00:00:00Z", 1, 4),
    )
    assert panel.series[0].y.tolist() == [0, 1, 2, 3, 4]


def test_gaps_are_filled_with_missing_values(write: Write) -> None:
    panel = panel_of(write, HOLED, freq="ME", on_gap=OnGap.FILL)

    series = panel.series[0]
    expected = pd.date_range("2020-01-31", "2020-08-31", freq="ME").to_numpy("datetime64[us]")
    assert series.ds.tolist() == expected.view(np.int64).tolist()
    np.testing.assert_array_equal(series.y, [0, 1, np.nan, np.nan, 2, 3, np.nan, 4])
    assert [(gap.missing, gap.position) for gap in panel.gaps] == [(2, 4), (1, 7)]


def test_only_the_series_with_gaps_are_filled(write: Write) -> None:
    path = write("unique_id,ds,y\na,1,1\na,2,2\nb,1,1\nb,4,2\nb,5,3\n")

    panel = read_panel(path, on_gap=OnGap.FILL)

    assert [series.ds.tolist() for series in panel.series] == [[1, 2], [1, 2, 3, 4, 5]]


def test_gaps_are_refused_if_asked(write: Write) -> None:
    with pytest.raises(
        DataError,
        match=r"row 4, column ds: 2020-05-31T00:00:00Z follows 2020-02-29T00:00:00Z in series 'a': "
        r"2 steps of freq ME left out \(and 1 more like it\)",
    ):
        panel_of(write, HOLED, freq="ME", on_gap=OnGap.REJECT)


@pytest.mark.parametrize("on_gap", [OnGap.REJECT, OnGap.FILL])
def test_a_time_between_steps_can_neither_be_filled_nor_left(write: Write, on_gap: OnGap) -> None:
    ds = [*times("D", "2020-01-01", 10), "2020-01-10T12:00:00"]

    with pytest.raises(DataError, match=r"row 12, .* between steps of freq D"):
        panel_of(write, ds, on_gap=on_gap)


def test_a_gap_too_long_is_not_filled(write: Write) -> None:
    with pytest.raises(DataError, match="1001 steps of freq 1 left out, at most 1000 are filled"):
        panel_of(write, ["1", "2", "3", "1005"], on_gap=OnGap.FILL)

    panel = panel_of(write, ["1", "2", "3", "1004"], on_gap=OnGap.FILL)

    assert panel.observations == 1004


def test_without_gaps_nothing_is_refused_or_filled(write: Write) -> None:
    panels = [panel_of(write, ["1", "2", "3"], on_gap=on_gap) for on_gap in OnGap]

    assert {panel.fingerprint for panel in panels} == {panels[0].fingerprint}


@pytest.mark.parametrize("on_gap", [OnGap.REJECT, OnGap.FILL])
def test_gaps_cannot_be_told_without_a_freq(write: Write, on_gap: OnGap) -> None:
    ds = ["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-08", "2020-01-16"]

    with pytest.raises(DataError, match=r"column ds: gaps can be neither .* --freq names one"):
        panel_of(write, ds, on_gap=on_gap)

    assert panel_of(write, ds[:1], on_gap=on_gap).freq is None


def test_a_distance_of_64_bits_is_a_gap_like_others(write: Write) -> None:
    low, high = 1 - 2**62, 2**62 - 1

    panel = read_panel(write(f"unique_id,ds,y\na,1,1\na,2,2\na,3,3\nb,{low},1\nb,{high},2\n"))

    assert [gap.missing for gap in panel.gaps] == [high - low - 1]


# Fingerprint


def test_the_fingerprint_is_that_of_the_data_not_of_its_order_in_the_file(write: Write) -> None:
    first = read_panel(write("unique_id,ds,y\na,1,1\na,2,\nb,1,0\n"))

    second = read_panel(write("y,unique_id,ds\n-0.0,b,01\n1e0,a,1\nNaN,a,2\n"))

    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)
    assert second.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "unique_id,ds,y\na,0,1\na,1,2.5\n",
        "unique_id,ds,y\na,0,1\na,2,2\n",
        "unique_id,ds,y\nb,0,1\nb,1,2\n",
        "unique_id,ds,y\na,0,1\nb,1,2\n",
        "unique_id,ds,y\na,0,1\n",
        "unique_id,y\na,1\na,2\n",
    ],
)
def test_the_fingerprint_changes_with_the_data(write: Write, text: str) -> None:
    original = read_panel(write("unique_id,ds,y\na,0,1\na,1,2\n"))

    assert read_panel(write(text)).fingerprint != original.fingerprint


# Split


def test_split_holds_back_the_last_observations_of_each_series(write: Write) -> None:
    path = write("unique_id,ds,y\na,1,1\na,2,2\na,3,3\nb,1,4\nb,2,5\nb,3,6\nb,4,7\n")
    panel = read_panel(path)

    history, test = panel.split(2)

    assert [series.y.tolist() for series in history.series] == [[1], [4, 5]]
    assert [series.y.tolist() for series in test.series] == [[2, 3], [6, 7]]
    assert [series.ds.tolist() for series in test.series] == [[2, 3], [3, 4]]
    assert history.ids == test.ids == panel.ids
    assert (test.clock, test.freq) == (panel.clock, panel.freq)
    assert len({panel.fingerprint, history.fingerprint, test.fingerprint}) == 3


def test_split_gives_each_part_its_gaps(write: Write) -> None:
    panel = panel_of(write, HOLED, freq="ME")

    at_the_gap, after_it = panel.split(3), panel.split(1)

    assert [[gap.position for gap in part.gaps] for part in at_the_gap] == [[], [0, 2]]
    assert [[gap.position for gap in part.gaps] for part in after_it] == [[2], [0]]


def test_split_refuses_a_series_that_is_too_short_and_names_it(write: Write) -> None:
    panel = read_panel(write("unique_id,y\na,1\na,2\na,3\nshort,4\nshort,5\n"))

    with pytest.raises(DataError, match=r"series 'short': expected more than 2 .*, found 2"):
        panel.split(2)


def test_split_refuses_an_empty_test(write: Write) -> None:
    with pytest.raises(InvalidRequestError, match="test: expected 1 or more observations, found 0"):
        read_panel(write("y\n1\n2\n")).split(0)


# Laws

VALUES = st.none() | st.floats(-1e300, 1e300, allow_nan=False)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), min_size=1)
STEPS = st.lists(st.tuples(st.timedeltas(timedelta(microseconds=1), timedelta(400)), VALUES))


@given(st.dictionaries(NAMES, STEPS.filter(len), min_size=1, max_size=4))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_what_is_read(
    tmp_path: Path, columns: dict[str, list[tuple[timedelta, float | None]]]
) -> None:
    """In CSV and Parquet, whatever the names, times and values."""
    rows = [
        (name, encode_time(datetime(1900, 1, 1) + sum((d for d, _ in steps[:i]), timedelta())), y)
        for name, steps in columns.items()
        for i, (_, y) in enumerate(steps)
    ]
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"]).astype({"y": "float64"})
    frame["ds"] = frame["ds"].to_numpy(np.int64).view("datetime64[us]")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")

    for panel in (read_panel(tmp_path / "a.csv"), read_panel(tmp_path / "a.parquet")):
        assert panel.ids == tuple(columns)
        for series in panel.series:
            expected = [(ds, y) for name, ds, y in rows if name == series.unique_id]
            assert series.ds.tolist() == [ds for ds, _ in expected]
            np.testing.assert_array_equal(series.y, np.array([y for _, y in expected], np.float64))


PIECES = ["unique_id", "ds", "y", "1", "2", "-", "2020-01-0", "T", ".5", "e", " ", '"', ",", "\n"]


@given(
    st.lists(st.sampled_from([*PIECES, ",", "\n", "\r", "\0", "é"])).map("".join),
    st.sampled_from(["", "y\n", "ds,y\n", "unique_id,ds,y\n"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused_with_a_reason(tmp_path: Path, body: str, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((header + body).encode())

    refuses_only_with_data_error(path)


@given(st.data())
@settings(derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused_with_a_reason(
    tmp_path: Path, data: st.DataObject
) -> None:
    frame = pd.DataFrame({"unique_id": ["a", "a"], "ds": ["2020-01-01", "2020-01-02"], "y": [1, 2]})
    path = tmp_path / data.draw(st.sampled_from(["a.parquet", "a.csv.gz"]))
    if path.suffix == ".gz":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    refuses_only_with_data_error(path)


def refuses_only_with_data_error(path: Path) -> None:
    for on_gap in OnGap:
        try:
            panel = read_panel(path, on_gap=on_gap)
        except DataError:
            continue
        assert all(np.all(series.ds[1:] > series.ds[:-1]) for series in panel.series)


# Real files


@pytest.mark.parametrize(
    ("name", "count", "observations", "freq"),
    [
        ("shampoo.csv", 1, 36, "MS"),
        ("airline.csv", 1, 144, "MS"),
        ("min_temperatures.csv", 1, 3650, "D"),
        ("sunspots.csv", 1, 2820, "MS"),
        ("pollution.csv", 1, 43800, "h"),
        ("m4_hourly.csv.gz", 414, 373_372, "1"),
    ],
)
def test_real_files_are_read(name: str, count: int, observations: int, freq: str) -> None:
    panel = read_panel(shared(name))

    assert (len(panel), panel.observations, panel.freq) == (count, observations, freq)
    assert not any(np.isnan(series.y).any() for series in panel.series)


def test_the_two_missing_days_of_the_temperatures_are_found_and_filled() -> None:
    path = shared("min_temperatures.csv")

    panel = read_panel(path, on_gap=OnGap.FILL)

    assert [gap.before for gap in panel.gaps] == ["1985-01-01T00:00:00Z", "1989-01-01T00:00:00Z"]
    assert panel.observations == 3652
    with pytest.raises(DataError, match="1985-01-01T00:00:00Z follows 1984-12-30T00:00:00Z"):
        read_panel(path, on_gap=OnGap.REJECT)
