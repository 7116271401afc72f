"""Batch-N streams: which row carries which series, and where its state starts anew.

Rows of a batch are independent memories: row i of the next batch goes on where row i of this one
stopped. So N streams are laid side by side, each row a queue of them:

    row 0 | A A A | A A . | D D D |      a letter is one step of a series, a dot is padding,
    row 1 | B B B | B B B | B . . |      a bar the edge of a window, which is where one batch
    row 2 | C C . | E E E | E E E |      ends and the next begins
            ^       ^       ^            a series' first window is flagged in `starts`

State runs on from window to window in a row, and a flag travels with the data where a stream starts
anew: the network zeroes just those rows. So series never leak into one another however they are
packed, and an epoch needs no reset of its own, since it begins with flags in every row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecaster.calendar import Clock, Times
from forecaster.covariates import Covariates
from forecaster.record import record_dtype
from forecaster.transform import Transform

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


# Steps before a held back part that give its state time to form; they are not scored.
_WARMUP = 200


@dataclass(frozen=True)
class Stream:
    """Samples of one series, or of one contiguous piece of it, in time order.

    Args:
        inputs: Shape `(steps, features)`.
        targets: What the network should say after each input, shape `(steps,)`.
        weights: What each step counts in the loss, shape `(steps,)`.
    """

    inputs: Array
    targets: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, steps: slice) -> "Stream":
        return Stream(self.inputs[steps], self.targets[steps], self.weights[steps])


@dataclass(frozen=True)
class Batches:
    """Packed streams, in the order in which the network sees them.

    Args:
        inputs: Shape `(batches, N, window, features)`.
        starts: 1.0 where a row's stream starts anew with this window, shape `(batches, N, 1)`.
        targets: Shape `(batches, N, window, 1)`.
        weights: Shape `(batches, N, window)`: 0 for padding, and 1 on average over all, so that the
            mean loss of an epoch is the mean over the steps that count.
    """

    inputs: Array
    starts: Array
    targets: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, count: int) -> "Batches":
        """Return the first batches."""
        return Batches(
            self.inputs[:count], self.starts[:count], self.targets[:count], self.weights[:count]
        )

    def rows(self, which: NDArray[np.intp]) -> "Batches":
        """Return some rows of every batch."""
        return Batches(
            self.inputs[:, which],
            self.starts[:, which],
            self.targets[:, which],
            self.weights[:, which],
        )


def samples(
    transform: Transform,
    histories: Sequence[Floats],
    seasons: NDArray[np.int64] | None = None,
    ds: Sequence[Times] | None = None,
    clock: Clock = Clock.NONE,
    covariates: Covariates | None = None,
    x: Sequence[Floats] | None = None,
) -> list[Stream]:
    """Walk the transform over whole series and return one stream for each.

    The walk is the service's own: step by step, all series side by side.

    Args:
        transform: Makes inputs and targets.
        histories: Values of each series, oldest first, of any lengths. NaN is a missing value: the
            value before stands in for it, and the step before it does not count. The first
            `context` values are known, which the job has checked.
        seasons: The season of each series and a shorter one within it, shape `(series, 2)`, 0 for
            none; none at all by default.
        ds: The times of each series, in the shapes of the histories, for a transform that keeps
            time.
        clock: What they count.
        covariates: Make further inputs, of `x`; none by default.
        x: The covariates of each series, shape `(n, covariates)`, NaN where one is missing.

    Returns:
        Streams of `len(history) - context` samples, in the order of the histories.
    """
    lengths = np.array([len(history) for history in histories], np.int64)
    order = np.argsort(-lengths, kind="stable")  # longest first: those still going are a prefix
    covariates = covariates or Covariates()
    fields = [*transform.fields, *covariates.fields]
    dtype = record_dtype(state_size=0, width=0, transform=fields)
    records = np.zeros(len(histories), dtype)
    records["clock"] = clock
    if seasons is not None:
        records["season"] = seasons[order]
    skipped = transform.context - 1
    steps = max(int(lengths.max(initial=0)) - transform.context, 0)
    features = transform.features + covariates.features
    inputs = np.zeros((steps, len(histories), features), np.float32)
    targets = np.zeros((steps, len(histories)), np.float32)
    last = np.zeros(len(histories))
    for t in range(skipped + steps):
        going = int(np.count_nonzero(lengths > t + 1))  # those with a value to come
        now, rows = records[:going], order[:going]
        y = np.array([histories[row][t] for row in rows])
        now["missing"] = np.isnan(y)
        if ds is not None:
            now["ds"] = [ds[row][t] for row in rows]
        now["gap"] = np.where(now["missing"], now["gap"] + 1, 0)
        y = last[:going] = np.where(now["missing"], last[:going], y)
        transform.observe(now, y)
        if x is not None and covariates.names:
            covariates.observe(now, np.array([x[row][t] for row in rows]))
            covariates.foresee(now, np.array([x[row][t + 1] for row in rows]))
        now["step"] += 1
        if t >= skipped:
            coming = np.array([histories[row][t + 1] for row in rows])[:, None]
            told = inputs[t - skipped]
            told[rows, : transform.features] = transform.inputs(now)
            if covariates.names:
                told[rows, transform.features :] = covariates.inputs(now)
            targets[t - skipped, rows] = transform.scale(now, np.nan_to_num(coming))[:, 0]
    streams = []
    for row, history in enumerate(histories):
        length = max(len(history) - transform.context, 0)
        known = ~np.isnan(history[transform.context :])
        streams.append(
            Stream(inputs[:length, row], targets[:length, row], known.astype(np.float32))
        )
    return streams


def tail(stream: Stream, count: int) -> Stream:
    """Return the last `count` steps, behind unscored ones in which the state forms."""
    start = len(stream) - count
    first = max(start - _WARMUP, 0)
    weights = stream.weights.copy()
    weights[:start] = 0.0
    return Stream(stream.inputs, stream.targets, weights)[first:]


def cut(streams: Sequence[Stream], *, batch: int, window: int) -> list[Stream]:
    """Cut streams longer than a row's fair share into contiguous pieces of whole windows.

    So one long series fills all rows of a batch, while a panel of many series stays whole.
    """
    total = sum(-(-len(stream) // window) for stream in streams)
    share = max(-(-total // batch), 1) * window
    pieces = []
    for stream in streams:
        parts = max(-(-len(stream) // share), 1)
        size = -(-len(stream) // (parts * window)) * window
        pieces += [stream[start : start + size] for start in range(0, len(stream), max(size, 1))]
    return pieces


def pack(streams: Sequence[Stream], *, batch: int, window: int) -> Batches:
    """Lay streams into the rows of a batch, longest first, each into the row that is shortest.

    Padding is at the end of a stream, where the state it leaves is dropped.

    Args:
        streams: At least one of them with a step that counts.
        batch: Rows, N.
        window: Steps in each batch.
    """
    rows: list[list[Stream]] = [[] for _ in range(batch)]
    windows = [0] * batch
    for stream in sorted(streams, key=len, reverse=True):
        shortest = windows.index(min(windows))
        rows[shortest].append(stream)
        windows[shortest] += -(-len(stream) // window)
    count, features = max(windows), streams[0].inputs.shape[1]
    inputs = np.zeros((batch, count * window, features), np.float32)
    targets = np.zeros((batch, count * window), np.float32)
    weights = np.zeros((batch, count * window), np.float32)
    starts = np.zeros((batch, count), np.float32)
    starts[:, 0] = 1.0
    for number, row in enumerate(rows):
        at = 0
        for stream in row:
            steps = slice(at, at + len(stream))
            inputs[number, steps] = stream.inputs
            targets[number, steps] = stream.targets
            weights[number, steps] = stream.weights
            starts[number, at // window] = 1.0
            at += -(-len(stream) // window) * window
    weights *= weights.size / weights.sum()
    split = (batch, count, window)
    return Batches(
        inputs=inputs.reshape(*split, features).swapaxes(0, 1),
        starts=starts.reshape(batch, count, 1).swapaxes(0, 1),
        targets=targets.reshape(*split, 1).swapaxes(0, 1),
        weights=weights.reshape(split).swapaxes(0, 1),
    )


def restart_every_window(batches: Batches) -> Batches:
    """Return the batches with every row starting anew in every one: nothing is carried."""
    return Batches(batches.inputs, np.ones_like(batches.starts), batches.targets, batches.weights)
