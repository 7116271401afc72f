"""Fine-tuning, on small made series and with real Keras."""

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from forecaster import artifact
from forecaster.network import NumpyNetwork, Weights
from forecaster.spec import NetworkSpec
from training.recipe import SettledTuneRecipe, TuneRecipe, settle_tuning
from training.standing import BUNDLED
from training.streams import Stream
from training.tune import draw, tune, widened

Array = NDArray[np.float32]

FEATURES = 28


def recipe(**fields: object) -> SettledTuneRecipe:
    small: dict[str, object] = {"batch": 8, "window": 12, "warmup": 4, "updates": 5, "rounds": 8}
    return settle_tuning(TuneRecipe.model_validate(small | fields), samples=1000)


def bundled() -> Weights:
    return safetensors.numpy.load((BUNDLED / artifact.WEIGHTS).read_bytes())


def wide() -> NetworkSpec:
    """Return the sizes of the bundled network with two more inputs."""
    return artifact.read_manifest(BUNDLED).network.model_copy(update={"features": FEATURES})


def stream(length: int, seed: int = 0, told: float = 0.0) -> Stream:
    """Return samples whose target is mostly what the last input says."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(length, FEATURES)).astype(np.float32)
    targets = told * inputs[:, -1] + 0.3 * rng.normal(size=length).astype(np.float32)
    return Stream(inputs, targets.astype(np.float32), np.ones(length, np.float32))


def test_inputs_that_are_new_say_nothing_at_first() -> None:
    weights = bundled()
    narrow = NumpyNetwork(artifact.read_manifest(BUNDLED).network, weights)
    x = np.random.default_rng(1).normal(size=(5, FEATURES)).astype(np.float32)
    h = c = np.zeros((5, narrow.spec.state_size), np.float32)

    found = NumpyNetwork(wide(), widened(weights, wide())).step(x, h, c)

    expected = narrow.step(x[:, : narrow.spec.features], h, c)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_pieces_come_from_streams_and_begin_with_steps_that_are_not_scored() -> None:
    streams = [stream(40, 1), stream(10, 2), stream(25, 3)]
    settled = recipe(updates=30)

    batches = draw(np.random.default_rng(1), streams, settled)

    assert batches.inputs.shape == (30, 8, 16, FEATURES)
    assert batches.starts.all()
    assert batches.weights.mean() == pytest.approx(1.0)
    seen = set()
    for inputs, weights in zip(
        batches.inputs.reshape(-1, 16, FEATURES), batches.weights.reshape(-1, 16), strict=True
    ):
        which, first = next(
            (number, at)
            for number, one in enumerate(streams)
            for at in range(len(one))
            if np.array_equal(one.inputs[at], inputs[0])
        )
        length = min(16, len(streams[which]) - first)
        np.testing.assert_array_equal(inputs[:length], streams[which].inputs[first:][:length])
        assert not inputs[length:].any()
        unscored = 4 if first else 0
        assert not weights[:unscored].any()
        assert not weights[length:].any()
        assert (weights[unscored:length] > 0).all()
        seen.add((which, first))
    assert len(seen) > 25  # of 36 places


def test_it_learns_what_only_a_new_input_tells() -> None:
    streams = [stream(200, seed, told=1.0) for seed in range(4)]
    held_back = [stream(100, 9, told=1.0)]

    tuned = tune(
        recipe(learning_rate=0.01, dropout=0.0, rounds=15),
        wide(),
        bundled(),
        streams,
        held_back,
        rounds=15,
        seed=1,
    )

    losses = tuned.losses["val_loss"]
    assert len(losses) == 1 + len(tuned.losses["loss"])
    assert min(losses) < 0.7 * losses[0]
    assert losses[tuned.rounds] == min(losses)


def test_where_nothing_is_to_be_learnt_the_start_is_kept() -> None:
    streams = [stream(100, 1, told=3.0)]
    network = NumpyNetwork(wide(), widened(bundled(), wide()))
    h = c = np.zeros((1, network.spec.state_size), np.float32)
    held_back = [stream(100, 2)]
    for step, x in enumerate(held_back[0].inputs):  # the start knows it all
        out, h, c = network.step(x[None], h, c)
        held_back[0].targets[step] = out[0, 0]

    tuned = tune(
        recipe(learning_rate=0.02, patience=2),
        wide(),
        bundled(),
        streams,
        held_back,
        rounds=8,
        seed=1,
    )

    assert tuned.rounds == 0
    assert len(tuned.losses["loss"]) == 2  # its patience
    (kernel, *_), start = tuned.network.lstms[0].get_weights(), bundled()["lstm_0/kernel"]
    np.testing.assert_array_equal(kernel[: len(start)], start)


def test_the_same_seed_gives_the_same_weights() -> None:
    streams = [stream(60, 1, told=1.0)]

    one, other, another = (
        tune(recipe(), wide(), bundled(), streams, rounds=2, seed=seed).network.get_weights()
        for seed in (1, 1, 2)
    )

    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(one, another, strict=True))


def test_no_round_begins_when_time_is_over() -> None:
    tuned = tune(
        recipe(), wide(), bundled(), [stream(60)], [stream(40, 2)], rounds=8, seed=1, seconds=0.0
    )

    assert tuned.rounds == 0
    assert not tuned.losses["loss"]


def test_very_many_samples_are_learnt_from_faster_and_with_less_dropout() -> None:
    few, many = (settle_tuning(TuneRecipe(), samples) for samples in (5_000, 50_000))
    told = settle_tuning(TuneRecipe(dropout=0.3), 50_000)

    assert (few.dropout, few.updates) == (0.4, 20)
    assert (many.dropout, many.updates) == (0.2, 100)
    assert (told.dropout, told.updates) == (0.3, 100)
