"""The universal model: one network, trained on generated series and no others.

Rounds follow each other, each of fresh series, and none is seen twice. A round is made
by its number alone, in a process of its own while the one before is learnt from, so a run that was
cut off goes on from its last checkpoint as if nothing had happened.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import keras
import numpy as np

from forecaster.cursor import OnGap
from forecaster.head import normal_scores
from forecaster.spec import (
    QUANTILES,
    HeadSpec,
    Manifest,
    ModelSpec,
    NetworkSpec,
    StreamingScaler,
    UniversalTransformSpec,
)
from forecaster.universal import FEATURES
from training.errors import CheckpointError
from training.export import check_parity, export
from training.fit import dataset, evaluate
from training.network import StreamNetwork, get_weights, quantile_loss, set_weights
from training.prior import generate
from training.rounds import PretrainRecipe, ignore_interrupts, make_round
from training.streams import Batches

# Of the series whose walk the model folder tells.
_GOLDEN_LENGTH = 64

# Rounds that are made ahead.
_AHEAD = 2

# Validation is on series of a seed of its own, after every so many rounds.
_VALIDATION_SEED = 2**32
_VALIDATE_EVERY = 10


# Called after each round with its number from 1, and the losses that are known.
OnRound = Callable[[int, dict[str, float]], None]


def pretrain(
    recipe: PretrainRecipe, checkpoint: Path, *, on_round: OnRound | None = None
) -> tuple[StreamNetwork, dict[str, float]]:
    """Train a network, or go on where a run of the same recipe was cut off.

    Args:
        recipe: How.
        checkpoint: A file that is written after each round; it may be removed at the end.
        on_round: Called after each round.

    Returns:
        The network, with its correction of the base halved, and its losses before that: `val_loss`
        is that on a round which is the same for all seeds.

    Raises:
        CheckpointError: If the checkpoint is not of this recipe.
    """
    keras.utils.set_random_seed(recipe.seed)
    spec = network_spec(recipe)
    network = StreamNetwork(spec, batch=recipe.batch, window=recipe.window)
    _start_head(network)
    validation = make_round(recipe, [_VALIDATION_SEED])
    network.compile(
        optimizer=_optimizer(recipe, steps=len(validation)),
        loss=quantile_loss(QUANTILES),
        jit_compile=False,
    )
    done = restore(network, recipe, checkpoint)
    losses: dict[str, float] = {}
    for number, batches in enumerate(_rounds(recipe, done), start=done + 1):
        history = network.fit(dataset(batches), shuffle=False, verbose=0).history
        losses["loss"] = float(history["loss"][-1])
        if number % _VALIDATE_EVERY == 0 or number == recipe.rounds:
            losses["val_loss"] = evaluate(network, validation)
        save(network, recipe, number, checkpoint)
        if on_round is not None:
            on_round(number, losses)
    if not losses:  # there was nothing left to do
        losses["val_loss"] = evaluate(network, validation)
    _halve_correction(network)
    return network, losses


def publish(
    network: StreamNetwork,
    recipe: PretrainRecipe,
    losses: dict[str, float],
    folder: Path,
    *,
    replace: bool = False,
) -> Manifest:
    """Check a trained network against its batch-1 copies and write it as a model folder.

    Args:
        network: As `pretrain` returns it.
        recipe: How.
        losses: For the manifest.
        folder: Where; its last part is the model's name.
        replace: Whether a folder of that name may be replaced.

    Raises:
        ArtifactError: If the folder exists and may not be replaced.
        ParityError: If the exported network is not the trained one.
    """
    spec = ModelSpec(
        network=network_spec(recipe),
        head=HeadSpec(kind="quantiles", calibrated=True),
        transform=UniversalTransformSpec(),
        scaler=StreamingScaler(),
    )
    check_parity(network, spec, make_round(recipe, [_VALIDATION_SEED]))
    made = generate(np.random.default_rng(_VALIDATION_SEED), 1, _GOLDEN_LENGTH)
    return export(
        folder,
        spec=spec,
        weights=get_weights(network),
        golden=made.y[0],
        golden_season=(12, 4),
        history=None,
        season=1,
        on_gap=OnGap.REJECT,
        data={"series": "generated, see training/prior.py"},
        recipe=recipe.model_dump(mode="json"),
        scores={**losses},
        report={},
        replace=replace,
    )


def _halve_correction(network: StreamNetwork) -> None:
    """Have the forecast be the average of the base and of what the network makes of it.

    Both err where the world is not as the prior, and seldom alike: docs/adr/0008 has figures.
    """
    kernel, bias = network.head.get_weights()
    columns = [0, 1 + QUANTILES.index(0.5)]  # the mean, and the median that carries the quantiles
    kernel[:, columns] /= 2.0
    bias[columns] /= 2.0
    network.head.set_weights([kernel, bias])


def network_spec(recipe: PretrainRecipe) -> NetworkSpec:
    """Return the sizes of the network."""
    return NetworkSpec(features=FEATURES, units=(recipe.units,), outputs=1 + len(QUANTILES))


def _rounds(recipe: PretrainRecipe, done: int) -> Iterator[Batches]:
    """Yield the rounds that are still to do, made a few ahead."""
    spawn = multiprocessing.get_context("spawn")  # a fork of TensorFlow's threads may hang
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=ignore_interrupts) as pool:
        making: deque[Future[Batches]] = deque()
        for number in range(done, recipe.rounds + _AHEAD):
            if number < recipe.rounds:
                making.append(pool.submit(make_round, recipe, [recipe.seed, number]))
            if number >= done + _AHEAD:
                yield making.popleft().result()


def _start_head(network: StreamNetwork) -> None:
    """Have the head begin with the base as mean and a normal curve around it."""
    scores = normal_scores(QUANTILES)
    middle = QUANTILES.index(0.5)
    gaps = np.insert(np.diff(scores), middle, 0.0)
    bias = np.concatenate([[0.0], np.log(np.expm1(np.where(gaps > 0, gaps, np.log(2.0))))])
    kernel, _ = network.head.get_weights()
    network.head.set_weights([np.zeros_like(kernel), bias])


def _optimizer(recipe: PretrainRecipe, steps: int) -> keras.optimizers.Optimizer:
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps * recipe.rounds - recipe.warmup, 1),
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warmup,
    )
    return keras.optimizers.AdamW(
        schedule, weight_decay=recipe.weight_decay, global_clipnorm=recipe.clip_norm
    )


# Checkpoints: all that the next round needs, as plain arrays.


def save(network: StreamNetwork, recipe: PretrainRecipe, done: int, path: Path) -> None:
    """Write a checkpoint; a run that is cut off leaves the one before."""
    arrays = {
        "recipe": np.array(recipe.model_dump_json()),
        "done": np.array(done),
        **get_weights(network),
        **{f"optimizer/{n}": np.asarray(v) for n, v in enumerate(network.optimizer.variables)},
        **{f"state/{n}": state for n, state in enumerate(network.get_states())},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    temporary.replace(path)


def restore(network: StreamNetwork, recipe: PretrainRecipe, path: Path) -> int:
    """Take a network to where a checkpoint left it, and return how many rounds were done.

    Raises:
        CheckpointError: If it is of another recipe, or no checkpoint.
    """
    network.optimizer.build(network.trainable_variables)
    if not path.exists():
        return 0
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = PretrainRecipe.model_validate_json(str(arrays["recipe"]))
            if found != recipe:
                raise CheckpointError(
                    f"{path}: of another recipe ({found}); remove it, or use that"
                )
            set_weights(network, {name: arrays[name] for name in get_weights(network)})
            for number, variable in enumerate(network.optimizer.variables):
                variable.assign(arrays[f"optimizer/{number}"])
            states = network.get_states()
            network.set_states([arrays[f"state/{number}"] for number in range(len(states))])
            return int(arrays["done"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: no checkpoint of this version: {error}") from error
