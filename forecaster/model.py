"""A model in memory: what fixes its steps, and the forecaster that does them."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from forecaster.calendar import Freq
from forecaster.covariates import Covariates
from forecaster.errors import EngineUnavailableError
from forecaster.forecaster import Forecaster
from forecaster.head import Head
from forecaster.journal import Season
from forecaster.network import Network, NumpyNetwork, Weights
from forecaster.spec import Manifest, ModelSpec, NetworkSpec, UniversalTransformSpec
from forecaster.transform import PlainTransform, Transform
from forecaster.universal import UniversalTransform

Records = NDArray[np.void]


class Engine(StrEnum):
    """What does the steps."""

    NUMPY = "numpy"
    KERAS = "keras"


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Args:
        manifest: What the model folder says of it.
        forecaster: Steps its records.
        states: The records that training's series had at its end, by `unique_id`.
    """

    manifest: Manifest
    forecaster: Forecaster
    states: dict[str, np.void]

    @property
    def season(self) -> Season | None:
        """The season of every series of which nothing else is said; `None`: its times tell it."""
        transform = self.manifest.transform
        return transform.season if isinstance(transform, UniversalTransformSpec) else None

    @property
    def name(self) -> str:
        """The name of its folder, by which calls ask for it."""
        return self.manifest.name


def build_forecaster(
    spec: ModelSpec,
    weights: Weights,
    engine: Engine = Engine.NUMPY,
    freq: Freq | None = None,
) -> Forecaster:
    """Return the forecaster of a model.

    Args:
        spec: All that fixes how it steps.
        weights: Every array that `spec.network.shapes()` names.
        engine: What does the steps; the answers agree within 1e-5.
        freq: The distance between observations, if there is one: a model that keeps time forecasts
            several steps by it.

    Raises:
        EngineUnavailableError: If the engine needs a package that is not installed.
    """
    return Forecaster(
        transform=_transform(spec),
        network=_network(spec.network, weights, engine),
        head=Head(spec.head),
        state_size=spec.network.state_size,
        policy=spec.policy,
        freq=freq,
        covariates=Covariates(spec.covariates),
    )


def _transform(spec: ModelSpec) -> Transform:
    if isinstance(spec.transform, UniversalTransformSpec):
        return UniversalTransform(spec.transform.calendar)
    return PlainTransform(spec.transform, spec.scaler)


def _network(spec: NetworkSpec, weights: Weights, engine: Engine) -> Network:
    if engine is Engine.NUMPY:
        return NumpyNetwork(spec, weights)
    try:
        from forecaster.keras_network import KerasNetwork
    except ImportError as error:
        raise EngineUnavailableError(
            f"engine 'keras' needs Keras and TensorFlow ({error}): "
            "install stepcast[training], or use engine 'numpy'"
        ) from error
    return KerasNetwork(spec, weights)
