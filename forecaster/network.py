"""One step of stacked LSTM layers and a dense head, for any number of series at once.

The cell, in Keras' layout: `z = x @ kernel + h @ recurrent_kernel + bias`, its columns the gates i,
f, g, o (g is Keras' c); `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forecaster.spec import NetworkSpec

Array = NDArray[np.float32]
Weights = dict[str, Array]

# Series stepped together: few enough for the gates of 32 units to stay in a core's cache.
_BLOCK = 256


class Network(Protocol):
    """Does one step."""

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Feed one input to each of K series.

        Args:
            x: Inputs, float32 of shape `(K, features)`.
            h: Hidden states, float32 of shape `(K, state_size)`, the layers side by side. Not
                modified.
            c: Cell states, as `h`. Not modified.

        Returns:
            The outputs `(K, outputs)` and the states after the step.
        """
        ...


class _Layer:
    """A layer's weights, fused so that one batched product gives all gates of K series.

    They are the gates i, f, o, g, each of shape `(inputs + units + 1, units)`: input, h and bias.
    Because `sigmoid(v) = tanh(v / 2) / 2 + 1 / 2`, those of i, f and o are halved here and one tanh
    serves all four gates.
    """

    def __init__(self, kernel: Array, recurrent: Array, bias: Array) -> None:
        self.inputs, self.units = len(kernel), len(recurrent)
        i, f, g, o = np.split(np.concatenate([kernel, recurrent, bias[None, :]]), 4, axis=1)
        self.weights = np.stack([i / 2, f / 2, o / 2, g])

    def step(self, x: Array, h: Array, c: Array, h_new: Array, c_new: Array) -> None:
        """Write the next states of K series; `x` is `(K, inputs)`, all others `(K, units)`."""
        stacked = np.empty((len(x), self.inputs + self.units + 1), np.float32)
        stacked[:, : self.inputs] = x
        stacked[:, self.inputs : -1] = h
        stacked[:, -1] = 1.0
        gates = np.matmul(stacked, self.weights)  # (4, K, units)
        np.tanh(gates, out=gates)
        sigmoids = gates[:3]
        sigmoids *= np.float32(0.5)
        sigmoids += np.float32(0.5)
        i, f, o, g = gates
        g *= i
        np.multiply(f, c, out=c_new)
        c_new += g
        np.tanh(c_new, out=g)
        np.multiply(g, o, out=h_new)


class NumpyNetwork:
    """The network in NumPy, float32 throughout.

    Args:
        spec: The sizes.
        weights: Every array that `spec.shapes()` names, in Keras' layout.
    """

    def __init__(self, spec: NetworkSpec, weights: Weights) -> None:
        self.spec = spec
        self._layers = [
            _Layer(
                weights[f"lstm_{number}/kernel"],
                weights[f"lstm_{number}/recurrent_kernel"],
                weights[f"lstm_{number}/bias"],
            )
            for number in range(len(spec.units))
        ]
        self._head = weights["head/kernel"]
        self._head_bias = weights["head/bias"]

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Feed one input to each of K series; see `Network.step`."""
        count = len(x)
        out = np.empty((count, self.spec.outputs), np.float32)
        h_new = np.empty((count, self.spec.state_size), np.float32)
        c_new = np.empty_like(h_new)
        for start in range(0, count, _BLOCK):
            rows = slice(start, start + _BLOCK)
            below = x[rows]
            at = 0
            for layer in self._layers:
                block = (rows, slice(at, at + layer.units))
                layer.step(below, h[block], c[block], h_new[block], c_new[block])
                below = h_new[block]
                at += layer.units
            np.matmul(below, self._head, out=out[rows])
        out += self._head_bias
        return out, h_new, c_new
