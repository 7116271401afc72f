"""Networks fitted elsewhere: what is served is what they say themselves, or they are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import pytest
from keras.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Lambda,
    SimpleRNN,
    TimeDistributed,
)
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from forecaster import artifact
from forecaster import spec as specs
from forecaster.errors import ArtifactError, InvalidRequestError
from forecaster.spec import Policy
from training.data import Panel, read_panel
from training.errors import DataError, ParityError, UnservableError
from training.foreign import OwnNetwork, outputs_of, read_network, read_scaler
from training.imported import Imported, import_model

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]
Predict = Callable[[keras.Sequential, Floats], Floats]

AGREE = 1e-5
SERIES = np.sin(np.arange(36) * 0.7) + 0.3 * np.cos(np.arange(36) * 1.9)
ONE_STEP = (1, 1, 1)


def network(*layers: keras.Layer, shape: tuple[int | None, ...] = ONE_STEP) -> keras.Sequential:
    """Return a network with weights that make its state count, for samples of a batch shape."""
    model = keras.Sequential([keras.Input(batch_shape=shape), *layers])
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(scale=0.6, size=w.shape) for w in model.get_weights()])
    return model


def one_by_one(model: keras.Sequential, inputs: Floats) -> Floats:
    """Predict each sample of one step, as tutorials do."""
    batch = model.input_shape[0] or 1
    return np.array(
        [
            model.predict(np.full((batch, 1, 1), value, np.float32), batch, verbose=0).ravel()[-1]
            for value in inputs
        ]
    )


def six_by_six(model: keras.Sequential, inputs: Floats) -> Floats:
    """Predict samples of six steps, the state going on from one to the next."""
    samples = np.tile(inputs.reshape(-1, 1, 6, 1), (1, model.input_shape[0], 1, 1))
    return np.concatenate(
        [model.predict(sample, len(sample), verbose=0)[0, :, 0] for sample in samples]
    )


def at_once(model: keras.Sequential, inputs: Floats) -> Floats:
    """Predict every step of one long sample."""
    predicted: Floats = model.predict(inputs.reshape(1, -1, 1), verbose=0)[0, :, 0]
    return predicted


def write_series(path: Path, *series: Floats) -> Path:
    rows = [
        f"s{number},{at + 1},{float(y)!r}"
        for number, values in enumerate(series)
        for at, y in enumerate(values)
    ]
    path.write_text("\n".join(["unique_id,ds,y", *rows]) + "\n")
    return path


def panel_of(tmp_path: Path, *series: Floats) -> Panel:
    return read_panel(write_series(tmp_path / "series.csv", *(series or (SERIES,))))


def saved(tmp_path: Path, model: keras.Model, scaler: object) -> tuple[Path, Path]:
    paths = tmp_path / "model.keras", tmp_path / "scaler.joblib"
    model.save(paths[0])
    joblib.dump(scaler, paths[1])
    return paths


def imported(tmp_path: Path, model: keras.Model, scaler: object, lag: int = 0) -> Imported:
    """Import from files, as the command does."""
    files = saved(tmp_path, model, scaler)
    return import_model(
        read_network(files[0]),
        read_scaler(files[1]),
        panel_of(tmp_path),
        tmp_path / "models" / "own",
        difference=lag,
        file="series.csv",
    )


def fitted(kind: type[Any], lag: int, **options: Any) -> Any:
    changes = SERIES[lag:] - SERIES[:-lag] if lag else SERIES
    return kind(**options).fit(changes[:, None])


def by_hand(model: keras.Sequential, scaler: Any, lag: int, predict: Predict) -> Floats:
    """Return the forecasts of the values after the first `lag + 1`, without any of our code."""
    changes = SERIES[lag:] - SERIES[:-lag] if lag else SERIES
    scaled = scaler.transform(changes[:, None])[:, 0]
    predicted = scaler.inverse_transform(predict(model, scaled)[:, None])[:, 0]
    base = SERIES[1 : len(SERIES) - lag + 1] if lag else np.zeros(len(SERIES))
    forecasts: Floats = predicted + base
    return forecasts[:-1]


def walked(folder: Path) -> Floats:
    """Return the forecasts that the model folder gives, from the first that there is."""
    forecaster = artifact.load(folder).forecaster
    records, found = forecaster.new(1), []
    for y in SERIES:
        if records["step"][0] >= forecaster.context:
            found.append(forecaster.forecast(records).mean[0, 0])
        records = forecaster.observe(records, np.array([y]))
    return np.array(found)


def stacked() -> keras.Sequential:
    return network(
        LSTM(4, stateful=True, return_sequences=True, dropout=0.1, recurrent_dropout=0.2),
        Dropout(0.3),
        LSTM(3, stateful=True),
        Dropout(0.1),
        Dense(1),
        shape=(5, 1, 1),
    )


SERVED: dict[str, tuple[Callable[[], keras.Sequential], Any, int, Predict, Policy]] = {
    "the textbook's: stateful, one difference": (
        lambda: network(LSTM(3, stateful=True), Dense(1)),
        fitted(MinMaxScaler, 1, feature_range=(-1, 1)),
        1,
        one_by_one,
        Policy.CARRY,
    ),
    "stacked, with dropout, a batch of 5": (
        stacked,
        fitted(StandardScaler, 0),
        0,
        one_by_one,
        Policy.CARRY,
    ),
    "stateless: each sample from zero": (
        lambda: network(LSTM(4), Dense(1), shape=(None, 1, 1)),
        fitted(MinMaxScaler, 1),
        1,
        one_by_one,
        Policy.RESET_EACH_STEP,
    ),
    "stateful windows of six, an output at each step": (
        lambda: network(
            LSTM(4, stateful=True, return_sequences=True),
            LSTM(2, stateful=True, return_sequences=True),
            Dense(1),
            shape=(2, 6, 1),
        ),
        fitted(StandardScaler, 0, with_mean=False),
        0,
        six_by_six,
        Policy.CARRY,
    ),
    "one sample of any length": (
        lambda: network(LSTM(4, return_sequences=True), Dense(1), shape=(None, None, 1)),
        fitted(StandardScaler, 0, with_std=False),
        0,
        at_once,
        Policy.CARRY,
    ),
    "stateful samples of any length": (
        lambda: network(LSTM(4, stateful=True), Dense(1), shape=(1, None, 1)),
        fitted(MinMaxScaler, 12),
        12,
        one_by_one,
        Policy.CARRY,
    ),
    "no biases": (
        lambda: network(LSTM(4, stateful=True, use_bias=False), Dense(1, use_bias=False)),
        fitted(StandardScaler, 1),
        1,
        one_by_one,
        Policy.CARRY,
    ),
}


@pytest.mark.parametrize("case", SERVED)
def test_what_is_served_is_what_the_network_predicts_by_hand(case: str, tmp_path: Path) -> None:
    build, scaler, lag, predict, policy = SERVED[case]

    made = imported(tmp_path, build(), scaler, lag)

    assert made.policy is policy
    assert made.parity <= artifact.PARITY
    expected = by_hand(build(), scaler, lag, predict)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(walked(made.folder), expected, rtol=0, atol=AGREE)


def test_a_model_folder_tells_where_it_came_from(tmp_path: Path) -> None:
    made = imported(
        tmp_path, network(LSTM(3, stateful=True), Dense(1)), fitted(MinMaxScaler, 1), lag=1
    )

    manifest = artifact.load(made.folder).manifest
    assert manifest.recipe == {"imported": "model.keras", "difference": 1}
    assert manifest.data["file"] == "series.csv"
    assert manifest.data["test"] == made.walk.steps == 3
    assert manifest.scores == made.walk.summary()


def test_intervals_rest_on_how_far_off_it_was_before_the_test(tmp_path: Path) -> None:
    scaler = fitted(StandardScaler, 0)
    model = network(LSTM(4, return_sequences=True), Dense(1), shape=(None, None, 1))

    made = imported(tmp_path, model, scaler)

    residuals = SERIES[1:] - by_hand(model, scaler, 0, at_once)
    history = residuals[: len(SERIES) - made.walk.steps - 1]
    head = artifact.load(made.folder).manifest.head
    expected = np.quantile(history / scaler.scale_[0], head.quantiles, method="weibull")
    np.testing.assert_allclose(head.offsets, expected, atol=AGREE)


def test_series_begin_where_the_data_ends_before_the_test(tmp_path: Path) -> None:
    files = saved(tmp_path, stacked(), fitted(StandardScaler, 0))
    panel = panel_of(tmp_path, SERIES, SERIES[:20], 2 * SERIES)

    made = import_model(
        read_network(files[0]), read_scaler(files[1]), panel, tmp_path / "own", test=5, file="x"
    )

    states = artifact.load(made.folder).states
    steps = {name: int(record["step"]) for name, record in states.items()}
    assert steps == {"s0": 31, "s1": 15, "s2": 31}


def test_a_model_of_that_name_is_kept_unless_told(tmp_path: Path) -> None:
    model, scaler = network(LSTM(3, stateful=True), Dense(1)), fitted(MinMaxScaler, 0)
    imported(tmp_path, model, scaler)

    with pytest.raises(ArtifactError, match="--force replaces it"):
        imported(tmp_path, model, scaler)


def test_a_network_that_is_not_what_it_says_is_not_served(tmp_path: Path) -> None:
    files = saved(tmp_path, stacked(), fitted(StandardScaler, 0))
    own = read_network(files[0])
    own.weights["head/bias"] += 0.1

    with pytest.raises(ParityError, match="expected outputs within 1e-05"):
        import_model(
            own, read_scaler(files[1]), panel_of(tmp_path), tmp_path / "own", file="series.csv"
        )
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("values", [SERIES[:2], np.array([1.0, np.nan, np.nan, 2.0])])
def test_too_few_observations_are_refused(values: Floats, tmp_path: Path) -> None:
    files = saved(tmp_path, stacked(), fitted(StandardScaler, 0))
    file = write_series(tmp_path / "series.csv", values)
    file.write_text(file.read_text().replace("nan", ""))

    with pytest.raises(DataError, match="to take residuals of"):
        import_model(
            read_network(files[0]),
            read_scaler(files[1]),
            read_panel(file),
            tmp_path / "own",
            file="series.csv",
        )


# What is refused


def functional() -> keras.Model:
    inputs = keras.Input(batch_shape=ONE_STEP)
    return keras.Model(inputs, Dense(1)(LSTM(2)(inputs)))


REFUSED: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "bidirectional": (
        lambda: network(Bidirectional(LSTM(2)), Dense(1)),
        "layer 'bidirectional.*' is a Bidirectional: .+ nothing comes from the other end; use LSTM",
    ),
    "gru": (lambda: network(GRU(2), Dense(1)), "layer 'gru.*' is a GRU: only LSTM layers .+"),
    "simple": (lambda: network(SimpleRNN(2), Dense(1)), "is a SimpleRNN: only LSTM layers"),
    "two dense": (
        lambda: network(LSTM(2), Dense(2), Dense(1)),
        "layer 'dense.*' is a Dense: expected LSTM layers, Dropout, and one Dense layer at the end",
    ),
    "no head": (lambda: network(LSTM(2)), "layer 'lstm.*' is a LSTM: .+ one Dense layer"),
    "no lstm": (lambda: network(Dense(1)), "expected LSTM layers and a Dense one, found no LSTM"),
    "activation after": (
        lambda: network(LSTM(2), Dense(1), Activation("tanh")),
        "is a Activation: the output has to be linear",
    ),
    "per step": (
        lambda: network(LSTM(2, return_sequences=True), TimeDistributed(Dense(1))),
        "is a TimeDistributed: Dense does the same at each step",
    ),
    "relu": (
        lambda: network(LSTM(2, activation="relu"), Dense(1)),
        "layer 'lstm.*' has activation='relu', only 'tanh' can be served",
    ),
    "hard sigmoid": (
        lambda: network(LSTM(2, recurrent_activation="hard_sigmoid"), Dense(1)),
        "has recurrent_activation='hard_sigmoid', only 'sigmoid'",
    ),
    "a layer as activation": (
        lambda: network(LSTM(2, activation=keras.layers.LeakyReLU()), Dense(1)),
        "has activation='LeakyReLU'",
    ),
    "head of relu": (
        lambda: network(LSTM(2), Dense(1, activation="relu")),
        "layer 'dense.*' has activation='relu', only 'linear'",
    ),
    "several outputs": (
        lambda: network(LSTM(2), Dense(12)),
        "layer 'dense.*' has 12 units, expected 1: the next value",
    ),
    "backwards": (
        lambda: network(LSTM(2, go_backwards=True), Dense(1)),
        "layer 'lstm.*' has go_backwards=True",
    ),
    "several features": (
        lambda: network(LSTM(2), Dense(1), shape=(1, 1, 3)),
        "expected 1 feature, found 3",
    ),
    "windows of lags": (
        lambda: network(LSTM(2), Dense(1), shape=(None, 12, 1)),
        "a sample has 12 time steps, and the state is zero at the start of each; .+ stateful",
    ),
    "windows of lags, an output at each step": (
        lambda: network(LSTM(2, return_sequences=True), Dense(1), shape=(None, 12, 1)),
        "a sample has 12 time steps, and the state is zero at the start of each",
    ),
    "any number of lags": (
        lambda: network(LSTM(2), Dense(1), shape=(None, None, 1)),
        "a sample has any number of time steps, and the state is zero",
    ),
    "stateful windows with one output": (
        lambda: network(LSTM(2, stateful=True), Dense(1), shape=(1, 12, 1)),
        "a sample has 12 time steps, and there is one forecast for all of them",
    ),
    "half stateful": (
        lambda: network(LSTM(2, stateful=True, return_sequences=True), LSTM(2), Dense(1)),
        "some LSTM layers are stateful and some are not",
    ),
    "half precision": (
        lambda: network(LSTM(2, dtype="mixed_float16"), Dense(1)),
        "layer 'lstm.*' computes in float16, only float32 and float64 can be served",
    ),
    "functional": (functional, "expected a Sequential, found a Functional"),
    "code": (
        lambda: network(LSTM(2), Dense(1), Lambda(lambda x: x)),
        "Keras cannot load it: .*`Lambda`",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_by_name(case: str, tmp_path: Path) -> None:
    build, reason = REFUSED[case]
    path = tmp_path / "model.keras"
    build().save(path)

    with pytest.raises(UnservableError, match=rf"model\.keras: .*{reason}"):
        read_network(path)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_network_that_was_never_built_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([LSTM(2), Dense(1)]).save(path)

    with pytest.raises(UnservableError, match="never built; save it after fit"):
        read_network(path)


def test_a_network_whose_fit_diverged_is_refused(tmp_path: Path) -> None:
    model = network(LSTM(2), Dense(1))
    model.layers[-1].bias.assign([np.nan])
    model.save(tmp_path / "model.keras")

    with pytest.raises(UnservableError, match="head/bias is not all numbers: the fit diverged"):
        read_network(tmp_path / "model.keras")


def test_a_damaged_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    network(LSTM(2), Dense(1)).save(path)
    content = path.read_bytes()
    at = content.index(b'"units"')
    path.write_bytes(content[:at] + b"?" + content[at + 1 :])

    with pytest.raises(UnservableError, match=r"Keras cannot load it: Bad CRC-32 .+config\.json"):
        read_network(path)


def test_a_network_of_a_class_that_is_not_known_is_refused_in_a_line(tmp_path: Path) -> None:
    class Own(keras.Sequential):  # type: ignore[misc]
        """Somebody's own kind of network."""

    path = tmp_path / "model.keras"
    Own([keras.Input(batch_shape=ONE_STEP), LSTM(2), Dense(1)]).save(path)

    with pytest.raises(UnservableError, match="Could not locate class 'Own'") as refused:
        read_network(path)
    assert len(str(refused.value)) < 600


def test_data_on_another_scale_than_the_network_was_fitted_on_are_refused(tmp_path: Path) -> None:
    """They would be cut off before the network sees them, and the forecasts not be its own."""
    files = saved(tmp_path, network(LSTM(3, stateful=True), Dense(1)), fitted(MinMaxScaler, 1))
    panel = panel_of(tmp_path, SERIES, 200 * SERIES)

    with pytest.raises(DataError, match=r"series\.csv: series 's1' reaches 100 .+--difference"):
        import_model(
            read_network(files[0]),
            read_scaler(files[1]),
            panel,
            tmp_path / "own",
            difference=1,
            file="series.csv",
        )
    assert not (tmp_path / "own").exists()


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    files = saved(tmp_path, stacked(), fitted(StandardScaler, 0))
    own, scaler = read_network(files[0]), read_scaler(files[1])

    with pytest.raises(InvalidRequestError, match=r"name: String should .+ 'My model'"):
        import_model(own, scaler, panel_of(tmp_path), tmp_path / "My model", file="series.csv")


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "none"), (b"", "another"), (b"\x89HDF\r\n\x1a\n", "another")],
)
def test_a_file_that_is_no_network_is_refused(
    content: bytes | None, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.h5"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UnservableError, match=rf"expected a \.keras file, .+ found {found}$"):
        read_network(path)


# Scalers


def test_a_scaler_may_be_told_in_json(tmp_path: Path) -> None:
    path = tmp_path / "scaler.json"
    path.write_text('{"data_min": -2, "data_max": 3.5, "feature_min": 0}')

    assert read_scaler(path) == specs.MinMaxScaler(data_min=-2.0, data_max=3.5, feature_min=0.0)


def test_the_scaler_of_a_model_folder_is_such_a_file(tmp_path: Path) -> None:
    made = imported(tmp_path, stacked(), fitted(StandardScaler, 0))

    assert read_scaler(made.folder / "scaler.json") == read_scaler(tmp_path / "scaler.joblib")


TWO = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("scaler", "reason"),
    [
        (
            fitted(RobustScaler, 0),
            "expected a MinMaxScaler or a StandardScaler, found RobustScaler",
        ),
        ({"mean": 0}, "expected a MinMaxScaler or a StandardScaler, found dict"),
        (StandardScaler(), "the StandardScaler is not fitted; save it after fit"),
        (MinMaxScaler().fit(TWO), "its 2 columns are not scaled alike, .+ for the series alone"),
        (StandardScaler().fit(TWO), "its 2 columns are not scaled alike"),
        (fitted(MinMaxScaler, 0, feature_range=(0, 1e7)), "feature_max: Input should be"),
        (fitted(MinMaxScaler, 0, clip=True), "the MinMaxScaler clips, .+; set clip=False"),
    ],
)
def test_a_scaler_that_cannot_be_served_is_refused(
    scaler: object, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "scaler.joblib"
    joblib.dump(scaler, path)

    with pytest.raises(UnservableError, match=rf"scaler\.joblib: {reason}"):
        read_scaler(path)


def test_a_scaler_of_pairs_serves_where_both_are_scaled_alike(tmp_path: Path) -> None:
    """The best known tutorial fits one to pairs, each change beside the one before it."""
    changes = np.diff(SERIES)
    pairs = np.column_stack([np.append(0.0, changes[:-1]), changes])
    joblib.dump(MinMaxScaler((-1, 1)).fit(pairs), tmp_path / "pairs.joblib")
    joblib.dump(MinMaxScaler((-1, 1)).fit(changes[:, None]), tmp_path / "one.joblib")

    pair, one = (read_scaler(tmp_path / name) for name in ("pairs.joblib", "one.joblib"))

    assert pair == one


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("s.json", None, "cannot be read: No such file"),
        ("s.json", "{", "scaler: Invalid JSON.+; expected data_min, data_max"),
        ("s.json", '{"data_min": 1}', "data_max: Field required"),
        ("s.json", '{"data_min": 2, "data_max": 1}', "a minimum is above its maximum"),
        ("s.joblib", "nothing", "joblib cannot load it"),
        ("s.joblib", None, "cannot be read: No such file"),
        ("s.pkl", "", r"expected a \.joblib or a \.json file"),
    ],
)
def test_a_file_that_is_no_scaler_is_refused(
    name: str, content: str | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)

    with pytest.raises(UnservableError, match=rf"{name}: .*{reason}"):
        read_scaler(path)


def test_a_network_is_asked_anew_each_time(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, stacked(), None)
    own: OwnNetwork = read_network(path)
    inputs = np.linspace(-1, 1, 7, dtype=np.float32).reshape(7, 1, 1)

    first, second = outputs_of(own, inputs), outputs_of(own, inputs)

    np.testing.assert_array_equal(first, second)
