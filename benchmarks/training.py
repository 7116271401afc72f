"""Row 9: an update of training, beside a plain Keras `fit`, TensorFlow's fused op and PyTorch.

All train the same network on the same pieces from the same weights: one LSTM layer and a dense head
of a mean and 11 quantiles, their loss, AdamW, a limit on the gradient's norm, on one thread. They
are checked to go through the same losses first.
"""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import MICROSECONDS, MILLISECONDS, Lines, Note, interleave, row, timed
from benchmarks.model import random_weights
from forecaster.network import Weights
from forecaster.spec import QUANTILES, NetworkSpec
from training.recipe import SettledTuneRecipe
from training.streams import Array, Batches, Stream

# Makes an update for each batch and returns their mean loss.
Learn = Callable[[Batches], float]

# The universal model's.
SPEC = NetworkSpec(features=26, units=(64,), outputs=1 + len(QUANTILES))
# One piece of history is as long as what is scored of it, and nothing is left to chance.
RECIPE = SettledTuneRecipe(
    batch=64, window=48, warmup=0, dropout=0.0, learning_rate=0.001, updates=20
)
OURS, KERAS, FUSED, TORCH = (
    "stepcast",
    "Keras `fit`",
    "TensorFlow BlockLSTM",
    "PyTorch LSTM",
)
# PyTorch's wheels for Linux bring gigabytes of drivers, so it is in no lock.
TORCH_MISSING = "PyTorch LSTM: not installed; pip install torch==2.13.0"
# PyTorch adds the epsilon of AdamW in another place; the others agree to the last digit.
_TOLERANCE = 5e-4


def run(folder: Path, *, quick: bool) -> Lines:
    """Return milliseconds of an update: forward, backward and the optimiser's step."""
    try:
        from training.tune import draw
    except ImportError as error:
        return [Note("training", f"TensorFlow: {error}")]
    lines: Lines = []
    makers: dict[str, Callable[[Weights], Learn]] = {OURS: _ours, KERAS: _keras, FUSED: _fused}
    try:
        importlib.import_module("torch")
    except ImportError:
        lines.append(Note("training", TORCH_MISSING))
    else:
        makers[TORCH] = _torch
    weights, streams = random_weights(SPEC), _streams()
    rng = np.random.default_rng(3)
    pieces = draw(rng, streams, RECIPE)
    learners = {name: make(weights) for name, make in makers.items()}
    _check({name: learn(pieces) for name, learn in learners.items()})

    def drawn() -> float:
        # Drawing is part of our loop; the others have their pieces already.
        return learners[OURS](draw(rng, streams, RECIPE))

    calls = {name: partial(learn, pieces) for name, learn in learners.items()} | {OURS: drawn}
    taken = interleave({name: timed(call) for name, call in calls.items()}, 3 if quick else 15)
    samples = {
        name: [one / RECIPE.updates * MILLISECONDS / MICROSECONDS for one in some]
        for name, some in taken.items()
    }
    for name, some in samples.items():
        others = {one: theirs for one, theirs in samples.items() if one != name}
        against = others if name == OURS else {}
        lines.append(row("training", f"{name}, an update", "ms", some, against=against))
    return lines


def _streams() -> list[Stream]:
    """Return a panel of hundreds of series, of noise: what they say does not change the time."""
    rng = np.random.default_rng(4)
    steps = 500
    return [
        Stream(
            inputs=rng.normal(size=(steps, SPEC.features)).astype(np.float32),
            targets=rng.normal(size=steps).astype(np.float32),
            weights=np.ones(steps, np.float32),
        )
        for _ in range(200)
    ]


def _check(losses: dict[str, float]) -> None:
    """Refuse learners that do not go through the same losses."""
    for name, loss in losses.items():
        apart = abs(loss - losses[OURS])
        if apart > _TOLERANCE:
            raise RuntimeError(f"{name}: a mean loss {apart:.2g} away from that of {OURS}")


def _ours(weights: Weights) -> Learn:
    """Return what `training.tune` does in a round."""
    from training.tune import learn, prepare

    network = prepare(RECIPE, SPEC, weights)
    return lambda pieces: learn(network, pieces)


def _keras(weights: Weights) -> Learn:
    """Return Keras as its tutorials have it: arrays, a batch a call."""
    import keras

    from training.network import quantile_loss, set_weights

    network = keras.Sequential(
        [
            keras.Input(batch_shape=(RECIPE.batch, RECIPE.window, SPEC.features)),
            keras.layers.LSTM(SPEC.units[0], return_sequences=True, name="lstm_0"),
            keras.layers.Dense(SPEC.outputs, name="head"),
        ]
    )
    set_weights(network, weights)
    network.compile(optimizer=_adamw(), loss=quantile_loss(QUANTILES), jit_compile=False)

    def learn(pieces: Batches) -> float:
        x, y = (array.reshape(-1, *array.shape[2:]) for array in (pieces.inputs, pieces.targets))
        fitted = network.fit(x, y, batch_size=RECIPE.batch, shuffle=False, verbose=0)
        return float(fitted.history["loss"][0])

    return learn


def _fused(weights: Weights) -> Learn:
    """Return a loop of one's own around TensorFlow's op for a whole window.

    It is the first version of the op: the gradient of `BlockLSTMV2` in TensorFlow 2.21 takes its
    gates in another order than the op itself, and so is wrong.
    """
    import tensorflow as tf

    from training.network import quantile_loss

    units = SPEC.units[0]

    def gates(columns: Array) -> Array:
        """Turn Keras' columns i, f, c, o into the op's i, c, f, o."""
        i, f, c, o = np.split(columns, 4, axis=-1)
        return np.concatenate([i, c, f, o], axis=-1)

    both = np.concatenate([weights["lstm_0/kernel"], weights["lstm_0/recurrent_kernel"]])
    kernel, bias = tf.Variable(gates(both)), tf.Variable(gates(weights["lstm_0/bias"]))
    head, head_bias = tf.Variable(weights["head/kernel"]), tf.Variable(weights["head/bias"])
    variables = [kernel, bias, head, head_bias]
    loss_of, optimizer = quantile_loss(QUANTILES), _adamw()
    optimizer.build(variables)
    nothing, peepholes = tf.zeros((RECIPE.batch, units)), tf.zeros(units)

    @tf.function  # type: ignore[untyped-decorator]
    def update(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            *_, h = tf.raw_ops.BlockLSTM(
                seq_len_max=tf.constant(RECIPE.window, tf.int64),
                x=tf.transpose(x, (1, 0, 2)),
                cs_prev=nothing,
                h_prev=nothing,
                w=kernel,
                b=bias,
                wci=peepholes,
                wcf=peepholes,
                wco=peepholes,
                forget_bias=0.0,
                cell_clip=-1.0,
            )
            outputs = tf.transpose(h, (1, 0, 2)) @ head + head_bias
            loss = tf.reduce_mean(loss_of(y, outputs))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def learn(pieces: Batches) -> float:
        losses = [update(*batch) for batch in zip(pieces.inputs, pieces.targets, strict=True)]
        return float(np.mean(losses))

    return learn


def _torch(weights: Weights) -> Learn:
    """Return PyTorch's LSTM; of its two biases one is enough, as Keras has it."""
    torch: Any = importlib.import_module("torch")  # types need it installed
    functional = torch.nn.functional
    lstm = torch.nn.LSTM(SPEC.features, SPEC.units[0], batch_first=True)
    head = torch.nn.Linear(SPEC.units[0], SPEC.outputs)
    with torch.no_grad():
        for parameter, array in (
            (lstm.weight_ih_l0, weights["lstm_0/kernel"].T),
            (lstm.weight_hh_l0, weights["lstm_0/recurrent_kernel"].T),
            (lstm.bias_ih_l0, weights["lstm_0/bias"]),
            (lstm.bias_hh_l0, np.zeros_like(weights["lstm_0/bias"])),
            (head.weight, weights["head/kernel"].T),
            (head.bias, weights["head/bias"]),
        ):
            parameter.copy_(torch.from_numpy(array.copy()))
    lstm.bias_hh_l0.requires_grad_(False)
    parameters = [one for part in (lstm, head) for one in part.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=RECIPE.learning_rate, weight_decay=RECIPE.weight_decay, eps=1e-7
    )
    levels, middle = torch.tensor(QUANTILES), QUANTILES.index(0.5)

    def loss_of(target: Any, outputs: Any) -> Any:
        median = outputs[..., 1 + middle : 2 + middle]
        above = functional.softplus(outputs[..., 2 + middle :]).cumsum(-1)
        below = functional.softplus(outputs[..., 1 : 1 + middle]).flip(-1).cumsum(-1).flip(-1)
        error = target - torch.cat([median - below, median, median + above], dim=-1)
        pinball = torch.maximum(levels * error, (levels - 1.0) * error).mean()
        return functional.huber_loss(outputs[..., :1], target) + 2.0 * pinball

    def update(x: Array, y: Array) -> float:
        optimizer.zero_grad()
        above, _ = lstm(torch.from_numpy(x))
        loss = loss_of(torch.from_numpy(y), head(above))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, RECIPE.clip_norm)
        optimizer.step()
        return float(loss.detach())

    def learn(pieces: Batches) -> float:
        return float(np.mean([*map(update, pieces.inputs, pieces.targets)]))

    return learn


def _adamw() -> Any:
    """Return the optimiser that `training.tune` takes."""
    import keras

    return keras.optimizers.AdamW(
        RECIPE.learning_rate,
        weight_decay=RECIPE.weight_decay,
        global_clipnorm=RECIPE.clip_norm,
    )
