"""Networks trained side by side are those that Keras trains one by one."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from forecaster.keras_network import get_weights, set_weights
from forecaster.spec import NetworkSpec
from tests.training.textbook import make_keras, reset, weights_of
from training.settings import RecurrentActivation
from training.trials import Array, Trials, begin, learn, start, walk

pytestmark = pytest.mark.slow

# Weights of about 1 after 50 epochs, in float32, by two ways of adding up.
AGREE = 2e-5
EPOCHS = 50
SAMPLES = 24


def make_samples(features: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (SAMPLES, features)).astype(np.float32)
    return x, rng.uniform(-1, 1, SAMPLES).astype(np.float32)


def make_trials(spec: NetworkSpec, *, count: int = 3, rows: int = 1) -> Trials:
    rng = np.random.default_rng(2)
    return start(spec, rng.integers(2**31, size=(count, len(spec.shapes()))), rows=rows)


def schedule(batches: int, kept: Array, networks: int) -> tuple[NDArray[np.int32], Array]:
    """Return the order of all epochs, and what is kept of the state before each update."""
    order = np.tile(np.arange(batches, dtype=np.int32)[:, None], (EPOCHS, networks))
    return order, np.tile(kept, EPOCHS)


@pytest.mark.parametrize(
    ("rows", "policy", "activation"),
    [
        (1, "reset after each epoch", "sigmoid"),
        (1, "reset after each epoch", "hard_sigmoid"),
        (1, "never reset", "sigmoid"),
        (1, "stateless", "hard_sigmoid"),
        (12, "reset after each epoch", "hard_sigmoid"),
        (12, "stateless", "sigmoid"),
    ],
)
def test_after_50_epochs_the_weights_are_those_of_keras(
    rows: int, policy: str, activation: RecurrentActivation
) -> None:
    features = 2
    spec = NetworkSpec(features=features, units=(3, 2), outputs=1)
    trials = make_trials(spec, rows=rows)
    x, y = make_samples(features)
    batches = SAMPLES // rows
    kept = np.full(batches, policy != "stateless", np.float32)
    if policy == "reset after each epoch":
        kept[0] = 0.0
    order, keep = schedule(batches, kept, 3)
    model = make_keras(spec, rows, policy != "stateless", activation)
    model.compile(optimizer="adam", loss="mse", steps_per_execution=batches)
    set_weights(model, weights_of(trials, 1))

    trained = learn(
        trials,
        x.reshape(batches, rows, features),
        y.reshape(batches, rows),
        order,
        keep,
        count=len(order),
        activation=activation,
    )
    ending = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: reset(model))
    model.fit(
        x[:, None],
        y,
        batch_size=rows,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[ending] if policy == "reset after each epoch" else [],
    )

    expected, found = get_weights(model), weights_of(trained, 1)
    moved = expected["head/kernel"] - weights_of(trials, 1)["head/kernel"]
    assert np.abs(moved).max() > 100 * AGREE
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, atol=AGREE, err_msg=name)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_walk_says_what_keras_predicts_from_the_state_that_training_left(keeps: bool) -> None:
    spec = NetworkSpec(features=1, units=(3,), outputs=1)
    trials = make_trials(spec)
    x, y = make_samples()
    order, keep = schedule(SAMPLES, np.ones(SAMPLES, np.float32), 3)
    batches = x.reshape(SAMPLES, 1, 1), y.reshape(SAMPLES, 1)
    trained = learn(trials, *batches, order, keep, count=SAMPLES, activation="sigmoid")
    model = make_keras(spec, 1, True, "sigmoid")
    set_weights(model, weights_of(trained, 2))
    for variable, state in zip(model.layers[0].states, trained.state[0], strict=True):
        variable.assign(state[2])

    said = walk(
        trained, batches[0], np.full(SAMPLES, float(keeps), np.float32), activation="sigmoid"
    )

    for step in range(SAMPLES):
        if not keeps:
            reset(model)
        expected = np.asarray(model(x[step].reshape(1, 1, 1)))[0]
        np.testing.assert_allclose(said[step, 2], expected, atol=AGREE)


def test_networks_side_by_side_do_not_touch_each_other() -> None:
    spec = NetworkSpec(features=1, units=(2,), outputs=1)
    trials = make_trials(spec)
    x, y = make_samples()
    batches = x.reshape(SAMPLES, 1, 1), y.reshape(SAMPLES, 1)
    order, keep = schedule(SAMPLES, np.ones(SAMPLES, np.float32), 3)
    alone = begin({name: weight[1:2] for name, weight in trials.weights.items()}, spec, rows=1)

    together = learn(trials, *batches, order, keep, count=200, activation="sigmoid")
    single = learn(alone, *batches, order[:, 1:2], keep, count=200, activation="sigmoid")

    for name, weight in single.weights.items():
        np.testing.assert_allclose(together.weights[name][1], weight[0], atol=AGREE)


def test_each_network_has_an_order_of_its_own() -> None:
    spec = NetworkSpec(features=1, units=(1,), outputs=1)
    trials = begin({n: w[[0, 0]] for n, w in make_numpy(make_trials(spec)).items()}, spec, rows=1)
    x, y = make_samples()
    order = np.stack([np.arange(SAMPLES), np.arange(SAMPLES)[::-1]], axis=1).astype(np.int32)

    trained = learn(
        trials,
        x.reshape(SAMPLES, 1, 1),
        y.reshape(SAMPLES, 1),
        order,
        np.zeros(SAMPLES, np.float32),
        count=SAMPLES,
        activation="sigmoid",
    )

    kernel = np.asarray(trained.weights["head/kernel"])
    assert kernel[0] != kernel[1]


def make_numpy(trials: Trials) -> dict[str, Array]:
    return {name: np.asarray(weight) for name, weight in trials.weights.items()}


def test_the_same_seeds_give_the_same_networks_and_others_give_others() -> None:
    spec = NetworkSpec(features=1, units=(2,), outputs=1)

    one, again = make_trials(spec), make_trials(spec)

    for name in spec.shapes():
        np.testing.assert_array_equal(one.weights[name], again.weights[name])
    kernels = np.asarray(one.weights["lstm_0/kernel"]).reshape(3, -1)
    assert len(np.unique(kernels, axis=0)) == 3
