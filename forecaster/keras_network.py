"""The network as Keras runs it: a batch-1 stateful model with copied weights.

This is the reference that the NumPy network is held against, and the engine `keras` of the
service. It is the only module of the core that knows Keras.
"""

from typing import Any

import keras
import numpy as np

from forecaster.network import Array, Weights
from forecaster.spec import NetworkSpec


def build(spec: NetworkSpec) -> keras.Model:
    """Return the batch-1, one-step stateful Keras model of these sizes, its weights untrained.

    Input is `(1, 1, features)`: batch, time, features. Output is `(1, outputs)`.
    """
    last = len(spec.units) - 1
    return keras.Sequential(
        [
            keras.Input(batch_shape=(1, 1, spec.features)),
            *(
                keras.layers.LSTM(
                    units, stateful=True, return_sequences=number < last, name=f"lstm_{number}"
                )
                for number, units in enumerate(spec.units)
            ),
            keras.layers.Dense(spec.outputs, name="head"),
        ]
    )


def get_weights(model: keras.Model) -> Weights:
    """Return the weights of LSTM and head layers by the names that an artifact uses."""
    weights: Weights = {}
    for layer in model.layers:
        cell = layer.cell if isinstance(layer, keras.layers.LSTM) else layer
        for variable in cell.trainable_variables:
            weights[f"{layer.name}/{variable.name}"] = np.asarray(variable, np.float32)
    return weights


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Copy weights into the LSTM and head layers of a model of any batch size."""
    for layer in model.layers:
        cell = layer.cell if isinstance(layer, keras.layers.LSTM) else layer
        for variable in cell.trainable_variables:
            variable.assign(weights[f"{layer.name}/{variable.name}"])


class KerasNetwork:
    """Steps K series one after another through one batch-1 stateful model.

    What Keras hides inside its stateful layers is put in before each step and taken out after it,
    so the model remembers nothing between calls. One thread at a time may step it.

    Args:
        spec: The sizes.
        weights: Every array that `spec.shapes()` names.
    """

    def __init__(self, spec: NetworkSpec, weights: Weights) -> None:
        self.spec = spec
        self.model = build(spec)
        set_weights(self.model, weights)
        # h and c of each layer, as Keras keeps them.
        self._states: list[list[Any]] = [
            layer.states for layer in self.model.layers if isinstance(layer, keras.layers.LSTM)
        ]
        self._call: Any = _compiled(self.model)

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Feed one input to each of K series; see `forecaster.network.Network.step`."""
        out = np.empty((len(x), self.spec.outputs), np.float32)
        h_new, c_new = np.empty_like(h), np.empty_like(c)
        for row in range(len(x)):
            out[row], h_new[row], c_new[row] = self._step_one(x[row], h[row], c[row])
        return out, h_new, c_new

    def _step_one(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Put a state in, call, and take the state out; all arrays are of one dimension."""
        edges = np.cumsum(self.spec.units)[:-1]
        for (hidden, cell), h_layer, c_layer in zip(
            self._states, np.split(h, edges), np.split(c, edges), strict=True
        ):
            hidden.assign(h_layer[None])
            cell.assign(c_layer[None])
        out = np.asarray(self._call(x[None, None]))[0]
        hiddens, cells = zip(*self._states, strict=True)
        h_new, c_new = (
            np.concatenate([np.asarray(state)[0] for state in states])
            for states in (hiddens, cells)
        )
        return out, h_new, c_new


def _compiled(model: keras.Model) -> Any:
    """Return the model's call, traced once where the backend can: 20 times faster."""
    if keras.backend.backend() != "tensorflow":
        return model
    import tensorflow as tf

    return tf.function(model, input_signature=[tf.TensorSpec(model.input_shape, tf.float32)])
