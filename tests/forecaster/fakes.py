"""A network to reckon with by hand, forecasters of every kind, and a small model folder."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from forecaster import artifact
from forecaster.calendar import Freq, encode_time
from forecaster.covariates import Covariates
from forecaster.forecaster import Forecaster
from forecaster.head import Head
from forecaster.model import build_forecaster
from forecaster.network import Array, Network, NumpyNetwork, Weights
from forecaster.spec import (
    FORMAT_VERSION,
    QUANTILES,
    Covariate,
    HeadSpec,
    Manifest,
    MinMaxScaler,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    Policy,
    RunningScaler,
    Scaler,
)
from forecaster.transform import PlainTransform

HeadKind = Literal["mean", "quantiles"]

MINMAX = MinMaxScaler(data_min=-4.0, data_max=6.0)
RUNNING = RunningScaler(window=10)
FIRST_DAY = encode_time(datetime(2020, 1, 1))


class FakeNetwork:
    """Halves `h` and adds the input, counts its steps in `c`, and says `h` at every output."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        h_new = h / np.float32(2) + x[:, :1]
        return np.repeat(h_new[:, :1], self.outputs, axis=1), h_new, c + np.float32(1)


class Setup(NamedTuple):
    """One kind of forecaster."""

    network: Literal["fake", "numpy"] = "fake"
    head: HeadKind = "quantiles"
    difference: int = 1
    scaler: Scaler = MINMAX
    policy: Policy = Policy.CARRY


def head_spec(kind: HeadKind) -> HeadSpec:
    """Return a head with the usual quantiles; a mean's are half a unit away at the most."""
    offsets = tuple(q - 0.5 for q in QUANTILES) if kind == "mean" else ()
    return HeadSpec(kind=kind, offsets=offsets)


def random_weights(spec: NetworkSpec, seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0.0, 0.5, shape).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


@cache
def make_network(setup: Setup) -> Network:
    outputs = head_spec(setup.head).outputs
    if setup.network == "fake":
        return FakeNetwork(outputs)
    spec = NetworkSpec(features=1, units=(3, 2), outputs=outputs)
    return NumpyNetwork(spec, random_weights(spec))


@cache
def make_forecaster(setup: Setup) -> Forecaster:
    return Forecaster(
        transform=PlainTransform(PlainTransformSpec(difference=setup.difference), setup.scaler),
        network=make_network(setup),
        head=Head(head_spec(setup.head)),
        state_size=1 if setup.network == "fake" else 5,
        policy=setup.policy,
    )


def write_model(
    folder: Path,
    *,
    units: tuple[int, ...] = (4,),
    head: HeadKind = "quantiles",
    difference: int = 1,
    scaler: Scaler = MINMAX,
    policy: Policy = Policy.CARRY,
    covariates: tuple[Covariate, ...] = (),
    freq: str | None = None,
    states: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
    replace: bool = False,
) -> Path:
    """Write a model folder with random weights, its golden trace from the NumPy network.

    Args:
        folder: The folder to make; its name is the model's.
        units: The units of each layer.
        head: The kind of head.
        difference: The lag of the difference.
        scaler: The scaler.
        policy: Whether state is carried.
        covariates: What else it is told of each step.
        freq: The model's frequency.
        states: The values that training's series had, by `unique_id`. With a `freq` they have
            times too, the first one 2020-01-01, or 1 where time is a whole number.
        seed: Fixes the weights.
        replace: Whether a folder that exists may be replaced.

    Returns:
        The folder.
    """
    heads = head_spec(head)
    spec = ModelSpec(
        network=NetworkSpec(
            features=1 + Covariates(covariates).features, units=units, outputs=heads.outputs
        ),
        head=heads,
        transform=PlainTransformSpec(difference=difference),
        scaler=scaler,
        policy=policy,
        covariates=covariates,
    )
    weights = random_weights(spec.network, seed)
    forecaster = build_forecaster(spec, weights)
    y = np.random.default_rng(seed).normal(0.0, 2.0, forecaster.context + 10).cumsum()
    x = draw_covariates(covariates, len(y), seed) if covariates else None
    contents = {
        artifact.WEIGHTS: safetensors.numpy.save(weights),
        artifact.SCALER: scaler.model_dump_json().encode(),
        artifact.GOLDEN: artifact.trace(forecaster, y, x=x).model_dump_json().encode(),
        artifact.SERIES: artifact.encode_series(
            _records(forecaster, states or {}, freq), forecaster.dtype
        ),
        "report/index.html": b"<!doctype html>",
    }
    digest = hashlib.sha256(contents[artifact.WEIGHTS]).hexdigest()
    manifest = Manifest(
        format=FORMAT_VERSION,
        name=folder.name,
        version="1",
        fingerprint=spec.fingerprint(digest),
        network=spec.network,
        head=spec.head,
        transform=spec.transform,
        policy=spec.policy,
        covariates=spec.covariates,
        freq=freq,
        season=Freq.parse(freq).season if freq else 1,
        context=forecaster.context,
        data={"rows": 100},
        libraries={"numpy": np.__version__},
        recipe={"units": list(units)},
        scores={"model": {"rmse": 1.5, "mase": None}},
        files={},
    )
    artifact.save(folder, manifest, contents, replace=replace)
    return folder


def draw_covariates(
    covariates: Sequence[Covariate], steps: int, seed: int, missing: float = 0.2
) -> NDArray[np.float64]:
    """Return values of covariates, shape `(steps, covariates)`, some of them missing."""
    rng = np.random.default_rng(seed)
    x = np.empty((steps, len(covariates)))
    for number, one in enumerate(covariates):
        words = len(one.categories)
        x[:, number] = (
            rng.integers(1, words + 1, steps) if words else rng.normal(number, 10.0**number, steps)
        )
    x[rng.random(x.shape) < missing] = np.nan
    return x


def _records(
    forecaster: Forecaster, states: Mapping[str, Sequence[float]], freq: str | None
) -> dict[str, np.void]:
    """Return the records of series that have observed these values."""
    histories = [np.array(values, np.float64) for values in states.values()]
    if freq is None:
        records = forecaster.seed(histories)
    else:
        step = Freq.parse(freq)
        first = np.array([FIRST_DAY if step.unit else 1], np.int64)
        ds = [
            np.concatenate([step.advance(first, n) if n else first for n in range(len(history))])
            for history in histories
        ]
        records = forecaster.seed(histories, ds, step.clock)
    return dict(zip(states, records, strict=True))
