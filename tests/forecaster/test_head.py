from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.head import Head, interval_levels, normal_scores
from forecaster.spec import QUANTILES, HeadSpec

# Networks and what is read of them are single precision.
SINGLE = 1e-6
EXACT = 1e-9
LN2 = 0.6931471805599453  # softplus(0)

FIVE = (0.1, 0.25, 0.5, 0.75, 0.9)


def single(*outputs: float) -> NDArray[np.float32]:
    return np.array([outputs], np.float32)


def test_a_mean_head_puts_quantiles_at_fixed_distances() -> None:
    head = Head(HeadSpec(kind="mean", quantiles=(0.1, 0.5, 0.9), offsets=(-2.0, 0.5, 3.0)))

    found = head.read(single(1.0))

    assert found.tolist() == [[1.0, -1.0, 1.5, 4.0]]


def test_a_quantiles_head_adds_distances_outwards_from_the_median() -> None:
    head = Head(HeadSpec(kind="quantiles", quantiles=FIVE))
    large = 50.0  # its softplus is itself

    found = head.read(single(7.0, 0.0, large, 3.0, 0.0, large))

    expected = [7.0, 3.0 - 50.0 - LN2, 3.0 - 50.0, 3.0, 3.0 + LN2, 3.0 + LN2 + 50.0]
    np.testing.assert_allclose(found, [expected], rtol=SINGLE)


@pytest.mark.parametrize("quantiles", [(0.5, 0.7, 0.9), (0.1, 0.3, 0.5)])
def test_the_median_may_be_the_first_or_the_last(quantiles: tuple[float, ...]) -> None:
    head = Head(HeadSpec(kind="quantiles", quantiles=quantiles))
    outputs = [0.0, 0.0, 0.0, 0.0]
    outputs[1 + quantiles.index(0.5)] = 3.0

    found = head.read(single(*outputs))[0, 1:]

    np.testing.assert_allclose(np.diff(found), LN2, rtol=SINGLE)
    assert found[quantiles.index(0.5)] == 3.0


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=12, max_size=12))
def test_whatever_the_outputs_quantiles_never_fall(outputs: list[float]) -> None:
    head = Head(HeadSpec(kind="quantiles"))

    quantiles = head.read(single(*outputs))[0, 1:]

    assert (np.diff(quantiles) >= 0).all()


def test_between_and_beyond_its_levels_a_normal_curve_is_exact() -> None:
    head = Head(HeadSpec(kind="quantiles"))
    normal = NormalDist(3.0, 2.0)
    own = np.array([normal.inv_cdf(level) for level in QUANTILES])
    levels = [0.001, 0.01, 0.025, 0.27, 0.5, 0.66, 0.975, 0.999]

    found = head.at(own, levels)

    expected = [normal.inv_cdf(level) for level in levels]
    np.testing.assert_allclose(found, expected, rtol=EXACT)


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=11, max_size=11),
    st.lists(st.floats(0.001, 0.999), min_size=2, max_size=6),
)
def test_values_rise_with_the_level_and_own_levels_are_exact(
    own: list[float], levels: list[float]
) -> None:
    """A level between two of one value came out a rounding error beside it, across the next."""
    head = Head(HeadSpec(kind="quantiles"))
    quantiles = np.array(sorted(own))

    found = head.at(quantiles, sorted([*levels, *QUANTILES]))

    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(head.at(quantiles, QUANTILES), quantiles)


def test_each_path_is_drawn_from_its_own_quantiles() -> None:
    head = Head(HeadSpec(kind="quantiles"))
    quantiles = np.sort(np.random.default_rng(0).normal(size=(2, 3, 11)), axis=2)
    levels = [0.02, 0.4, 0.9]

    found = head.draw(quantiles, normal_scores(levels))

    expected = [
        [head.at(quantiles[row, path], levels[path : path + 1])[0] for path in range(3)]
        for row in range(2)
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("percent", "levels"),
    [(80, (0.1, 0.9)), (95, (0.025, 0.975)), (99.9, (0.0005, 0.9995)), (50, (0.25, 0.75))],
)
def test_an_interval_has_as_much_below_as_above(
    percent: float, levels: tuple[float, float]
) -> None:
    assert interval_levels(percent) == levels


@given(
    spread=st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)),
    steps=st.lists(st.floats(0.0, 10.0), min_size=11, max_size=11),
)
def test_widened_quantiles_do_not_cross(spread: tuple[float, float], steps: list[float]) -> None:
    head = Head(HeadSpec(kind="quantiles"))
    quantiles = np.cumsum([steps], axis=1)
    before = quantiles.copy()
    head.widen(quantiles, np.array([spread]))
    assert (np.diff(quantiles) >= -1e-9).all()
    middle = QUANTILES.index(0.5)
    assert quantiles[0, middle] == before[0, middle]
    if spread[0] == spread[1]:
        away = (before - before[:, [middle]]) * np.exp(spread[0]) + before[:, [middle]]
        np.testing.assert_allclose(quantiles, away, atol=1e-9)
