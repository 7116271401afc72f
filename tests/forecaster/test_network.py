import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from forecaster.network import Array, NumpyNetwork, Weights
from forecaster.spec import NetworkSpec
from tests.forecaster.fakes import random_weights

SINGLE = 1e-6  # float32
PARITY = 1e-5

ONE_UNIT = NetworkSpec(features=1, units=(1,), outputs=1)
LN3 = 1.0986123  # its sigmoid is 3/4
ATANH_HALF = 0.5493061


def constant(spec: NetworkSpec, value: float) -> Weights:
    return {name: np.full(shape, value, np.float32) for name, shape in spec.shapes().items()}


def one(value: float) -> Array:
    return np.array([[value]], np.float32)


def sigmoid(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-v))


def random_arrays(spec: NetworkSpec, count: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return x, h and c of so many series."""
    rng = np.random.default_rng(seed)
    widths = (spec.features, spec.state_size, spec.state_size)
    x, h, c = (rng.normal(size=(count, width)).astype(np.float32) for width in widths)
    return x, h, c


def test_weights_of_zero_halve_the_cell() -> None:
    network = NumpyNetwork(ONE_UNIT, constant(ONE_UNIT, 0.0))

    out, h, c = network.step(one(9.0), one(0.3), one(2.0))

    assert out[0, 0] == 0.0
    assert c[0, 0] == pytest.approx(1.0, rel=SINGLE)  # sigmoid(0) * 2
    assert h[0, 0] == pytest.approx(0.3807971, rel=SINGLE)  # sigmoid(0) * tanh(1)


def test_weights_of_one_worked_out_by_hand() -> None:
    network = NumpyNetwork(ONE_UNIT, constant(ONE_UNIT, 1.0))

    out, h, c = network.step(one(0.5), one(0.5), one(1.0))

    # Each gate takes 0.5 + 0.5 + 1 = 2: sigmoid 0.8807971, tanh 0.9640276.
    assert c[0, 0] == pytest.approx(1.7299098, rel=SINGLE)
    assert h[0, 0] == pytest.approx(0.8271083, rel=SINGLE)
    assert out[0, 0] == pytest.approx(1.8271083, rel=SINGLE)


def test_gates_stand_in_the_order_of_keras() -> None:
    weights = constant(ONE_UNIT, 0.0)
    weights["lstm_0/bias"] = np.array([LN3, -LN3, ATANH_HALF, 0.0], np.float32)  # i, f, g, o
    network = NumpyNetwork(ONE_UNIT, weights)

    _, h, c = network.step(one(0.0), one(0.0), one(2.0))

    assert c[0, 0] == pytest.approx(0.25 * 2.0 + 0.75 * 0.5, rel=SINGLE)
    assert h[0, 0] == pytest.approx(0.3519530, rel=SINGLE)  # 0.5 * tanh(0.875)


def test_a_second_layer_takes_what_the_first_says() -> None:
    spec = NetworkSpec(features=1, units=(1, 1), outputs=1)
    network = NumpyNetwork(spec, constant(spec, 1.0))
    alone = NumpyNetwork(ONE_UNIT, constant(ONE_UNIT, 1.0))

    _, h, c = network.step(one(0.5), np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))

    _, first_h, first_c = alone.step(one(0.5), one(0.0), one(0.0))
    _, second_h, second_c = alone.step(first_h, one(0.0), one(0.0))
    assert h[0].tolist() == [first_h[0, 0], second_h[0, 0]]
    assert c[0].tolist() == [first_c[0, 0], second_c[0, 0]]


def test_the_fused_layers_equal_the_formula_in_double_precision() -> None:
    spec = NetworkSpec(features=3, units=(6, 4), outputs=5)
    weights = random_weights(spec)
    network = NumpyNetwork(spec, weights)
    x, h, c = random_arrays(spec, 3)

    out, h_new, c_new = network.step(x, h, c)

    below = x.astype(np.float64)
    for number, part in enumerate((slice(0, 6), slice(6, 10))):
        kernel, recurrent, bias = (
            weights[f"lstm_{number}/{name}"].astype(np.float64)
            for name in ("kernel", "recurrent_kernel", "bias")
        )
        i, f, g, o = np.split(below @ kernel + h[:, part] @ recurrent + bias, 4, axis=1)
        cell: NDArray[np.float64] = sigmoid(f) * c[:, part] + sigmoid(i) * np.tanh(g)
        below = sigmoid(o) * np.tanh(cell)
        np.testing.assert_allclose(c_new[:, part], cell, rtol=SINGLE, atol=SINGLE)
        np.testing.assert_allclose(h_new[:, part], below, rtol=SINGLE, atol=SINGLE)
    expected = below @ weights["head/kernel"] + weights["head/bias"]
    np.testing.assert_allclose(out, expected, rtol=SINGLE, atol=SINGLE)


def test_a_step_leaves_what_it_is_given() -> None:
    spec = NetworkSpec(features=2, units=(3, 2), outputs=2)
    network = NumpyNetwork(spec, random_weights(spec))
    arrays = random_arrays(spec, 4)
    before = [array.tobytes() for array in arrays]

    network.step(*arrays)

    assert [array.tobytes() for array in arrays] == before


# A little more than a block, and than two.
@pytest.mark.parametrize("count", [2, 7, 1025, 2500])
def test_series_stepped_together_equal_each_stepped_alone(count: int) -> None:
    spec = NetworkSpec(features=2, units=(5, 3), outputs=4)
    network = NumpyNetwork(spec, random_weights(spec))
    x, h, c = random_arrays(spec, count)

    together = network.step(x, h, c)

    for row in {0, 1, count // 2, count - 2, count - 1}:
        alone = network.step(x[row : row + 1], h[row : row + 1], c[row : row + 1])
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(found[row : row + 1], expected, SINGLE, SINGLE)


def test_a_row_moves_no_other_row() -> None:
    """A larger batch is often said to share state between its sequences. It does not."""
    spec = NetworkSpec(features=2, units=(5, 3), outputs=4)
    network = NumpyNetwork(spec, random_weights(spec))
    x, h, c = random_arrays(spec, 6)
    before = network.step(x, h, c)

    for array in (x, h, c):
        array[2] += 1.0
    after = network.step(x, h, c)

    others = [0, 1, 3, 4, 5]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new[others], old[others])
        assert (new[2] != old[2]).any()


@pytest.mark.slow
@settings(max_examples=12)
@given(
    features=st.integers(1, 5),
    units=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    outputs=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_numpy_network_equals_keras(
    features: int, units: list[int], outputs: int, seed: int
) -> None:
    from forecaster.keras_network import KerasNetwork

    spec = NetworkSpec(features=features, units=tuple(units), outputs=outputs)
    weights = random_weights(spec, seed)
    ours, theirs = NumpyNetwork(spec, weights), KerasNetwork(spec, weights)
    x, h, c = random_arrays(spec, 3, seed)
    expected = (x, h, c)
    found = (x, h, c)

    for step in range(4):
        inputs, _, _ = random_arrays(spec, 3, seed + step)
        expected = theirs.step(inputs, *expected[1:])
        found = ours.step(inputs, *found[1:])

        for left, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(left, right, rtol=PARITY, atol=PARITY)


@pytest.mark.slow
def test_weights_put_into_keras_come_back() -> None:
    from forecaster.keras_network import build, get_weights, set_weights

    spec = NetworkSpec(features=2, units=(3, 2), outputs=4)
    weights = random_weights(spec)
    model = build(spec)

    set_weights(model, weights)
    found = get_weights(model)

    assert found.keys() == weights.keys() == spec.shapes().keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)
