"""Row 9: one run of the shampoo experiment, in the tutorial's loop and a hundred at once.

A run is 22 samples and 1000 epochs, stateful, batch 1. The tutorial calls `fit()` for every epoch
and resets the state after it; ported to Keras 3, a few epochs are run here and scaled to 1000.
Both are warm; the first training, with its compilation, is told apart.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import keras
import numpy as np

from benchmarks.measure import Lines, interleave, row
from training.compare import CONDITIONS, Samples, make_samples, train
from training.compare import run as walk
from training.data import read_panel
from training.settings import Settings, SettledSettings, settle

SHAMPOO = Path(__file__).parents[1] / "examples" / "shampoo.csv"
_AT_ONCE = 100
_CONDITION = CONDITIONS["stateful"]


def run(folder: Path, *, quick: bool) -> Lines:
    """Return the seconds of a run, and how many times as long the tutorial's loop takes."""
    series = read_panel(SHAMPOO).series[0]
    settings = settle(Settings(), series)
    samples = make_samples(series, settings)
    epochs = 2 if quick else 10
    ours, tutorial = _ours(samples, settings), _tutorial(samples, settings, epochs)
    first = ours() * _AT_ONCE
    tutorial()
    names = {
        f"stepcast compare, {_AT_ONCE} runs at once, each": ours,
        f"the tutorial's loop in Keras 3, {epochs} epochs scaled to {settings.epochs}": tutorial,
    }
    found = interleave(names, 2 if quick else 5)
    (mine, samples_of_mine), (theirs, samples_of_theirs) = found.items()
    return [
        row("compare", mine, "s", samples_of_mine, facts={"first_100_with_compilation_s": first}),
        row("compare", theirs, "s", samples_of_theirs, against={mine: samples_of_mine}),
    ]


def _ours(samples: Samples, settings: SettledSettings) -> Callable[[], float]:
    def sample() -> float:
        start = perf_counter()
        trials = train(samples, _CONDITION, settings, _AT_ONCE, np.random.default_rng(1))
        walk(trials, samples, _CONDITION, settings)
        return (perf_counter() - start) / _AT_ONCE

    return sample


def _tutorial(samples: Samples, settings: SettledSettings, epochs: int) -> Callable[[], float]:
    lstm = keras.layers.LSTM(1, stateful=True)
    model = keras.Sequential(
        [keras.Input(batch_shape=(1, 1, 1)), lstm, keras.layers.Dense(1, name="head")]
    )
    model.compile(optimizer="adam", loss="mean_squared_error")
    x, y = samples.inputs[: samples.trained, None], samples.targets[: samples.trained]

    def sample() -> float:
        start = perf_counter()
        for _ in range(epochs):
            model.fit(x, y, epochs=1, batch_size=1, verbose=0, shuffle=False)
            lstm.reset_state()
        return (perf_counter() - start) / epochs * settings.epochs

    return sample
