"""Intervals that were fitted too narrow come to hold on what was held back."""

import numpy as np
import pytest

from forecaster.head import Head, interval_levels, normal_scores
from forecaster.scores import LEVELS
from forecaster.spec import QUANTILES, HeadSpec
from training.widening import widening


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_widened_intervals_cover_what_they_say(width: float) -> None:
    offsets = tuple((width * normal_scores(QUANTILES)).tolist())
    head = Head(HeadSpec(kind="mean", offsets=offsets))
    outputs = np.zeros((5000, 1), np.float32)
    y = np.random.default_rng(1).normal(size=(2, 5000)).astype(np.float32)

    found = widening(head, outputs, y[0])

    np.testing.assert_allclose(np.exp(found), 1.0 / width, rtol=0.06)
    quantiles = head.read(outputs)[:, 1:]
    head.widen(quantiles, np.tile(found, (5000, 1)))
    for level in LEVELS:
        low, high = head.at(quantiles, interval_levels(level)).T
        assert np.mean((low <= y[1]) & (y[1] <= high)) == pytest.approx(level / 100, abs=0.02)


def test_few_steps_say_little() -> None:
    offsets = tuple(normal_scores(QUANTILES).tolist())
    head = Head(HeadSpec(kind="mean", offsets=offsets))

    found = widening(head, np.zeros((3, 1), np.float32), np.array([90.0, -90.0, 90.0], np.float32))

    assert max(np.abs(found)) < 0.3
