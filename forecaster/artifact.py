"""A model folder: written whole or not at all, and believed only after it was checked.

    manifest.json         what the model is, where it came from, the checksum of every other file
    weights.safetensors   Keras' names and layout
    scaler.json           what the transform learned in training
    golden.json           a short walk-forward trace from the batch-1 Keras model
    series.safetensors    the record of each training series where training ended
    model.keras           the batch-1 Keras model, for Keras users
    report/               plots and a page

Nothing is pickled. Loading checks every file against its checksum and every weight against the
sizes, then replays the golden trace.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError
from safetensors import SafetensorError

from forecaster.errors import ArtifactError
from forecaster.forecaster import Forecaster
from forecaster.model import Engine, Model, build_forecaster
from forecaster.network import Weights
from forecaster.spec import FORMAT_VERSION, Manifest, ModelSpec, Scaler, Spec

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

_LARGEST_FILE = 1 << 30
_SCALER: TypeAdapter[Scaler] = TypeAdapter(Scaler)

T = TypeVar("T")


class Golden(Spec):
    """A walk-forward trace.

    Args:
        y: Values, observed one by one from nothing.
        forecasts: The mean and quantiles that stood after each, from the first that there was.
    """

    y: tuple[FiniteFloat, ...]
    forecasts: tuple[tuple[FiniteFloat, ...], ...]


def trace(forecaster: Forecaster, y: Floats) -> Golden:
    """Return the golden trace of these values."""
    records = forecaster.new(1)
    forecasts = []
    for value in y:
        records = forecaster.observe(records, np.array([value]))
        if records["step"][0] >= forecaster.context:
            forecasts.append(tuple(records["forecast"][0].tolist()))
    return Golden(y=tuple(y.tolist()), forecasts=tuple(forecasts))


def distance(forecaster: Forecaster, golden: Golden) -> float:
    """Return the largest difference from a golden trace, in network units.

    Infinite where the traces are not of the same shape, or a number is none.
    """
    records = forecaster.new(1)
    worst = 0.0
    expected = iter(golden.forecasts)
    for value in golden.y:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at below
            records = forecaster.observe(records, np.array([value]))
        if records["step"][0] < forecaster.context:
            continue
        row = np.array([next(expected, ())])
        if row.shape != records["forecast"].shape:
            return float("inf")
        zero, one = forecaster.transform.unscale(records, np.array([[0.0, 1.0]]))[0]
        apart = float(np.abs(row - records["forecast"]).max())
        # A series that never moved has a unit of nothing: then the trace has to be the same.
        if apart:
            apart = apart / float(one - zero) if one > zero else float("inf")
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
        ArtifactError: If the folder exists and may not be replaced.
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
    contents = {
        name: _read_checked(folder, name, digest) for name, digest in manifest.files.items()
    }
    for name in REQUIRED:
        if name not in contents:
            raise ArtifactError(
                folder / MANIFEST, what="files", expected=name, found="no such entry"
            )
    path = folder / SCALER
    scaler = _parse(path, contents[SCALER], _SCALER.validate_json)
    try:
        spec = ModelSpec(
            network=manifest.network,
            head=manifest.head,
            transform=manifest.transform,
            scaler=scaler,
            policy=manifest.policy,
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
    forecaster = build_forecaster(spec, weights, engine)
    features = forecaster.transform.features
    if features != manifest.network.features:
        raise ArtifactError(
            folder / MANIFEST,
            what="network.features",
            expected=f"{features} (what the transform makes)",
            found=manifest.network.features,
        )
    if forecaster.context != manifest.context:
        raise ArtifactError(
            folder / MANIFEST, what="context", expected=forecaster.context, found=manifest.context
        )
    golden = _parse(folder / GOLDEN, contents[GOLDEN], Golden.model_validate_json)
    apart = distance(forecaster, golden)
    if not golden.forecasts or apart > PARITY:
        raise ArtifactError(
            folder / GOLDEN,
            what="replay",
            expected=f"forecasts within {PARITY} of the trace",
            found=f"{apart:.2g} in network units" if golden.forecasts else "an empty trace",
        )
    states = _series(folder / SERIES, contents[SERIES], forecaster.dtype)
    return Model(manifest=manifest, forecaster=forecaster, states=states)


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json` alone.

    Raises:
        ArtifactError: If it is missing, not valid, or of a newer format.
    """
    path = folder / MANIFEST
    content = _read(path)
    found = _parse(path, content, _FormatOnly.model_validate_json).format
    if found > FORMAT_VERSION:
        raise ArtifactError(
            path,
            what="format",
            expected=f"at most {FORMAT_VERSION} (update stepcast to read newer ones)",
            found=found,
        )
    manifest = _parse(path, content, Manifest.model_validate_json)
    if manifest.name != folder.resolve().name:
        raise ArtifactError(path, what="name", expected=folder.resolve().name, found=manifest.name)
    return manifest


class _FormatOnly(BaseModel):
    """The one field that every format version has."""

    format: int


def _weights(path: Path, content: bytes, spec: ModelSpec) -> Weights:
    found = _tensors(path, content)
    expected = spec.network.shapes()
    if found.keys() != expected.keys():
        raise ArtifactError(path, expected=sorted(expected), found=sorted(found), what="names")
    for name, shape in expected.items():
        array = found[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ArtifactError(
                path, what=name, expected=f"float32 {shape}", found=f"{array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ArtifactError(path, what=name, expected="finite numbers", found="NaN or infinity")
    return {name: array.astype(np.float32, copy=False) for name, array in found.items()}


def _series(path: Path, content: bytes, dtype: np.dtype[np.void]) -> dict[str, np.void]:
    found = _tensors(path, content)
    records, ids = found.get("records"), found.get("unique_id")
    if records is None or ids is None or records.dtype != np.uint8 or ids.dtype != np.uint8:
        raise ArtifactError(path, expected="uint8 records and unique_id", found=sorted(found))
    names = _parse(path, ids.tobytes(), TypeAdapter(list[str]).validate_json)
    if records.shape != (len(names), dtype.itemsize):
        raise ArtifactError(
            path, what="records", expected=(len(names), dtype.itemsize), found=records.shape
        )
    return dict(zip(names, np.frombuffer(records.tobytes(), dtype), strict=True))


def _tensors(path: Path, content: bytes) -> dict[str, NDArray[np.generic]]:
    try:
        return safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(path, expected="safetensors", found=str(error)) from error


def _parse(path: Path, content: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(content)
    except ValidationError as error:
        raise _invalid(path, error) from error


def _invalid(path: Path, error: ValidationError) -> ArtifactError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    found = repr(first.get("input"))
    return ArtifactError(path, what=where, expected=first["msg"], found=found[:200])


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise ArtifactError(path, expected=f"at most {_LARGEST_FILE} bytes", found=size)
        return path.read_bytes()
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise ArtifactError(path, expected="a readable file", found=found) from error


def _read_checked(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(
            folder / MANIFEST, what="files", expected="paths inside the folder", found=name
        )
    content = _read(path)
    found = sha256(content)
    if found != digest:
        raise ArtifactError(path, what="sha256", expected=digest, found=found)
    return content


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
