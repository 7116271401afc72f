"""What the offline job can refuse, beside what `forecaster.errors` lists.

ForecastError
├── CheckpointError   a run cannot go on from what is in its checkpoint
├── DataError         a table of series cannot be used as it is
├── DivergedError     a fit ended in weights or losses that are no numbers
├── ParityError       two networks with the same weights do not give the same outputs
├── TrackingError     MLflow does not take what it is to be told
└── UnservableError   a network or scaler from elsewhere cannot be served
"""

from pathlib import Path

from forecaster.errors import ForecastError


class DataError(ForecastError):
    """A table of series cannot be used as it is."""

    def __init__(
        self,
        problem: str,
        *,
        path: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        places = [
            "" if path is None else str(path),
            "" if row is None else f"row {row}",
            "" if column is None else f"column {column}",
        ]
        place = ", ".join(filter(None, places))
        super().__init__(f"{place}: {problem}" if place else problem)
        self.path = None if path is None else Path(path)
        self.row = row
        self.column = column

    def facts(self) -> dict[str, object]:
        """Return where the fault is, as far as it is known: `path`, `row`, `column`."""
        known = {"path": self.path and str(self.path), "row": self.row, "column": self.column}
        return {name: value for name, value in known.items() if value is not None}


class DivergedError(ForecastError):
    """A fit ended in weights or losses that are no numbers."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the fit diverged: {what}; try a lower learning_rate")


class ParityError(ForecastError):
    """Two networks with the same weights do not give the same outputs."""


class TrackingError(ForecastError):
    """MLflow does not take what it is to be told."""


class CheckpointError(ForecastError):
    """A run cannot go on from what is in its checkpoint."""


class UnservableError(ForecastError):
    """A network or scaler that was fitted elsewhere cannot be served as it is."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
