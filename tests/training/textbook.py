"""The textbooks' network, as Keras has it: what others are held against."""

import keras
import numpy as np
from keras import ops

from forecaster.spec import NetworkSpec
from training.settings import RecurrentActivation
from training.trials import Array, Trials


def keras_2_hard_sigmoid(z: object) -> object:
    return ops.clip(0.2 * z + 0.5, 0.0, 1.0)  # type: ignore[operator]


def weights_of(trials: Trials, number: int) -> dict[str, Array]:
    return {name: np.asarray(weight[number]) for name, weight in trials.weights.items()}


def make_keras(
    spec: NetworkSpec, rows: int, is_stateful: bool, activation: RecurrentActivation
) -> keras.Model:
    gate = keras_2_hard_sigmoid if activation == "hard_sigmoid" else "sigmoid"
    last = len(spec.units) - 1
    return keras.Sequential(
        [
            keras.Input(batch_shape=(rows, 1, spec.features)),
            *(
                keras.layers.LSTM(
                    units,
                    stateful=is_stateful,
                    recurrent_activation=gate,
                    return_sequences=number < last,
                    name=f"lstm_{number}",
                )
                for number, units in enumerate(spec.units)
            ),
            keras.layers.Dense(1, name="head"),
        ]
    )


def reset(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.LSTM) and layer.stateful:
            layer.reset_state()
