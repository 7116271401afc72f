"""What its user fitted elsewhere: a network of Keras, and a scaler of scikit-learn.

What can be served is what steps one observation at a time: LSTM layers and one dense output, on one
feature. Everything else is refused by name, for it would be served as something that it is not.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import joblib
import keras
import numpy as np
from pydantic import ValidationError
from sklearn.preprocessing import MinMaxScaler as SklearnMinMaxScaler
from sklearn.preprocessing import StandardScaler

from forecaster.network import Array, Weights
from forecaster.spec import MinMaxScaler, NetworkSpec, Policy
from training.errors import UnservableError

_ONE_WAY = "a forecast is made step by step, so nothing comes from the other end; use LSTM"
_ONLY_LSTM = "only LSTM layers can be served; fit one, or use `stepcast train`"
# Keras tells the whole configuration of a network that it cannot load.
_LONGEST_SHOWN = 400
_REMEDIES = {
    "Bidirectional": _ONE_WAY,
    "GRU": _ONLY_LSTM,
    "SimpleRNN": _ONLY_LSTM,
    "RNN": _ONLY_LSTM,
    "TimeDistributed": "Dense does the same at each step",
    "Activation": "the output has to be linear",
}


@dataclass(frozen=True)
class OwnNetwork:
    """What there is to know of a network that its user fitted.

    Args:
        file: The name of its file.
        model: The network itself.
        spec: Its sizes.
        weights: By the names that `spec.shapes()` gives.
        policy: Whether its state is carried from step to step.
        batch: Rows that it takes at once.
        window: Steps that it takes at once; None for all.
    """

    file: str
    model: keras.Sequential
    spec: NetworkSpec
    weights: Weights
    policy: Policy
    batch: int
    window: int | None


def read_network(path: Path) -> OwnNetwork:
    """Read a `.keras` file.

    Raises:
        UnservableError: If it is none, or holds what cannot be served.
    """
    if not zipfile.is_zipfile(path):
        found = "another" if path.exists() else "none"
        raise UnservableError(
            path, f"expected a .keras file, as model.save('model.keras') writes, found {found}"
        )
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file raises whatever zip, HDF5 or TensorFlow raise
        reason = shorten(str(error) or repr(error), _LONGEST_SHOWN, placeholder=" ...")
        raise UnservableError(path, f"Keras cannot load it: {reason}") from error
    lstms, head = _layers(path, model)
    batch, window, features = model.input_shape
    if features != 1:
        raise UnservableError(
            path,
            f"expected 1 feature, found {features}; what goes in is the last value alone, for the "
            "state holds what came before",
        )
    _check_head(path, head)
    for lstm in lstms:
        _check_lstm(path, lstm)
    for layer in (*lstms, head):
        _check_precision(path, layer)
    weights = _weights(lstms, head)
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise UnservableError(path, f"{name} is not all numbers: the fit diverged")
    return OwnNetwork(
        file=path.name,
        model=model,
        spec=NetworkSpec(features=1, units=tuple(lstm.units for lstm in lstms), outputs=1),
        weights=weights,
        policy=_policy(path, lstms, window),
        batch=batch or 1,
        window=1 if window is None and lstms[0].stateful else window,
    )


def read_scaler(path: Path) -> MinMaxScaler:
    """Read a scaler: a `.json` file, or a `.joblib` file, which is code that this runs.

    Raises:
        UnservableError: If it is none, or one that cannot be served.
    """
    if path.suffix not in (".joblib", ".json"):
        raise UnservableError(path, "expected a .joblib or a .json file")
    try:
        if path.suffix == ".json":
            return MinMaxScaler.model_validate_json(path.read_bytes())
        return scaler_of(_load(path), path)
    except OSError as error:
        raise UnservableError(path, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "scaler"
        raise UnservableError(
            path,
            f"{field}: {first['msg'].removeprefix('Value error, ')}; expected data_min, data_max, "
            "and feature_min and feature_max where they are not -1 and 1",
        ) from error


def scaler_of(fitted: object, path: Path) -> MinMaxScaler:
    """Return a scaler of scikit-learn as the service has it: one linear map.

    Args:
        fitted: The scaler.
        path: The file it is from, for the message.

    Raises:
        UnservableError: If it is no such map of one column.
    """
    kind = type(fitted).__name__
    if not isinstance(fitted, SklearnMinMaxScaler | StandardScaler):
        raise UnservableError(path, f"expected a MinMaxScaler or a StandardScaler, found {kind}")
    columns = getattr(fitted, "n_features_in_", None)
    if columns is None:
        raise UnservableError(path, f"the {kind} is not fitted; save it after fit")
    is_standard = isinstance(fitted, StandardScaler)
    told = ("mean_", "scale_") if is_standard else ("data_min_", "data_max_")
    # Textbooks fit one to pairs of a value and the next, two columns of the same range.
    if any(np.ptp(values) > 0 for name in told if (values := getattr(fitted, name)) is not None):
        raise UnservableError(
            path,
            f"its {columns} columns are not scaled alike, and a series has one scale; fit one for "
            "the series alone",
        )
    if is_standard:
        mean = float(fitted.mean_[0]) if fitted.with_mean else 0.0
        deviation = float(fitted.scale_[0]) if fitted.with_std else 1.0
        # One deviation to either side of the mean is -1 and 1.
        return MinMaxScaler(data_min=mean - deviation, data_max=mean + deviation)
    if fitted.clip:
        raise UnservableError(
            path,
            "the MinMaxScaler clips, so that all beyond its range would look the same; "
            "set clip=False",
        )
    low, high = fitted.feature_range
    return MinMaxScaler(
        data_min=float(fitted.data_min_[0]),
        data_max=float(fitted.data_max_[0]),
        feature_min=float(low),
        feature_max=float(high),
    )


def _load(path: Path) -> object:
    """Return what a .joblib file holds, running what is in it."""
    try:
        return joblib.load(path)
    except OSError:
        raise
    except Exception as error:  # whatever is in it may raise
        raise UnservableError(path, f"joblib cannot load it: {error!r}") from error


def outputs_of(network: OwnNetwork, inputs: Array) -> Array:
    """Return what the user's own network says to inputs in a row, on its own terms.

    Args:
        network: The network. Its states are zeroed before and left as they come.
        inputs: Shape `(steps, 1, 1)`.

    Returns:
        Shape `(steps, 1, 1)`.
    """
    steps = len(inputs)
    for layer in network.model.layers:
        if isinstance(layer, keras.layers.LSTM) and layer.stateful:
            layer.reset_state()
    at_once = network.window or steps
    padded = np.zeros((-(-steps // at_once) * at_once, 1, 1), np.float32)
    padded[:steps] = inputs
    outputs = [
        np.asarray(network.model(np.tile(part.reshape(1, at_once, 1), (network.batch, 1, 1))))
        for part in np.split(padded, len(padded) // at_once)
    ]
    return np.concatenate([output[0].reshape(at_once, 1, 1) for output in outputs])[:steps]


def _layers(path: Path, model: Any) -> tuple[list[Any], Any]:
    """Return the LSTM layers and the head."""
    if not isinstance(model, keras.Sequential):
        raise UnservableError(path, f"expected a Sequential, found a {type(model).__name__}")
    if not model.built or not model.layers:
        raise UnservableError(path, "it was never built; save it after fit")
    layers = [layer for layer in model.layers if type(layer) is not keras.layers.Dropout]
    if layers and type(layers[-1]) is not keras.layers.Dense:
        _refuse_layer(path, layers[-1])
    for layer in layers[:-1]:
        if type(layer) is not keras.layers.LSTM:
            _refuse_layer(path, layer)
    if len(layers) < 2:
        raise UnservableError(path, "expected LSTM layers and a Dense one, found no LSTM")
    return layers[:-1], layers[-1]


def _refuse_layer(path: Path, layer: Any) -> None:
    kind = type(layer).__name__
    remedy = _REMEDIES.get(kind, "expected LSTM layers, Dropout, and one Dense layer at the end")
    raise UnservableError(path, f"layer {layer.name!r} is a {kind}: {remedy}")


def _check_lstm(path: Path, lstm: Any) -> None:
    for name, expected in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        _check_activation(path, lstm, name, expected)
    if lstm.go_backwards:
        raise UnservableError(path, f"layer {lstm.name!r} has go_backwards=True: {_ONE_WAY}")


def _check_head(path: Path, head: Any) -> None:
    _check_activation(path, head, "activation", "linear")
    if head.units != 1:
        raise UnservableError(
            path,
            f"layer {head.name!r} has {head.units} units, expected 1: the next value. Forecasts "
            "further ahead are rolled on from it",
        )


def _check_precision(path: Path, layer: Any) -> None:
    if layer.compute_dtype not in ("float32", "float64"):
        raise UnservableError(
            path,
            f"layer {layer.name!r} computes in {layer.compute_dtype}, only float32 and float64 can "
            "be served; its answers would not be the same",
        )


def _check_activation(path: Path, layer: Any, name: str, expected: str) -> None:
    activation = getattr(layer, name)
    found = getattr(activation, "__name__", type(activation).__name__)
    if found != expected:
        raise UnservableError(
            path, f"layer {layer.name!r} has {name}={found!r}, only {expected!r} can be served"
        )


def _policy(path: Path, lstms: list[Any], window: int | None) -> Policy:
    """Return whether state is carried, as the layers and the length of a sample say."""
    if len({lstm.stateful for lstm in lstms}) > 1:
        raise UnservableError(path, "some LSTM layers are stateful and some are not; make all so")
    is_stateful, tells_each_step = lstms[-1].stateful, lstms[-1].return_sequences
    if window == 1:
        return Policy.CARRY if is_stateful else Policy.RESET_EACH_STEP
    # Over samples of any length, over what is carried from one to the next, or both.
    if tells_each_step and (is_stateful or window is None):
        return Policy.CARRY
    if is_stateful and window is None:
        return Policy.CARRY
    steps = "any number of" if window is None else str(window)
    why = (
        "there is one forecast for all of them"
        if is_stateful
        else "the state is zero at the start of each"
    )
    raise UnservableError(
        path,
        f"a sample has {steps} time steps, and {why}; observations come one by one, so fit it "
        "with samples of one time step, stateful",
    )


def _weights(lstms: list[Any], head: Any) -> Weights:
    """Return the weights by the names that an artifact uses; a bias that is not there is zero."""
    weights: Weights = {}
    for number, lstm in enumerate(lstms):
        bias = lstm.cell.bias
        weights |= {
            f"lstm_{number}/kernel": np.asarray(lstm.cell.kernel, np.float32),
            f"lstm_{number}/recurrent_kernel": np.asarray(lstm.cell.recurrent_kernel, np.float32),
            f"lstm_{number}/bias": np.zeros(4 * lstm.units, np.float32)
            if bias is None
            else np.asarray(bias, np.float32),
        }
    return weights | {
        "head/kernel": np.asarray(head.kernel, np.float32),
        "head/bias": np.zeros(1, np.float32)
        if head.bias is None
        else np.asarray(head.bias, np.float32),
    }
