"""From a trained network to a model folder, parity-checked before anything is written."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import JsonValue

from forecaster import artifact
from forecaster.calendar import Freq, Times
from forecaster.cursor import OnGap
from forecaster.forecaster import Forecaster
from forecaster.journal import NO_SEASON, Season
from forecaster.keras_network import KerasNetwork, build
from forecaster.model import Engine, build_forecaster
from forecaster.network import Array, Network, NumpyNetwork, Weights
from forecaster.record import SCORE_FIELDS
from forecaster.spec import FORMAT_VERSION, Manifest, ModelSpec
from training.backtest import seeded
from training.data import Panel
from training.errors import ParityError
from training.network import StreamNetwork, get_weights, predict, set_weights
from training.streams import Batches

Floats = NDArray[np.float64]

# The parity check walks so many steps of so many rows, for Keras takes them one at a time.
_PARITY_STEPS = 64
_PARITY_ROWS = 8
# In the golden trace.
_GOLDEN_VALUES = 64

_LIBRARIES = ("keras", "numpy", "pandas", "scikit-learn", "stepcast", "tensorflow")


class _OneByOne:
    """Steps a network one series at a time, as a batch-1 network does."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Feed one input to each of K series; see `forecaster.network.Network.step`."""
        rows = [
            self._network.step(x[row : row + 1], h[row : row + 1], c[row : row + 1])
            for row in range(len(x))
        ]
        out, h, c = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
        return out, h, c


def check_parity(network: StreamNetwork, spec: ModelSpec, batches: Batches) -> dict[str, float]:
    """Walk the same inputs through four networks with the same weights.

    Against row i of the batch-N network that was trained: the batch-1 stateful Keras model, the
    NumPy network one series at a time, and the NumPy network for all rows at once. All rows have
    the same weights: those few that are fed most are walked.

    Args:
        network: As trained. Its states are put back.
        spec: The model.
        batches: Inputs, as packed for training.

    Returns:
        The largest difference of each from the trained network.

    Raises:
        ParityError: If one is further away than `artifact.PARITY`.
    """
    first = batches.first(max(_PARITY_STEPS // batches.inputs.shape[2], 1))
    states = network.get_states()
    expected = predict(network, first)
    network.set_states(states)
    fed = np.count_nonzero(first.inputs.any(axis=-1), axis=(0, 2))
    rows = np.argsort(-fed, kind="stable")[:_PARITY_ROWS]
    return compare(expected[:, rows], first.rows(rows), spec, get_weights(network))


def compare(
    expected: Array, batches: Batches, spec: ModelSpec, weights: Weights
) -> dict[str, float]:
    """Walk inputs through the networks that are served, and hold them against known outputs.

    Args:
        expected: The outputs, shape `(batches, N, window, outputs)`.
        batches: The inputs.
        spec: The model.
        weights: By the names that `spec.network.shapes()` gives.

    Returns:
        The largest difference of each network, as a share of outputs beyond 1.

    Raises:
        ParityError: If one is further away than `artifact.PARITY`.
    """
    numpy_network = NumpyNetwork(spec.network, weights)
    others: dict[str, Network] = {
        "keras, batch 1": KerasNetwork(spec.network, weights),
        "numpy, batch 1": _OneByOne(numpy_network),
        "numpy, batch K": numpy_network,
    }
    # What a state that is fed nothing comes to behind the end of a stream is of no use to anyone.
    is_fed = batches.inputs.any(axis=-1)
    apart = {}
    for name, other in others.items():
        found = step_through(other, batches, spec.network.state_size)
        # Beyond 1 what counts is the share: single precision has seven digits.
        away = np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)
        apart[name] = float(away[is_fed].max(initial=0.0))
    for name, difference in apart.items():
        if not difference <= artifact.PARITY:
            raise ParityError(
                f"{name}: expected outputs within {artifact.PARITY} of the trained network, "
                f"found {difference:.2g}"
            )
    return apart


def residual_offsets(
    network: StreamNetwork, batches: Batches, quantiles: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the quantiles of a mean network's residuals, in network units.

    Level q is the residual of rank q (n + 1), as split conformal prediction takes it; beyond the
    smallest and the largest residual it stays at them.

    Args:
        network: As trained, with one output.
        batches: Streams to take residuals of; steps of no weight do not count.
        quantiles: The levels, rising.
    """
    return offsets_of(predict(network, batches), batches, quantiles)


def offsets_of(outputs: Array, batches: Batches, quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return what `residual_offsets` does of outputs that are there already."""
    residuals = (batches.targets - outputs)[..., 0][batches.weights > 0]
    offsets = np.quantile(residuals.astype(np.float64), quantiles, method="weibull")
    return tuple(offsets.tolist())


def export(
    folder: Path,
    *,
    spec: ModelSpec,
    weights: Weights,
    golden: Floats,
    golden_season: Season = NO_SEASON,
    golden_ds: Times | None = None,
    golden_x: Floats | None = None,
    history: Panel | None,
    seasons: list[Season] | None = None,
    season: int,
    on_gap: OnGap,
    data: dict[str, JsonValue],
    recipe: dict[str, JsonValue],
    scores: dict[str, JsonValue],
    report: dict[str, bytes],
    replace: bool = False,
) -> Manifest:
    """Write a model folder.

    Args:
        folder: Where; its last part is the model's name.
        spec: All that fixes how the model steps, its weights aside.
        weights: By the names that `spec.network.shapes()` gives.
        golden: Values of the golden trace; the first of them are taken.
        golden_season: Their season.
        golden_ds: Their times, in microseconds since 1970.
        golden_x: Their covariates, shape `(n, covariates)`, for a model that has any.
        history: What the model was trained on, if it was on series of its user: their records go
            along.
        seasons: The season of each of these, for a transform that takes note of it.
        season: The usual season of such data.
        on_gap: What became of steps left out in training.
        data: Facts of the data, for the manifest.
        recipe: How it was trained.
        scores: How it did on data held back, beside the baselines.
        report: Files of the report, by their path inside the folder.
        replace: Whether a folder of that name may be replaced.

    Raises:
        ArtifactError: If the folder exists and may not be replaced.
        ParityError: If the golden trace of Keras is not that of the NumPy network.
    """
    freq = Freq.parse(history.freq) if history and history.freq else None
    forecaster = build_forecaster(spec, weights, Engine.NUMPY, freq)
    reference = build_forecaster(spec, weights, Engine.KERAS, freq)
    times = None if golden_ds is None else golden_ds[:_GOLDEN_VALUES]
    covariates = golden_x[:_GOLDEN_VALUES] if spec.covariates and golden_x is not None else None
    values = golden[:_GOLDEN_VALUES]
    trace = artifact.trace(reference, values, golden_season, times, covariates)
    apart = artifact.distance(forecaster, trace)
    if not apart <= artifact.PARITY:
        raise ParityError(f"golden trace: NumPy is {apart:.2g} away from Keras")
    content = safetensors.numpy.save(weights)
    manifest = Manifest(
        format=FORMAT_VERSION,
        name=folder.name,
        version=version("stepcast"),
        fingerprint=spec.fingerprint(artifact.sha256(content)),
        network=spec.network,
        head=spec.head,
        transform=spec.transform,
        policy=spec.policy,
        covariates=spec.covariates,
        freq=history.freq if history else None,
        season=season,
        on_gap=on_gap,
        context=forecaster.context,
        data=data,
        libraries={name: version(name) for name in _LIBRARIES},
        recipe=recipe,
        scores=scores,
        files={},
    )
    contents = {
        artifact.WEIGHTS: content,
        artifact.SCALER: spec.scaler.model_dump_json(indent=2).encode() + b"\n",
        artifact.GOLDEN: trace.model_dump_json().encode() + b"\n",
        artifact.SERIES: artifact.encode_series(
            states(forecaster, history, seasons) if history else {}, forecaster.dtype
        ),
        "model.keras": _keras_file(spec, weights),
        **report,
    }
    return artifact.save(folder, manifest, contents, replace=replace)


def states(
    forecaster: Forecaster, history: Panel, seasons: list[Season] | None = None
) -> dict[str, np.void]:
    """Return the record of each series at the end of its history."""
    records = seeded(forecaster, history, seasons)
    # Scores are kept for what was forecast unseen, and these were trained on.
    for name in SCORE_FIELDS:
        records[name] = 0
    return dict(zip(history.ids, records, strict=True))


def step_through(network: Network, batches: Batches, state_size: int) -> Array:
    """Return the outputs `(batches, N, window, outputs)` of a network that steps."""
    rows = batches.inputs.shape[1]
    h = c = np.zeros((rows, state_size), np.float32)
    outputs = []
    for inputs, starts in zip(batches.inputs, batches.starts, strict=True):
        h, c = h * (1.0 - starts), c * (1.0 - starts)
        for t in range(inputs.shape[1]):
            out, h, c = network.step(inputs[:, t], h, c)
            outputs.append(out)
    shape = (len(batches), -1, rows, outputs[0].shape[1])
    return np.array(outputs).reshape(shape).swapaxes(1, 2)


def _keras_file(spec: ModelSpec, weights: Weights) -> bytes:
    """Return the batch-1 Keras model as a `.keras` file."""
    model = build(spec.network)
    set_weights(model, weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()
