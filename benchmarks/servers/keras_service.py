"""The service that tutorials end in: FastAPI around a batch-1 stateful Keras LSTM.

It keeps one state for all series, checks no order and gives no intervals: less work than the
contract asks for. Its first argument chooses how the model is called.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from fastapi import FastAPI

from benchmarks.servers.schemas import ForecastStep, Observed, ObserveRequest
from benchmarks.servers.serving import serve

_UNITS = 32
_SCALE = 10.0


def build(how: str) -> Callable[[Any], Any]:
    """Return the model as a function from `(1, 1, 1)` to `(1, 1)`."""
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(1, 1, 1)),
            keras.layers.LSTM(_UNITS, stateful=True),
            keras.layers.Dense(1),
        ]
    )
    if how == "predict":
        return lambda x: model.predict(x, batch_size=1, verbose=0)
    if how == "call":
        return model  # type: ignore[no-any-return]
    if how == "function":
        return tf.function(  # type: ignore[no-any-return]
            model, input_signature=[tf.TensorSpec((1, 1, 1), tf.float32)]
        )
    raise SystemExit(f"expected predict, call or function, found {how!r}")


def create_app(how: str) -> FastAPI:
    app = FastAPI()
    network = build(how)
    steps, last = 0, 0.0
    network(np.zeros((1, 1, 1), np.float32))  # the first call builds what later ones use

    @app.post("/observe")
    async def observe(body: ObserveRequest) -> Observed:
        nonlocal steps, last
        y = last if body.y is None else body.y
        change = np.array([[[(y - last) / _SCALE]]], np.float32)
        mean = y + float(np.asarray(network(change))[0, 0]) * _SCALE
        steps, last = steps + 1, y
        following = ForecastStep(step=steps + 1, ds=None, mean=mean, intervals={}, quantiles={})
        return Observed(
            unique_id=body.unique_id,
            step=steps,
            ds=None,
            status="applied",
            error=None,
            next=following,
        )

    return app


if __name__ == "__main__":
    serve(create_app(sys.argv[1]))
