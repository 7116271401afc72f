"""A model folder: written whole or not at all, and believed only after it was checked.

    manifest.json         what the model is, where it came from, the checksum of every other file
    weights.safetensors   Keras' names and layout
    scaler.json           what the transform learned in training
    golden.json           a short walk-forward trace from the batch-1 Keras model
    series.safetensors    the record of each training series where training ended
    model.keras           the batch-1 Keras model, for Keras users
    report/               plots and a page

Nothing is pickled. Loading checks every file against its checksum and every weight against the
sizes, then replays the golden trace. A folder may come from anyone: nothing outside it is read, and
no size that it claims is believed before so many bytes are there.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NoReturn, TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from safetensors import SafetensorError

from forecaster.calendar import FIRST_TIME, LAST_TIME, Clock, Freq, Times
from forecaster.errors import ArtifactError
from forecaster.forecaster import MOST_SPREAD, Forecaster
from forecaster.journal import NO_SEASON, Mark, Season
from forecaster.model import Engine, Model, build_forecaster
from forecaster.network import Weights
from forecaster.spec import (
    FORMAT_VERSION,
    LARGEST_VALUE,
    LONGEST_INNER_SEASON,
    LONGEST_SEASON,
    InnerSeasonLength,
    Manifest,
    ModelSpec,
    Scaler,
    SeasonLength,
    Spec,
)

Floats = NDArray[np.float64]
Records = NDArray[np.void]

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SCALER = "scaler.json"
GOLDEN = "golden.json"
SERIES = "series.safetensors"
REQUIRED = (WEIGHTS, SCALER, GOLDEN, SERIES)

# Two engines, or a replay, may differ by this much in network units.
PARITY = 1e-5

# In bytes. Parsed, JSON takes some twenty times as much memory.
_LARGEST_FILE = 1 << 30
_LARGEST_FOLDER = 4 << 30
_LARGEST_JSON = 1 << 20
_LARGEST_GOLDEN = 4 << 20
_LARGEST_HEADER = 1 << 20
# Values in a golden trace after the first that has a forecast: each is stepped at every start.
_LONGEST_TRACE = 1000
_LONGEST_SHOWN = 200

_SCALER: TypeAdapter[Scaler] = TypeAdapter(Scaler)

_LONGEST_NAME = 4096
# Training names series as its file does, in any script and over several lines.
_NAMES: TypeAdapter[list[str]] = TypeAdapter(
    Annotated[
        list[Annotated[str, Field(max_length=_LONGEST_NAME, pattern=r"^[^\x00]+$")]],
        Field(fail_fast=True),
    ]
)

# Fields of a record that are NaN where there was no forecast.
_MAY_BE_NAN = {"error", "stood"}
_CHOICES: dict[str, list[int]] = {"clock": list(Clock), "mark": list(Mark), "missing": [0, 1]}
_LARGEST_INTEGER = 2**62
# The largest size of a field, where that is not that of any number.
_LARGEST: dict[str, float] = {
    "season": LONGEST_SEASON,
    "spread": MOST_SPREAD,
    "step": 2**53,  # twice as many, which entries are ordered by, fit 64 bits
    "h": 2.0,  # an LSTM says 1 at most, give or take what an engine rounds
}
_LARGEST_FLOAT = np.float64(4 * LARGEST_VALUE)  # sums of a few such stay numbers

GoldenCovariate = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)] | None
GoldenTime = Annotated[int, Field(ge=FIRST_TIME, le=LAST_TIME)]

T = TypeVar("T")


class Golden(Spec):
    """A walk-forward trace.

    Args:
        y: Values, observed one by one from nothing.
        forecasts: The mean and quantiles that stood after each, from the first that there was.
        season: The season of the series.
        ds: Their times, in microseconds since 1970 in UTC, for a model that keeps time.
        x: Their covariates, a row for each, for a model that has any; null where one is missing.
    """

    # The first fault is enough: to list a million takes seconds, and a gigabyte.
    y: Annotated[tuple[FiniteFloat, ...], Field(fail_fast=True)]
    forecasts: Annotated[
        tuple[Annotated[tuple[FiniteFloat, ...], Field(fail_fast=True)], ...],
        Field(fail_fast=True),
    ]
    season: tuple[SeasonLength, InnerSeasonLength] = NO_SEASON
    ds: Annotated[tuple[GoldenTime, ...], Field(fail_fast=True)] = ()
    x: Annotated[
        tuple[Annotated[tuple[GoldenCovariate, ...], Field(fail_fast=True)], ...],
        Field(fail_fast=True),
    ] = ()

    @model_validator(mode="after")
    def _check_lengths(self) -> "Golden":
        if self.ds and len(self.ds) != len(self.y):
            raise ValueError(f"ds: expected {len(self.y)} times, one for each y")
        if self.x and len(self.x) != len(self.y):
            raise ValueError(f"x: expected {len(self.y)} rows, one for each y")
        if len({len(row) for row in self.x}) > 1:
            raise ValueError("x: expected rows of one length")
        return self

    def observations(self) -> Iterator[tuple[Floats, Times | None, Clock, Floats | None]]:
        """Yield value, time, what that counts and covariates, one observation after the other."""
        x = np.array(self.x, np.float64)[:, None] if self.x else None
        for step, y in enumerate(self.y):
            row = None if x is None else x[step]
            if self.ds:
                yield np.array([y]), np.array([self.ds[step]], np.int64), Clock.TIME, row
            else:
                yield np.array([y]), None, Clock.NONE, row


def trace(
    forecaster: Forecaster,
    y: Floats,
    season: Season = NO_SEASON,
    ds: Times | None = None,
    x: Floats | None = None,
) -> Golden:
    """Return the golden trace of these values."""
    times = () if ds is None else tuple(ds.tolist())
    rows = [] if x is None else x.tolist()
    covariates = tuple(tuple(None if one != one else one for one in row) for row in rows)
    golden = Golden(y=tuple(y.tolist()), forecasts=(), season=season, ds=times, x=covariates)
    records = forecaster.new(1)
    records["season"] = season
    forecasts = []
    for observation in golden.observations():
        records = forecaster.observe(records, *observation)
        if records["step"][0] >= forecaster.context:
            forecasts.append(tuple(records["forecast"][0].tolist()))
    return golden.model_copy(update={"forecasts": tuple(forecasts)})


def distance(forecaster: Forecaster, golden: Golden) -> float:
    """Return the largest difference from a golden trace, in network units; beyond 1 as a share.

    Infinite where the traces are not of the same shape, or a number is none.
    """
    # What comes of an overflow is looked at.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _distance(forecaster, golden)


def _distance(forecaster: Forecaster, golden: Golden) -> float:
    records = forecaster.new(1)
    records["season"] = golden.season
    worst = 0.0
    expected = iter(golden.forecasts)
    for observation in golden.observations():
        records = forecaster.observe(records, *observation)
        if records["step"][0] < forecaster.context:
            continue
        row = np.array([next(expected, ())])
        if row.shape != records["forecast"].shape:
            return float("inf")
        zero, one = forecaster.transform.unscale(records, np.array([[0.0, 1.0]]))[0]
        apart = float(np.abs(row - records["forecast"]).max())
        # A series that never moved has a unit of nothing: then the trace has to be the same.
        if apart:
            unit = max(float(one - zero), float(np.abs(row - zero).max()))
            apart = apart / unit if one > zero else float("inf")
        worst = max(worst, apart) if apart == apart else float("inf")
    return worst if next(expected, None) is None else float("inf")


def sha256(content: bytes) -> str:
    """Return a file's checksum, as a manifest holds it."""
    return hashlib.sha256(content).hexdigest()


def encode_series(states: dict[str, np.void], dtype: np.dtype[np.void]) -> bytes:
    """Return the content of `series.safetensors`."""
    records = np.array(list(states.values()), dtype)
    ids = json.dumps(list(states), ensure_ascii=False).encode()
    return safetensors.numpy.save(
        {
            "records": records.view(np.uint8).reshape(len(records), dtype.itemsize),
            "unique_id": np.frombuffer(ids, np.uint8),
        }
    )


def check_free(folder: Path, *, replace: bool) -> None:
    """Refuse a folder that cannot be made, before the work on what is to be written begins.

    Raises:
        ArtifactError: If it exists and may not be replaced, or may not be written.
    """
    if folder.exists() and not replace:
        found = "one; --force replaces it"
        raise ArtifactError(folder, expected="no model of that name yet", found=found)
    above = next(path for path in folder.absolute().parents if path.exists())
    if not above.is_dir():
        raise ArtifactError(above, expected="a folder", found="a file")
    if not os.access(above, os.W_OK):
        found = "one that may not be written to; --models names another"
        raise ArtifactError(above, expected="a folder to write the model into", found=found)


def save(
    folder: Path, manifest: Manifest, contents: dict[str, bytes], *, replace: bool = False
) -> Manifest:
    """Write a model folder: into a temporary folder first, which is then renamed.

    Args:
        folder: The folder to make.
        manifest: As it will be written; its `files` are filled in here.
        contents: Every other file by its path inside the folder.
        replace: Whether a folder of that name may be replaced.

    Returns:
        The manifest as written.

    Raises:
        ArtifactError: If the folder exists and may not be replaced, or the disk refuses it: then
            nothing of it is left, and what was there before stays.
    """
    if folder.exists() and not replace:
        raise ArtifactError(folder, expected="no such folder yet", found="one that exists")
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = {name: sha256(content) for name, content in contents.items()}
    complete = manifest.model_copy(update={"files": files})
    # The leading dot keeps half-written folders out of every listing of models.
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in contents.items():
            _write(temporary / name, content)
        _write(temporary / MANIFEST, complete.model_dump_json(indent=2).encode() + b"\n")
        temporary.chmod(0o755)
        _move(temporary, folder)
    except OSError as error:
        found = error.strerror or error
        raise ArtifactError(folder, expected="room and leave to write it", found=found) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return complete


def load(folder: Path, engine: Engine = Engine.NUMPY) -> Model:
    """Load a model folder after checking all of it.

    Raises:
        ArtifactError: If anything is missing, damaged, too new, or not what the manifest says.
        EngineUnavailableError: If the engine is not installed.
    """
    manifest = read_manifest(folder)
    contents = _read_checked(folder, manifest)
    path = folder / SCALER
    scaler = _parse(path, contents[SCALER], _SCALER.validate_json)
    try:
        spec = ModelSpec(
            network=manifest.network,
            head=manifest.head,
            transform=manifest.transform,
            scaler=scaler,
            policy=manifest.policy,
            covariates=manifest.covariates,
        )
    except ValidationError as error:
        raise _invalid(folder / MANIFEST, error) from error
    weights = _weights(folder / WEIGHTS, contents[WEIGHTS], spec)
    fingerprint = spec.fingerprint(manifest.files[WEIGHTS])
    if fingerprint != manifest.fingerprint:
        raise ArtifactError(
            folder / MANIFEST,
            what="fingerprint",
            expected=f"{fingerprint} (from the sizes, scaler and weights)",
            found=manifest.fingerprint,
        )
    freq = Freq.parse(manifest.freq) if manifest.freq else None
    forecaster = build_forecaster(spec, weights, engine, freq)
    features = forecaster.features
    if features != manifest.network.features:
        raise ArtifactError(
            folder / MANIFEST,
            what="network.features",
            expected=f"{features} (what transform and covariates make)",
            found=manifest.network.features,
        )
    if forecaster.context != manifest.context:
        raise ArtifactError(
            folder / MANIFEST, what="context", expected=forecaster.context, found=manifest.context
        )
    golden = _parse(folder / GOLDEN, contents[GOLDEN], Golden.model_validate_json)
    longest = forecaster.context + _LONGEST_TRACE
    if len(golden.y) > longest:
        raise ArtifactError(
            folder / GOLDEN, what="y", expected=f"at most {longest} values", found=len(golden.y)
        )
    if np.abs(golden.y).max(initial=0.0) > LARGEST_VALUE:
        raise ArtifactError(
            folder / GOLDEN,
            what="y",
            expected=f"numbers of size {LARGEST_VALUE:g} at most",
            found="larger ones",
        )
    width, count = len(golden.x[0]) if golden.x else 0, len(manifest.covariates)
    if width != count:
        raise ArtifactError(
            folder / GOLDEN, what="x", expected=f"rows of {count} covariates", found=width
        )
    apart = distance(forecaster, golden)
    if not golden.forecasts or apart > PARITY:
        raise ArtifactError(
            folder / GOLDEN,
            what="replay",
            expected=f"forecasts within {PARITY} of the trace",
            found=f"{apart:.2g} in network units" if golden.forecasts else "an empty trace",
        )
    states = _series(folder / SERIES, contents[SERIES], forecaster.dtype, freq)
    return Model(manifest=manifest, forecaster=forecaster, states=states)


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json` alone.

    Raises:
        ArtifactError: If it is missing, not valid, or of a newer format.
    """
    name = folder.absolute().name
    if not name.isprintable():  # the path of every refusal would tear its line apart
        raise ArtifactError(
            folder.parent, what="folder", expected="a model's name", found=ascii(name)
        )
    path = folder / MANIFEST
    with _open(folder, MANIFEST) as file:
        content = _read(path, file, _LARGEST_JSON)
    found = _parse(path, content, _FormatOnly.model_validate_json).format
    if found > FORMAT_VERSION:
        raise ArtifactError(
            path,
            what="format",
            expected=f"at most {FORMAT_VERSION} (update stepcast to read newer ones)",
            found=_shown(found),
        )
    manifest = _parse(path, content, Manifest.model_validate_json)
    if manifest.name != name:
        raise ArtifactError(path, what="name", expected=name, found=manifest.name)
    return manifest


class _FormatOnly(BaseModel):
    """The one field that every format version has."""

    format: int


def _weights(path: Path, content: bytes, spec: ModelSpec) -> Weights:
    found = _tensors(path, content)
    expected = spec.network.shapes()
    if found.keys() != expected.keys():
        raise ArtifactError(
            path, what="names", expected=_shown(sorted(expected)), found=_shown(sorted(found))
        )
    for name, shape in expected.items():
        array = found[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ArtifactError(
                path, what=name, expected=f"float32 {shape}", found=f"{array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ArtifactError(path, what=name, expected="finite numbers", found="NaN or infinity")
    return {name: array.astype(np.float32, copy=False) for name, array in found.items()}


def _series(
    path: Path, content: bytes, dtype: np.dtype[np.void], freq: Freq | None
) -> dict[str, np.void]:
    found = _tensors(path, content)
    rows, ids = found.get("records"), found.get("unique_id")
    if rows is None or ids is None or rows.dtype != np.uint8 or ids.dtype != np.uint8:
        raise ArtifactError(
            path, expected="uint8 records and unique_id", found=_shown(sorted(found))
        )
    # Sizes first: names are parsed only as far as there are records for them.
    if rows.ndim != 2 or rows.shape[1] != dtype.itemsize:
        raise ArtifactError(
            path, what="records", expected=f"(series, {dtype.itemsize})", found=rows.shape
        )
    longest = 12 * _LONGEST_NAME + 3  # in JSON: a character is two escapes of 6 at most, and `"",`
    if ids.size > 2 + len(rows) * longest:
        raise ArtifactError(
            path, what="unique_id", expected=f"{len(rows)} names", found=f"{ids.size} bytes"
        )
    names = _parse(path, ids.tobytes(), _NAMES.validate_json)
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise ArtifactError(
            path,
            what="unique_id",
            expected=f"{len(rows)} different names, one for each record",
            found=f"{len(names)} names, {len(set(names))} of them different",
        )
    records = np.frombuffer(rows.tobytes(), dtype)
    _check_records(path, records, freq)
    return dict(zip(names, records, strict=True))


def _check_records(path: Path, records: Records, freq: Freq | None) -> None:
    """Refuse records that no series of observations can have left."""
    for name, is_wrong in record_faults(records, freq):
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ArtifactError(
                path,
                what=f"records[{row}].{name}",
                expected="what observing leaves there",
                found=_shown(records[name][row].tolist()),
            )


def record_faults(records: Records, freq: Freq | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield fields of records with which of them hold what no observations can have left there.

    Args:
        records: Shape `(K,)`; any bytes at all.
        freq: The model's distance between observations, if it has one.
    """
    dtype = records.dtype
    assert dtype.names is not None
    for name in dtype.names:
        values = records[name]
        if name in _CHOICES:
            wrong = ~np.isin(values.view(np.uint8), _CHOICES[name])
        elif values.dtype.kind == "f":
            wrong = ~(np.abs(values) <= _LARGEST.get(name, _LARGEST_FLOAT))
            if name in _MAY_BE_NAN:
                wrong &= ~np.isnan(values)
        else:
            lowest = {"ds": -_LARGEST_INTEGER, "step": 1}.get(name, 0)
            wrong = (values < lowest) | (values > _LARGEST.get(name, _LARGEST_INTEGER))
        yield name, np.any(wrong, axis=tuple(range(1, wrong.ndim)))
    yield "season", records["season"][:, 1] > LONGEST_INNER_SEASON
    yield "gap", records["gap"] >= records["step"]
    ds, clock = records["ds"], records["clock"]
    yield "ds", (clock == Clock.TIME) & ((ds < FIRST_TIME) | (ds > LAST_TIME))
    if freq is not None:
        yield "clock", (clock != Clock.NONE) & (clock != freq.clock)


def _tensors(path: Path, content: bytes) -> dict[str, NDArray[np.generic]]:
    length = int.from_bytes(content[:8], "little")
    if length > _LARGEST_HEADER:
        raise ArtifactError(
            path, what="header", expected=f"at most {_LARGEST_HEADER} bytes", found=length
        )
    try:
        # Of a tensor that it cannot give to NumPy it names the type.
        tensors = safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(path, expected="safetensors", found=_shown(error)) from error
    _check_json(path, content[8 : 8 + length])
    return tensors


def _parse(path: Path, content: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        parsed = parse(content)
    except ValidationError as error:
        raise _invalid(path, error) from error
    _check_json(path, content)
    return parsed


def _check_json(path: Path, content: bytes) -> None:
    """Refuse what one reader takes for one thing and the next for another.

    That is a name that stands twice, and `NaN`, which is no JSON and which nobody expects in a
    manifest's free fields.
    """
    try:
        json.loads(content, object_pairs_hook=_unique, parse_constant=_no_number)
    except ValueError as error:
        raise ArtifactError(path, expected="JSON", found=_shown(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name!r} twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _invalid(path: Path, error: ValidationError) -> ArtifactError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    is_unknown = first["type"] == "extra_forbidden"
    expected = "no such field, which a newer Stepcast may know" if is_unknown else first["msg"]
    return ArtifactError(
        path,
        what=_shown(where),
        expected=_shown(expected),
        found=_shown(repr(first.get("input"))),
    )


def _shown(value: object) -> str:
    """Return a value that was found, short and on one line, whatever it is."""
    text = str(value)
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}..."
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _read_checked(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the contents of the files that are used, after checking all that the manifest lists.

    What is returned is what was checked, whatever becomes of the files meanwhile.
    """
    for name in REQUIRED:
        if name not in manifest.files:
            raise ArtifactError(
                folder / MANIFEST, what="files", expected=name, found="no such entry"
            )
    largest = dict.fromkeys(manifest.files, _LARGEST_FILE) | {
        WEIGHTS: min(manifest.network.weight_bytes + _LARGEST_HEADER, _LARGEST_FILE),
        SCALER: _LARGEST_JSON,
        GOLDEN: _LARGEST_GOLDEN,
    }
    total = 0
    for name in manifest.files:
        with _open(folder, name) as file:
            total += _size(folder / name, file, largest[name])
    if total > _LARGEST_FOLDER:
        raise ArtifactError(folder, expected=f"at most {_LARGEST_FOLDER} bytes", found=total)
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        with _open(folder, name) as file:
            if name in REQUIRED:
                contents[name] = _read(folder / name, file, largest[name])
                found = sha256(contents[name])
            else:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ArtifactError(folder / name, what="sha256", expected=expected, found=found)
    return contents


@contextmanager
def _open(folder: Path, name: str) -> Iterator[BufferedReader]:
    """Open a file of the folder, and nothing else: no way out, no pipe, no device."""
    path = folder / name
    parts = PurePosixPath(name)
    try:
        is_inside = not parts.is_absolute() and ".." not in parts.parts
        if not is_inside or not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise ArtifactError(
                folder / MANIFEST, what="files", expected="paths inside the folder", found=name
            )
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ArtifactError(path, expected="a readable file", found="no regular file")
            yield file
    except (OSError, RuntimeError) as error:  # Python 3.11 raises the latter for links in a ring
        found = getattr(error, "strerror", None) or "links in a ring"
        raise ArtifactError(path, expected="a readable file", found=found) from error


def _open_at_once(path: str, flags: int) -> int:
    # Without this a pipe would wait for its writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _size(path: Path, file: BufferedReader, limit: int) -> int:
    size = os.fstat(file.fileno()).st_size
    if size > limit:
        raise ArtifactError(path, expected=f"at most {limit} bytes", found=size)
    return size


def _read(path: Path, file: BufferedReader, limit: int) -> bytes:
    return file.read(_size(path, file, limit))


def _move(temporary: Path, folder: Path) -> None:
    """Rename a folder into its place; one that stands there comes back if that fails."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(old / folder.name)
    try:
        temporary.rename(folder)
    except OSError:
        (old / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
