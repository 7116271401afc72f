"""The network that is trained: batch N, stateful, its rows reset by flags in the data.

It has the layers of `forecaster.keras_network.build` under the same names, so weights are copied by
name from one to the other. Only the batch size differs: a stateful Keras layer keeps one state per
row, and so is welded to the batch it was built with; its weights are not.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from forecaster.keras_network import get_weights, set_weights
from forecaster.spec import NetworkSpec
from training.recipe import SettledRecipe
from training.streams import Array, Batches

# Unrolled windows run faster and compile slower; longer ones loop.
_LONGEST_UNROLLED = 8

__all__ = ["StreamNetwork", "compile", "get_weights", "predict", "quantile_loss", "set_weights"]


class StreamNetwork(keras.Model):
    """Stacked stateful LSTM layers and a dense head.

    It takes `{"inputs": (N, window, features), "starts": (N, 1)}` and returns
    `(N, window, outputs)`. Where `starts` is 1 the state of that row is zeroed first, inside the
    graph, so one `fit()` covers any packing of series.

    Args:
        spec: The sizes.
        batch: Rows, N.
        window: Steps per call.
        dropout: Share of the last layer's outputs that the head does without, in training.
    """

    def __init__(self, spec: NetworkSpec, *, batch: int, window: int, dropout: float = 0.0) -> None:
        super().__init__(name="stepcast")
        self.dropout = keras.layers.Dropout(dropout)
        self.lstms = [
            keras.layers.LSTM(
                units,
                stateful=True,
                return_sequences=True,
                unroll=window <= _LONGEST_UNROLLED,
                name=f"lstm_{number}",
            )
            for number, units in enumerate(spec.units)
        ]
        self.head = keras.layers.Dense(spec.outputs, name="head")
        self.build({"inputs": (batch, window, spec.features), "starts": (batch, 1)})

    def build(self, input_shape: dict[str, tuple[int, ...]]) -> None:
        """Make all weights and states."""
        batch, window, width = input_shape["inputs"]
        for lstm in self.lstms:
            lstm.build((batch, window, width))
            width = lstm.units
        self.head.build((batch, window, width))
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Run one window of every row; see the class."""
        keep = 1.0 - inputs["starts"]
        x = inputs["inputs"]
        for lstm in self.lstms:
            for state in lstm.states:
                state.assign(state * keep)
            x = lstm(x)
        return self.head(self.dropout(x, training=training))

    def get_states(self) -> list[Array]:
        """Return a copy of `h` and `c` of each layer."""
        return [np.array(state) for lstm in self.lstms for state in lstm.states]

    def set_states(self, states: list[Array]) -> None:
        """Put `h` and `c` of each layer back."""
        variables = [state for lstm in self.lstms for state in lstm.states]
        for variable, state in zip(variables, states, strict=True):
            variable.assign(state)


def compile(network: StreamNetwork, recipe: SettledRecipe, *, steps: int) -> None:
    """Give the network its optimiser and loss.

    Args:
        network: The network.
        recipe: Names them.
        steps: Batches run in one call of the compiled graph.
    """
    optimizer = keras.optimizers.get(recipe.optimizer)
    optimizer.learning_rate = recipe.learning_rate
    optimizer.global_clipnorm = recipe.clip_norm or None
    if recipe.loss == "quantiles":
        loss = quantile_loss(recipe.quantiles)
    else:
        loss = keras.losses.get(recipe.loss)
    network.compile(optimizer=optimizer, loss=loss, steps_per_execution=steps, jit_compile=False)


def quantile_loss(quantiles: tuple[float, ...]) -> Callable[[Any, Any], Any]:
    """Return the loss of a head `quantiles`: Huber of the mean plus twice the mean pinball loss.

    Quantiles are read from the outputs as `forecaster.head.Head.read` reads them.
    """
    middle = quantiles.index(0.5)
    levels = np.array(quantiles, np.float32)

    def loss(target: Any, outputs: Any) -> Any:
        """Return the loss of each step: target `(N, window, 1)`, outputs `(N, window, 1 + Q)`."""
        median = outputs[..., 1 + middle : 2 + middle]
        above = ops.cumsum(ops.softplus(outputs[..., 2 + middle :]), axis=-1)
        below = ops.softplus(outputs[..., 1 : 1 + middle])
        below = ops.flip(ops.cumsum(ops.flip(below, -1), axis=-1), -1)
        error = target - ops.concatenate([median - below, median, median + above], axis=-1)
        pinball = ops.mean(ops.maximum(levels * error, (levels - 1.0) * error), axis=-1)
        return keras.losses.huber(target, outputs[..., :1]) + 2.0 * pinball

    return loss


def predict(network: StreamNetwork, batches: Batches) -> Array:
    """Return the outputs `(batches, N, window, outputs)` of a pass over packed streams."""
    return np.stack(
        [
            np.asarray(network({"inputs": inputs, "starts": starts}))
            for inputs, starts in zip(batches.inputs, batches.starts, strict=True)
        ]
    )
