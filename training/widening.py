"""How much wider intervals have to be on what a network did not learn from.

Quantiles that were fitted to some series lie too close on what comes after. So they are held
against a stretch held back, and each interval is widened to cover there what it says: split
conformal prediction, as Romano, Patterson and Candes (2019), "Conformalized quantile regression",
do it, with a factor in place of a distance.
"""

import numpy as np
from numpy.typing import NDArray

from forecaster.head import Head, interval_levels
from forecaster.scores import LEVELS
from forecaster.spec import HeadSpec
from training.network import StreamNetwork, predict
from training.streams import Array, Batches

Floats = NDArray[np.float64]

# With so many steps held back half of what they say is believed.
_HALF = 50.0
_MOST = 1.0  # of a logarithm


def widened_head(spec: HeadSpec, network: StreamNetwork, held_back: Batches) -> HeadSpec:
    """Return the head with intervals that hold on steps that the network did not learn from."""
    counts = held_back.weights > 0
    outputs, targets = predict(network, held_back)[counts], held_back.targets[counts][:, 0]
    return spec.model_copy(update={"widened": widening(Head(spec), outputs, targets)})


def widening(head: Head, outputs: Array, targets: Array) -> tuple[float, ...]:
    """Return the logarithm of what the interval of each of `LEVELS` is to be widened by.

    Args:
        head: Reads the outputs.
        outputs: Shape `(n, outputs)`.
        targets: What came, shape `(n,)`, in the same units.
    """
    quantiles = head.read(outputs)[:, 1:]
    (median,) = head.at(quantiles, [0.5]).T
    found = []
    for level in LEVELS:
        low, high = head.at(quantiles, interval_levels(level)).T
        is_above = targets >= median
        away = np.abs(targets - median)
        reach = np.maximum(np.where(is_above, high - median, median - low), 1e-12)
        needed = float(np.quantile(away / reach, level / 100.0, method="higher"))
        share = len(targets) / (len(targets) + _HALF)
        found.append(float(np.clip(share * np.log(max(needed, 1e-12)), -_MOST, _MOST)))
    return tuple(found)
