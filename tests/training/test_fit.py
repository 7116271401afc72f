"""The fit: Keras' own callbacks work, and validation does not touch training's state."""

from typing import get_args

import numpy as np
import pytest

from forecaster.spec import NetworkSpec
from training.errors import DivergedError
from training.fit import KeepTrainingState, dataset, fit
from training.network import StreamNetwork, get_weights, predict
from training.recipe import Loss, Optimizer, SettledRecipe
from training.streams import Batches, Stream, cut, pack

pytestmark = pytest.mark.slow

SPEC = NetworkSpec(features=1, units=(4,), outputs=1)


def wave(length: int = 60) -> Stream:
    values = np.sin(np.arange(length + 1) / 3).astype(np.float32)
    return Stream(values[:-1, None], values[1:], np.ones(length, np.float32))


def packed(stream: Stream, *, batch: int = 2, window: int = 3) -> Batches:
    return pack(cut([stream], batch=batch, window=window), batch=batch, window=window)


def recipe(**changes: object) -> SettledRecipe:
    fixed = {"units": [4], "batch": 2, "window": 3, "epochs": 5, "loss": "mse"}
    return SettledRecipe.model_validate(fixed | {"learning_rate": 0.003} | changes)


def test_a_fit_lowers_the_loss_and_the_same_seed_gives_the_same_weights() -> None:
    batches = packed(wave())

    first, history = fit(recipe(epochs=20), SPEC, batches, seed=3)
    second, _ = fit(recipe(epochs=20), SPEC, batches, seed=3)
    other, _ = fit(recipe(epochs=20), SPEC, batches, seed=4)

    assert history["loss"][-1] < history["loss"][0] / 2
    assert len(history["loss"]) == 20
    for name, weight in get_weights(first).items():
        np.testing.assert_array_equal(weight, get_weights(second)[name])
    assert any(
        not np.array_equal(weight, get_weights(other)[name])
        for name, weight in get_weights(first).items()
    )


def test_losses_are_means_over_the_steps_that_count() -> None:
    """With a rate of nothing the weights stay, so losses can be worked out from the outputs."""
    training, validation = packed(wave(20)), packed(wave(37)[15:])

    network, history = fit(
        recipe(epochs=1, learning_rate=1e-30, optimizer="sgd"), SPEC, training, validation, seed=1
    )

    for name, batches in (("loss", training), ("val_loss", validation)):
        counts = batches.weights > 0
        errors = (batches.targets - predict(network, batches))[..., 0][counts]
        assert history[name][0] == pytest.approx(float(np.mean(errors**2)), rel=1e-4)


def test_validation_has_a_state_of_its_own() -> None:
    network = StreamNetwork(SPEC, batch=2, window=3)
    predict(network, packed(wave()))
    states = network.get_states()
    callback = KeepTrainingState(network)

    callback.on_test_begin()
    predict(network, packed(wave(30)))
    moved = network.get_states()
    callback.on_test_end()

    assert any(not np.array_equal(a, b) for a, b in zip(states, moved, strict=True))
    for before, after in zip(states, network.get_states(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_best_weights_by_validation_are_kept_and_the_fit_stops() -> None:
    noise = np.random.default_rng(0).normal(size=60).astype(np.float32)
    unlearnable = Stream(noise[:-1, None], noise[1:], np.ones(59, np.float32))
    validation = packed(unlearnable[40:])

    network, history = fit(
        recipe(epochs=300, patience=3, learning_rate=0.05),
        SPEC,
        packed(unlearnable[:40]),
        validation,
        seed=1,
    )

    assert len(history["val_loss"]) < 300
    counts = validation.weights > 0
    errors = (validation.targets - predict(network, validation))[..., 0][counts]
    assert float(np.mean(errors**2)) == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_the_rate_is_halved_when_validation_stalls() -> None:
    noise = np.random.default_rng(0).normal(size=60).astype(np.float32)
    unlearnable = Stream(noise[:-1, None], noise[1:], np.ones(59, np.float32))
    training, validation = packed(unlearnable[:40]), packed(unlearnable[40:])

    network, _ = fit(
        recipe(epochs=60, patience=20, learning_rate=0.1), SPEC, training, validation, seed=1
    )

    assert float(network.optimizer.learning_rate.numpy()) <= 0.05


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("optimizer", name) for name in get_args(Optimizer)),
        *(("loss", name) for name in get_args(Loss) if name != "quantiles"),
    ],
)
def test_every_optimiser_and_loss_of_a_recipe_fits(field: str, value: str) -> None:
    network, history = fit(recipe(**{field: value}, epochs=1), SPEC, packed(wave(12)), seed=1)

    assert np.isfinite(history["loss"][0])
    if field == "optimizer":
        assert type(network.optimizer).__name__.lower() == value


def test_a_fit_that_diverged_says_so() -> None:
    """It was once reported as networks that differ by nan."""
    diverging = recipe(optimizer="sgd", learning_rate=1e30, clip_norm=0)

    with pytest.raises(DivergedError, match=r"the fit diverged: .*; try a lower learning_rate"):
        fit(diverging, SPEC, packed(wave()), seed=1)


def test_weights_that_are_no_numbers_are_a_fit_that_diverged() -> None:
    """The last update may be the one that diverges: its losses are still finite."""
    once = recipe(optimizer="sgd", learning_rate=1e39, clip_norm=0, epochs=1, window=60, batch=1)

    with pytest.raises(DivergedError, match=r"weights \S+ hold values that are no numbers"):
        fit(once, SPEC, packed(wave(), batch=1, window=60), seed=1)


def test_no_tuner_of_tensorflow_runs_beside_a_pass() -> None:
    """Keras waited for it to wake up: a round of tuning took up to twice as long."""
    assert dataset(packed(wave())).repeat().options().autotune.enabled is False
