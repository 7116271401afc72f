"""Fitted peers: AutoETS, AutoARIMA and AutoTheta of statsforecast, over the steps a model walked.

Each is fitted once, to what came before the test. Before each step of the test it is run forward
over all that is known by then, its parameters as they were fitted, and forecasts one step. So a
forecast depends on nothing that comes after it.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from forecaster.scores import UNIVERSAL
from forecaster.spec import QUANTILES
from training.backtest import Progress, Walk, filled

Floats = NDArray[np.float64]

# Of a larger panel a sample is compared: one series can take AutoARIMA a minute.
MOST_SERIES = 50
# Of a longer history the end is fitted to.
LONGEST = 4000
_SEED = 1

# Central intervals whose bounds are the model's quantiles, outermost first, in percent.
_LEVELS = [round(100.0 * (1.0 - 2.0 * quantile)) for quantile in QUANTILES if quantile < 0.5]


class Peer(Protocol):
    """A model of statsforecast."""

    def fit(self, y: Floats) -> Any:
        """Learn a history, in place."""

    def forward(self, y: Floats, h: int, *, level: list[int]) -> Mapping[str, Any]:
        """Return `mean`, `lo-80`, `hi-80` and so on of the `h` steps after other values."""


# Makes a peer for a season.
Peers = Mapping[str, Callable[[int], Peer]]


def find_peers() -> Peers:
    """Return the peers by name.

    Raises:
        ImportError: If statsforecast is not installed.
    """
    from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

    return {
        "AutoETS": lambda season: AutoETS(season_length=season),
        "AutoARIMA": lambda season: AutoARIMA(season_length=season),
        "AutoTheta": lambda season: AutoTheta(season_length=season),
    }


@dataclass(frozen=True)
class Beside:
    """A walk of a peer.

    Args:
        walk: With the peer's forecasts in the model's place.
        failed: How many series it could not be fitted to. Persistence stands in for it there.
    """

    walk: Walk
    failed: int


def compare(
    walk: Walk, universal: Walk | None, peers: Peers, progress: Progress | None = None
) -> dict[str, JsonValue]:
    """Score a model beside fitted peers, all on the same series and steps.

    Args:
        walk: The model's.
        universal: The universal model's over the same, if it is another one.
        peers: With what to compare.
        progress: Called with the fits done and the fits there are.

    Returns:
        As a manifest has it: `series` compared `of` all, the scores of each in `methods`, and how
        often a peer `failed`.
    """
    rows = sample(len(walk.ids))
    some = walk.of(rows)
    methods = some.summary()
    if universal is not None:
        methods[UNIVERSAL] = universal.of(rows).summary()["model"]
    failed: dict[str, JsonValue] = {}
    for number, (name, make) in enumerate(peers.items()):
        beside = walk_peer(some, make, _part(progress, number, len(peers)))
        methods[name] = beside.walk.summary()["model"]
        failed[name] = beside.failed
    return {
        "series": len(rows),
        "of": len(walk.ids),
        "methods": {**methods},
        "failed": failed,
    }


def sample(count: int) -> list[int]:
    """Return which of so many series are compared: all, or of many always the same ones."""
    if count <= MOST_SERIES:
        return list(range(count))
    rng = np.random.default_rng(_SEED)
    return sorted(rng.choice(count, MOST_SERIES, replace=False).tolist())


def walk_peer(
    walk: Walk, make: Callable[[int], Peer], progress: Callable[[int, int], None] | None = None
) -> Beside:
    """Walk a peer over the steps of a walk, one series after the other.

    Where the last value is all that can be forecast, since no fit comes about, it is, with no
    quantiles but itself.

    Args:
        walk: Whose steps they are.
        make: Makes the peer for the walk's season.
        progress: Called with the series done and those there are.
    """
    mean = walk.forecasts["persistence"].copy()
    quantiles = np.repeat(mean[..., None], len(QUANTILES), axis=-1)
    failed = 0
    for row, (history, y) in enumerate(zip(walk.histories, walk.y, strict=True)):
        try:
            mean[row], quantiles[row] = _walk_one(make(walk.season), history, y)
        except Exception:  # of any kind: for short or odd series they are not of one family
            failed += 1
        if progress is not None:
            progress(row + 1, len(walk.ids))
    forecasts = walk.forecasts | {"model": mean}
    return Beside(replace(walk, forecasts=forecasts, quantiles=quantiles, ahead=None), failed)


def _walk_one(peer: Peer, history: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return mean `(n,)` and quantiles `(n, levels)` for each actual.

    A missing value is stood in for by the last one known in the history, and by what was forecast
    for it in the test, as the service does.
    """
    known = np.concatenate([filled(history)[-LONGEST:], y])
    first = len(known) - len(y)
    mean, quantiles = np.empty(len(y)), np.empty((len(y), len(QUANTILES)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of divisions by nothing in series that stand still
        peer.fit(known[:first])
        for t in range(len(y)):
            told = peer.forward(known[: first + t], 1, level=_LEVELS)
            told = {name: float(np.asarray(value)[0]) for name, value in told.items()}
            mean[t] = told["mean"]
            low = [told[f"lo-{level}"] for level in _LEVELS]
            high = [told[f"hi-{level}"] for level in reversed(_LEVELS)]
            quantiles[t] = [*low, told["mean"], *high]
            if np.isnan(y[t]):
                known[first + t] = mean[t]
    if not (np.isfinite(mean).all() and np.isfinite(quantiles).all()):
        raise ValueError("a forecast is no finite number")
    return mean, quantiles


def _part(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Return what tells of one part of as long a work as all others."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, parts * total)
