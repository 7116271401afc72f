"""Many networks of one size trained side by side, each from initial weights of its own.

A whole training is one loop compiled by XLA, with a leading axis for the networks, so a hundred of
them cost little more than one. What Keras does is done here to the letter: its initial weights, its
LSTM, its Adam, its mean square error, and no gradient through the state that an earlier batch left.

    R  networks         N  rows of a batch, each a memory of its own
    F  features         H  units of a layer
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from forecaster.spec import NetworkSpec
from training.settings import RecurrentActivation

Array = NDArray[np.float32]
Tensor = Any  # TensorFlow ships no types
# By the names of an artifact, each of shape `(R, *shape)`.
Weights = dict[str, Tensor]
# `h` and `c` of each layer, each `(R, N, H)`.
State = tuple[tuple[Tensor, Tensor], ...]

# Adam's defaults in Keras.
_LEARNING_RATE = 0.001
_MOMENTUM = 0.9
_SQUARES = 0.999
_EPSILON = 1e-7

_ACTIVATIONS: dict[RecurrentActivation, Callable[[Tensor], Tensor]] = {
    "sigmoid": tf.sigmoid,
    # That of Keras 2; Keras 3's has a slope of 1/6.
    "hard_sigmoid": lambda z: tf.clip_by_value(0.2 * z + 0.5, 0.0, 1.0),
}


class Trials(NamedTuple):
    """Networks in training: a value, of which `learn` returns a later one.

    Attributes:
        weights: Of all networks.
        momentum: Adam's running means of the gradients.
        squares: Adam's running means of their squares.
        updates: How many updates were made.
        state: What the last batch left.
    """

    weights: Weights
    momentum: Weights
    squares: Weights
    updates: Tensor
    state: State


def start(spec: NetworkSpec, seeds: NDArray[np.integer], *, rows: int) -> Trials:
    """Return networks as Keras initialises them, with a state of zeros.

    Args:
        spec: Their sizes.
        seeds: For each network and weight one, shape `(R, weights)`, below 2^31.
        rows: Of a batch, N.
    """
    weights = {
        name: tf.stack([_initialise(name, shape, int(seed)) for seed in seeds[:, place]])
        for place, (name, shape) in enumerate(spec.shapes().items())
    }
    return begin(weights, spec, rows=rows)


def begin(weights: Weights, spec: NetworkSpec, *, rows: int) -> Trials:
    """Return networks of given weights, each `(R, *shape)`, untrained and with a state of zeros."""
    zeros = {name: tf.zeros_like(weight) for name, weight in weights.items()}
    count = len(weights["head/bias"])
    state = tuple(
        (tf.zeros((count, rows, units)), tf.zeros((count, rows, units))) for units in spec.units
    )
    return Trials(weights, zeros, zeros, tf.constant(0.0), state)


def learn(
    trials: Trials,
    inputs: Array,
    targets: Array,
    order: NDArray[np.int32],
    keep: Array,
    *,
    count: int,
    activation: RecurrentActivation,
) -> Trials:
    """Make updates, one for each batch.

    It is compiled once for all arrays of the same shapes, whatever they hold.

    Args:
        trials: The networks. Not modified.
        inputs: The batches, shape `(batches, N, F)`: one time step each.
        targets: Shape `(batches, N)`.
        order: Which batch each update of each network is made with, shape `(updates, R)`.
        keep: What each update first multiplies the state with, shape `(updates,)`: 0 resets it.
        count: How many of the updates to make, from the first.
        activation: Of the gates.
    """
    later: Trials = _learn(trials, inputs, targets, order, keep, tf.constant(count), activation)
    return later


def walk(trials: Trials, inputs: Array, keep: Array, *, activation: RecurrentActivation) -> Array:
    """Return what every network says to the same inputs, one after another.

    Args:
        trials: The networks, which go on from their state. Not modified.
        inputs: Shape `(steps, N, F)`.
        keep: What the state is multiplied with before each step, shape `(steps,)`.
        activation: Of the gates.

    Returns:
        Outputs, shape `(steps, R, N)`.
    """
    outputs: Array = _walk(trials.weights, trials.state, inputs, keep, activation).numpy()
    return outputs


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _learn(
    trials: Trials,
    inputs: Tensor,
    targets: Tensor,
    order: Tensor,
    keep: Tensor,
    count: Tensor,
    activation: RecurrentActivation,
) -> Trials:
    def update(number: Tensor, now: Trials) -> tuple[Tensor, Trials]:
        x, y = tf.gather(inputs, order[number]), tf.gather(targets, order[number])
        before = tf.nest.map_structure(lambda part: part * keep[number], now.state)
        with tf.GradientTape() as tape:
            tape.watch(now.weights)
            outputs, after = _step(now.weights, before, x, activation)
            # Each network has its own loss, and their sum has the gradients of all.
            loss = tf.reduce_sum(tf.reduce_mean(tf.square(outputs - y), axis=1))
        return number + 1, _adam(now, tape.gradient(loss, now.weights), after)

    _, later = tf.while_loop(lambda number, _: number < count, update, (0, trials))
    return Trials(*later)


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _walk(
    weights: Weights, state: State, inputs: Tensor, keep: Tensor, activation: RecurrentActivation
) -> Tensor:
    def step(number: Tensor, state: State, outputs: Tensor) -> tuple[Tensor, State, Tensor]:
        kept = tf.nest.map_structure(lambda part: part * keep[number], state)
        x = tf.broadcast_to(inputs[number], (networks, *inputs.shape[1:]))
        said, after = _step(weights, kept, x, activation)
        return number + 1, after, tf.tensor_scatter_nd_update(outputs, [[number]], said[None])

    steps, rows, _ = inputs.shape
    networks = weights["head/bias"].shape[0]
    outputs = tf.zeros((steps, networks, rows))
    return tf.while_loop(lambda number, *_: number < steps, step, (0, state, outputs))[-1]


def _step(
    weights: Weights, state: State, x: Tensor, activation: RecurrentActivation
) -> tuple[Tensor, State]:
    """Feed `x (R, N, F)` through every network; return outputs `(R, N)` and the state after it."""
    gate = _ACTIVATIONS[activation]
    after = []
    for number, (h, c) in enumerate(state):
        layer = f"lstm_{number}"
        z = _times(x, weights[f"{layer}/kernel"])  # (R, N, 4H)
        z += _times(h, weights[f"{layer}/recurrent_kernel"]) + weights[f"{layer}/bias"][:, None]
        i, f, g, o = tf.split(z, 4, axis=-1)
        c = gate(f) * c + gate(i) * tf.tanh(g)
        x = gate(o) * tf.tanh(c)
        after.append((x, c))
    outputs = _times(x, weights["head/kernel"]) + weights["head/bias"][:, None]
    return outputs[..., 0], tuple(after)


def _times(x: Tensor, kernel: Tensor) -> Tensor:
    """Multiply `x (R, N, I)` by `kernel (R, I, O)`.

    XLA fuses this sum with what stands around it, which for small networks beats its own product.
    """
    return tf.reduce_sum(x[..., None] * kernel[:, None], axis=-2)


def _adam(now: Trials, gradients: Weights, state: State) -> Trials:
    """Make one update as `keras.optimizers.Adam` does."""
    updates = now.updates + 1.0
    rate = _LEARNING_RATE * tf.sqrt(1.0 - _SQUARES**updates) / (1.0 - _MOMENTUM**updates)
    weights, momentum, squares = {}, {}, {}
    for name, gradient in gradients.items():
        mean, square = now.momentum[name], now.squares[name]
        momentum[name] = mean + (gradient - mean) * (1.0 - _MOMENTUM)
        squares[name] = square + (tf.square(gradient) - square) * (1.0 - _SQUARES)
        step = momentum[name] * rate / (tf.sqrt(squares[name]) + _EPSILON)
        weights[name] = now.weights[name] - step
    return Trials(weights, momentum, squares, updates, state)


def _initialise(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return a weight as `keras.layers.LSTM` and `Dense` initialise it."""
    if name.endswith("recurrent_kernel"):
        return keras.initializers.Orthogonal(seed=seed)(shape)
    if name.endswith("kernel"):
        return keras.initializers.GlorotUniform(seed=seed)(shape)
    bias = np.zeros(shape, np.float32)
    if name.startswith("lstm"):  # unit_forget_bias
        bias[shape[0] // 4 : shape[0] // 2] = 1.0
    return tf.constant(bias)
