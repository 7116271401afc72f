"""A training that ended, told to MLflow where `MLFLOW_TRACKING_URI` says which; to nobody else."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import shorten
from typing import Any

from pydantic import JsonValue

from training.errors import TrackingError
from training.report import Run


def check_tracking() -> None:
    """See that MLflow is there and answers if it is to be told, before a training begins.

    Raises:
        ImportError: If it is not installed.
        TrackingError: If it does not answer.
    """
    if not _address():
        return
    mlflow = _mlflow()
    try:
        mlflow.search_experiments(max_results=1)
    except mlflow.MlflowException as error:
        raise TrackingError(
            f"MLflow at {_address()} does not answer: {_line(error)}; set MLFLOW_TRACKING_URI to "
            "a server's http address, or unset it to train without"
        ) from error


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
            f"{folder} is written, but MLflow at {_address()} did not take its run: {_line(error)}"
        ) from error


def _address() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_URI")


def _mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers too
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # by default four minutes of them
    import mlflow

    return mlflow


def _line(error: Exception) -> str:
    """Return what an error says in one line, its advice left out where it is long."""
    return shorten(str(error), 300, placeholder=" ...")


def _flat(tree: Mapping[str, Any], separator: str) -> Iterator[tuple[str, Any]]:
    """Yield what is at the ends of a tree, with the names on the way to it."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            for inner, end in _flat(value, separator):
                yield f"{name}{separator}{inner}", end
        else:
            yield name, value
