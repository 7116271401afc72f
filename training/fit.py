"""The fit: one `fit()` call over packed streams, its callbacks Keras' own.

The five steps of a Keras network's life are a function each: define (`StreamNetwork`), compile
(`network.compile`), fit (here), evaluate (`backtest`) and predict (`network.predict`, and the
forecaster after export).
"""

import keras
import numpy as np
import tensorflow as tf

from forecaster.spec import NetworkSpec
from training.errors import DivergedError
from training.network import StreamNetwork, compile, get_weights
from training.recipe import SettledRecipe
from training.streams import Array, Batches

History = dict[str, list[float]]

# Batches run in one call of the graph: enough that Python's share of the time is small.
_STEPS_PER_CALL = 64


class KeepTrainingState(keras.callbacks.Callback):
    """Gives validation a state of its own: training's is put back when validation is over."""

    def __init__(self, network: StreamNetwork) -> None:
        super().__init__()
        self._network = network
        self._states: list[Array] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keep training's state."""
        self._states = self._network.get_states()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Put it back."""
        self._network.set_states(self._states)


def fit(
    recipe: SettledRecipe,
    spec: NetworkSpec,
    training: Batches,
    validation: Batches | None = None,
    *,
    seed: int,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
) -> tuple[StreamNetwork, History]:
    """Fit a network from new weights.

    Args:
        recipe: How.
        spec: The sizes of the network.
        training: Packed streams; an epoch is one pass over them.
        validation: Packed streams to stop by, if any: the best weights by their loss are kept, and
            the rate is halved when it stalls.
        seed: Fixes the initial weights.
        callbacks: Further callbacks, for progress.

    Returns:
        The network and its losses by epoch: `loss`, and `val_loss` with validation.

    Raises:
        DivergedError: If a loss or a weight is no finite number.
    """
    keras.utils.set_random_seed(seed)
    _, batch, window, _ = training.inputs.shape
    network = StreamNetwork(spec, batch=batch, window=window)
    compile(network, recipe, steps=_steps_per_call(len(training)))
    watching: list[keras.callbacks.Callback] = [*callbacks]
    if validation is not None:
        watching += [
            KeepTrainingState(network),
            keras.callbacks.EarlyStopping(
                patience=recipe.patience, restore_best_weights=True, monitor="val_loss"
            ),
            keras.callbacks.ReduceLROnPlateau(
                patience=max(recipe.patience // 2, 1), factor=0.5, monitor="val_loss"
            ),
        ]
    history = network.fit(
        dataset(training).repeat(),
        steps_per_epoch=len(training),
        epochs=recipe.epochs,
        validation_data=None if validation is None else dataset(validation),
        callbacks=watching,
        shuffle=False,
        verbose=0,
    )
    losses = {
        name: [float(value) for value in values]
        for name, values in history.history.items()
        if name in ("loss", "val_loss")
    }
    _check_finite(network, losses)
    return network, losses


def _check_finite(network: StreamNetwork, losses: History) -> None:
    for name, values in losses.items():
        for epoch, value in enumerate(values, 1):
            if not np.isfinite(value):
                raise DivergedError(f"{name} of epoch {epoch} is {value}")
    for name, weight in get_weights(network).items():
        if not np.isfinite(weight).all():
            raise DivergedError(f"weights {name} hold values that are no numbers")


def dataset(batches: Batches) -> tf.data.Dataset:
    """Return the batches in order; state flags and weights travel with them."""
    inputs = {"inputs": batches.inputs, "starts": batches.starts}
    found = tf.data.Dataset.from_tensor_slices((inputs, batches.targets, batches.weights))
    # There is nothing to tune in arrays, and at a pass's end Keras would wait for the tuner, which
    # sleeps for 10, 20, 40 ... milliseconds: up to as long as the pass took.
    options = tf.data.Options()
    options.autotune.enabled = False
    return found.with_options(options)


def evaluate(network: StreamNetwork, batches: Batches) -> float:
    """Return the loss on batches, which leaves the network's states as they were."""
    states = network.get_states()
    loss = network.evaluate(dataset(batches), verbose=0)
    network.set_states(states)
    return float(loss)


def _steps_per_call(batches: int) -> int:
    """Return the largest divisor of an epoch's batches that is not above the limit."""
    return max(n for n in range(1, min(batches, _STEPS_PER_CALL) + 1) if batches % n == 0)
