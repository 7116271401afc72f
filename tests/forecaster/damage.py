"""Ways to damage a model folder, and what it is to be refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from forecaster import artifact
from forecaster.artifact import MANIFEST, WEIGHTS, load
from forecaster.errors import ArtifactError
from forecaster.network import Weights
from forecaster.spec import ModelSpec
from tests.forecaster.fakes import MINMAX

REPORT = "report/index.html"


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Put another file in its place and make its checksum right."""
    (folder / name).write_bytes(content)
    if name != MANIFEST:
        edit_files(folder, **{name: hashlib.sha256(content).hexdigest()})


def edit_manifest(folder: Path, **fields: object) -> None:
    manifest = read_json(folder / MANIFEST) | fields
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit_files(folder: Path, **checksums: str | None) -> None:
    """Set entries of `files`, or with `None` leave them out."""
    files = read_json(folder / MANIFEST)["files"] | checksums
    edit_manifest(folder, files={name: digest for name, digest in files.items() if digest})


def edit_weights(folder: Path, edit: Callable[[Weights], object]) -> None:
    weights = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    edit(weights)
    rewrite(folder, WEIGHTS, safetensors.numpy.save(weights))


def correct_fingerprint(folder: Path) -> None:
    """Make the fingerprint that of what the folder holds now."""
    manifest = artifact.read_manifest(folder)
    spec = ModelSpec(
        network=manifest.network,
        head=manifest.head,
        transform=manifest.transform,
        scaler=MINMAX,
        policy=manifest.policy,
    )
    edit_manifest(folder, fingerprint=spec.fingerprint(manifest.files[WEIGHTS]))


def assert_refused(
    folder: Path, path: str, *, what: str = "", expected: str = "", found: str = ""
) -> ArtifactError:
    """Assert that loading says which file, what was expected of it and what was found."""
    with pytest.raises(ArtifactError, match=r": expected .*, found ") as caught:
        load(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert message.startswith(f"{folder / path}: {what}")
    assert expected in message.split(", found ")[0]
    assert found in message.split(", found ", 1)[1]
    assert caught.value.path == folder / path
    return caught.value
