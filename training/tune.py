"""Fine-tuning: the universal network goes on learning, on series of a user's own.

It is the network of `pretrain`, with its transform and its loss. Inputs that it did not have are
new rows of the first kernel and begin at nothing, so training begins with what the universal model
forecasts. A batch is pieces of history drawn at random, each from a state of nothing behind some
steps that are not scored, so one long series and a panel of many are learnt from alike.

A network that learns from a few thousand steps overfits within a few hundred updates. What holds it
back is dropout, an average of its weights over the last updates, and a stop where a later stretch
of the same series is forecast best.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from forecaster.network import Weights
from forecaster.spec import QUANTILES, NetworkSpec
from training.errors import DivergedError
from training.fit import History, dataset, evaluate
from training.network import StreamNetwork, get_weights, quantile_loss, set_weights
from training.recipe import SettledTuneRecipe
from training.streams import Batches, Stream, pack

# Called after each round with its number from 1, and its losses.
OnRound = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Args:
        network: With the weights that forecast the validation part best, or the last ones.
        rounds: After how many rounds that was; 0 where none did better than the start.
        losses: `loss` by round, and with validation `val_loss`, its first that of the start.
    """

    network: StreamNetwork
    rounds: int
    losses: History


def tune(
    recipe: SettledTuneRecipe,
    spec: NetworkSpec,
    start: Weights,
    streams: Sequence[Stream],
    validation: Sequence[Stream] = (),
    *,
    rounds: int,
    seed: int,
    seconds: float | None = None,
    on_round: OnRound | None = None,
) -> Tuned:
    """Go on from weights.

    Args:
        recipe: How.
        spec: The sizes of the network.
        start: The weights of a network of these sizes, its first kernel perhaps with fewer rows.
        streams: What is learnt from.
        validation: What rounds are judged by, if any.
        rounds: How many, at most.
        seed: Fixes the pieces and the dropout.
        seconds: After how long no further round is begun.
        on_round: Called after each round.

    Raises:
        DivergedError: If a loss is no finite number.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = prepare(recipe, spec, start)
    length = recipe.warmup + recipe.window
    checking = pack(validation, batch=recipe.batch, window=length) if validation else None
    losses: History = {"loss": []}
    if checking is not None:
        losses["val_loss"] = [evaluate(network, checking)]
    average = best = get_weights(network)
    stopped, started = 0, time.perf_counter()
    for number in range(1, rounds + 1):
        if seconds is not None and time.perf_counter() - started > seconds:
            break
        loss = learn(network, draw(rng, streams, recipe))
        now = get_weights(network)
        average = {name: _mixed(average[name], now[name], recipe.average) for name in now}
        told = {"loss": loss}
        if checking is not None:
            set_weights(network, average)
            told["val_loss"] = evaluate(network, checking)
            set_weights(network, now)
        for name, value in told.items():
            if not np.isfinite(value):
                raise DivergedError(f"{name} of round {number} is {value}")
            losses[name].append(value)
        if on_round is not None:
            on_round(number, told)
        if checking is None or told["val_loss"] == min(losses["val_loss"]):
            best, stopped = average, number
        elif number - stopped >= recipe.patience:
            break
    set_weights(network, best)
    return Tuned(network, stopped, losses)


def prepare(recipe: SettledTuneRecipe, spec: NetworkSpec, start: Weights) -> StreamNetwork:
    """Return a network that goes on from weights: compiled, a round in one call of its graph."""
    length = recipe.warmup + recipe.window
    network = StreamNetwork(spec, batch=recipe.batch, window=length, dropout=recipe.dropout)
    set_weights(network, widened(start, spec))
    network.compile(
        optimizer=keras.optimizers.AdamW(
            recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            global_clipnorm=recipe.clip_norm,
        ),
        loss=quantile_loss(QUANTILES),
        steps_per_execution=recipe.updates,
        jit_compile=False,
    )
    return network


def learn(network: StreamNetwork, pieces: Batches) -> float:
    """Make an update for each batch of a round and return their mean loss."""
    (loss,) = network.fit(dataset(pieces), shuffle=False, verbose=0).history["loss"]
    return float(loss)


def draw(
    rng: np.random.Generator,
    streams: Sequence[Stream],
    recipe: SettledTuneRecipe,
    updates: int | None = None,
) -> Batches:
    """Return the batches of a round: pieces of streams, any place as likely as any other.

    A piece that begins where its stream does is scored from its first step on.

    Args:
        rng: Draws.
        streams: What pieces are of.
        recipe: How long and how many they are.
        updates: How many batches; a round's by default.
    """
    length = recipe.warmup + recipe.window
    places = np.array([max(len(stream) - length, 0) + 1 for stream in streams])
    ends = np.cumsum(places)
    shape = (updates or recipe.updates, recipe.batch, length)
    inputs = np.zeros((*shape, streams[0].inputs.shape[1]), np.float32)
    targets, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for at, place in zip(
        np.ndindex(shape[:2]), rng.integers(ends[-1], size=shape[0] * shape[1]), strict=True
    ):
        which = int(np.searchsorted(ends, place, side="right"))
        first = int(place - (ends[which] - places[which]))
        piece = streams[which][first : first + length]
        steps = slice(0, len(piece))
        inputs[at][steps], targets[at][steps] = piece.inputs, piece.targets
        weights[at][steps] = piece.weights
        if first:
            weights[at][: recipe.warmup] = 0.0
    weights *= weights.size / max(float(weights.sum()), 1.0)
    starts = np.ones((*shape[:2], 1), np.float32)
    return Batches(inputs, starts, targets[..., None], weights)


def widened(weights: Weights, spec: NetworkSpec) -> Weights:
    """Return weights for inputs that are more than they were made for: the new ones say nothing."""
    kernel = weights["lstm_0/kernel"]
    wide = np.zeros(spec.shapes()["lstm_0/kernel"], np.float32)
    wide[: len(kernel)] = kernel
    return {**weights, "lstm_0/kernel": wide}


def _mixed(average: np.ndarray, now: np.ndarray, share: float) -> np.ndarray:
    mixed: np.ndarray = average + np.float32(1.0 - share) * (now - average)
    return mixed
