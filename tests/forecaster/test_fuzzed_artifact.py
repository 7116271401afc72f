"""A model folder with anything in it loads or is refused; nothing else comes of it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.artifact import GOLDEN, MANIFEST, SCALER, SERIES, WEIGHTS, load
from forecaster.errors import ArtifactError
from tests.forecaster.damage import correct_fingerprint, read_json, rewrite
from tests.forecaster.fakes import write_model

JSON_FILES = [MANIFEST, SCALER, GOLDEN]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("fuzzed") / "small", freq="D", states={"a": [1.0, 2.0, 4.0]}
    )


def load_or_refuse(folder: Path) -> None:
    """Load a folder; a refusal is fine, and a model has to step its series."""
    try:
        model = load(folder)
    except ArtifactError as error:
        message = str(error)
    else:
        records = np.array(list(model.states.values()), model.forecaster.dtype)
        y = np.full(len(records), 3.0)
        found = model.forecaster.forecast(model.forecaster.observe(records, y), 3, [0.1])
        assert np.isfinite(found.mean).all()
        return
    assert message.isprintable()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=st.sampled_from([MANIFEST, WEIGHTS, SCALER, GOLDEN, SERIES]))
def test_whatever_bytes_are_changed_it_loads_or_is_refused(
    target: Path, data: st.DataObject, name: str
) -> None:
    kept = {one: (target / one).read_bytes() for one in (MANIFEST, name)}
    content = bytearray(kept[name])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    try:
        rewrite(target, name, bytes(content[: data.draw(st.integers(1, len(content)))]))
        load_or_refuse(target)
    finally:
        for one, before in kept.items():
            (target / one).write_bytes(before)


NUMBERS = [True, -1, 0, 1.5, 2**63, 2**64, 10**400, 1e308, -1e308, 5e-324, float("nan")]
OTHERS: list[Any] = [None, "", "\n", "x" * 10_000, "../..", [], {}, [[]], [0.5], {"a": {"b": []}}]
HOSTILE_VALUES = st.sampled_from([*NUMBERS, *OTHERS, [0] * 10_000])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in list(pairs):
            yield from leaves(one, (*path, key))


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(), name=st.sampled_from(JSON_FILES), values=st.lists(HOSTILE_VALUES, max_size=3)
)
def test_whatever_values_are_changed_it_loads_or_is_refused(
    target: Path, data: st.DataObject, name: str, values: list[object]
) -> None:
    kept = {one: (target / one).read_bytes() for one in (MANIFEST, name)}
    content = read_json(target / name)
    for value in values:
        *above, key = data.draw(st.sampled_from(list(leaves(content))))
        place: Any = content
        for one in above:
            place = place[one]
        place[key] = deepcopy(value)
    try:
        rewrite(target, name, json.dumps(content).encode())
        if data.draw(st.booleans()):
            with suppress(ArtifactError, ValueError):
                correct_fingerprint(target)
        load_or_refuse(target)
    finally:
        for one, before in kept.items():
            (target / one).write_bytes(before)
