"""Does carrying state help? A network trained and walked under twelve policies, many times each.

The conditions are those of the textbooks' experiments: state carried or not, samples shuffled or
not, batches of one or of more, and six ways to reset and to seed. Trained from a hundred initial
weights instead of ten, they have an answer; `training.verdicts` says which.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler

from forecaster import scores
from forecaster.spec import NetworkSpec
from training.data import Series
from training.errors import DivergedError
from training.settings import SettledSettings
from training.trials import Array, Trials, learn, start, walk

Floats = NDArray[np.float64]
# Told how many epochs of all trainings are done, and how many there are.
OnEpochs = Callable[[int, int], None]

# Networks trained at once; more than so many take turns.
_MOST_AT_ONCE = 100
# Updates in one call of the compiled loop: between calls progress is shown and Ctrl-C is heard.
_UPDATES_PER_CALL = 2000


class Reset(Enum):
    """When state is zeroed in training."""

    EPOCH = "after each epoch"
    STEP = "at each step"
    NEVER = "never"


@dataclass(frozen=True)
class Condition:
    """A way to train and to walk.

    Args:
        reset: When state is zeroed in training. Where that is not `NEVER`, the test begins with a
            state of zeros, too.
        is_shuffled: Whether each epoch has the samples in an order of its own.
        is_batched: Whether a batch holds several samples, each a row with a memory of its own.
        is_seeded: Whether the training inputs are run through before the test.
        resets: Whether state is zeroed at each step of the test, and of the seeding.
    """

    reset: Reset
    is_shuffled: bool = False
    is_batched: bool = False
    is_seeded: bool = False
    resets: bool = False


# Each has networks of its own, so every two of them can be compared as independent samples.
CONDITIONS = {
    "stateful": Condition(Reset.EPOCH),
    "stateful_again": Condition(Reset.EPOCH),
    "stateless": Condition(Reset.STEP, resets=True),
    "stateless_shuffled": Condition(Reset.STEP, resets=True, is_shuffled=True),
    "stateful_batch": Condition(Reset.EPOCH, is_batched=True),
    "stateless_batch": Condition(Reset.STEP, resets=True, is_batched=True),
    "noseed_1": Condition(Reset.EPOCH),
    "noseed_2": Condition(Reset.EPOCH, resets=True),
    "noseed_3": Condition(Reset.NEVER),
    "seed_1": Condition(Reset.EPOCH, is_seeded=True),
    "seed_2": Condition(Reset.EPOCH, is_seeded=True, resets=True),
    "seed_3": Condition(Reset.NEVER, is_seeded=True),
}

_LABELS = {
    "stateful": "stateful (A)",
    "stateful_again": "stateful again (A')",
    "stateless_shuffled": "stateless, shuffled",
    "stateful_batch": "stateful, batch {batch}",
    "stateless_batch": "stateless, batch {batch}",
}


@dataclass(frozen=True, eq=False)
class Samples:
    """A series as pairs of what a network is shown and what it should say, both scaled.

    Attributes:
        inputs: Shape `(n, lag)`: at each step the changes before it.
        targets: The change that follows, shape `(n,)`.
        scale: A target is `scale` times a change in units of the data, plus `shift`.
        shift: See there.
        base: What a change of the test part is added to, shape `(test,)`.
        y: The actuals of the test part, shape `(test,)`.
    """

    inputs: Array
    targets: Array
    scale: float
    shift: float
    base: Floats
    y: Floats

    @property
    def trained(self) -> int:
        """How many of the pairs come before the test."""
        return len(self.targets) - len(self.y)

    def rmse(self, outputs: Array) -> Floats:
        """Return the RMSE in units of the data of outputs `(test, R)`, one for each network."""
        changes = (outputs.astype(np.float64) - self.shift) / self.scale
        return np.array([scores.rmse(self.y, self.base + change) for change in changes.T])


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    Attributes:
        name: Of the series.
        settings: Settled.
        observations: Of the series.
        persistence: Test RMSE of the forecast that nothing changes.
        rmse: Test RMSE of every network, `(R,)`, by condition.
        is_whole: Whether all was run.
    """

    name: str
    settings: SettledSettings
    observations: int
    persistence: float
    rmse: dict[str, Floats]
    is_whole: bool

    def label(self, condition: str) -> str:
        """Return what a condition is called in tables."""
        return _LABELS.get(condition, condition).format(batch=self.settings.batch)

    def summary(self) -> dict[str, dict[str, float | int]]:
        """Return count, mean, std (of the sample), min, quartiles and max of each condition."""
        return {name: _describe(rmse) for name, rmse in self.rmse.items()}


def compare(
    series: Series, settings: SettledSettings, *, on_epochs: OnEpochs | None = None
) -> Comparison:
    """Train and walk every condition.

    A keyboard interrupt ends it early: what is trained by then is kept, if there is any.

    Args:
        series: The one that the settings were settled for.
        settings: What to compare.
        on_epochs: Told of progress.

    Raises:
        DivergedError: If a network says what is no number.
    """
    samples = make_samples(series, settings)
    rounds = -(-settings.repeats // _MOST_AT_ONCE)
    size = -(-settings.repeats // rounds)
    total = rounds * len(CONDITIONS) * settings.epochs
    found: dict[str, list[Floats]] = {name: [] for name in CONDITIONS}
    done = 0
    is_whole = True

    def advance(epochs: int) -> None:
        nonlocal done
        done += epochs
        if on_epochs is not None:
            on_epochs(done, total)

    try:
        advance(0)
        for turn in range(rounds):
            for number, (name, condition) in enumerate(CONDITIONS.items()):
                rng = np.random.default_rng([settings.seed, number, turn])
                trials = train(samples, condition, settings, size, rng, advance)
                found[name].append(samples.rmse(run(trials, samples, condition, settings)))
    except KeyboardInterrupt:
        if not any(found.values()):
            raise
        is_whole = False
    rmse = {
        name: np.concatenate(parts)[: settings.repeats] for name, parts in found.items() if parts
    }
    before = series.y[-settings.test - 1 : -1]
    return Comparison(
        name=series.unique_id,
        settings=settings,
        observations=len(series),
        persistence=scores.rmse(samples.y, before),
        rmse=rmse,
        is_whole=is_whole,
    )


def make_samples(series: Series, settings: SettledSettings) -> Samples:
    """Difference, pair, and scale to [-1, 1] by what comes before the test, each column alone."""
    y, lag, gap = series.y, settings.lag, settings.difference
    changes = y[gap:] - y[:-gap] if gap else y
    pairs = np.lib.stride_tricks.sliding_window_view(changes, lag + 1)
    scaler = MinMaxScaler(feature_range=(-1, 1)).fit(pairs[: -settings.test])
    scaled = scaler.transform(pairs).astype(np.float32)
    return Samples(
        inputs=scaled[:, :-1],
        targets=scaled[:, -1],
        scale=float(scaler.scale_[-1]),
        shift=float(scaler.min_[-1]),
        base=y[-settings.test - gap :][: settings.test] if gap else np.zeros(settings.test),
        y=y[-settings.test :],
    )


def train(
    samples: Samples,
    condition: Condition,
    settings: SettledSettings,
    count: int,
    rng: np.random.Generator,
    advance: Callable[[int], None] = lambda epochs: None,
) -> Trials:
    """Train networks in one way.

    Args:
        samples: What to learn.
        condition: How.
        settings: Settled.
        count: How many networks.
        rng: Draws initial weights and orders.
        advance: Told of each so many epochs that end.
    """
    rows = settings.batch if condition.is_batched else 1
    spec = NetworkSpec(features=settings.lag, units=settings.units, outputs=1)
    trials = start(spec, rng.integers(2**31, size=(count, len(spec.shapes()))), rows=rows)
    batches = samples.trained // rows
    first = samples.trained - batches * rows
    inputs = samples.inputs[first : samples.trained].reshape(batches, rows, -1)
    targets = samples.targets[first : samples.trained].reshape(batches, rows)
    keep = np.full(batches, condition.reset is not Reset.STEP, np.float32)
    if condition.reset is Reset.EPOCH:
        keep[0] = 0.0
    whole = max(_UPDATES_PER_CALL // batches, 1)  # epochs in one call
    order = np.tile(np.arange(batches, dtype=np.int32)[:, None], (whole, count))
    for epochs in _parts(settings.epochs, whole):
        if condition.is_shuffled:
            each = rng.permuted(order.reshape(whole, batches, count), axis=1)
            order = each.reshape(order.shape)
        trials = learn(
            trials,
            inputs,
            targets,
            order,
            np.tile(keep, whole),
            count=epochs * batches,
            activation=settings.recurrent_activation,
        )
        advance(epochs)
    return trials


def run(
    trials: Trials,
    samples: Samples,
    condition: Condition,
    settings: SettledSettings,
) -> Array:
    """Walk trained networks over the test, and return what they say, shape `(test, R)`.

    Raises:
        DivergedError: If that is no number.
    """
    rows = settings.batch if condition.is_batched else 1
    first = 0 if condition.is_seeded else samples.trained
    inputs = samples.inputs[first:]
    steps = -(-len(inputs) // rows)
    padded = np.zeros((steps * rows, inputs.shape[1]), np.float32)
    padded[: len(inputs)] = inputs
    keep = np.full(steps, not condition.resets, np.float32)
    if condition.reset is not Reset.NEVER:
        keep[0] = 0.0
    said = walk(
        trials,
        padded.reshape(steps, rows, -1),
        keep,
        activation=settings.recurrent_activation,
    )
    outputs = said.swapaxes(1, 2).reshape(steps * rows, -1)[: len(inputs)][-settings.test :]
    if not np.isfinite(outputs).all():
        raise DivergedError("a network forecasts what is no number")
    return outputs


def _parts(total: int, size: int) -> Iterator[int]:
    """Yield parts of a size until they come to the total; the last may be smaller."""
    for begun in range(0, total, size):
        yield min(size, total - begun)


def _describe(values: Floats) -> dict[str, float | int]:
    quartiles: Any = np.quantile(values, [0.25, 0.5, 0.75])
    return {
        "count": len(values),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "min": float(values.min()),
        "25%": float(quartiles[0]),
        "50%": float(quartiles[1]),
        "75%": float(quartiles[2]),
        "max": float(values.max()),
    }
