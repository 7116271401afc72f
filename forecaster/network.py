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
    """A layer's weights, fused and turned so that one product gives all gates of K series.

    Rows are the gates i, f, o, g, each `units` high; columns are input, h and bias. Because
    `sigmoid(v) = tanh(v / 2) / 2 + 1 / 2`, the rows of i, f and o are halved here and one tanh
    serves all four gates.
    """

    def __init__(self, kernel: Array, recurrent: Array, bias: Array) -> None:
        self.inputs, self.units = len(kernel), len(recurrent)
        rows = np.concatenate([kernel, recurrent, bias[None, :]]).T  # (4 units, inputs + units + 1)
        i, f, g, o = np.split(rows, 4)
        self.weights = np.ascontiguousarray(np.concatenate([i / 2, f / 2, o / 2, g]))

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        """Return `h'` and `c'`, of shape `(units, K)`; `x` is `(inputs, K)`, `h` and `c` too."""
        stacked = np.empty((self.inputs + self.units + 1, x.shape[1]), np.float32)
        stacked[: self.inputs] = x
        stacked[self.inputs : -1] = h
        stacked[-1] = 1.0
        gates = self.weights @ stacked
        np.tanh(gates, out=gates)
        sigmoids = gates[: 3 * self.units]
        sigmoids *= np.float32(0.5)
        sigmoids += np.float32(0.5)
        i, f, o, g = gates.reshape(4, self.units, -1)
        g *= i
        f *= c
        f += g
        np.tanh(f, out=g)
        g *= o
        return g, f


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
        self._head = np.ascontiguousarray(weights["head/kernel"].T)
        self._head_bias = weights["head/bias"][:, None]

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Feed one input to each of K series; see `Network.step`."""
        count = len(x)
        out = np.empty((count, self.spec.outputs), np.float32)
        h_new = np.empty((count, self.spec.state_size), np.float32)
        c_new = np.empty_like(h_new)
        for start in range(0, count, _BLOCK):
            block = slice(start, start + _BLOCK)
            below = x[block].T
            at = 0
            for layer in self._layers:
                units = slice(at, at + layer.units)
                below, cell = layer.step(below, h[block, units].T, c[block, units].T)
                h_new[block, units] = below.T
                c_new[block, units] = cell.T
                at += layer.units
            out[block] = (self._head @ below + self._head_bias).T
        return out, h_new, c_new
