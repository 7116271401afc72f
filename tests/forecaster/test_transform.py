import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler as ScikitMinMaxScaler

from forecaster.spec import MinMaxScaler, PlainTransformSpec, RunningScaler, Scaler
from forecaster.transform import PlainTransform, Transform
from tests.forecaster.fakes import MINMAX, RUNNING

EXACT = 1e-9
SINGLE = 1e-6  # inputs are float32

# From [0, 10] to [-1, 1]: a fifth of the value, less one.
FIFTH = MinMaxScaler(data_min=0.0, data_max=10.0)

values = st.floats(-1e3, 1e3)


def make_transform(difference: int, scaler: Scaler) -> PlainTransform:
    return PlainTransform(PlainTransformSpec(difference=difference), scaler)


def observed(transform: Transform, *history: float) -> NDArray[np.void]:
    """Return the record of one series that has taken these values."""
    records = np.zeros(1, np.dtype([("step", "<i8"), *transform.fields]))
    for value in history:
        transform.observe(records, np.array([value]))
        records["step"] += 1
    return records


@given(
    st.sampled_from([0, 1, 7]),
    st.sampled_from([MINMAX, RUNNING]),
    st.lists(values, min_size=8, max_size=20),
    st.lists(st.floats(-90, 90), min_size=1, max_size=3),
)
def test_scale_and_unscale_are_inverse(
    difference: int, scaler: Scaler, history: list[float], z: list[float]
) -> None:
    transform = make_transform(difference, scaler)
    # The last value is new, so the running scale is not zero.
    records = observed(transform, *history, max(history) + 1.0)

    y = transform.unscale(records, np.array([z]))

    np.testing.assert_allclose(transform.scale(records, y), [z], rtol=EXACT, atol=EXACT)


def test_a_difference_at_lag_1_worked_out_by_hand() -> None:
    transform = make_transform(1, FIFTH)

    records = observed(transform, 4.0, 7.0, 12.0)

    assert transform.context == 2
    assert transform.inputs(records).tolist() == [[0.0]]  # (12 - 7) / 5 - 1
    assert transform.scale(records, np.array([[17.0, 22.0]])).tolist() == [[0.0, 1.0]]
    assert transform.unscale(records, np.array([[0.0, 1.0]])).tolist() == [[17.0, 22.0]]


def test_a_seasonal_difference_worked_out_by_hand() -> None:
    transform = make_transform(3, FIFTH)

    records = observed(transform, 1.0, 2.0, 3.0, 6.0)

    assert transform.context == 4
    assert transform.inputs(records).tolist() == [[0.0]]  # (6 - 1) / 5 - 1
    # The next value is held against 2, three steps before it.
    assert transform.scale(records, np.array([[12.0]])).tolist() == [[1.0]]
    assert transform.unscale(records, np.array([[1.0]])).tolist() == [[12.0]]


def test_without_a_difference_values_are_scaled_as_they_are() -> None:
    transform = make_transform(0, FIFTH)

    records = observed(transform, 3.0, 10.0)

    assert transform.context == 1
    assert transform.inputs(records).tolist() == [[1.0]]
    assert transform.unscale(records, np.array([[-1.0]])).tolist() == [[0.0]]


@given(st.lists(values, min_size=2, max_size=20), st.sampled_from([(-1.0, 1.0), (0.0, 1.0)]))
def test_the_minmax_scaler_equals_scikit_learns(
    column: list[float], feature_range: tuple[float, float]
) -> None:
    """A column that hardly moves counts as constant there, and must here."""
    theirs = ScikitMinMaxScaler(feature_range=feature_range).fit(np.array(column)[:, None])
    ours = make_transform(
        0,
        MinMaxScaler(
            data_min=min(column),
            data_max=max(column),
            feature_min=feature_range[0],
            feature_max=feature_range[1],
        ),
    )

    scaled = ours.scale(observed(ours, 0.0), np.array([column]))

    expected = theirs.transform(np.array(column)[:, None]).T
    np.testing.assert_allclose(scaled, expected, rtol=EXACT, atol=EXACT)


@given(
    st.sampled_from([0, 1, 7]),
    st.integers(1, 12),
    st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=8, max_size=30),
)
def test_the_running_scale_equals_its_definition_over_the_array(
    difference: int, window: int, history: list[float]
) -> None:
    transform = make_transform(difference, RunningScaler(window=window))

    rms = observed(transform, *history)["rms"][0]

    y = np.array(history)
    changes = np.abs(y[difference:] - y[:-difference] if difference else y)
    expected = 0.0  # the root of the mean square: the square of 1e-225 is no number
    for seen, change in enumerate(changes.tolist()):
        # From the ninth on none counts for more than six times the scale so far.
        counted = min(change, 6 * expected) if seen >= 8 and expected > 0 else change
        gain = 1.0 / min(seen + 1, window)
        expected = math.hypot(expected * math.sqrt(1.0 - gain), counted * math.sqrt(gain))
    np.testing.assert_allclose(rms, expected, rtol=EXACT, atol=EXACT)


def test_a_running_scale_worked_out_by_hand() -> None:
    transform = make_transform(1, RunningScaler(window=2))

    records = observed(transform, 0.0, 1.0, 8.0)

    # Changes 1 and 7: the root of (1 + 49) / 2.
    assert records["rms"][0] == pytest.approx(5.0)
    assert transform.inputs(records)[0, 0] == pytest.approx(7.0 / 5.0, rel=SINGLE)
    assert transform.unscale(records, np.array([[2.0]]))[0, 0] == pytest.approx(18.0)


def test_a_series_that_never_moved_is_at_zero_and_stays() -> None:
    transform = make_transform(1, RUNNING)

    records = observed(transform, 5.0, 5.0)

    assert transform.inputs(records).tolist() == [[0.0]]
    assert transform.scale(records, np.array([[9.0]])).tolist() == [[0.0]]
    assert transform.unscale(records, np.array([[3.0]])).tolist() == [[5.0]]


@pytest.mark.parametrize(
    "scaler", [MinMaxScaler(data_min=0.0, data_max=1e-12), RunningScaler(window=10)]
)
def test_a_change_too_large_for_the_scale_stops_at_a_hundred_units(scaler: Scaler) -> None:
    """Over a narrow scale the quotient overflowed, with a warning."""
    transform = make_transform(1, scaler)
    records = observed(transform, 0.0, 1e-12)

    scaled = transform.scale(records, np.array([[1e300, -1e300]]))

    assert scaled.tolist() == [[100.0, -100.0]]


def test_one_outlier_does_not_spoil_the_running_scale() -> None:
    """It once did: one value of 1e6 among noise left a scale of 8,000 after 1,000 steps."""
    transform = PlainTransform(PlainTransformSpec(difference=1), RunningScaler(window=200))
    noise = np.random.default_rng(0).normal(size=500)
    noise[250] = 1e6
    records = np.zeros(1, np.dtype([("step", "<i8"), *transform.fields]))

    sizes = []
    for y in noise:
        transform.observe(records, np.array([y]))
        records["step"] += 1
        sizes.append(float(records["rms"][0]))

    assert max(sizes[250:]) < 1.5 * sizes[249]


def test_the_running_scale_follows_a_series_that_grows_a_thousandfold() -> None:
    transform = PlainTransform(PlainTransformSpec(difference=1), RunningScaler(window=200))
    noise = np.random.default_rng(0).normal(size=500)
    noise[200:] *= 1000
    records = np.zeros(1, np.dtype([("step", "<i8"), *transform.fields]))

    for y in noise:
        transform.observe(records, np.array([y]))
        records["step"] += 1

    assert 700 < float(records["rms"][0]) < 2000
