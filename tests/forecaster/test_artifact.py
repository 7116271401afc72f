import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from forecaster import artifact
from forecaster.artifact import GOLDEN, MANIFEST, SCALER, SERIES, WEIGHTS, load
from forecaster.calendar import Clock, encode_time
from forecaster.errors import ArtifactError
from forecaster.model import Engine
from forecaster.spec import QUANTILES, Policy, Scaler
from tests.forecaster.damage import (
    REPORT,
    assert_refused,
    correct_fingerprint,
    edit_files,
    edit_manifest,
    edit_weights,
    rewrite,
)
from tests.forecaster.fakes import MINMAX, RUNNING, HeadKind, write_model

PARITY = 1e-5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small", states={"a": [1.0, 2.0, 4.0], "b": [3.0]})


@pytest.mark.parametrize("head", ["mean", "quantiles"])
@pytest.mark.parametrize("scaler", [MINMAX, RUNNING])
@pytest.mark.parametrize("difference", [0, 1, 7])
def test_saving_and_loading_change_nothing(
    tmp_path: Path, head: HeadKind, scaler: Scaler, difference: int
) -> None:
    folder = tmp_path / "first"
    write_model(folder, units=(4, 3), head=head, scaler=scaler, difference=difference)
    first = load(folder)
    content = {name: (folder / name).read_bytes() for name in first.manifest.files}
    renamed = first.manifest.model_copy(update={"name": "second"})

    artifact.save(tmp_path / "second", renamed, content)
    second = load(tmp_path / "second")

    assert second.manifest == renamed
    history = np.random.default_rng(0).normal(size=20)
    forecasts = [
        model.forecaster.forecast(model.forecaster.seed([history]), h=3, levels=QUANTILES)
        for model in (first, second)
    ]
    np.testing.assert_array_equal(forecasts[0].mean, forecasts[1].mean)
    np.testing.assert_array_equal(forecasts[0].quantiles, forecasts[1].quantiles)


def test_a_loaded_model_is_what_was_saved(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "small", freq="MS", policy=Policy.RESET_EACH_STEP))

    assert model.name == "small"
    assert model.manifest.freq == "MS"
    assert model.manifest.season == 12
    assert model.manifest.policy is Policy.RESET_EACH_STEP
    assert model.manifest.scores == {"model": {"rmse": 1.5, "mase": None}}
    assert set(model.manifest.files) == {WEIGHTS, SCALER, GOLDEN, SERIES, REPORT}
    assert model.states == {}


def test_series_go_on_where_training_ended(folder: Path) -> None:
    model = load(folder)

    assert list(model.states) == ["a", "b"]
    expected = model.forecaster.seed([np.array([1.0, 2.0, 4.0])])
    assert model.states["a"].tobytes() == expected[0].tobytes()
    assert model.states["b"]["step"] == 1


def test_series_of_a_model_with_a_frequency_have_their_times(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "monthly", freq="MS", states={"ä": [1.0, 2.0, 4.0]})

    record = load(folder).states["ä"]

    assert record["clock"] == Clock.TIME
    assert record["ds"] == encode_time(datetime(2020, 3, 1))


@pytest.mark.parametrize("name", [WEIGHTS, SCALER, GOLDEN, SERIES, REPORT])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_flipped_bit_in_any_file_is_refused(folder: Path, name: str, where: float) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    digest = hashlib.sha256(content).hexdigest()
    content[round(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)

    assert_refused(
        folder,
        name,
        what="sha256",
        expected=digest,
        found=hashlib.sha256(content).hexdigest(),
    )


@pytest.mark.parametrize("name", [WEIGHTS, SCALER, GOLDEN, SERIES, REPORT])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()

    assert_refused(folder, name, expected="a readable file", found="No such file or directory")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none", MANIFEST, expected="a readable file", found="No such file")


@pytest.mark.parametrize("name", [WEIGHTS, SCALER, GOLDEN, SERIES])
def test_a_manifest_that_leaves_out_a_file_is_refused(folder: Path, name: str) -> None:
    edit_files(folder, **{name: None})

    assert_refused(folder, MANIFEST, what="files", expected=name, found="no such entry")


def test_sizes_that_are_not_those_of_the_weights_are_refused(folder: Path) -> None:
    edit_manifest(folder, network={"features": 1, "units": [5], "outputs": 12})

    assert_refused(
        folder,
        WEIGHTS,
        what="lstm_0/kernel",
        expected="float32 (1, 20)",
        found="float32 (1, 16)",
    )


def test_outputs_that_are_not_those_of_the_head_are_refused(folder: Path) -> None:
    edit_manifest(folder, network={"features": 1, "units": [4], "outputs": 3})

    assert_refused(folder, MANIFEST, expected="needs 12 outputs, the network has 3")


def test_features_that_the_transform_does_not_make_are_refused(folder: Path) -> None:
    """A network of two features took the one it was given twice over."""
    edit_weights(folder, lambda w: w.update({"lstm_0/kernel": np.ones((2, 16), np.float32)}))
    edit_manifest(folder, network={"features": 2, "units": [4], "outputs": 12})
    correct_fingerprint(folder)

    assert_refused(folder, MANIFEST, what="network.features", expected="1", found="2")


def test_a_number_of_layers_that_is_not_that_of_the_weights_is_refused(folder: Path) -> None:
    edit_manifest(folder, network={"features": 1, "units": [4, 4], "outputs": 12})

    assert_refused(folder, WEIGHTS, what="names", expected="lstm_1/kernel", found="lstm_0/kernel")


def test_other_weights_with_their_checksum_are_refused(folder: Path) -> None:
    edit_weights(folder, lambda w: w.update({"head/bias": w["head/bias"] + 1}))

    assert_refused(folder, MANIFEST, what="fingerprint", expected="from the sizes, scaler")


def test_another_scaler_with_its_checksum_is_refused(folder: Path) -> None:
    rewrite(folder, SCALER, RUNNING.model_dump_json().encode())

    assert_refused(folder, MANIFEST, what="fingerprint", expected="from the sizes, scaler")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("policy", "reset_each_step"),
        ("transform", {"kind": "plain", "difference": 2}),
    ],
)
def test_another_way_to_step_is_refused(folder: Path, field: str, value: object) -> None:
    edit_manifest(folder, **{field: value})

    assert_refused(folder, MANIFEST, what="fingerprint", expected="from the sizes, scaler")


def test_another_context_is_refused(folder: Path) -> None:
    edit_manifest(folder, context=3)

    assert_refused(folder, MANIFEST, what="context", expected="2", found="3")


def test_a_trace_that_the_network_does_not_walk_is_refused(folder: Path) -> None:
    golden = json.loads((folder / GOLDEN).read_text())
    # Ten times what is allowed; a unit is 5, and beyond one a share counts.
    apart = max(5.0, *(abs(value) for value in golden["forecasts"][3]), *map(abs, golden["y"]))
    golden["forecasts"][3][0] += 20 * PARITY * apart

    rewrite(folder, GOLDEN, json.dumps(golden).encode())

    assert_refused(folder, GOLDEN, what="replay", expected="within 1e-05", found="in network units")


@pytest.mark.parametrize(
    ("forecasts", "found"),
    [
        (lambda rows: rows[:-1], "inf"),
        (lambda rows: [*rows, rows[-1]], "inf"),
        (lambda rows: [row[:-1] for row in rows], "inf"),
        (lambda rows: [[] for _ in rows], "inf"),
        (lambda rows: [], "an empty trace"),
    ],
)
def test_a_trace_of_another_shape_is_refused(
    folder: Path, forecasts: Callable[[list[list[float]]], object], found: str
) -> None:
    golden = json.loads((folder / GOLDEN).read_text())
    golden["forecasts"] = forecasts(golden["forecasts"])

    rewrite(folder, GOLDEN, json.dumps(golden).encode())

    assert_refused(folder, GOLDEN, what="replay", expected="of the trace", found=found)


def test_a_trace_with_a_number_that_is_none_is_refused(folder: Path) -> None:
    rewrite(folder, GOLDEN, b'{"y": [NaN], "forecasts": []}')

    assert_refused(folder, GOLDEN, what="y.0", expected="finite number", found="nan")


def test_weights_that_overflow_are_refused(folder: Path) -> None:
    """Each is a number; what they add up to is none, and was reckoned with, with a warning."""
    largest = np.full((4, 12), np.finfo(np.float32).max)
    largest[:, 1 + QUANTILES.index(0.5)] *= -1
    wide_open = np.full(16, 100.0, np.float32)  # every h is near 1
    edit_weights(folder, lambda w: w.update({"head/kernel": largest, "lstm_0/bias": wide_open}))
    correct_fingerprint(folder)

    assert_refused(folder, GOLDEN, what="replay", expected="of the trace", found="inf")


def test_a_newer_format_is_refused_whatever_else_it_holds(folder: Path) -> None:
    edit_manifest(folder, format=2, colour="blue")

    assert_refused(folder, MANIFEST, what="format", expected="at most 1 (update", found="2")


def test_a_field_that_is_not_known_is_refused(folder: Path) -> None:
    edit_manifest(folder, colour="blue")

    assert_refused(folder, MANIFEST, what="colour", expected="no such field", found="'blue'")


def test_a_frequency_that_is_not_known_is_refused(folder: Path) -> None:
    """It was refused with an error of requests, which named no file."""
    edit_manifest(folder, freq="fortnight")

    assert_refused(
        folder, MANIFEST, what="freq", expected="'fortnight' is not known", found="'fortnight'"
    )


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b'{"format": 1,\xff')

    assert_refused(folder, MANIFEST, expected="Invalid JSON")


def test_a_scaler_that_is_not_known_is_refused(folder: Path) -> None:
    rewrite(folder, SCALER, b'{"kind": "robust"}')

    assert_refused(folder, SCALER, expected="'minmax', 'running'", found="robust")


def test_a_folder_of_another_name_is_refused(folder: Path) -> None:
    moved = folder.rename(folder.parent / "other")

    assert_refused(moved, MANIFEST, what="name", expected="other", found="small")


def test_records_of_another_model_are_refused(folder: Path) -> None:
    other = write_model(folder.parent / "other", units=(5,), states={"a": [1.0]})

    rewrite(folder, SERIES, (other / SERIES).read_bytes())

    assert_refused(folder, SERIES, what="records", expected="(series, ", found="(1, ")


def test_series_without_their_names_are_refused(folder: Path) -> None:
    rewrite(folder, SERIES, safetensors.numpy.save({"records": np.zeros((1, 8), np.uint8)}))

    assert_refused(folder, SERIES, expected="uint8 records and unique_id", found="['records']")


def test_a_folder_that_exists_is_not_replaced_unasked(folder: Path) -> None:
    before = (folder / WEIGHTS).read_bytes()

    with pytest.raises(ArtifactError, match="small: expected no such folder yet, found one that"):
        write_model(folder, seed=1)

    assert (folder / WEIGHTS).read_bytes() == before


def test_a_folder_is_replaced_when_asked_and_nothing_is_left_of_it(folder: Path) -> None:
    (folder / "stray").touch()
    before = load(folder).manifest.fingerprint

    write_model(folder, seed=1, replace=True)

    assert load(folder).manifest.fingerprint != before
    assert not (folder / "stray").exists()
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_while_writing_leaves_all_as_it_was(tmp_path: Path, replace: bool) -> None:
    folder = tmp_path / "small"
    manifest = load(write_model(tmp_path / "model")).manifest
    if replace:
        write_model(folder)
    before = sorted(tmp_path.rglob("*"))

    # `a` cannot be a file and a folder.
    with pytest.raises(ArtifactError, match=r"small: expected room and leave to write it, found"):
        artifact.save(folder, manifest, {"a": b"", "a/b": b""}, replace=replace)

    assert sorted(tmp_path.rglob("*")) == before
    if replace:
        load(folder)


def test_a_file_in_the_place_of_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "models").touch()

    with pytest.raises(ArtifactError, match=r"models: expected a folder, found a file"):
        artifact.check_free(tmp_path / "models" / "sales", replace=False)


def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says who may write: these tests may run as a user who may do anything."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(ArtifactError, match=r"may not be written to; --models names another"):
        artifact.check_free(tmp_path / "models" / "sales", replace=False)


def test_folders_above_are_made(tmp_path: Path) -> None:
    assert load(write_model(tmp_path / "deep" / "er" / "small")).name == "small"


@pytest.mark.slow
def test_a_model_steps_in_keras_as_in_numpy(folder: Path) -> None:
    ours, theirs = load(folder), load(folder, Engine.KERAS)
    history = np.random.default_rng(0).normal(size=20)

    found, expected = (
        model.forecaster.seed([history])["forecast"] / 5 for model in (ours, theirs)
    )  # a network unit is 5

    np.testing.assert_allclose(found, expected, rtol=PARITY, atol=PARITY)
