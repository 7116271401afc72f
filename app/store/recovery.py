"""What is done with a file before anyone is served: records are read, and the log is replayed.

A file whose records were made by another model is recognised. They are made again, by replaying
what is kept of each series under the new weights.
"""

import json
import logging
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from app.store.blob import seal, unseal, unseal_each
from app.store.cache import Cache
from app.store.database import Database, Statement
from app.store.sqlite import INSERT_HISTORY, Contents, Tail, chunk
from forecaster.calendar import Clock
from forecaster.errors import StoreOpenError
from forecaster.forecaster import Forecaster, run
from forecaster.journal import ENTRY, Entries, Mark, is_after, merged
from forecaster.model import Model

logger = logging.getLogger(__name__)

Records = NDArray[np.void]

_AT_ONCE = 2048
_FIRST_NUMBERS = 64
_NAMES_SHOWN = 5


def recover(database: Database, model: Model, *, max_bytes: int) -> Contents:
    """Return what a file holds of a model, as it was when the process before ended.

    Args:
        database: The file.
        model: The model, which is added to the file if it is not in it.
        max_bytes: The memory that records may take.

    Raises:
        StoreOpenError: If its series were made by another model, and cannot all be made again.
        StoreDamagedError: If what is read is not what was written.
        sqlite3.Error, UnicodeDecodeError: If the file cannot be read.
    """
    manifest, layout = model.manifest, json.dumps(model.forecaster.dtype.descr)
    made = (manifest.fingerprint, layout)
    known = next(
        database.rows("SELECT id, fingerprint, layout FROM models WHERE name = ?", model.name), None
    )
    if known is None:
        insert = "INSERT INTO models (name, fingerprint, layout) VALUES (?, ?, ?)"
        database.execute([(insert, [(model.name, *made)])])
        known = next(database.rows("SELECT id FROM models WHERE name = ?", model.name))
    elif known[1:] != made:
        database.execute(_rebuilt(database, known[0], model, known[1], made))
    return _load(database, known[0], model, max_bytes)


def _load(database: Database, model_id: int, model: Model, max_bytes: int) -> Contents:
    started = time.perf_counter()
    forecaster = model.forecaster
    what = f"store {database.path}: records of model {model.name!r}"
    names: list[str] = []
    ids: list[int] = []
    cache = Cache(forecaster.dtype)
    found = database.rows(
        "SELECT id, unique_id, record FROM series WHERE model = ? ORDER BY id", model_id
    )
    blank = seal(forecaster.new(1))
    for rows in _batches(found):
        first = len(ids)
        ids += [row[0] for row in rows]
        names += [row[1] for row in rows]
        if cache.size_bytes < max_bytes:
            records = unseal_each([row[2] or blank for row in rows], forecaster.dtype, what)
            cache.put(np.arange(first, len(ids)), records)
    series = np.array(ids, np.int64)
    logged, entries = _logged(database, model_id)
    numbers = np.searchsorted(series, entries["series"])
    valid = np.flatnonzero(numbers < len(series))
    valid = valid[series[numbers[valid]] == entries["series"][valid]]
    entries, numbers = entries[valid], numbers[valid]
    _replay(database, forecaster, cache, series, entries, numbers, what)
    tail = Tail()
    tail.add(entries, numbers)
    spent = time.perf_counter() - started
    if ids:
        logger.info(
            "model %s: %d series read and %d entries replayed in %.1f s",
            model.name,
            len(ids),
            len(entries),
            spent,
        )
    return Contents(
        model=model_id,
        names=SortedDict(zip(names, range(len(names)), strict=True)),
        series=np.concatenate([series, np.zeros(_FIRST_NUMBERS, np.int64)]),
        cache=cache,
        tail=tail,
        logged=logged,
        replay_seconds=spent if len(entries) else 0.0,
    )


def _replay(
    database: Database,
    forecaster: Forecaster,
    cache: Cache,
    series: NDArray[np.int64],
    entries: Entries,
    numbers: NDArray[np.int64],
    what: str,
) -> None:
    """Take the entries of the log into the records that do not hold them yet."""
    changed, rows = np.unique(numbers, return_inverse=True)
    for number in changed[~cache.holds(changed)].tolist():
        (blob,) = next(database.rows("SELECT record FROM series WHERE id = ?", int(series[number])))
        record = unseal(blob, forecaster.dtype, what) if blob else forecaster.new(1)
        cache.put(np.array([number]), record)
    records = cache.peek(changed)
    new = is_after(entries, records["step"][rows])
    entries = entries[new]
    entries["series"] = rows[new]
    cache.put(changed, run(forecaster.replaying(records, entries)))


def _logged(database: Database, model_id: int) -> tuple[int, Entries]:
    """Return the last position in the log, and the entries that a model has in it."""
    what = f"store {database.path}: log"
    rows = list(
        database.rows("SELECT seq, entries FROM log WHERE model = ? ORDER BY seq", model_id)
    )
    parts = [unseal(blob, ENTRY, f"{what}, entry {seq}") for seq, blob in rows]
    return rows[-1][0] if rows else 0, np.concatenate([np.empty(0, ENTRY), *parts])


# A model that changed


def _rebuilt(
    database: Database, model_id: int, model: Model, former: str, made: tuple[str, str]
) -> Iterator[Statement]:
    """Yield what makes all records of a model anew, by replaying what is kept of each series.

    A series that training brought to where what is kept begins, or further, goes on from there.

    Raises:
        StoreOpenError: If nothing is kept of a series, and the model was not trained on it.
    """
    count, layout = next(
        database.rows(
            "SELECT count(series.id), layout FROM models LEFT JOIN series ON model = models.id"
            " WHERE models.id = ?",
            model_id,
        )
    )
    logger.warning(
        "store %s: model %s was %s and is %s now; %d series are being rebuilt",
        database.path,
        model.name,
        former,
        made[0],
        count,
    )
    _, logged = _logged(database, model_id)
    logged = logged[np.argsort(logged["series"], kind="stable")]
    lost: list[str] = []
    found = database.rows("SELECT id, unique_id FROM series WHERE model = ? ORDER BY id", model_id)
    for rows in _batches(found):
        yield from _rebuild(database, model, _dtype(layout), rows, logged, lost)
    if lost:
        shown = ", ".join(repr(name) for name in lost[:_NAMES_SHOWN])
        raise StoreOpenError(
            f"store {database.path}: its series were made by model {former}, and {model.name!r} is "
            f"{made[0]} now; nothing is kept of {len(lost)} of {count} series to rebuild them from "
            f"({shown}{', ...' if len(lost) > _NAMES_SHOWN else ''}): serve the former model, or "
            "move the file away to begin with an empty store"
        )
    yield "DELETE FROM log WHERE model = ?", [(model_id,)]
    yield "UPDATE models SET fingerprint = ?, layout = ? WHERE id = ?", [(*made, model_id)]


def _rebuild(
    database: Database,
    model: Model,
    former: np.dtype[np.void],
    rows: list[tuple[Any, ...]],
    logged: Entries,
    lost: list[str],
) -> Iterator[Statement]:
    """Yield what makes some series anew, and add the names of those that cannot be."""
    what = f"store {database.path}: history of model {model.name!r}"
    block = rows[0][0], rows[-1][0]
    kept: dict[int, list[Entries]] = {series: [] for series, _ in rows}
    for series, blob in database.rows(
        "SELECT series, entries FROM history WHERE series BETWEEN ? AND ? ORDER BY series, first",
        *block,
    ):
        if series in kept:
            kept[series].append(unseal(blob, ENTRY, what))
    bases: dict[int, np.void] = {}
    for series, blob in database.rows(
        "SELECT series, record FROM bases WHERE series BETWEEN ? AND ? ORDER BY series, step DESC",
        *block,
    ):
        bases[series] = unseal(blob, former, what)[0]  # the oldest is the last
    ids = [series for series, _ in rows]
    begins = np.searchsorted(logged["series"], ids, side="left")
    ends = np.searchsorted(logged["series"], ids, side="right")

    forecaster = model.forecaster
    rebuilt: list[int] = []
    starts: list[Records] = []
    pasts: list[Entries] = []
    gone: list[tuple[int]] = []
    for (series, unique_id), begin, end in zip(rows, begins, ends, strict=True):
        past = merged(np.concatenate([*kept[series], logged[begin:end]]))
        start = forecaster.new(1)
        trained = model.states.get(unique_id)
        if trained is not None and trained["step"] >= forecaster.context:
            later = _after_training(past, bases.get(series), trained)
            if later is not None:
                start[0], past = trained, later
        past = _renumbered(past, int(start["step"][0]), forecaster.context)
        if not len(past) and trained is not None:
            gone.append((series,))  # it begins where training ended
        elif not len(past):
            lost.append(unique_id)
        else:
            past["series"] = len(rebuilt)
            rebuilt.append(series)
            starts.append(start)
            pasts.append(past)
    yield "DELETE FROM series WHERE id = ?", gone
    yield "DELETE FROM history WHERE series = ?", [(series,) for series in ids]
    yield "DELETE FROM bases WHERE series = ?", [(series,) for series in ids]
    if not rebuilt:
        return
    before = np.concatenate(starts)
    records = run(forecaster.replaying(before, np.concatenate(pasts)))
    yield (
        "UPDATE series SET step = ?, record = ? WHERE id = ?",
        [
            (int(records["step"][row]), seal(records[row : row + 1]), series)
            for row, series in enumerate(rebuilt)
        ],
    )
    yield INSERT_HISTORY, [chunk(one, past) for one, past in zip(rebuilt, pasts, strict=True)]
    yield (
        "INSERT INTO bases (series, step, record) VALUES (?, ?, ?)",
        [
            (series, int(start["step"][0]), seal(start))
            for series, start in zip(rebuilt, starts, strict=True)
            if start["step"][0]
        ],
    )


def _after_training(past: Entries, base: np.void | None, trained: np.void) -> Entries | None:
    """Return what happened to a series after the end of training.

    Args:
        past: What is kept.
        base: The record before all that, if the series did not begin with it.
        trained: The record at the end of training.

    Returns:
        The entries that follow, or `None` if there may be others before them.
    """
    clock = trained["clock"]
    first = base if base is not None else past[0] if len(past) else None
    if first is None or first["clock"] != clock:
        return None
    if clock == Clock.NONE:
        return past if base is not None and base["step"] == trained["step"] else None
    if first["ds"] > trained["ds"]:
        return None
    is_reset = past["mark"] == Mark.RESET
    later = np.flatnonzero(~is_reset & (past["ds"] > trained["ds"]))
    return past[later[0] :] if len(later) else past[:0]


def _renumbered(entries: Entries, step: int, context: int) -> Entries:
    """Return the entries of a series as those that follow a step.

    A missing value before there are `context` others cannot be stood in for, and is left out.
    """
    is_reset = entries["mark"] == Mark.RESET
    is_value = ~is_reset & ~np.isnan(entries["y"])
    is_early = step + np.cumsum(is_value) < context
    entries = entries[~(is_early & ~is_value)]
    entries["step"] = step + np.cumsum(entries["mark"] != Mark.RESET)
    return entries


def _dtype(layout: str) -> np.dtype[np.void]:
    """Return the dtype that was written as JSON."""
    fields = [(name, kind, *map(tuple, shape)) for name, kind, *shape in json.loads(layout)]
    return np.dtype(fields)


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, _AT_ONCE)):
        yield batch
