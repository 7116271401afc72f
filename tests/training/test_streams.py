"""Streams: samples are the service's own steps, and packing loses, leaks and repeats nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.spec import MinMaxScaler, PlainTransformSpec, RunningScaler, Scaler
from forecaster.transform import PlainTransform
from training.streams import Batches, Stream, cut, pack, restart_every_window, samples

Floats = NDArray[np.float64]

MINMAX = MinMaxScaler(data_min=-10.0, data_max=10.0)


def numbered(length: int, series: int = 0) -> Stream:
    """Return a stream whose inputs and targets tell where they come from."""
    steps = np.arange(1, length + 1, dtype=np.float32) + 1000 * series
    return Stream(steps[:, None], -steps, np.ones(length, np.float32))


def rows(batches: Batches) -> list[list[list[float]]]:
    """Return, for each row, the inputs that count, cut where a state starts anew."""
    found = []
    for row in range(batches.inputs.shape[1]):
        pieces: list[list[float]] = []
        for number in range(len(batches)):
            if batches.starts[number, row, 0]:
                pieces.append([])
            counts = batches.weights[number, row] > 0
            pieces[-1] += batches.inputs[number, row, counts, 0].tolist()
        found.append([piece for piece in pieces if piece])
    return found


def test_samples_of_a_plain_series_are_scaled_differences_and_the_ones_that_follow() -> None:
    transform = PlainTransform(PlainTransformSpec(difference=1), MINMAX)

    (stream,) = samples(transform, [np.array([1.0, 2.0, 4.0, 3.0])])

    np.testing.assert_allclose(stream.inputs[:, 0], [0.1, 0.2], atol=1e-7)
    np.testing.assert_allclose(stream.targets, [0.2, -0.1], atol=1e-7)
    assert stream.weights.tolist() == [1.0, 1.0]


def test_a_seasonal_difference_begins_a_season_later() -> None:
    transform = PlainTransform(PlainTransformSpec(difference=3), MINMAX)

    (stream,) = samples(transform, [np.array([1.0, 2.0, 3.0, 2.0, 5.0, 3.0])])

    np.testing.assert_allclose(stream.inputs[:, 0], [0.1, 0.3], atol=1e-7)
    np.testing.assert_allclose(stream.targets, [0.3, 0.0], atol=1e-7)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    lag=st.sampled_from([0, 1, 4]),
    scaler=st.sampled_from([MINMAX, RunningScaler(window=10)]),
)
def test_samples_of_a_panel_are_those_of_each_series_alone(
    lengths: list[int], lag: int, scaler: Scaler
) -> None:
    transform = PlainTransform(PlainTransformSpec(difference=lag), scaler)
    rng = np.random.default_rng(sum(lengths))
    histories = [rng.normal(size=length) for length in lengths]

    together = samples(transform, histories)

    for history, stream in zip(histories, together, strict=True):
        (alone,) = samples(transform, [history])
        assert len(stream) == max(len(history) - transform.context, 0)
        np.testing.assert_array_equal(stream.inputs, alone.inputs)
        np.testing.assert_array_equal(stream.targets, alone.targets)


@given(data=st.data(), scaler=st.sampled_from([MINMAX, RunningScaler()]))
def test_the_future_does_not_leak_into_samples(data: st.DataObject, scaler: Scaler) -> None:
    transform = PlainTransform(PlainTransformSpec(difference=1), scaler)
    history = np.random.default_rng(0).normal(size=20)
    at = data.draw(st.integers(3, 19))
    changed = history.copy()
    changed[at:] += 5.0

    before, after = samples(transform, [history])[0], samples(transform, [changed])[0]

    np.testing.assert_array_equal(before.inputs[: at - 1], after.inputs[: at - 1])
    np.testing.assert_array_equal(before.targets[: at - 2], after.targets[: at - 2])


def test_a_missing_value_is_stood_in_for_and_not_learned() -> None:
    transform = PlainTransform(PlainTransformSpec(difference=1), MINMAX)

    (stream,) = samples(transform, [np.array([1.0, 2.0, np.nan, 4.0, 3.0])])

    np.testing.assert_allclose(stream.inputs[:, 0], [0.1, 0.0, 0.2], atol=1e-7)
    assert stream.weights.tolist() == [0.0, 1.0, 1.0]
    assert np.isfinite(stream.targets).all()


def test_one_long_series_is_cut_into_contiguous_pieces_of_whole_windows() -> None:
    pieces = cut([numbered(20)], batch=3, window=2)

    assert [len(piece) for piece in pieces] == [8, 8, 4]
    assert np.concatenate([piece.inputs[:, 0] for piece in pieces]).tolist() == list(range(1, 21))


def test_series_no_longer_than_a_row_stay_whole() -> None:
    streams = [numbered(10, series) for series in range(6)]

    assert [len(piece) for piece in cut(streams, batch=3, window=4)] == [10] * 6


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    batch=st.integers(1, 6),
    window=st.integers(1, 7),
)
def test_packing_keeps_every_step_once_in_order_and_starts_each_stream_anew(
    lengths: list[int], batch: int, window: int
) -> None:
    streams = [numbered(length, series) for series, length in enumerate(lengths)]
    pieces = cut(streams, batch=batch, window=window)

    batches = pack(pieces, batch=batch, window=window)

    found = [piece for row in rows(batches) for piece in row]
    assert sorted(found) == sorted(piece.inputs[:, 0].tolist() for piece in pieces)
    counts = batches.weights > 0
    np.testing.assert_array_equal(batches.targets[counts], -batches.inputs[counts])
    assert batches.weights.mean() == pytest.approx(1.0, rel=1e-5)
    assert batches.starts[0].all()


def test_rows_are_filled_evenly() -> None:
    streams = [numbered(length) for length in (9, 3, 3, 3, 6, 6)]

    assert len(pack(streams, batch=3, window=3)) == 4


def test_restarting_every_window_flags_every_row_of_every_batch() -> None:
    batches = pack([numbered(10)], batch=1, window=2)

    assert batches.starts.ravel().tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert restart_every_window(batches).starts.all()
