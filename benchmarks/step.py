"""Row 2: one step of the network, against the bare product, ONNX Runtime and a `tf.function`.

All do the same: one LSTM layer and a dense head of 12 outputs, float32, states in and states out,
on one thread. All but the bare product are checked to give the same numbers first.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Lines, Note, interleave, row, timed
from benchmarks.model import model_spec, random_weights
from forecaster.network import NumpyNetwork, Weights
from forecaster.spec import NetworkSpec

Array = NDArray[np.float32]
Outputs = tuple[Array, Array, Array]
# Prepares a call for these inputs and states, and says how its outputs are read.
Prepare = Callable[[Array, Array, Array], tuple[Callable[[], object], Callable[[], Outputs]]]

COUNTS = (1, 64, 1024, 8192, 65536)
UNITS = (32, 128)
MATMUL = "bare matmul"
_TOLERANCE = 1e-5


def run(folder: Path, *, quick: bool) -> Lines:
    """Return microseconds a step of each implementation, at each size."""
    lines: Lines = []
    rounds = 3 if quick else 15
    makers, missing = _implementations()
    lines += [Note("step", text) for text in missing]
    for units in UNITS:
        spec = model_spec(units).network
        weights = random_weights(spec)
        prepared = {name: make(spec, weights) for name, make in makers.items()}
        for count in COUNTS[:4] if quick else COUNTS:
            x, h, c = _inputs(spec, count)
            calls = {MATMUL: _matmul(spec, count)}
            outputs = {}
            for name, prepare in prepared.items():
                calls[name], read = prepare(x, h, c)
                outputs[name] = read()
            _check(outputs)
            samples = interleave({name: timed(call) for name, call in calls.items()}, rounds)
            for name in samples:
                # Ours against each of the others; the others alone.
                others = {one: taken for one, taken in samples.items() if one != name}
                against = others if name == "NumpyNetwork.step" else {}
                text = f"{name}, {units} units, K = {count}"
                lines.append(row("step", text, "us", samples[name], against=against))
    return lines


def _inputs(spec: NetworkSpec, count: int) -> Outputs:
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, 1.0, (count, spec.features)).astype(np.float32)
    h = rng.uniform(-1.0, 1.0, (count, spec.state_size)).astype(np.float32)
    return x, h, rng.normal(0.0, 1.0, h.shape).astype(np.float32)


def _check(outputs: dict[str, Outputs]) -> None:
    """Refuse implementations that do not give the same numbers."""
    expected = outputs["NumpyNetwork.step"]
    for name, found in outputs.items():
        for one, other in zip(expected, found, strict=True):
            apart = float(np.abs(one - other).max())
            if one.shape != other.shape or apart > _TOLERANCE:
                raise RuntimeError(f"{name}: {apart:.2g} away from NumpyNetwork.step")


def _matmul(spec: NetworkSpec, count: int) -> Callable[[], object]:
    """Return the product that gives all gates, and nothing else."""
    units = spec.units[0]
    rng = np.random.default_rng(2)
    left = rng.normal(size=(4 * units, units + spec.features + 1)).astype(np.float32)
    right = rng.normal(size=(units + spec.features + 1, count)).astype(np.float32)
    out = np.empty((4 * units, count), np.float32)
    return lambda: np.matmul(left, right, out=out)


def _implementations() -> tuple[dict[str, Callable[[NetworkSpec, Weights], Prepare]], list[str]]:
    """Return what is installed, and a line about each that is not."""
    found: dict[str, Callable[[NetworkSpec, Weights], Prepare]] = {"NumpyNetwork.step": _numpy}
    missing = []
    for name, make, packages in (
        ("ONNX Runtime LSTM", _onnxruntime, ("onnx", "onnxruntime")),
        ("tf.function", _tf_function, ("tensorflow", "keras")),
    ):
        try:
            for package in packages:
                importlib.import_module(package)
        except ImportError as error:
            missing.append(f"{name}: {error}")
        else:
            found[name] = make
    return found, missing


def _numpy(spec: NetworkSpec, weights: Weights) -> Prepare:
    network = NumpyNetwork(spec, weights)

    def prepare(x: Array, h: Array, c: Array) -> tuple[Callable[[], object], Callable[[], Outputs]]:
        return lambda: network.step(x, h, c), lambda: network.step(x, h, c)

    return prepare


def _onnxruntime(spec: NetworkSpec, weights: Weights) -> Prepare:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    def gates(columns: Array) -> Array:
        """Turn Keras' columns i, f, c, o into ONNX' rows i, o, f, c."""
        i, f, c, o = np.split(columns.T, 4)
        return np.concatenate([i, o, f, c])[None]

    def tensor(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    units = spec.units[0]
    bias = gates(weights["lstm_0/bias"][None])[..., 0]
    constants = {
        "W": gates(weights["lstm_0/kernel"]),
        "R": gates(weights["lstm_0/recurrent_kernel"]),
        "B": np.concatenate([bias, np.zeros_like(bias)], axis=1),
        "head": weights["head/kernel"],
        "head_bias": weights["head/bias"],
    }
    graph = helper.make_graph(
        [
            helper.make_node(
                "LSTM",
                ["x", "W", "R", "B", "", "h", "c"],
                ["", "h_new", "c_new"],
                hidden_size=units,
            ),
            helper.make_node("Gemm", ["h_flat", "head", "head_bias"], ["out"]),
        ],
        "step",
        [
            tensor("x", 1, "K", spec.features),
            tensor("h", "directions", "K", units),
            tensor("c", "directions", "K", units),
        ],
        [
            tensor("out", "K", spec.outputs),
            tensor("h_new", "directions", "K", units),
            tensor("c_new", "directions", "K", units),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()]
        + [numpy_helper.from_array(np.array([-1, units]), "flat")],
    )
    graph.node.insert(1, helper.make_node("Reshape", ["h_new", "flat"], ["h_flat"]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def prepare(x: Array, h: Array, c: Array) -> tuple[Callable[[], object], Callable[[], Outputs]]:
        feed = {"x": x[None], "h": h[None], "c": c[None]}

        def read() -> Outputs:
            out, h_new, c_new = session.run(None, feed)
            return out, h_new[0], c_new[0]

        return lambda: session.run(None, feed), read

    return prepare


def _tf_function(spec: NetworkSpec, weights: Weights) -> Prepare:
    import keras
    import tensorflow as tf

    cell = keras.layers.LSTMCell(spec.units[0])
    cell.build((None, spec.features))
    cell.set_weights([weights[f"lstm_0/{name}"] for name in ("kernel", "recurrent_kernel", "bias")])
    head = keras.layers.Dense(spec.outputs)
    head.build((None, spec.units[0]))
    head.set_weights([weights["head/kernel"], weights["head/bias"]])

    @tf.function  # type: ignore[untyped-decorator]
    def step(x: object, h: object, c: object) -> tuple[object, object, object]:
        above, (h_new, c_new) = cell(x, [h, c])
        return head(above), h_new, c_new

    def prepare(x: Array, h: Array, c: Array) -> tuple[Callable[[], object], Callable[[], Outputs]]:
        # Its inputs are tensors already, and its outputs may stay tensors.
        tensors = [tf.constant(array) for array in (x, h, c)]

        def read() -> Outputs:
            out, h_new, c_new = step(*tensors)
            return np.asarray(out), np.asarray(h_new), np.asarray(c_new)

        return lambda: step(*tensors), read

    return prepare
