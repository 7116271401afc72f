"""The bundled universal model, over long walks."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forecaster import artifact, scores
from forecaster.model import Engine

Floats = NDArray[np.float64]

UNIVERSAL = Path(__file__).parents[2] / "models" / "universal"
PARITY = 1e-5
NOISE = 2.0


def daily(length: int, count: int = 1) -> Floats:
    """Return hourly series `(length, count)`: a day, a level that wanders back, and white noise."""
    rng = np.random.default_rng(1)
    level = np.zeros(count)
    values = np.empty((length, count))
    for t in range(length):
        level = 0.9 * level + rng.normal(size=count)
        values[t] = (
            100.0 + 10.0 * np.sin(2 * np.pi * t / 24) + level + NOISE * rng.normal(size=count)
        )
    return values


def best_rmse() -> float:
    """Return the error of the best one-step forecast of `daily`: a Kalman filter's, in the end."""
    variance = 1.0
    for _ in range(1000):
        gain = variance / (variance + NOISE**2)
        variance = 0.81 * (1.0 - gain) * variance + 1.0
    return float(np.sqrt(variance + NOISE**2))


def test_numpy_and_keras_agree_for_ten_thousand_steps() -> None:
    pytest.importorskip("keras")
    ours = artifact.load(UNIVERSAL).forecaster
    keras = artifact.load(UNIVERSAL, Engine.KERAS).forecaster
    one, other = ours.new(1), keras.new(1)
    one["season"] = other["season"] = (24, 0)
    furthest = 0.0

    for y in daily(10_000):
        ours.observe_in_place(one, y)
        keras.observe_in_place(other, y)
        apart = np.abs(one["forecast"] - other["forecast"]).max() / max(one["size"][0], 1.0)
        furthest = max(furthest, apart)

    assert 0.0 < furthest < PARITY
    np.testing.assert_allclose(one["h"], other["h"], atol=PARITY)


def test_nothing_drifts_over_a_hundred_thousand_steps() -> None:
    forecaster = artifact.load(UNIVERSAL).forecaster
    y = daily(100_000, 2)
    records = forecaster.new(2)
    records["season"] = (24, 0)
    means, bounds = np.empty_like(y), np.empty((*y.shape, 4))
    largest = np.zeros(len(y))

    for t, row in enumerate(y):
        means[t] = records["forecast"][:, 0]
        forecaster.observe_in_place(records, row)
        bounds[t] = records["stood"][:, 1:]
        largest[t] = np.abs(records["c"]).max()

    early, late = slice(2_000, 12_000), slice(-10_000, None)
    errors = [scores.rmse(y[part], means[part]) for part in (early, late)]
    assert errors[1] < 1.01 * errors[0]
    assert errors[1] < 1.03 * best_rmse()
    for level, low in zip(scores.LEVELS, (0, 2), strict=True):
        covers = scores.coverage(y[late], bounds[late, :, low], bounds[late, :, low + 1])
        assert covers == pytest.approx(level / 100.0, abs=0.01)
    assert largest[late].max() < 1.2 * largest[early].max()
    for name in ("long_covariance", "short_covariance"):
        assert np.linalg.eigvalsh(records[name].astype(float)).min() > 0.0


RISING: dict[str, list[float]] = {
    "two": [1.0, 2.0],
    "five": [1.0, 2.0, 3.0, 4.0, 5.0],
    "doubling": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    "ten": [float(value) for value in range(10)],
    "a ramp": [100.0 + 5.0 * value for value in range(30)],
}


@pytest.mark.parametrize("season", [(0, 0), (12, 0)])
@pytest.mark.parametrize("name", RISING)
def test_a_far_forecast_of_a_short_series_stays_in_proportion(
    name: str, season: tuple[int, int]
) -> None:
    forecaster = artifact.load(UNIVERSAL).forecaster
    y = np.array(RISING[name])

    far = forecaster.forecast(forecaster.seed([y], seasons=[season]), h=100, levels=[0.025, 0.975])

    reach = 30.0 * np.ptp(y)
    assert np.abs(far.mean - y[-1]).max() < reach
    assert np.abs(far.quantiles - y[-1]).max() < reach


def test_a_ramp_goes_on_for_about_as_long_as_it_was_seen() -> None:
    forecaster = artifact.load(UNIVERSAL).forecaster

    far = forecaster.forecast(forecaster.seed([np.array(RISING["a ramp"])]), h=10)

    assert far.mean[0, -1] == pytest.approx(245.0 + 50.0, rel=0.1)


def test_a_long_run_of_missing_values_stays_in_proportion() -> None:
    forecaster = artifact.load(UNIVERSAL).forecaster
    y = 50.0 + 10.0 * np.sin(2 * np.pi * np.arange(200) / 24)

    records = forecaster.seed([np.concatenate([y, np.full(1000, np.nan)])], seasons=[(24, 0)])

    assert 20.0 < records["forecast"][0, 0] < 80.0


def test_intervals_widen_while_values_are_missing() -> None:
    forecaster = artifact.load(UNIVERSAL).forecaster
    y = np.random.default_rng(2).normal(size=(40, 300)).cumsum(axis=1)
    known, gap = y[:, :283], np.full(16, np.nan)

    records = forecaster.seed([np.concatenate([one, gap]) for one in known])

    bounds = records["forecast"][:, [1 + 2, 1 + 8]]  # levels 0.1 and 0.9
    covered = (bounds[:, 0] <= y[:, -1]) & (y[:, -1] <= bounds[:, 1])
    assert 0.6 < covered.mean() < 0.95  # not widened, they cover 30%


@pytest.mark.parametrize("factor", [0.3, 3.0, 10.0])
def test_coverage_is_back_soon_after_a_jump_in_variance(factor: float) -> None:
    model = artifact.load(UNIVERSAL)
    rng = np.random.default_rng(3)
    y, records = np.zeros(60), model.forecaster.new(60)
    inside = np.empty((1000, len(scores.LEVELS)))

    for t in range(1000):
        y = 0.8 * y + (1.0 if t < 600 else factor) * rng.normal(size=60)
        model.forecaster.observe_in_place(records, y)
        bounds = records["stood"][:, 1:]
        inside[t] = [((bounds[:, low] <= y) & (y <= bounds[:, low + 1])).mean() for low in (0, 2)]

    np.testing.assert_allclose(inside[300:600].mean(axis=0), [0.80, 0.95], atol=0.02)
    np.testing.assert_allclose(inside[800:].mean(axis=0), [0.80, 0.95], atol=0.05)
