"""A training that ended, told to MLflow where `MLFLOW_TRACKING_URI` says which; to nobody else."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from training.errors import TrackingError
from training.report import Run


def check_tracking() -> None:
    """See that MLflow is there if it is to be told, before a training begins.

    Raises:
        ImportError: If it is not installed.
    """
    if _address():
        _mlflow()


def track(
    folder: Path, run: Run, *, recipe: Mapping[str, JsonValue], scores: Mapping[str, JsonValue]
) -> None:
    """Tell MLflow of a model folder, if it is to be told: one run, named as the model.

    Its parameters are the recipe, its metrics the losses of each epoch and all scores, and its
    artifacts the model folder with the report.

    Args:
        folder: The model folder.
        run: What made it.
        recipe: As the manifest has it.
        scores: As the manifest has them.

    Raises:
        TrackingError: If MLflow does not take it. The model folder stays.
    """
    if not _address():
        return
    mlflow = _mlflow()
    try:
        # What MLflow prints is not what a command reports.
        with redirect_stdout(sys.stderr), mlflow.start_run(run_name=folder.name):
            mlflow.log_params(dict(_flat(recipe, ".")))
            for name, losses in run.history.items():
                for epoch, loss in enumerate(losses, start=1):
                    mlflow.log_metric(name, loss, step=epoch)
            numbers = {name: one for name, one in _flat(scores, "/") if isinstance(one, float)}
            mlflow.log_metrics(numbers)
            mlflow.log_artifacts(str(folder), "model")
    except mlflow.MlflowException as error:
        raise TrackingError(
            f"{folder} is written, but MLflow at {_address()} did not take its run: {error}"
        ) from error


def _address() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_URI")


def _mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers too
    import mlflow

    return mlflow


def _flat(tree: Mapping[str, Any], separator: str) -> Iterator[tuple[str, Any]]:
    """Yield what is at the ends of a tree, with the names on the way to it."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            for inner, end in _flat(value, separator):
                yield f"{name}{separator}{inner}", end
        else:
            yield name, value
