"""The ten-step sequence: fit with one batch size, forecast with another.

The sequence is 0.0, 0.1, ... 0.9, and each value is to be forecast from the one before. A stateful
Keras network is welded to its batch size, so one fitted with nine rows cannot be asked for one
value. There are three ways out, and the third is the one that Stepcast takes:

1. Fit with batch 1.
2. Forecast in batches of the training size, and keep what is wanted.
3. Fit with batch N, copy the weights into a batch-1 network, and step it.

Run it with `python examples/ten_steps.py`.
"""

import numpy as np
from numpy.typing import NDArray

from forecaster.keras_network import KerasNetwork
from forecaster.spec import NetworkSpec
from training.fit import fit
from training.network import get_weights, predict
from training.recipe import SettledRecipe
from training.streams import Stream, cut, pack

SEQUENCE = np.arange(10, dtype=np.float32) / 10
NETWORK = NetworkSpec(features=1, units=(10,), outputs=1)
SEED = 1


def sequence_as_stream() -> Stream:
    """Return the nine pairs of a value and the next one."""
    return Stream(SEQUENCE[:-1, None], SEQUENCE[1:], np.ones(9, np.float32))


def recipe(batch: int) -> SettledRecipe:
    """Return the textbook's: 10 units, 1000 epochs, Adam, mean squared error, one step a window."""
    return SettledRecipe(
        units=(10,),
        batch=batch,
        window=1,
        epochs=1000,
        loss="mse",
        learning_rate=0.001,
        clip_norm=0,
        validation=0,
    )


def fit_with_batch_1() -> NDArray[np.float32]:
    """Way out 1: the training batch is 1, so the network can be asked for one value."""
    batches = pack([sequence_as_stream()], batch=1, window=1)
    network, _ = fit(recipe(1), NETWORK, batches, seed=SEED)
    return predict(network, batches).ravel()


def forecast_in_batches_of_9() -> NDArray[np.float32]:
    """Way out 2: nine rows are fitted, and nine are forecast at a time."""
    pieces = cut([sequence_as_stream()], batch=9, window=1)
    batches = pack(pieces, batch=9, window=1)
    network, _ = fit(recipe(9), NETWORK, batches, seed=SEED)
    return predict(network, batches).ravel()


def copy_weights_to_batch_1() -> NDArray[np.float32]:
    """Way out 3: fit with batch 3, copy the weights to batch 1, and step through the sequence.

    Each of the three rows is a contiguous third of the sequence, with a state of its own.
    """
    pieces = cut([sequence_as_stream()], batch=3, window=1)
    network, _ = fit(recipe(3), NETWORK, pack(pieces, batch=3, window=1), seed=SEED)
    stepper = KerasNetwork(NETWORK, get_weights(network))
    h = c = np.zeros((1, NETWORK.state_size), np.float32)
    forecasts = []
    for value in SEQUENCE[:-1]:
        out, h, c = stepper.step(np.array([[value]]), h, c)
        forecasts.append(out[0, 0])
    return np.array(forecasts)


def main() -> None:
    """Print the forecasts of all three beside the sequence."""
    ways = [fit_with_batch_1(), forecast_in_batches_of_9(), copy_weights_to_batch_1()]
    print("expected  batch 1  batch 9  3 to 1")
    for expected, *forecasts in zip(SEQUENCE[1:], *ways, strict=True):
        print(f"{expected:8.1f}", *(f"{forecast:8.3f}" for forecast in forecasts))


if __name__ == "__main__":
    main()
