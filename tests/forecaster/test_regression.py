from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.regression import Bank, Regression

Array = NDArray[np.float64]

SINGLE = 2e-3  # float32, over a hundred updates
NEVER = 1e9  # a memory that forgets nothing


def regression(precision: list[float], *, memory: float = NEVER, limit: float = 1e9) -> Regression:
    start = np.arange(len(precision), dtype=np.float32) / 4.0
    return Regression(
        np.arange(len(precision)),
        np.array(precision, np.float32),
        start,
        memory=memory,
        limit=limit,
    )


def begun(model: Regression, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights and covariances of so many series that have seen nothing."""
    return (
        np.tile(model.start, (count, 1)),
        np.tile(model.covariance, (count, 1, 1)),
    )


def fitted(model: Regression, x: Array, y: Array) -> NDArray[np.float32]:
    """Return the weights `(K, n)` after observations `x (T, K, n)` and `y (T, K)`."""
    weights, covariance = begun(model, x.shape[1])
    bank = Bank([model])
    for row, target in zip(x.astype(np.float32), y.astype(np.float32), strict=True):
        bank.update(weights, [covariance], row, target)
    return weights


def ridge(model: Regression, x: Array, y: Array, kept: float = 1.0) -> Array:
    """Return what a ridge regression towards the starting weights gives, older ones fading."""
    weight = kept ** np.arange(len(x))[::-1]
    held = np.diag(model.precision.astype(float)) * kept ** len(x)
    squares = (x * weight[:, None]).T @ x + held
    products = (x * weight[:, None]).T @ y + held @ model.start.astype(float)
    solution: Array = np.linalg.solve(squares, products)
    return solution


@given(st.integers(0, 2**32 - 1), st.integers(1, 100))
def test_it_is_ridge_regression(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    model = regression([2.0, 3.0, 1.0, 5.0])
    x, y = rng.normal(size=(count, 1, 4)), rng.normal(size=(count, 1))

    found = fitted(model, x, y)

    np.testing.assert_allclose(found[0], ridge(model, x[:, 0], y[:, 0]), atol=SINGLE)


def test_older_observations_fade() -> None:
    rng = np.random.default_rng(1)
    model = regression([2.0, 3.0, 1.0], memory=20.0)
    x, y = rng.normal(size=(150, 1, 3)), rng.normal(size=(150, 1))

    found = fitted(model, x, y)

    expected = ridge(model, x[:, 0], y[:, 0], kept=1.0 - 1.0 / 20.0)
    np.testing.assert_allclose(found[0], expected, atol=SINGLE)


def test_series_have_regressions_of_their_own() -> None:
    rng = np.random.default_rng(2)
    model = regression([2.0, 3.0, 1.0], memory=50.0, limit=1.0)
    x, y = rng.normal(size=(60, 5, 3)), rng.normal(size=(60, 5))

    together = fitted(model, x, y)

    for row in range(5):
        alone = fitted(model, x[:, row : row + 1], y[:, row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-6)


def test_regressions_side_by_side_are_each_as_alone() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(60, 5, 4)), rng.normal(size=(60, 5))
    one = regression([2.0, 3.0, 1.0, 5.0], memory=50.0, limit=1.0)
    other = replace(regression([1.0, 4.0], memory=8.0, limit=0.5), columns=np.array([3, 1]))
    bank = Bank([one, other])
    weights = np.tile(bank.start, (5, 1))
    covariances = [begun(one, 5)[1], begun(other, 5)[1]]

    for row, target in zip(x.astype(np.float32), y.astype(np.float32), strict=True):
        bank.update(weights, covariances, row, target)

    first = fitted(one, x, y)
    second = fitted(replace(other, columns=np.arange(2)), x[:, :, [3, 1]], y)
    np.testing.assert_allclose(weights, np.hstack([first, second]), rtol=1e-4, atol=1e-5)
    says = np.stack([(first * x[-1]).sum(axis=1), (second * x[-1][:, [3, 1]]).sum(axis=1)], axis=1)
    np.testing.assert_allclose(bank.forecast(weights, x[-1]), says, rtol=1e-4, atol=1e-5)


def test_an_outlier_counts_for_no_more_than_the_limit() -> None:
    rng = np.random.default_rng(3)
    model = regression([2.0, 3.0, 1.0], limit=2.0)
    x, y = rng.normal(size=(30, 1, 3)), rng.normal(size=(30, 1))
    y[-1] = 1e6
    at_limit = y.copy()
    at_limit[-1] = fitted(model, x[:-1], y[:-1])[0] @ x[-1, 0] + 2.0

    np.testing.assert_allclose(fitted(model, x, y), fitted(model, x, at_limit), atol=SINGLE)


@pytest.mark.parametrize("memory", [20.0, 1500.0])
def test_a_series_that_stands_still_leaves_the_covariance_bounded(memory: float) -> None:
    model = regression([2.0, 3.0, 1.0], memory=memory)
    weights, covariance = begun(model, 1)
    x, target = np.array([[0.0, 0.3, 0.0]], np.float32), np.zeros(1, np.float32)

    bank = Bank([model])

    for _ in range(20_000):
        bank.update(weights, [covariance], x, target)

    assert np.trace(covariance[0]) < 11 * np.trace(model.covariance)


def test_regressors_that_are_the_same_leave_the_covariance_sound() -> None:
    rng = np.random.default_rng(4)
    model = regression([2.0] * 4, memory=300.0, limit=2.0)
    weights, covariance = begun(model, 8)
    bank = Bank([model])

    for _ in range(20_000):
        x = rng.normal(size=(8, 1)).repeat(4, axis=1).astype(np.float32)
        target = x[:, 0] + rng.normal(size=8).astype(np.float32)
        bank.update(weights, [covariance], x, target)

    assert np.array_equal(covariance, covariance.swapaxes(1, 2))
    assert np.linalg.eigvalsh(covariance.astype(float)).min() > 0.0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=0.3)


def test_what_says_nothing_keeps_the_others_from_nothing() -> None:
    """The covariance of a regressor that is always 0 once grew until none was faded any more."""
    rng = np.random.default_rng(6)
    model = regression([2.0, 2.0, 2.0], memory=50.0)
    x = rng.normal(size=(3000, 1, 3))
    x[:, :, 2] = 0.0
    y = x[:, :, 0] * np.where(np.arange(3000) < 2500, 1.0, -1.0)[:, None]

    assert fitted(model, x, y)[0] == pytest.approx([-1.0, 0.0, 0.5], abs=0.01)
