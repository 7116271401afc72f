"""Raw values to network inputs, and network outputs to raw values.

Everything is causal: what a series needs from its past is in its record. Training walks the same
code over whole series, so the two cannot differ.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forecaster.spec import MinMaxScaler, PlainTransformSpec, RunningScaler, Scaler

Floats = NDArray[np.float64]
Records = NDArray[np.void]

# Inputs and targets further out than this say no more to the network, and an infinity would stay
# in its state for good.
LIMIT = 100.0

# Once so many differences are known, one counts for no more than so many times the running scale:
# an outlier would blow the scale up for thousands of steps, a new scale is reached all the same.
_SETTLED = 8
_OUTLIER = 6.0


class Transform(Protocol):
    """Turns what a series has seen into the network's input, and its output into values."""

    @property
    def context(self) -> int:
        """How many observations are needed before the first input."""
        ...

    @property
    def features(self) -> int:
        """The width of an input."""
        ...

    @property
    def keeps_time(self) -> bool:
        """Whether inputs depend on the times of observations."""
        ...

    @property
    def fields(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """What it keeps in a record, each field as name, dtype and shape; zeros when new."""
        ...

    def observe(self, records: Records, y: Floats) -> None:
        """Take the value `y`, shape `(K,)`, into its own fields of K records, in place.

        The records' `step` still counts the observations before this one.
        """
        ...

    def inputs(self, records: Records) -> NDArray[np.float32]:
        """Return the inputs `(K, features)` that the last observations make."""
        ...

    def scale(self, records: Records, y: Floats) -> Floats:
        """Return what the network should have said for the next values `y`, shape `(K, n)`."""
        ...

    def unscale(self, records: Records, z: Floats) -> Floats:
        """Return the next values that the network means by `z`, shape `(K, n)`."""
        ...


class PlainTransform:
    """A difference at one lag, then one scale: the transform of the textbook recipe.

    Args:
        spec: The lag of the difference.
        scaler: One map fitted in training, or the running scale of each series.
    """

    features = 1
    keeps_time = False

    def __init__(self, spec: PlainTransformSpec, scaler: Scaler) -> None:
        self._lag = spec.difference
        self._scaler = scaler
        self.context = self._lag + 1
        self.fields: list[tuple[str, str, tuple[int, ...]]] = [("tail", "<f8", (self.context,))]
        if isinstance(scaler, RunningScaler):
            self.fields.append(("rms", "<f8", ()))

    def observe(self, records: Records, y: Floats) -> None:
        """Take the next value; see `Transform.observe`."""
        tail = records["tail"]
        tail[:, :-1] = tail[:, 1:]
        tail[:, -1] = y
        if isinstance(self._scaler, RunningScaler):
            seen = records["step"] - self._lag  # differences before this one
            gain = 1.0 / np.minimum(np.maximum(seen + 1.0, 1.0), self._scaler.window)
            old = records["rms"]
            change = np.abs(self._last_change(records))
            settled = (seen >= _SETTLED) & (old > 0)
            change = np.where(settled, np.minimum(change, _OUTLIER * old), change)
            # The mean of squares, kept as its root so that 1e300 does not overflow.
            new = np.hypot(old * np.sqrt(1.0 - gain), change * np.sqrt(gain))
            records["rms"] = np.where(seen >= 0, new, old)

    def inputs(self, records: Records) -> NDArray[np.float32]:
        """Return the last difference, scaled; see `Transform.inputs`."""
        scaled = self._scaled(records, self._last_change(records)[:, None])
        return scaled.astype(np.float32)

    def scale(self, records: Records, y: Floats) -> Floats:
        """Return the next differences, scaled; see `Transform.scale`."""
        return self._scaled(records, y - self._base(records))

    def unscale(self, records: Records, z: Floats) -> Floats:
        """Return the inverse of `scale`."""
        scaler = self._scaler
        if isinstance(scaler, MinMaxScaler):
            factor, offset = _minmax(scaler)
            change = (z - offset) / factor
        else:
            change = z * records["rms"][:, None]
        return change + self._base(records)

    def _base(self, records: Records) -> Floats:
        """The value from which the next difference is taken, shape `(K, 1)`."""
        tail: Floats = records["tail"]
        return tail[:, 1:2] if self._lag else np.zeros((len(records), 1))

    def _last_change(self, records: Records) -> Floats:
        tail: Floats = records["tail"]
        return tail[:, -1] - tail[:, 0] if self._lag else tail[:, -1]

    def _scaled(self, records: Records, change: Floats) -> Floats:
        scaler = self._scaler
        with np.errstate(over="ignore"):  # an infinity is beyond the limit too
            if isinstance(scaler, MinMaxScaler):
                factor, offset = _minmax(scaler)
                scaled = change * factor + offset
            else:
                # A series that never moved has no scale: its next change is none.
                size = records["rms"][:, None]
                scaled = change / np.where(size > 0, size, np.inf)
        return np.maximum(np.minimum(scaled, LIMIT), -LIMIT)


def _minmax(scaler: MinMaxScaler) -> tuple[float, float]:
    """Return scikit-learn's `scale_` and `min_`: a range of next to nothing counts as 1."""
    width = scaler.data_max - scaler.data_min
    if width < 10 * np.finfo(np.float64).eps:
        width = 1.0
    factor = (scaler.feature_max - scaler.feature_min) / width
    return factor, scaler.feature_min - scaler.data_min * factor
