"""Walks worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from forecaster.calendar import Clock
from forecaster.errors import InvalidRequestError, SeriesNotWarmError
from forecaster.forecaster import Forecaster
from forecaster.head import Head, normal_scores
from forecaster.model import build_forecaster
from forecaster.network import Weights
from forecaster.spec import (
    LARGEST_VALUE,
    QUANTILES,
    HeadSpec,
    MinMaxScaler,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    RunningScaler,
    Scaler,
)
from forecaster.transform import PlainTransform
from tests.forecaster.fakes import FakeNetwork, Setup, make_forecaster, make_network

EXACT = 1e-9
# 256 paths tell a quantile of a walk to about a tenth of its spread.
SAMPLED = 0.1

# A scaler that changes nothing: from [-1, 1] to [-1, 1].
SAME = MinMaxScaler(data_min=-1.0, data_max=1.0)


def by_hand(scaler: Scaler = SAME, *, difference: int = 1, spread: float = 1.0) -> Forecaster:
    """Return a forecaster whose quantiles lie `spread` below, at and above the mean."""
    head = HeadSpec(kind="mean", quantiles=(0.1, 0.5, 0.9), offsets=(-spread, 0.0, spread))
    return Forecaster(
        transform=PlainTransform(PlainTransformSpec(difference=difference), scaler),
        network=FakeNetwork(outputs=1),
        head=Head(head),
        state_size=1,
    )


def zeros(spec: NetworkSpec) -> Weights:
    return {name: np.zeros(shape, np.float32) for name, shape in spec.shapes().items()}


def observed(forecaster: Forecaster, *history: float) -> NDArray[np.void]:
    return forecaster.seed([np.array(history)])


def test_a_walk_worked_out_by_hand() -> None:
    forecaster = by_hand()

    records = observed(forecaster, 1.0, 3.0, 2.0)

    # Changes +2, -1. h: 2, then 2/2 - 1 = 0. Forecasts: 3 + 2, then 2 + 0.
    assert records["h"][0, 0] == 0.0
    assert records["c"][0, 0] == 2.0
    assert records["forecast"][0].tolist() == [2.0, 1.0, 2.0, 3.0]
    assert records["error"][0] == 2.0 - 5.0
    assert records["step"][0] == 3


def test_a_horizon_worked_out_by_hand() -> None:
    forecaster = by_hand()
    records = observed(forecaster, 1.0, 3.0)

    forecast = forecaster.forecast(records, h=3)

    # 3 + 2 = 5; the change 2 makes h = 2/2 + 2 = 3, 5 + 3 = 8; then h = 3/2 + 3 = 4.5.
    assert forecast.mean.tolist() == [[5.0, 8.0, 12.5]]
    assert forecast.quantiles.shape == (1, 3, 0)


def test_without_a_spread_every_quantile_of_every_step_is_the_mean() -> None:
    forecaster = by_hand(spread=0.0)
    records = observed(forecaster, 1.0, 3.0)

    forecast = forecaster.forecast(records, h=3, levels=[0.01, 0.5, 0.8])

    expected = [[[5.0] * 3, [8.0] * 3, [12.5] * 3]]
    np.testing.assert_allclose(forecast.quantiles, expected, rtol=EXACT)


def test_the_mean_of_many_steps_stays_inside_its_interval_however_skewed_the_curve() -> None:
    """Paths were once drawn around the curve alone: after 60 steps the mean lay far outside."""
    head = HeadSpec(kind="mean", quantiles=(0.1, 0.5, 0.9), offsets=(-1.0, -0.5, 6.0))
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    model = ModelSpec(
        network=spec, head=head, transform=PlainTransformSpec(difference=1), scaler=SAME
    )
    forecaster = build_forecaster(model, zeros(spec))
    records = observed(forecaster, 7.0, 7.0)

    forecast = forecaster.forecast(records, h=60, levels=[0.1, 0.9])

    low, high = forecast.quantiles[0, 1:].T
    assert ((low < forecast.mean[0, 1:]) & (forecast.mean[0, 1:] < high)).all()


def test_intervals_of_a_random_walk_widen_with_the_root_of_the_horizon() -> None:
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    normal = tuple(np.array([-1.959964, -1.281552, 0.0, 1.281552, 1.959964]).tolist())
    head = HeadSpec(kind="mean", quantiles=(0.025, 0.1, 0.5, 0.9, 0.975), offsets=normal)
    model = ModelSpec(
        network=spec, head=head, transform=PlainTransformSpec(difference=1), scaler=SAME
    )
    forecaster = build_forecaster(model, zeros(spec))
    records = observed(forecaster, 7.0, 7.0)

    forecast = forecaster.forecast(records, h=16, levels=[0.1, 0.9])

    half = (forecast.quantiles[0, :, 1] - forecast.quantiles[0, :, 0]) / 2
    root = np.sqrt(np.arange(1, 17))
    np.testing.assert_allclose(forecast.mean[0], 7.0, atol=EXACT)
    np.testing.assert_allclose(half / (1.281552 * root), 1.0, atol=SAMPLED)


def test_another_seed_draws_other_paths_about_the_same_mean() -> None:
    forecaster = by_hand()
    records = observed(forecaster, 1.0, 3.0)

    one = forecaster.forecast(records, h=3, levels=[0.9], seed=1)
    two = forecaster.forecast(records, h=3, levels=[0.9], seed=2)

    assert one.mean.tolist() == two.mean.tolist()
    assert one.quantiles[0, 0] == two.quantiles[0, 0]
    assert one.quantiles[0, 2] != two.quantiles[0, 2]


def test_more_series_than_are_rolled_at_once_are_forecast_as_few_are() -> None:
    forecaster = make_forecaster(Setup())
    rng = np.random.default_rng(0)
    records = forecaster.seed(list(rng.normal(size=(300, 3))))

    forecast = forecaster.forecast(records, h=2, levels=[0.2, 0.7])

    last = forecaster.forecast(records[-1:], h=2, levels=[0.2, 0.7])
    np.testing.assert_allclose(forecast.mean[-1:], last.mean, rtol=EXACT)
    np.testing.assert_allclose(forecast.quantiles[-1:], last.quantiles, rtol=EXACT)


def test_without_series_there_is_nothing_to_do() -> None:
    forecaster = make_forecaster(Setup(network="numpy"))
    none = forecaster.new(0)

    assert len(forecaster.observe(none, np.empty(0))) == 0
    assert len(forecaster.reset(none)) == 0
    assert len(forecaster.seed([])) == 0
    assert forecaster.forecast(none, 2, [0.5]).quantiles.shape == (0, 2, 1)


def test_a_record_keeps_the_state_to_the_last_bit() -> None:
    setup = Setup(network="numpy")
    forecaster = make_forecaster(setup)
    before = forecaster.seed([np.random.default_rng(0).normal(size=9)])

    after = forecaster.observe(before, np.array([1.0]))

    inputs = forecaster.transform.inputs(after)
    _, h, c = make_network(setup).step(inputs, before["h"], before["c"])
    assert after["h"].tobytes() == h.tobytes()
    assert after["c"].tobytes() == c.tobytes()


def test_a_new_record_is_zeros() -> None:
    forecaster = make_forecaster(Setup())

    records = forecaster.new(2)

    assert records.tobytes() == bytes(2 * forecaster.dtype.itemsize)


def test_a_series_not_warm_among_warm_ones_is_left_without_a_forecast() -> None:
    forecaster = by_hand(difference=2)

    records = forecaster.seed([np.array([1.0]), np.array([1.0, 2.0, 3.0])])

    assert records["forecast"][0].tolist() == [0.0] * 4
    assert records["forecast"][1, 0] == 2.0 + 2.0
    assert np.isnan(records["error"]).all()
    with pytest.raises(SeriesNotWarmError, match="2 more observations needed, 1 so far"):
        forecaster.forecast(records)


def test_one_missing_value_too_early_refuses_the_batch_and_changes_nothing() -> None:
    forecaster = by_hand()
    records = forecaster.seed([np.array([1.0]), np.array([1.0, 2.0])])
    before = records.tobytes()

    with pytest.raises(SeriesNotWarmError, match="1 more observation needed, 1 so far"):
        forecaster.observe(records, np.array([np.nan, np.nan]))

    assert records.tobytes() == before


def test_times_are_kept_and_without_them_the_last_one_stays() -> None:
    forecaster = by_hand()

    timed = forecaster.seed([np.array([1.0, 2.0])], [np.array([10, 11])], Clock.INTEGER)
    untimed = forecaster.observe(timed, np.array([3.0]))

    assert (timed["ds"][0], timed["clock"][0]) == (11, Clock.INTEGER)
    assert (untimed["ds"][0], untimed["clock"][0]) == (11, Clock.INTEGER)


def test_each_of_ragged_histories_keeps_its_own_times() -> None:
    forecaster = by_hand()

    records = forecaster.seed(
        [np.array([1.0]), np.array([1.0, 2.0])], [np.array([5]), np.array([8, 9])], Clock.INTEGER
    )

    assert records["ds"].tolist() == [5, 9]


def test_a_forecast_that_feeds_on_itself_stops_at_the_largest_value() -> None:
    """Steps with its own forecasts multiplied a value of 1e300 until it was infinite."""
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    weights = zeros(spec) | {"head/bias": np.array([5.0], np.float32)}
    model = ModelSpec(
        network=spec,
        head=HeadSpec(kind="mean", offsets=(0.0,) * len(QUANTILES)),
        transform=PlainTransformSpec(difference=1),
        scaler=RunningScaler(window=2),
    )
    forecaster = build_forecaster(model, weights)
    records = observed(forecaster, 0.0, 1e290)

    for _ in range(40):
        records = forecaster.observe(records, np.array([np.nan]))

    assert records["y"][0] == LARGEST_VALUE
    assert (records["forecast"] == LARGEST_VALUE).all()
    assert np.isfinite(forecaster.reset(records)["forecast"]).all()


@pytest.mark.parametrize(("h", "levels"), [(0, ()), (-1, ()), (1, (0.0,)), (1, (0.5, 0.9999))])
def test_a_horizon_or_level_that_makes_no_sense_is_refused(
    h: int, levels: tuple[float, ...]
) -> None:
    forecaster = by_hand()
    records = observed(forecaster, 1.0, 2.0, 3.0)

    with pytest.raises(InvalidRequestError, match="expected"):
        forecaster.forecast(records, h, levels)


def test_a_value_too_large_for_sums_is_refused() -> None:
    forecaster = by_hand()

    with pytest.raises(InvalidRequestError, match=r"size 1e\+300 at most, found 2e\+300"):
        forecaster.observe(forecaster.new(2), np.array([1.0, -2e300]))


@pytest.mark.parametrize("width", [0.3, 1.0, 3.0])
def test_intervals_that_are_calibrated_come_to_cover_what_they_say(width: float) -> None:
    normal = width * normal_scores((0.025, 0.1, 0.5, 0.9, 0.975))
    head = HeadSpec(
        kind="mean",
        quantiles=(0.025, 0.1, 0.5, 0.9, 0.975),
        offsets=tuple(normal.tolist()),
        calibrated=True,
    )
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    model = ModelSpec(
        network=spec, head=head, transform=PlainTransformSpec(difference=0), scaler=SAME
    )
    forecaster = build_forecaster(model, zeros(spec))
    records = forecaster.new(50)
    rng = np.random.default_rng(1)
    inside = []
    for step in range(1100):
        y = rng.normal(size=50)
        if step > 600:
            bounds = forecaster.forecast(records, levels=(0.025, 0.1, 0.9, 0.975)).quantiles[:, 0]
            low_95, low_80, high_80, high_95 = bounds.T
            inside.append([(low_80 <= y) & (y <= high_80), (low_95 <= y) & (y <= high_95)])
        records = forecaster.observe(records, y)

    assert np.mean(inside, axis=(0, 2)) == pytest.approx([0.8, 0.95], abs=0.01)
    found = np.exp(records["spread"]).mean(axis=0)
    assert found == pytest.approx([1.0 / width, 1.0 / width], rel=0.05)


def test_each_interval_is_calibrated_by_itself() -> None:
    """Of a Laplace distribution the 80% interval is narrow beside the 95% one."""
    levels = (0.025, 0.1, 0.5, 0.9, 0.975)
    offsets = tuple(normal_scores(levels).tolist())
    head = HeadSpec(kind="mean", quantiles=levels, offsets=offsets, calibrated=True)
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    model = ModelSpec(
        network=spec, head=head, transform=PlainTransformSpec(difference=0), scaler=SAME
    )
    forecaster = build_forecaster(model, zeros(spec))
    records = forecaster.new(200)
    rng = np.random.default_rng(1)
    for _ in range(1500):
        records = forecaster.observe(records, rng.laplace(size=200))

    bounds = forecaster.forecast(records, levels=(0.9, 0.975)).quantiles[:, 0].mean(axis=0)
    assert bounds == pytest.approx([np.log(5.0), np.log(20.0)], rel=0.05)
