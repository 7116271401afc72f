"""Everything this project can refuse.

    ForecastError
    ├── ArtifactError            a model folder cannot be trusted
    ├── EngineUnavailableError   the engine asked for is not installed
    ├── ModelNotFoundError       no model of that name is loaded
    ├── OtherModelError          a state was made by another model
    ├── SeriesNotFoundError      no such series is kept
    ├── SeriesNotWarmError       the series has too few observations for a forecast
    ├── StepMismatchError        the series is not at the step the caller expected
    ├── TimeError                the observation does not come next
    │   ├── OutOfOrderError      it is older than the cursor
    │   ├── ConflictError        the same time was observed with another value
    │   ├── GapError             steps between the cursor and it were left out
    │   ├── ClockError           its kind of time is not that of the series
    │   └── NotKeptError         a correction is of an observation that is not kept
    ├── StoreError               the store of series cannot do what it should
    │   ├── StoreOpenError       it cannot be opened, or not by this service
    │   ├── StoreDamagedError    what it reads is not what it wrote
    │   ├── StoreFullError       it keeps as many series as it may
    │   └── StoreUnavailableError  it cannot make anything durable now: nothing moved
    └── InvalidRequestError      an argument makes no sense to this model

An error says what was expected, what came, and where. It knows nothing of HTTP: `app.errors` has
the table from error to status.
"""

from pathlib import Path


class ForecastError(Exception):
    """The base of every error raised on purpose."""

    def facts(self) -> dict[str, object]:
        """Return what a caller can act on, by name: `step`, `ds`, `missing` and the like."""
        return {}


class ArtifactError(ForecastError):
    """A model folder cannot be trusted: something is missing, damaged or not as declared."""

    def __init__(
        self, path: Path | str, *, expected: object, found: object, what: str = ""
    ) -> None:
        subject = f"{path}: {what}" if what else str(path)
        super().__init__(f"{subject}: expected {expected}, found {found}")
        self.path = Path(path)
        self.expected = expected
        self.found = found


class EngineUnavailableError(ForecastError):
    """The engine asked for needs a package that is not installed."""


class ModelNotFoundError(ForecastError):
    """No model of that name is loaded."""

    def __init__(self, name: str | None, known: list[str]) -> None:
        asked = f"no model {name!r}" if name else "no default model, so name one"
        super().__init__(f"{asked}; loaded: {', '.join(known) or 'none'}")
        self.known = known

    def facts(self) -> dict[str, object]:
        """Return the names of the models that are loaded."""
        return {"models": self.known}


class OtherModelError(ForecastError):
    """A state was made by another model, to which its numbers mean something else."""

    def __init__(self, name: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"the state was made by model {found}, and {name!r} is {expected} here; "
            "begin the series with its history, by /seed-state"
        )
        self.expected = expected
        self.found = found

    def facts(self) -> dict[str, object]:
        """Return the fingerprint of the model that is here."""
        return {"fingerprint": self.expected}


class SeriesNotFoundError(ForecastError):
    """No such series is kept, and asking for it creates none."""

    def __init__(self, unique_id: str) -> None:
        super().__init__(f"no series {unique_id!r}; observe or seed it first")
        self.unique_id = unique_id

    def facts(self) -> dict[str, object]:
        """Return the series that was asked for."""
        return {"unique_id": self.unique_id}


class SeriesNotWarmError(ForecastError):
    """The series has too few observations for a forecast."""

    def __init__(self, *, step: int, missing: int) -> None:
        noun = "observation" if missing == 1 else "observations"
        super().__init__(f"no forecast yet: {missing} more {noun} needed, {step} so far")
        self.step = step
        self.missing = missing

    def facts(self) -> dict[str, object]:
        """Return the step of the series and how many observations are missing."""
        return {"step": self.step, "missing": self.missing}


class StepMismatchError(ForecastError):
    """The series is not at the step that the caller expected."""

    def __init__(self, *, expected: int, step: int) -> None:
        super().__init__(f"expected_step is {expected}, the series is at step {step}")
        self.expected = expected
        self.step = step

    def facts(self) -> dict[str, object]:
        """Return the step the series is at."""
        return {"step": self.step}


class TimeError(ForecastError):
    """The observation does not come next in its series."""

    def __init__(self, message: str, *, step: int, ds: int | str | None) -> None:
        super().__init__(message)
        self.step = step
        self.ds = ds

    def facts(self) -> dict[str, object]:
        """Return the cursor of the series: its step and last `ds`."""
        return {"step": self.step, "ds": self.ds}


class OutOfOrderError(TimeError):
    """The observation is older than the cursor."""


class ConflictError(TimeError):
    """The same time was observed before with another value."""


class GapError(TimeError):
    """One or more steps between the cursor and the observation were left out."""


class ClockError(TimeError):
    """The observation's kind of time is not that of its series."""


class NotKeptError(TimeError):
    """A correction is of an observation that is not kept, or never was."""


class StoreError(ForecastError):
    """The store of series cannot do what it should."""


class StoreOpenError(StoreError):
    """The store cannot be opened, or belongs to another process or another model."""


class StoreDamagedError(StoreError):
    """What the store reads is not what it wrote."""


class StoreFullError(StoreError):
    """The store keeps as many series as it may."""


class StoreUnavailableError(StoreError):
    """The store cannot make anything durable just now: nothing moved, and a retry is safe."""


class InvalidRequestError(ForecastError):
    """An argument makes no sense to this model."""
