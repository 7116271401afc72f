"""What is done with a file before anyone is served: records are read, and the log is replayed.

A file whose records were made by another model is recognised. They are made again, by replaying
what is kept of each series under the new weights.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator
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
from forecaster.errors import StoreDamagedError, StoreOpenError
from forecaster.forecaster import Forecaster, run
from forecaster.journal import (
    COVARIATE,
    Entries,
    Mark,
    Words,
    converted,
    covariates_of,
    entry_dtype,
    is_after,
    merged,
    put_covariates,
)
from forecaster.model import Model

logger = logging.getLogger(__name__)

Records = NDArray[np.void]

_AT_ONCE = 2048
# Records that are read, or replayed side by side, at once: so many that more would not be faster.
_BLOCK_BYTES = 8_000_000
_IDS_AT_ONCE = 512
_FIRST_NUMBERS = 64
_NAMES_SHOWN = 5

_UPDATE_RECORD = "UPDATE series SET step = ?, record = ? WHERE id = ?"
_NAMES = "SELECT id, unique_id FROM series INDEXED BY sqlite_autoindex_series_1 WHERE model = ?"
# Without the hint SQLite finds them by name, and sorts them, with their records.
_SERIES = (
    "SELECT id, unique_id, step, CASE WHEN id <= ? THEN record END FROM series NOT INDEXED"
    " WHERE model = ? ORDER BY id"
)
_DAMAGED = (
    "the file is damaged; put back a copy of it, or move it away to begin with an empty store"
)


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
    made = (model.manifest.fingerprint, _layout(model.forecaster))
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
    """Return what a file holds, with as many records as there may be in memory."""
    started = time.perf_counter()
    forecaster = model.forecaster
    named = sorted(database.rows(_NAMES, model_id))  # SQLite may write a file to sort them
    ids, names = [one for one, _ in named], [unique_id for _, unique_id in named]
    del named
    series = np.array(ids, np.int64)
    logged, entries = _logged(database, model_id, forecaster.entry)
    numbers = np.searchsorted(series, entries["series"])
    valid = np.flatnonzero(numbers < len(series))
    valid = valid[series[numbers[valid]] == entries["series"][valid]]
    entries, numbers = entries[valid], numbers[valid]
    cache = Cache(forecaster.dtype)
    room = min(max_bytes // forecaster.dtype.itemsize, len(ids))
    _replay(database, forecaster, cache, room, series, entries, numbers)
    _fill(database, model_id, forecaster, cache, room, ids, names)
    tail = Tail(forecaster.entry)
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
    room: int,
    series: NDArray[np.int64],
    entries: Entries,
    numbers: NDArray[np.int64],
) -> None:
    """Take the entries of the log into the records that do not hold them yet.

    What there is no room for in memory is written back. The log stays, and a record knows what it
    holds of it, so a start that fails after that has changed nothing.
    """
    changed, rows, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    # Series with many entries are replayed side by side, and not one in each block.
    longest = np.argsort(-counts, kind="stable")
    changed, counts = changed[longest], counts[longest]
    rows = np.argsort(longest)[rows]
    by_row = np.argsort(rows, kind="stable")
    ends = np.concatenate([[0], np.cumsum(counts)])
    at_once = _at_once(forecaster)
    for start in range(0, len(changed), at_once):
        block = changed[start : start + at_once]
        records = _read(database, series[block], forecaster)
        mine = by_row[ends[start] : ends[start + len(block)]]
        new = entries[mine]
        new["series"] = rows[mine] - start
        new = new[is_after(new, records["step"][new["series"]])]
        records = run(forecaster.replaying(records, new))
        fit = room - len(cache)
        cache.put(block[:fit], records[:fit])
        if fit < len(block):
            database.execute([_written(records[fit:], series[block[fit:]].tolist())])


def _read(database: Database, series: NDArray[np.int64], forecaster: Forecaster) -> Records:
    """Return the records of series by their ids in the file."""
    records = forecaster.new(len(series))
    in_order = np.argsort(series)
    for start in range(0, len(series), _IDS_AT_ONCE):
        part = in_order[start : start + _IDS_AT_ONCE]
        ids = series[part].tolist()
        marks = ", ".join("?" * len(ids))
        rows = list(
            database.rows(
                f"SELECT id, step, record FROM series WHERE id IN ({marks}) ORDER BY id", *ids
            )
        )
        _check(database, [row[0] for row in rows], ids)
        records[part] = _unsealed(database, rows, forecaster)
    return records


def _fill(
    database: Database,
    model_id: int,
    forecaster: Forecaster,
    cache: Cache,
    room: int,
    ids: list[int],
    names: list[str],
) -> None:
    """Read records, the first ones first, until there is no room for more.

    All names are read again: they have no checksum, but the index on them is a second copy.
    """
    first = 0
    last = ids[room - 1] if room else 0
    at_once = min(_at_once(forecaster), _AT_ONCE)
    for rows in _batches(database.rows(_SERIES, last, model_id), at_once):
        part = slice(first, first + len(rows))
        first = part.stop
        expected = list(zip(ids[part], names[part], strict=True))
        _check(database, [row[:2] for row in rows], expected)
        numbers = np.arange(part.start, part.stop)
        missing = np.flatnonzero(~cache.holds(numbers))[: room - len(cache)]
        if len(missing):
            wanted = [rows[row] for row in missing.tolist()]
            cache.put(numbers[missing], _unsealed(database, wanted, forecaster))
    _check(database, first, len(ids))


def _check(database: Database, found: object, expected: object) -> None:
    """Check that series are where they are looked for.

    Raises:
        StoreDamagedError: If they are not.
    """
    if found != expected:
        raise StoreDamagedError(
            f"store {database.path}: names of series: the table and its index differ: {_DAMAGED}"
        )


def _unsealed(database: Database, rows: list[tuple[Any, ...]], forecaster: Forecaster) -> Records:
    """Return the records of series from rows that begin with the id, and end with step and record.

    Raises:
        StoreDamagedError: If one is not what was written.
    """

    def what(at: int) -> str:
        return f"store {database.path}: record of series number {rows[at][0]}"

    blank = seal(forecaster.new(1))
    blobs = [blank if row[-1] is None else row[-1] for row in rows]
    records = unseal_each(blobs, forecaster.dtype, what)
    for at, (row, step) in enumerate(zip(rows, records["step"].tolist(), strict=True)):
        if row[-2] != step:
            raise StoreDamagedError(
                f"{what(at)}: expected step {row[-2]}, found {step}: {_DAMAGED}"
            )
    return records


def _written(records: Records, ids: Iterable[int]) -> Statement:
    """Return what writes the records of series."""
    alone = (records[row : row + 1] for row in range(len(records)))
    return _UPDATE_RECORD, [
        (int(record["step"][0]), seal(record), one) for record, one in zip(alone, ids, strict=True)
    ]


def _logged(database: Database, model_id: int, dtype: np.dtype[np.void]) -> tuple[int, Entries]:
    """Return the last position in the log, and the entries that a model has in it."""
    what = f"store {database.path}: log"
    rows = list(
        database.rows("SELECT seq, entries FROM log WHERE model = ? ORDER BY seq", model_id)
    )
    parts = [unseal(blob, dtype, f"{what}, entry {seq}") for seq, blob in rows]
    return rows[-1][0] if rows else 0, np.concatenate([np.empty(0, dtype), *parts])


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
    dtype, words = _read_layout(database, layout)
    _, logged = _logged(database, model_id, entry_dtype(dtype))
    logged = logged[np.argsort(logged["series"], kind="stable")]
    lost: list[str] = []
    found = database.rows("SELECT id, unique_id FROM series WHERE model = ? ORDER BY id", model_id)
    for rows in _batches(found):
        yield from _rebuild(database, model, dtype, words, rows, logged, lost)
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
    words: Words,
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
            kept[series].append(unseal(blob, entry_dtype(former), what))
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
        past = converted(past, forecaster.entry, words, forecaster.covariates.words)
        _keep_static(past, bases.get(series), forecaster, words)
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
    yield _written(records, rebuilt)
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


def _keep_static(past: Entries, base: np.void | None, forecaster: Forecaster, words: Words) -> None:
    """Put static covariates that were given before what is kept of a series into its first entry.

    Args:
        past: What is kept, converted; changed in place.
        base: The former model's record before that, if the series did not begin with it.
        forecaster: Of the new model.
        words: Those of the former's covariates.
    """
    covariates = forecaster.covariates
    if base is None or not len(past) or not covariates.is_static.any():
        return
    known = np.zeros(1, entry_dtype(base.dtype))
    fields = [name for name in known.dtype.names or () if name.startswith(COVARIATE)]
    for field, seen in zip(fields, base["x_seen"] if fields else (), strict=True):
        known[field] = base[field] if seen else np.nan
    values = covariates_of(converted(known, forecaster.entry, words, covariates.words))
    first = covariates_of(past[:1])
    assert values is not None
    assert first is not None
    put_covariates(past[:1], np.where(np.isnan(first) & covariates.is_static, values, first))


def _layout(forecaster: Forecaster) -> str:
    """Return what a model's records and entries are made of, as JSON."""
    fields, words = forecaster.dtype.descr, forecaster.covariates.words
    return json.dumps({"fields": fields, "words": words} if words else fields)


def _read_layout(database: Database, layout: str) -> tuple[np.dtype[np.void], Words]:
    """Return the dtype of records, and the words of covariates, that were written as JSON.

    Raises:
        StoreDamagedError: If none were.
    """
    try:
        found = json.loads(layout)
        words = found["words"] if isinstance(found, dict) else {}
        described = found["fields"] if isinstance(found, dict) else found
        fields = [(name, kind, *map(tuple, shape)) for name, kind, *shape in described]
        return np.dtype(fields), {name: tuple(of) for name, of in words.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreDamagedError(
            f"store {database.path}: layout of records: {error}: {_DAMAGED}"
        ) from error


def _at_once(forecaster: Forecaster) -> int:
    """Return how many records are a block."""
    return max(1, _BLOCK_BYTES // forecaster.dtype.itemsize)


def _batches(
    rows: Iterator[tuple[Any, ...]], at_once: int = _AT_ONCE
) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, at_once)):
        yield batch
