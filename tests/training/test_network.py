"""The batch-N network: rows are memories of their own, and its copies give the same outputs."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.head import Head
from forecaster.network import NumpyNetwork, Weights
from forecaster.spec import (
    QUANTILES,
    HeadSpec,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    RunningScaler,
)
from training.errors import ParityError
from training.export import check_parity
from training.network import StreamNetwork, get_weights, predict, quantile_loss, set_weights
from training.streams import Array, Batches

pytestmark = pytest.mark.slow

PARITY = 1e-5


def random_weights(spec: NetworkSpec, rng: np.random.Generator) -> Weights:
    return {
        name: rng.normal(scale=0.5, size=shape).astype(np.float32)
        for name, shape in spec.shapes().items()
    }


def random_batches(
    rng: np.random.Generator, *, batches: int, rows: int, window: int, features: int
) -> Batches:
    starts = (rng.random((batches, rows, 1)) < 0.3).astype(np.float32)
    starts[0] = 1.0
    shape = (batches, rows, window)
    return Batches(
        inputs=rng.normal(size=(*shape, features)).astype(np.float32),
        starts=starts,
        targets=rng.normal(size=(*shape, 1)).astype(np.float32),
        weights=np.ones(shape, np.float32),
    )


def network_of(spec: NetworkSpec, *, batch: int, window: int, seed: int = 0) -> StreamNetwork:
    network = StreamNetwork(spec, batch=batch, window=window)
    set_weights(network, random_weights(spec, np.random.default_rng(seed)))
    return network


def model_of(spec: NetworkSpec) -> ModelSpec:
    levels = tuple(np.linspace(0.1, 0.9, 9).round(1).tolist())
    return ModelSpec(
        network=spec,
        head=HeadSpec(kind="quantiles", quantiles=levels),
        transform=PlainTransformSpec(),
        scaler=RunningScaler(),
    )


@settings(max_examples=8, deadline=None)
@given(
    units=st.lists(st.integers(1, 24), min_size=1, max_size=3).map(tuple),
    features=st.integers(1, 4),
    rows=st.integers(1, 4),
    window=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_four_networks_with_the_same_weights_agree(
    units: tuple[int, ...], features: int, rows: int, window: int, seed: int
) -> None:
    spec = NetworkSpec(features=features, units=units, outputs=10)
    rng = np.random.default_rng(seed)
    network = network_of(spec, batch=rows, window=window, seed=seed)
    batches = random_batches(rng, batches=4, rows=rows, window=window, features=features)

    apart = check_parity(network, model_of(spec), batches)

    assert apart.keys() == {"keras, batch 1", "numpy, batch 1", "numpy, batch K"}
    assert max(apart.values()) <= PARITY


def test_the_rows_that_are_held_against_each_other_are_those_that_are_fed() -> None:
    """A panel of one series fills the last row alone here; the others are padding."""
    spec = NetworkSpec(features=1, units=(3,), outputs=10)
    network = network_of(spec, batch=30, window=4)
    batches = random_batches(np.random.default_rng(1), batches=2, rows=30, window=4, features=1)
    batches.inputs[:, :-1] = 0.0
    seen: list[int] = []

    def step(self: NumpyNetwork, x: Array, h: Array, c: Array) -> tuple[Array, Array, Array]:
        seen.append(int(np.count_nonzero(x)))
        return _step(self, x, h, c)

    _step = NumpyNetwork.step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(NumpyNetwork, "step", step)
        check_parity(network, model_of(spec), batches)

    assert sum(seen) == 2 * 8  # by the NumPy network, row by row and side by side


def test_parity_check_refuses_a_network_that_is_not_the_trained_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy that differs in one weight by a thousandth must not be exported."""
    spec = NetworkSpec(features=1, units=(3,), outputs=10)
    network = network_of(spec, batch=2, window=2)
    batches = random_batches(np.random.default_rng(1), batches=3, rows=2, window=2, features=1)

    def bent(network: StreamNetwork) -> Weights:
        weights = get_weights(network)
        weights["lstm_0/bias"][0] += 1e-3
        return weights

    monkeypatch.setattr("training.export.get_weights", bent)

    with pytest.raises(ParityError, match="expected outputs within 1e-05 of the trained network"):
        check_parity(network, model_of(spec), batches)


def test_a_row_is_a_memory_of_its_own() -> None:
    """It is often written that a larger batch shares state between its rows: it does not."""
    spec = NetworkSpec(features=2, units=(6, 4), outputs=3)
    network = network_of(spec, batch=4, window=3)
    batches = random_batches(np.random.default_rng(2), batches=5, rows=4, window=3, features=2)
    before = predict(network, batches)
    batches.inputs[:, 1] += 1.0

    after = predict(network, batches)

    np.testing.assert_array_equal(after[:, [0, 2, 3]], before[:, [0, 2, 3]])
    assert np.abs(after[:, 1] - before[:, 1]).max() > 0.01


def test_a_flag_starts_its_row_anew_and_no_other() -> None:
    spec = NetworkSpec(features=1, units=(5,), outputs=1)
    network = network_of(spec, batch=2, window=2)
    batches = random_batches(np.random.default_rng(3), batches=4, rows=2, window=2, features=1)
    batches.starts[1:] = 0.0
    carried = predict(network, batches)
    batches.starts[2, 0] = 1.0

    restarted = predict(network, batches)
    alone = predict(
        network,
        Batches(
            batches.inputs[2:], np.ones((2, 2, 1), np.float32), batches.targets, batches.weights
        ),
    )

    np.testing.assert_array_equal(restarted[:, 1], carried[:, 1])
    np.testing.assert_array_equal(restarted[:2, 0], carried[:2, 0])
    np.testing.assert_array_equal(restarted[2, 0], alone[0, 0])
    assert np.abs(restarted[2, 0] - carried[2, 0]).max() > 1e-4


def test_state_runs_on_from_window_to_window() -> None:
    spec = NetworkSpec(features=1, units=(5,), outputs=1)
    inputs = np.random.default_rng(4).normal(size=(1, 1, 6, 1)).astype(np.float32)

    def outputs(window: int) -> Array:
        count = 6 // window
        starts = np.zeros((count, 1, 1), np.float32)
        starts[0] = 1.0
        shape = (count, 1, window)
        batches = Batches(
            inputs.reshape(*shape, 1),
            starts,
            np.zeros((*shape, 1), np.float32),
            np.ones(shape, np.float32),
        )
        return predict(network_of(spec, batch=1, window=window), batches).reshape(6)

    np.testing.assert_allclose(outputs(2), outputs(6), atol=PARITY)
    np.testing.assert_allclose(outputs(1), outputs(6), atol=PARITY)


def test_quantiles_are_trained_as_they_are_read() -> None:
    """The loss in Keras and the head in NumPy must mean the same by an output."""
    rng = np.random.default_rng(5)
    outputs = rng.normal(size=(4, 3, 1 + len(QUANTILES))).astype(np.float32)
    target = rng.normal(size=(4, 3, 1)).astype(np.float32)
    read = Head(HeadSpec(kind="quantiles")).read(outputs.reshape(12, -1))
    levels = np.array(QUANTILES)
    error = target.reshape(12, 1) - read[:, 1:]
    pinball = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    distance = np.abs(target.ravel() - read[:, 0])
    huber = np.where(distance <= 1, distance**2 / 2, distance - 0.5)

    loss = np.asarray(quantile_loss(QUANTILES)(target, keras.ops.convert_to_tensor(outputs)))

    np.testing.assert_allclose(loss.ravel(), huber + 2 * pinball, rtol=1e-5)
