"""Training told to MLflow where a variable says which, and to nobody otherwise."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.app.running import stepcast
from training.tracking import check_tracking

pytestmark = pytest.mark.slow

BRIEF = ("--method", "plain", "--epochs", "3", "--test", "12", "--json")


def trained(tmp_path: Path, variables: dict[str, str]) -> CompletedProcess[str]:
    """Train briefly, where MLflow may keep runs in files and tells its makers nothing."""
    where = ("--name", "brief", "--models", str(tmp_path / "models"))
    safe = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return stepcast("train", "examples/shampoo.csv", *where, *BRIEF, variables=safe | variables)


def read(run: Path, *path: str) -> list[str]:
    """Return the lines of one of the files in which MLflow keeps a run."""
    return run.joinpath(*path).read_text().splitlines()


def test_a_training_is_told_with_recipe_losses_scores_and_model(tmp_path: Path) -> None:
    ended = trained(tmp_path, {"MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri()})

    assert ended.returncode == 0, ended.stderr
    scores = json.loads(ended.stdout)
    (params,) = (tmp_path / "runs").glob("*/*/params")
    run = params.parent
    assert read(run, "tags", "mlflow.runName") == ["brief"]
    assert read(run, "params", "epochs") == ["3"]
    assert read(run, "params", "units") == ["[1]"]
    losses = [line.split() for line in read(run, "metrics", "loss")]
    assert [int(step) for _, _, step in losses] == [1, 2, 3]
    for path in ("model/rmse", "persistence/mae", "model/coverage/80"):
        (line,) = read(run, "metrics", *path.split("/"))
        expected = scores
        for name in path.split("/"):
            expected = expected[name]
        assert float(line.split()[1]) == pytest.approx(expected)
    for name in ("manifest.json", "weights.safetensors", "report/index.html"):
        kept = run / "artifacts" / "model" / name
        assert kept.read_bytes() == (tmp_path / "models" / "brief" / name).read_bytes()


def test_a_training_is_told_to_nobody_unless_asked(tmp_path: Path) -> None:
    ended = trained(tmp_path, {"MLFLOW_TRACKING_URI": ""})

    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_an_mlflow_that_is_not_installed_is_missed_before_a_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(ImportError, match="mlflow"):
        check_tracking()


@pytest.mark.parametrize("address", ["nowhere://", "sqlite:///runs.db"])
def test_an_mlflow_that_does_not_answer_is_missed_before_a_training(
    address: str, tmp_path: Path
) -> None:
    """It was missed after it: what had been fitted for ten minutes ended in an error."""
    ended = trained(tmp_path, {"MLFLOW_TRACKING_URI": address})

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: MLflow at {address} does not answer: ")
    assert "or unset it to train without\n" in ended.stderr
    assert not (tmp_path / "models").exists()


def test_a_run_that_is_not_taken_leaves_the_model(tmp_path: Path) -> None:
    address = (tmp_path / "runs").as_uri()

    ended = trained(tmp_path, {"MLFLOW_TRACKING_URI": address, "MLFLOW_RUN_ID": "none"})

    assert ended.returncode == 1
    assert f"is written, but MLflow at {address} did not take its run" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "models" / "brief" / "manifest.json").exists()
