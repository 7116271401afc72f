"""What a network is told of covariates, and the laws of stepping with them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster import artifact
from forecaster.covariates import Covariates, Value
from forecaster.errors import ArtifactError, InvalidRequestError
from forecaster.forecaster import Forecaster
from forecaster.journal import ENTRY, converted, covariates_of, entry_dtype, observed
from forecaster.model import Engine, build_forecaster
from forecaster.spec import (
    Covariate,
    HeadSpec,
    Kind,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    Policy,
    RunningScaler,
)
from tests.forecaster.fakes import draw_covariates, random_weights, write_model

Floats = NDArray[np.float64]

TEMP = Covariate(name="temp", kind=Kind.PAST)
WIND = Covariate(name="wind", kind=Kind.PAST, categories=("E", "N", "S"))
PROMO = Covariate(name="promo", kind=Kind.FUTURE)
DAY = Covariate(name="day", kind=Kind.FUTURE, categories=("holiday", "workday"))
SIZE = Covariate(name="size", kind=Kind.STATIC, mean=10.0, scale=4.0)
TOWN = Covariate(name="town", kind=Kind.STATIC, categories=("A", "B"))
ALL = (TEMP, WIND, PROMO, DAY, SIZE, TOWN)
PAST = (TEMP, WIND, SIZE)

NAN = float("nan")


def model(covariates: tuple[Covariate, ...] = ALL, policy: Policy = Policy.CARRY) -> ModelSpec:
    return ModelSpec(
        network=NetworkSpec(features=1 + Covariates(covariates).features, units=(5, 3), outputs=12),
        head=HeadSpec(kind="quantiles", calibrated=True),
        transform=PlainTransformSpec(difference=1),
        scaler=RunningScaler(),
        policy=policy,
        covariates=covariates,
    )


def forecaster(
    covariates: tuple[Covariate, ...] = ALL,
    policy: Policy = Policy.CARRY,
    engine: Engine = Engine.NUMPY,
) -> Forecaster:
    spec = model(covariates, policy)
    return build_forecaster(spec, random_weights(spec.network, 3), engine)


def histories(seed: int, lengths: list[int]) -> tuple[list[Floats], list[Floats]]:
    rng = np.random.default_rng(seed)
    y = [rng.normal(0.0, 3.0, n).cumsum() for n in lengths]
    return y, [draw_covariates(ALL, n, seed + n) for n in lengths]


def inputs(covariates: Covariates, *steps: list[float]) -> Floats:
    """Return the inputs after these steps of one series."""
    records = np.zeros(1, covariates.fields)
    for step in steps:
        covariates.observe(records, np.array([step]))
    told: Floats = covariates.inputs(records)[0]
    return told


def test_a_number_is_told_by_its_distance_and_its_last_change_in_units_of_its_size() -> None:
    told = inputs(Covariates([TEMP]), [10.0], [14.0], [18.0])
    size = np.std([10.0, 14.0, 18.0])
    np.testing.assert_allclose(told, [(18 - 14) / size, 4 / size])


def test_a_word_is_told_as_one_input_for_each() -> None:
    np.testing.assert_array_equal(inputs(Covariates([WIND]), [2.0]), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(inputs(Covariates([WIND]), [NAN]), [0.0, 0.0, 0.0])


def test_a_static_number_is_told_in_units_of_the_series_trained_on() -> None:
    np.testing.assert_array_equal(inputs(Covariates([SIZE]), [18.0], [NAN]), [2.0])


def test_what_is_known_ahead_is_told_of_the_step_to_come() -> None:
    covariates = Covariates([PROMO])
    records = np.zeros(1, covariates.fields)
    for value in (0.0, 1.0, 0.0, 1.0, 0.0):
        covariates.observe(records, np.array([[value]]))
    mean, size = 0.4, float(np.std([0, 1, 0, 1, 0]))
    np.testing.assert_allclose(covariates.inputs(records)[0], [-mean / size, 0.0])
    covariates.foresee(records, np.array([[1.0]]))
    np.testing.assert_allclose(covariates.inputs(records)[0], [(1 - mean) / size, 1 / size])
    covariates.foresee(records, np.array([[NAN]]))  # which says nothing new
    np.testing.assert_allclose(covariates.inputs(records)[0], [(1 - mean) / size, 1 / size])


def test_a_past_covariate_is_not_known_ahead() -> None:
    covariates = Covariates([TEMP, WIND])
    records = np.zeros(1, covariates.fields)
    covariates.observe(records, np.array([[1.0, 2.0]]))
    before = records.copy()
    covariates.foresee(records, np.array([[9.0, 3.0]]))
    assert records.tobytes() == before.tobytes()
    assert not covariates.foresees


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=30),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_another_unit_says_the_same(values: list[float], factor: float, offset: float) -> None:
    values = [round(value, 2) for value in values]
    told = inputs(Covariates([TEMP]), *([value] for value in values))
    moved = inputs(Covariates([TEMP]), *([factor * value + offset] for value in values))
    if np.std(values) * factor > 1e-6 * (abs(offset) + 1.0):  # or rounding is all there is
        np.testing.assert_allclose(told, moved, atol=1e-3)


@given(
    st.lists(
        st.lists(
            st.one_of(st.just(NAN), st.floats(-1e300, 1e300)),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
        max_size=20,
    )
)
def test_inputs_are_numbers_within_their_limit_whatever_comes(steps: list[list[float]]) -> None:
    covariates = Covariates([TEMP, PROMO])
    records = np.zeros(1, covariates.fields)
    for step in steps:
        covariates.observe(records, np.array([step]))
        covariates.foresee(records, np.array([step[::-1]]))
        told = covariates.inputs(records)
        assert np.isfinite(told).all()
        assert np.abs(told).max() <= 5.0
        for name in records.dtype.names or ():
            assert np.isfinite(records[name]).all()


def test_a_missing_value_is_the_last_one() -> None:
    covariates = Covariates([TEMP, WIND])
    told = inputs(covariates, [3.0, 1.0], [5.0, 2.0], [NAN, NAN])
    assert told[0] == inputs(covariates, [3.0, 1.0], [5.0, 2.0])[0]
    assert told[1] == 0.0  # it did not change
    np.testing.assert_array_equal(told[2:], [0.0, 1.0, 0.0])


# Names and values, as callers give them


def test_reading_takes_words_numbers_and_null_by_name() -> None:
    given: dict[str, list[Value]] = {
        "promo": [1, None],
        "wind": ["S", "N"],
        "day": [None, "holiday"],
        "temp": [2.5, 3],
        "town": ["B", None],
    }
    covariates = Covariates(ALL)
    values, faults = covariates.read(given, 2)
    assert not faults
    np.testing.assert_array_equal(values, [[2.5, 3, 1, NAN, NAN, 2], [3, 2, NAN, 1, NAN, NAN]])
    assert covariates.write(values[0]) == {
        "temp": 2.5, "wind": "S", "promo": 1.0, "day": None, "size": None, "town": "B",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "ahead", "told"),
    [
        (None, False, r"x: expected 'temp', 'wind' and 'size', 'temp' and 'wind' left out; null"),
        ({"temp": [1]}, False, r"'wind' left out"),
        ({"temp": [1], "wind": ["N"], "tmp": [1]}, False, r"found also 'tmp'"),
        ({"temp": [1, 2], "wind": ["N"]}, False, r"x.temp: expected 1 values, .* found 2"),
        ({"temp": [1]}, True, r"x_future: this model has no covariates that are known ahead"),
    ],
)
def test_names_that_are_not_the_model_s_are_refused_with_those_that_are(
    given: dict[str, list[Value]] | None, ahead: bool, told: str
) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        Covariates(PAST).read(given, 1, ahead=ahead)


def test_a_model_without_covariates_says_so() -> None:
    with pytest.raises(InvalidRequestError, match="x: this model has no covariates; leave it out"):
        Covariates().read({"temp": [1.0]}, 1)


@pytest.mark.parametrize(
    ("temp", "wind", "told"),
    [
        ("warm", "N", "x.temp: expected a number or null, found 'warm'"),
        (1.0, "W", "x.wind: expected 'E', 'N' or 'S' or null, found 'W'"),
        (1.0, 2, "x.wind: expected 'E', 'N' or 'S' or null, found 2"),
        (-2e300, "N", "x.temp: expected a number of size 1e+300 at most, found -2e+300"),
    ],
)
def test_a_value_that_is_none_is_a_fault_of_its_row(temp: Value, wind: Value, told: str) -> None:
    values, faults = Covariates(PAST).read({"temp": [0.0, temp], "wind": ["E", wind]}, 2)
    assert faults == {1: told}
    np.testing.assert_array_equal(values[0], [0.0, 1.0, NAN])


# Laws of stepping


@pytest.mark.parametrize("policy", list(Policy))
def test_seeding_is_observing_one_by_one(policy: Policy) -> None:
    one = forecaster(policy=policy)
    y, x = histories(0, [40, 25, 33])
    seeded = one.seed(y, x=x)
    for row, (values, covariates) in enumerate(zip(y, x, strict=True)):
        records = one.new(1)
        for value, now in zip(values, covariates, strict=True):
            records = one.observe(records, np.array([value]), x=now[None])
        for name in ("h", "c", "forecast", "stood", "x_ahead", "x_mean"):
            np.testing.assert_allclose(records[name][0], seeded[name][row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("policy", list(Policy))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_forecast_that_knew_what_came_is_the_one_that_stood(policy: Policy, seed: int) -> None:
    one = forecaster(policy=policy)
    y, x = histories(seed, [30])
    records = one.seed([y[0][:-1]], x=[x[0][:-1]])
    known = one.forecast(records, levels=(0.025, 0.1, 0.9, 0.975), x=x[0][None, -1:])
    after = one.observe(records, y[0][-1:], x=x[0][-1:])
    np.testing.assert_allclose(after["stood"][0, 0], known.mean[0, 0], rtol=1e-6)
    np.testing.assert_allclose(after["error"][0], y[0][-1] - known.mean[0, 0], atol=1e-5)


def test_what_is_known_ahead_changes_the_forecast_and_a_pure_read_changes_nothing() -> None:
    one = forecaster()
    y, x = histories(1, [30])
    records = one.seed(y, x=x)
    before = records.tobytes()
    nothing = one.forecast(records, 3)
    coming = np.full((1, 3, len(ALL)), NAN)
    np.testing.assert_array_equal(one.forecast(records, 3, x=coming).mean, nothing.mean)
    coming[0, :, 2] = [5.0, NAN, 100.0]
    changed = one.forecast(records, 3, x=coming)
    assert (changed.mean != nothing.mean).all()
    coming[0, :, 0] = 7.0  # of the past, so not looked at
    coming[0, :, 2] = [5.0, NAN, NAN]
    later = one.forecast(records, 3, x=coming)
    np.testing.assert_array_equal(later.mean[:, :2], changed.mean[:, :2])
    assert later.mean[0, 2] != changed.mean[0, 2]
    assert records.tobytes() == before


def test_several_steps_are_the_forecasts_of_missing_values_one_after_the_other() -> None:
    one = forecaster((TEMP, PROMO))
    y = [np.random.default_rng(4).normal(size=30).cumsum()]
    x = [draw_covariates((TEMP, PROMO), 30, 4)]
    records = one.seed(y, x=x)
    ahead = np.array([[[NAN, 1.0], [NAN, -1.0], [NAN, 2.0]]])
    means = one.forecast(records, 3, x=ahead).mean[0]
    for t in range(3):
        expected = one.forecast(records, 1, x=ahead[:, t : t + 1]).mean[0, 0]
        np.testing.assert_allclose(means[t], expected, rtol=1e-5)
        records = one.observe(records, np.array([NAN]), x=ahead[:, t])


def test_a_reset_forgets_the_state_and_keeps_what_was_known() -> None:
    one = forecaster()
    y, x = histories(2, [30])
    records = one.reset(one.seed(y, x=x))
    assert not records["h"].any()
    again = one.forecast(records, x=x[0][None, -1:])
    fresh = one.reset(records)
    assert fresh.tobytes() == records.tobytes()
    assert np.isfinite(again.mean).all()


def test_a_record_without_covariates_is_what_it_was() -> None:
    bare = forecaster(())
    assert not any(name.startswith("x") for name in bare.dtype.names or ())
    assert bare.entry == ENTRY


def test_entries_keep_what_was_given_and_replay_to_the_same_record() -> None:
    one = forecaster()
    y, x = histories(5, [20])
    records, parts = one.new(1), []
    for value, now in zip(y[0], x[0], strict=True):
        records = one.observe(records, np.array([value]), x=now[None])
        parts.append(observed(records, np.zeros(1, np.int64), one.entry, now[None]))
    entries = np.concatenate(parts)
    np.testing.assert_array_equal(covariates_of(entries), x[0])
    again = one.seed([entries["y"]], x=[x[0]])
    np.testing.assert_allclose(again["forecast"], records["forecast"], rtol=1e-5, atol=1e-5)


def test_entries_of_another_model_keep_the_covariates_that_both_have() -> None:
    one, other = forecaster((TEMP, PROMO)), forecaster((PROMO, SIZE))
    y = np.array([1.0, 2.0])
    records = one.seed([y], x=[np.array([[1.0, 2.0], [3.0, 4.0]])])
    entries = observed(records, np.zeros(1, np.int64), one.entry, np.array([[3.0, 4.0]]))
    moved = converted(entries, other.entry)
    np.testing.assert_array_equal(covariates_of(moved), [[4.0, NAN]])
    assert moved["y"] == entries["y"]
    bare = converted(moved, ENTRY)
    assert bare.dtype == entry_dtype(forecaster(()).dtype)
    assert bare["step"] == entries["step"]


# Engines and the model folder


def test_both_engines_agree() -> None:
    y, x = histories(7, [60, 50])
    walks = []
    for engine in Engine:
        one = forecaster(engine=engine)
        records = one.seed(y, x=x)
        ahead = np.full((2, 3, len(ALL)), 1.0)
        walks.append(one.forecast(records, 3, (0.1, 0.9), x=ahead))
    np.testing.assert_allclose(walks[0].mean, walks[1].mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(walks[0].quantiles, walks[1].quantiles, rtol=1e-4, atol=1e-4)


def test_a_model_folder_holds_its_covariates_and_its_trace_has_them(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", covariates=ALL)
    loaded = artifact.load(folder)
    assert loaded.manifest.covariates == ALL
    golden = artifact.Golden.model_validate_json((folder / artifact.GOLDEN).read_bytes())
    assert len(golden.x) == len(golden.y)
    assert any(None in row for row in golden.x)
    blind = golden.model_copy(update={"x": tuple((None,) * len(ALL) for _ in golden.x)})
    assert artifact.distance(loaded.forecaster, blind) > 0.01


def test_a_trace_without_the_model_s_covariates_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", covariates=ALL)
    golden = artifact.Golden.model_validate_json((folder / artifact.GOLDEN).read_bytes())
    manifest = artifact.read_manifest(folder)
    content = golden.model_copy(update={"x": ()}).model_dump_json().encode()
    (folder / artifact.GOLDEN).write_bytes(content)
    files = manifest.files | {artifact.GOLDEN: artifact.sha256(content)}
    text = manifest.model_copy(update={"files": files}).model_dump_json()
    (folder / artifact.MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=r"golden.json: x: expected rows of 6 covariates"):
        artifact.load(folder)
