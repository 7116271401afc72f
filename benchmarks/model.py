"""The model that is measured: random weights, so nothing depends on a training run."""

import hashlib
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from forecaster import artifact
from forecaster.forecaster import Forecaster
from forecaster.model import build_forecaster
from forecaster.network import Weights
from forecaster.spec import (
    FORMAT_VERSION,
    HeadSpec,
    Manifest,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    RunningScaler,
)

Floats = NDArray[np.float64]
Records = NDArray[np.void]

NAME = "bench"


def model_spec(*units: int) -> ModelSpec:
    """Return LSTM layers under a quantile head, one of 32 units by default.

    1 feature in, 12 outputs.
    """
    head = HeadSpec(kind="quantiles")
    return ModelSpec(
        network=NetworkSpec(features=1, units=units or (32,), outputs=head.outputs),
        head=head,
        transform=PlainTransformSpec(difference=1),
        scaler=RunningScaler(),
    )


def random_weights(spec: NetworkSpec) -> Weights:
    """Return the same weights each time, small enough for the state to stay alive."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0.0, 0.3, shape).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


def make_forecaster(*units: int) -> Forecaster:
    """Return a forecaster of that model."""
    spec = model_spec(*units)
    return build_forecaster(spec, random_weights(spec.network))


def random_walk(length: int, seed: int = 0) -> Floats:
    """Return a series to observe."""
    return np.random.default_rng(seed).normal(0.0, 1.0, length).cumsum() + 100.0


def warm_records(forecaster: Forecaster, count: int) -> Records:
    """Return the records of so many series that have a forecast."""
    records = forecaster.new(count)
    for seed in range(3):
        y = np.random.default_rng(seed).normal(100.0, 1.0, count)
        records = forecaster.observe(records, y)
    return records


def write_model(models: Path, *units: int, trained_on: int = 0) -> Path:
    """Write the model's folder into a folder of models and return it.

    Args:
        models: The folder of models.
        units: Units of each layer.
        trained_on: How many series the folder holds the records of, as if trained on them.
    """
    folder = models / NAME
    spec = model_spec(*units)
    weights = random_weights(spec.network)
    forecaster = build_forecaster(spec, weights)
    records = warm_records(forecaster, trained_on)
    states = {f"series-{number}": record for number, record in enumerate(records)}
    contents = {
        artifact.WEIGHTS: safetensors.numpy.save(weights),
        artifact.SCALER: spec.scaler.model_dump_json().encode(),
        artifact.GOLDEN: artifact.trace(forecaster, random_walk(12)).model_dump_json().encode(),
        artifact.SERIES: artifact.encode_series(states, forecaster.dtype),
    }
    manifest = Manifest(
        format=FORMAT_VERSION,
        name=NAME,
        version="1",
        fingerprint=spec.fingerprint(hashlib.sha256(contents[artifact.WEIGHTS]).hexdigest()),
        network=spec.network,
        head=spec.head,
        transform=spec.transform,
        policy=spec.policy,
        context=forecaster.context,
        data={},
        libraries={"numpy": np.__version__},
        recipe={},
        scores={},
        files={},
    )
    artifact.save(folder, manifest, contents)
    return folder
