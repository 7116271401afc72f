"""The store on disk: what a file holds after whatever happened."""

import asyncio
import itertools
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import batch
from app.answers import Ask, Observed
from app.intake import ANY_STEP, Rows
from app.service import ForecastService, History
from app.services import load_services
from app.settings import Settings
from app.store.database import MIGRATIONS, Database, Statement
from app.store.protocol import Records
from app.store.sqlite import SqliteStore
from forecaster.calendar import Clock
from forecaster.errors import (
    ConflictError,
    NotKeptError,
    OutOfOrderError,
    SeriesNotFoundError,
    StepMismatchError,
    StoreDamagedError,
    StoreFullError,
    StoreOpenError,
    StoreUnavailableError,
)
from forecaster.forecaster import run
from forecaster.journal import is_after
from tests.app.conftest import TRAINED
from tests.forecaster.fakes import write_model

pytestmark = pytest.mark.anyio

NAN = float("nan")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "models"
    write_model(folder / "plain", states={"trained": TRAINED})
    return folder


@asynccontextmanager
async def opened(models: Path, file: Path, **settings: Any) -> AsyncIterator[ForecastService]:
    """Serve the only model of a folder from a file."""
    chosen: dict[str, Any] = {"start": "empty"} | settings
    services = load_services(Settings(models=models, store=f"sqlite:///{file}", **chosen))
    await services.start(Settings(models=models, **chosen))
    try:
        yield next(iter(services))
    finally:
        await services.close()


def store_of(service: ForecastService) -> SqliteStore:
    assert isinstance(service.store, SqliteStore)
    return service.store


def as_killed(file: Path) -> Path:
    """Return a copy of the file as a process that was killed now would leave it."""
    copy = file.with_name(f"killed-{len(list(file.parent.iterdir()))}.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    return copy


async def observe(
    service: ForecastService, unique_id: str, values: Iterable[float], start: int = 1
) -> None:
    """Observe values at the times `start`, `start + 1` and so on."""
    for ds, y in enumerate(values, start=start):
        await service.observe(unique_id, y, ds, Clock.INTEGER)


async def seed(service: ForecastService, unique_id: str, values: list[float]) -> None:
    times = np.arange(1, len(values) + 1)
    await service.seed(unique_id, History(np.array(values), times, Clock.INTEGER))


async def contents(service: ForecastService) -> dict[str, Records]:
    ids = await service.store.ids()
    return dict(zip(ids, np.split(await service.store.read(ids), max(len(ids), 1)), strict=False))


def assert_close(found: dict[str, Records], expected: dict[str, Records]) -> None:
    """Assert that series are the same; replaying them side by side rounds otherwise than alone."""
    assert found.keys() == expected.keys()
    for unique_id, record in expected.items():
        for name in record.dtype.names or ():
            np.testing.assert_allclose(
                found[unique_id][name],
                record[name],
                rtol=1e-6,
                atol=1e-6,
                err_msg=f"{unique_id}: {name}",
            )


async def replayed(service: ForecastService, unique_id: str) -> Records:
    """Return the record that what is kept of a series makes of its oldest kept record."""
    entries = await service.store.history(unique_id)
    base = None
    for step in [0, *entries["step"].tolist()]:
        base = await service.store.base(unique_id, step)
        if base is not None:
            break
    assert base is not None
    later = entries[is_after(entries, base["step"])]
    later["series"] = 0
    return run(service.model.forecaster.replaying(base, later))


def values(*count: int) -> list[float]:
    walk: list[float] = np.random.default_rng(count).normal(0.0, 2.0, count[0]).cumsum().tolist()
    return walk


# What a file holds


async def test_what_was_kept_is_there_to_the_last_bit_after_a_stop(
    models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        await observe(service, "a", values(9))
        await seed(service, "b", values(5))
        await service.reset("a")
        before = await contents(service)

    async with opened(models, file) as service:
        after = await contents(service)

    assert {name: record.tobytes() for name, record in after.items()} == {
        name: record.tobytes() for name, record in before.items()
    }


@pytest.mark.parametrize("checkpoint_after", [None, 0, 1, 3, 5])
async def test_what_was_acknowledged_is_there_after_a_kill(
    models: Path, tmp_path: Path, checkpoint_after: int | None
) -> None:
    """Whatever the last checkpoint held, and what came since."""
    file = tmp_path / "s.db"
    async with opened(models, file) as service:

        async def checkpoint(at: int) -> None:
            if at == checkpoint_after:
                await store_of(service).checkpoint()

        await observe(service, "a", values(9))
        await observe(service, "gone", values(3))
        await checkpoint(0)
        await seed(service, "b", values(5))
        await checkpoint(1)
        await service.reset("a")
        await service.delete("gone")
        await checkpoint(3)
        await observe(service, "a", values(4), start=10)
        await observe(service, "gone", values(2))
        await service.seed_from_series("c", "a")
        await service.reset("a")
        await checkpoint(5)
        expected = await contents(service)
        histories = {one: await service.store.history(one) for one in expected}
        copy = as_killed(file)

    async with opened(models, copy) as service:
        assert_close(await contents(service), expected)
        for unique_id, history in histories.items():
            found = await service.store.history(unique_id)
            for name in ("step", "ds", "y", "mark", "clock", "stood"):
                np.testing.assert_array_equal(found[name], history[name])


async def test_a_checkpoint_empties_the_log(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        await observe(service, "a", values(9))
        assert len(rows_of(file, "SELECT * FROM log")) == 9

        await store_of(service).checkpoint()

        assert rows_of(file, "SELECT * FROM log") == []
        assert rows_of(file, "SELECT step FROM series") == [(9,)]


async def test_a_checkpoint_is_due_when_a_replay_would_take_longer_than_it_may(
    models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file, recovery_seconds=1e-6) as service:
        await observe(service, "a", values(9))
        await asyncio.sleep(0)

        while (left := len(rows_of(file, "SELECT * FROM log"))) > 2:
            await asyncio.sleep(0.001)

        assert left <= 2


async def test_a_batch_is_one_row_of_the_log(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        store = store_of(service)
        ids = [f"{number}" for number in range(500)]

        await asyncio.gather(*(service.observe(one, 1.0, 1, Clock.INTEGER) for one in ids))

        assert len(rows_of(file, "SELECT * FROM log")) <= 2
        assert len(await store.ids()) == 500


async def test_history_tells_what_had_been_forecast(models: Path, tmp_path: Path) -> None:
    async with opened(models, tmp_path / "s.db") as service:
        await observe(service, "a", [1.0, 2.0, 4.0])
        standing = await service.forecast("a", Ask())
        await store_of(service).checkpoint()
        await observe(service, "a", [5.0, NAN], start=4)

        past = (await service.history("a", 3)).history

    assert [(one.step, one.ds, one.y) for one in past] == [(3, 3, 4.0), (4, 4, 5.0), (5, 5, None)]
    assert past[1].mean == standing.forecasts[0].mean
    assert past[1].intervals == standing.forecasts[0].intervals


async def test_series_of_two_models_are_kept_apart(tmp_path: Path) -> None:
    models, file = tmp_path / "models", tmp_path / "s.db"
    for number, name in enumerate(["one", "two"]):
        write_model(models / name, seed=number)
    settings = Settings(models=models, store=f"sqlite:///{file}")
    services = load_services(settings)
    for length, service in enumerate(services, start=3):
        await observe(service, "a", values(length))
    expected = [await contents(service) for service in services]
    copy = as_killed(file)
    await services.close()

    services = load_services(Settings(models=models, store=f"sqlite:///{copy}"))

    for before, service in zip(expected, services, strict=True):
        assert_close(await contents(service), before)
    await services.close()


async def test_training_states_are_put_once(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file, start="training") as service:
        await service.observe("trained", 3.0, 0, Clock.NONE)
        expected = await contents(service)
        copy = as_killed(file)

    async with opened(models, copy, start="training") as service:
        assert_close(await contents(service), expected)


async def test_a_series_of_training_that_was_deleted_stays_deleted(tmp_path: Path) -> None:
    """Every start put it back."""
    models, file = tmp_path / "models", tmp_path / "s.db"
    write_model(models / "m", states={"trained": TRAINED, "other": TRAINED})
    async with opened(models, file, start="training") as service:
        await service.delete("trained")
        copy = as_killed(file)

    for again in (file, copy):
        async with opened(models, again, start="training") as service:
            assert await service.store.ids() == ["other"]

    states = {"trained": TRAINED, "other": TRAINED}
    write_model(models / "m", states=states, seed=3, replace=True)
    async with opened(models, file, start="training") as service:
        assert "trained" in await service.store.ids()


async def test_a_start_that_was_killed_puts_the_rest_of_trainings_series(tmp_path: Path) -> None:
    models, file = tmp_path / "models", tmp_path / "s.db"
    write_model(models / "m", states={f"{n}": TRAINED for n in range(3)})
    async with opened(models, file) as service:
        states = service.model.states
        await service.put(["1"], np.array([states["1"]], service.model.forecaster.dtype))

    async with opened(models, file, start="training") as service:
        assert await service.store.ids() == ["0", "1", "2"]


# Retention and spilling


@pytest.mark.parametrize("keep", [1, 5, 30])
async def test_at_least_so_many_observations_are_kept_and_never_many_more(
    models: Path, tmp_path: Path, keep: int
) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file, keep_observations=keep) as service:
        for start in range(1, 200, 7):
            await observe(service, "a", values(7, start), start=start)
            await store_of(service).checkpoint()
            history = await service.store.history("a")
            step = start + 6

            assert history["step"].tolist() == list(range(step - len(history) + 1, step + 1))
            assert min(step, keep) <= len(history) <= 2 * keep + 14
        assert_close({"a": await replayed(service, "a")}, await contents(service))


@pytest.mark.parametrize("keep", [1, 4, 10, 30])
@pytest.mark.parametrize("every", [1, 5, 17])
@pytest.mark.parametrize("back", [0, 3, 8, 25])
async def test_corrections_do_not_keep_a_series_from_being_trimmed(
    models: Path, tmp_path: Path, keep: int, every: int, back: int
) -> None:
    """The whole past was written again each time, as one piece that was never old enough."""
    file = tmp_path / "s.db"
    back = min(back, keep - 1)
    async with opened(models, file, keep_observations=keep) as service:
        for start in range(1, 120, every):
            await observe(service, "a", values(every, start), start=start)
            await store_of(service).checkpoint()
            step = start + every - 1
            if step > back + 2:
                await service.correct("a", 0.5, step - back, Clock.INTEGER)

            history = await service.store.history("a")
            assert history["step"].tolist() == list(range(step - len(history) + 1, step + 1))
            assert min(step, keep) <= len(history) <= 2 * keep + keep // 2 + every
            assert_close({"a": await replayed(service, "a")}, await contents(service))
            assert len(rows_of(file, "SELECT * FROM bases")) <= 5


async def test_without_retention_nothing_is_kept_but_records(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file, keep_observations=0) as service:
        await observe(service, "a", values(9))
        await seed(service, "b", values(9))
        expected = await contents(service)
        await store_of(service).checkpoint()

        with pytest.raises(NotKeptError, match="kept"):
            await service.correct("a", 1.0, 5, Clock.INTEGER)

        assert rows_of(file, "SELECT * FROM history") == []
        assert rows_of(file, "SELECT * FROM bases") == []
    async with opened(models, file) as service:
        assert_close(await contents(service), expected)


async def test_series_that_do_not_fit_into_memory_are_left_in_the_file(
    models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.db"
    ids = [f"{number:03}" for number in range(100)]
    async with opened(models, file) as plain:
        for round_ in range(3):
            for one in ids:
                await observe(plain, one, values(2, int(one), round_), start=1 + 2 * round_)
        expected = await contents(plain)
        size = plain.model.forecaster.dtype.itemsize

    spilled = tmp_path / "spilled.db"
    async with opened(models, spilled, max_memory_bytes=10 * size) as service:
        for round_ in range(3):
            for one in ids:
                await observe(service, one, values(2, int(one), round_), start=1 + 2 * round_)
            await store_of(service).checkpoint()

            assert len(store_of(service)._cache) <= 12  # so much for its memory
        assert_close(await contents(service), expected)
        assert (await service.status("007")).step == 6
        copy = as_killed(spilled)
    for again in (copy, spilled):
        async with opened(models, again, max_memory_bytes=10 * size) as service:
            assert_close(await contents(service), expected)
            await observe(service, "007", [1.0], start=7)
            assert (await service.status("007")).step == 7


async def test_a_store_is_full_at_its_limit_and_has_room_when_a_series_goes(
    models: Path, tmp_path: Path
) -> None:
    async with opened(models, tmp_path / "s.db", max_series=2) as service:
        await observe(service, "a", [1.0])
        await observe(service, "b", [1.0])

        with pytest.raises(StoreFullError, match="STEPCAST_MAX_SERIES"):
            await observe(service, "c", [1.0])
        with pytest.raises(StoreFullError, match="STEPCAST_MAX_SERIES"):
            await seed(service, "c", [1.0])
        await observe(service, "a", [2.0], start=2)
        await service.delete("b")
        await observe(service, "c", [1.0])

        assert await service.store.ids() == ["a", "c"]


# Corrections


@given(data=st.data())
async def test_a_corrected_series_is_as_if_it_had_been_right_from_the_start(
    models: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    length = data.draw(st.integers(3, 14))
    y = data.draw(st.lists(st.floats(-9, 9), min_size=length, max_size=length))
    wrong = data.draw(st.integers(1, length))
    right = data.draw(st.floats(-9, 9) | st.just(NAN)) if wrong > 2 else 7.5
    resets = data.draw(st.sets(st.integers(1, length), max_size=2))
    checkpoints = data.draw(st.sets(st.integers(1, length), max_size=3))
    keep = data.draw(st.integers(3, 6))
    truth = [right if ds == wrong else value for ds, value in enumerate(y, start=1)]
    folder = tmp_path_factory.mktemp("corrected")

    async with opened(models, folder / "s.db", keep_observations=keep) as service:
        for unique_id, told in (("wrong", y), ("right", truth)):
            for ds, value in enumerate(told, start=1):
                await observe(service, unique_id, [value], start=ds)
                if ds in resets:
                    await service.reset(unique_id)
                if ds in checkpoints:
                    await store_of(service).checkpoint()
        kept = (await service.store.history("wrong"))["step"]
        try:
            answer = await service.correct("wrong", right, wrong, Clock.INTEGER)
        except NotKeptError:
            assert wrong <= max(length - keep, kept[0])
            return
        try:
            again = await service.correct("wrong", right, wrong, Clock.INTEGER)
            assert (again.step, again.status) == (length, "duplicate")
        except NotKeptError:  # it was let go of with the rest of its age
            assert wrong <= length - 2 * keep
        found, copy = await contents(service), as_killed(folder / "s.db")
        truth_told = (await service.history("right", 100)).history

    assert answer.step == length
    assert_close({"wrong": found["wrong"]}, {"wrong": found["right"]})
    async with opened(models, copy, keep_observations=keep) as service:
        assert_close(await contents(service), found)
        past = (await service.history("wrong", 100)).history
        shared = min(len(past), len(truth_told))
        assert [one.y for one in past[-shared:]] == [one.y for one in truth_told[-shared:]]
        assert_close({"wrong": await replayed(service, "wrong")}, {"wrong": found["wrong"]})


async def test_only_what_is_kept_can_be_corrected(models: Path, tmp_path: Path) -> None:
    async with opened(models, tmp_path / "s.db") as service:
        await observe(service, "a", values(5))
        await service.seed_from_series("copy", "a")
        await observe(service, "copy", [1.0], start=6)

        with pytest.raises(NotKeptError, match="9 is kept"):
            await service.correct("a", 1.0, 9, Clock.INTEGER)
        with pytest.raises(NotKeptError, match="3 is kept"):
            await service.correct("copy", 1.0, 3, Clock.INTEGER)
        with pytest.raises(SeriesNotFoundError):
            await service.correct("none", 1.0, 3, Clock.INTEGER)
        answer = await service.correct("copy", 2.0, 6, Clock.INTEGER)

        assert (answer.step, answer.status) == (6, "applied")


class Meddler:
    """A store in which a series is deleted and copied back while it is being corrected."""

    def __init__(self, service: ForecastService) -> None:
        self._service, self._store = service, service.store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def base(self, unique_id: str, step: int) -> Records | None:
        self._service.store = self._store
        found = await self._store.base(unique_id, step)
        await self._service.delete(unique_id)
        await self._service.seed_from_series(unique_id, "copy")
        return found


async def test_a_correction_sees_that_its_series_began_anew_though_its_record_is_the_same(
    models: Path, tmp_path: Path
) -> None:
    async with opened(models, tmp_path / "s.db") as service:
        await observe(service, "a", values(5))
        await service.seed_from_series("copy", "a")
        service.store = Meddler(service)

        with pytest.raises(NotKeptError, match="3 is kept"):
            await service.correct("a", 1.0, 3, Clock.INTEGER)


# Another model


async def test_series_of_a_model_that_changed_are_rebuilt_from_what_is_kept(
    tmp_path: Path,
) -> None:
    models, file = tmp_path / "models", tmp_path / "s.db"
    write_model(models / "plain")
    history, more = [*values(20), NAN, 3.0], values(4)
    async with opened(models, file) as service:
        await seed(service, "a", history)
        await observe(service, "b", values(7))
        await store_of(service).checkpoint()
        await observe(service, "a", more, start=len(history) + 1)
        stood = (await service.history("a", 1)).history[0].mean
    write_model(models / "plain", units=(3, 2), seed=5, replace=True)

    for _ in range(2):  # rebuilt once, and read the second time
        async with opened(models, file) as service:
            found = await contents(service)
            expected = service.model.forecaster.seed(
                [np.array([*history, *more]), np.array(values(7))],
                [np.arange(1, 27), np.arange(1, 8)],
                Clock.INTEGER,
            )
            past = (await service.history("a", 1)).history[0]
            answer = await service.correct("b", 1.5, 7, Clock.INTEGER)
            await service.correct("b", values(7)[-1], 7, Clock.INTEGER)

        assert_close(found, {"a": expected[:1], "b": expected[1:]})
        assert past.mean == stood
        assert answer.step == 7


async def test_a_series_goes_on_from_where_the_new_training_ended(tmp_path: Path) -> None:
    models, file = tmp_path / "models", tmp_path / "s.db"
    trained, observed = values(6), values(3, 1)
    write_model(models / "m", freq="1", states={"a": trained, "quiet": trained})
    async with opened(models, file, start="training") as service:
        await observe(service, "a", observed, start=7)
        await observe(service, "own", observed)
    longer = [*trained, *observed[:1]]
    write_model(models / "m", freq="1", states={"a": longer, "quiet": longer}, seed=3, replace=True)

    async with opened(models, file, start="training") as service:
        found = await contents(service)
        whole = [np.array([*trained, *observed]), np.array(observed), np.array(longer)]
        expected = service.model.forecaster.seed(
            whole, [np.arange(1, len(one) + 1) for one in whole], Clock.INTEGER
        )
        await observe(service, "a", [1.0], start=10)
        await service.correct("a", 2.0, 8, Clock.INTEGER)

    assert_close(found, {"a": expected[:1], "own": expected[1:2], "quiet": expected[2:]})


async def test_series_of_which_nothing_is_kept_stop_the_start_of_another_model(
    tmp_path: Path,
) -> None:
    models, file = tmp_path / "models", tmp_path / "s.db"
    write_model(models / "plain")
    async with opened(models, file, keep_observations=0) as service:
        await observe(service, "a", values(5))
        before = await contents(service)
    write_model(models / "plain", seed=5, replace=True)

    with pytest.raises(StoreOpenError, match=r"1 of 1 series .*'a'.*serve the former model"):
        load_services(Settings(models=models, store=f"sqlite:///{file}"))

    write_model(models / "plain", replace=True)
    async with opened(models, file) as service:
        assert_close(await contents(service), before)


# The file


def rows_of(file: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file)
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


def change_file(file: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(file)
    connection.execute(sql, parameters)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("table", "column"), [("series", "record"), ("log", "entries"), ("history", "entries")]
)
async def test_a_flipped_bit_is_noticed(
    models: Path, tmp_path: Path, table: str, column: str
) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        await observe(service, "a", values(5))
        await store_of(service).checkpoint()
        await observe(service, "a", values(1), start=6)
        copy = as_killed(file)
    ((blob,),) = rows_of(copy, f"SELECT {column} FROM {table}")
    damaged = blob[:40] + bytes([blob[40] ^ 4]) + blob[41:]
    change_file(copy, f"UPDATE {table} SET {column} = ?", damaged)

    with pytest.raises(StoreDamagedError, match="checksum"):
        async with opened(models, copy) as service:
            await service.history("a", 10)


@asynccontextmanager
async def damaged(models: Path, file: Path) -> AsyncIterator[ForecastService]:
    """Serve four series, of which the first is damaged where it was left in the file."""
    async with opened(models, file, max_memory_bytes=1) as service:
        for unique_id in ("bad", "good", "well", "hot"):
            await observe(service, unique_id, values(5))
        ((blob,),) = rows_of(file, "SELECT record FROM series WHERE id = 1")
        flipped = blob[:40] + bytes([blob[40] ^ 4]) + blob[41:]
        change_file(file, "UPDATE series SET record = ? WHERE id = 1", flipped)
        yield service


async def test_a_damaged_series_does_not_keep_others_from_being_observed(
    models: Path, tmp_path: Path
) -> None:
    async with damaged(models, tmp_path / "s.db") as service:
        names = ["good", "bad", "new", "well"]
        calls = [service.observe(one, 1.0, 6, Clock.INTEGER) for one in names]

        good, bad, new, well = await asyncio.gather(*calls, return_exceptions=True)

        assert isinstance(good, Observed)
        assert isinstance(new, Observed)
        assert isinstance(well, Observed)
        assert (good.step, new.step, well.step) == (6, 1, 6)
        assert isinstance(bad, StoreDamagedError)
        assert "number 1: expected checksum" in str(bad)


async def test_rows_of_a_series_stay_in_order_though_another_is_damaged(
    models: Path, tmp_path: Path
) -> None:
    async with damaged(models, tmp_path / "s.db") as service:
        ids = ["bad", *["good"] * 4, "well"]
        times, y = np.array([6, 6, 7, 8, 9, 1]), np.array([*[1.0] * 5, values(5)[0]])
        rows = Rows(ids, y, times, np.full(6, 1, np.uint8), np.full(6, ANY_STEP))

        answers = await batch.observe(service, rows, Ask())

    assert answers["status"] == ["store-damaged", *["applied"] * 4, "duplicate"]
    assert answers["step"] == [None, 6, 7, 8, 9, 5]
    assert answers["detail"] == ["The service is not set up right; its log says more.", *5 * [None]]


async def test_a_damaged_series_does_not_keep_others_from_being_forecast(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with damaged(models, tmp_path / "s.db") as service:
        answers = await batch.forecast(service, ["good", "bad", "none", "well"], {}, Ask())

        with pytest.raises(StoreDamagedError, match="record of series number 1"):
            await service.forecast("bad", Ask())

    assert answers["status"] == ["ok", "store-damaged", "unknown-series", "ok"]
    assert answers["mean"][0] is not None
    assert "record of series number 1" in caplog.text


@pytest.mark.parametrize("table", ["history", "bases"])
async def test_what_is_said_of_damage_names_no_series(
    models: Path, tmp_path: Path, table: str
) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file, keep_observations=2) as service:
        await observe(service, "customer-4711", values(5))
        await store_of(service).checkpoint()
        await observe(service, "customer-4711", values(1), start=6)
        change_file(file, f"UPDATE {table} SET {'record' if table == 'bases' else 'entries'} = x''")

        with pytest.raises(StoreDamagedError, match="series number 1: expected checksum") as found:
            await service.correct("customer-4711", 1.0, 6, Clock.INTEGER)

    assert "customer" not in str(found.value)


# Retries


async def test_what_is_kept_is_a_duplicate_when_it_comes_again(
    models: Path, tmp_path: Path
) -> None:
    """Of a batch whose answer was lost, only the last row of each series was known again."""
    async with opened(models, tmp_path / "s.db") as service:
        ids = ["a", "b", "a", "a", "b", "c"]
        times, y = np.array([1, 1, 2, 3, 2, 5]), np.array([1.0, 2.0, 4.0, NAN, 3.0, 1.0])
        rows = Rows(ids, y, times, np.full(6, 1, np.uint8), np.array([0, 0, 1, 2, 1, 0]))
        first = await batch.observe(service, rows, Ask())
        before = await contents(service)

        for _ in range(2):
            again = await batch.observe(service, rows, Ask())
            await store_of(service).checkpoint()

            assert first["status"] == ["applied"] * 6
            assert again["status"] == ["duplicate"] * 6
            assert again["step"] == [3, 2, 3, 3, 2, 1]
            assert again["ds"] == [3, 2, 3, 3, 2, 5]
        assert_close(await contents(service), before)


async def test_what_is_kept_with_another_value_is_a_conflict(models: Path, tmp_path: Path) -> None:
    async with opened(models, tmp_path / "s.db") as service:
        await observe(service, "a", [1.0, 2.0, 3.0, NAN, 5.0], start=3)

        for y, ds in ((9.0, 4), (NAN, 4), (1.0, 6)):
            for expected_step in (None, 0):
                with pytest.raises(ConflictError, match="observed with another value") as found:
                    await service.observe("a", y, ds, Clock.INTEGER, expected_step)
                assert found.value.facts() == {"step": 5, "ds": 7}
        for ds in (1, 2):
            with pytest.raises(OutOfOrderError):
                await service.observe("a", 1.0, ds, Clock.INTEGER)
        with pytest.raises(StepMismatchError):
            await service.observe("a", 1.0, 2, Clock.INTEGER, 3)
        await service.correct("a", 9.0, 4, Clock.INTEGER)
        again = await service.observe("a", 9.0, 4, Clock.INTEGER)
        missing = await service.observe("a", NAN, 6, Clock.INTEGER, 0)

        assert (again.status, again.step, again.ds) == ("duplicate", 5, 7)
        assert (missing.status, missing.step, missing.ds) == ("duplicate", 5, 7)


async def test_a_step_that_was_filled_was_not_observed(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models / "m", freq="1")
    async with opened(models, tmp_path / "s.db", on_gap="fill") as service:
        await observe(service, "a", [1.0, 2.0, 3.0])
        await observe(service, "a", [5.0], start=5)

        for y in (NAN, 4.0):
            with pytest.raises(OutOfOrderError):
                await service.observe("a", y, 4, Clock.INTEGER)


async def test_what_is_not_kept_any_more_is_out_of_order(models: Path, tmp_path: Path) -> None:
    async with opened(models, tmp_path / "s.db", keep_observations=3) as service:
        for start in range(1, 21, 5):
            await observe(service, "a", [1.0] * 5, start=start)
            await store_of(service).checkpoint()
        await service.seed_from_series("copy", "a")

        assert (await service.observe("a", 1.0, 18, Clock.INTEGER)).status == "duplicate"
        for unique_id, ds in (("a", 3), ("copy", 18)):
            with pytest.raises(OutOfOrderError):
                await service.observe(unique_id, 1.0, ds, Clock.INTEGER)


async def test_a_retry_whose_past_cannot_be_read_says_so(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        await observe(service, "a", [1.0, 2.0])
        await store_of(service).checkpoint()
        change_file(file, "UPDATE history SET entries = x''")

        with pytest.raises(StoreDamagedError, match="history of series number 1"):
            await service.observe("a", 1.0, 1, Clock.INTEGER)


class Late:
    """A store in which a series begins anew while its past is being read."""

    def __init__(self, service: ForecastService) -> None:
        self._service, self._store = service, service.store
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def history(self, unique_id: str) -> Any:
        self.asked += 1
        found = await self._store.history(unique_id)
        if self.asked == 1:
            await self._service.delete(unique_id)
            await seed(self._service, unique_id, [7.0, 8.0])
        return found


async def test_a_retry_is_looked_up_in_the_past_of_the_series_that_there_is(
    models: Path, tmp_path: Path
) -> None:
    async with opened(models, tmp_path / "s.db") as service:
        await observe(service, "a", [1.0, 2.0, 3.0])
        store = Late(service)
        intake: Any = service.intake
        intake._store = store

        with pytest.raises(ConflictError, match="another value") as found:
            await service.observe("a", 1.0, 1, Clock.INTEGER)

        assert found.value.step == 2


async def test_a_file_has_one_owner(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with opened(models, file) as service:
        await observe(service, "a", [1.0])

        with pytest.raises(StoreOpenError, match=r"s\.db: process \d+ owns it"):
            load_services(Settings(models=models, store=f"sqlite:///{file}"))

        await observe(service, "a", [2.0], start=2)
    async with opened(models, file) as service:
        assert (await service.status("a")).step == 2


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    Database(file).release()
    change_file(file, f"PRAGMA user_version={len(MIGRATIONS) + 1}")

    with pytest.raises(StoreOpenError, match="a newer Stepcast made it"):
        Database(file)


def test_an_older_file_is_brought_up_to_date_once(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    Database(file).release()
    change_file(file, "INSERT INTO models (name, fingerprint, layout) VALUES ('m', 'f', '[]')")
    later = (*MIGRATIONS, "ALTER TABLE models ADD COLUMN note TEXT DEFAULT 'none'")

    for _ in range(2):
        Database(file, later).release()

    assert rows_of(file, "SELECT name, note FROM models") == [("m", "none")]
    assert rows_of(file, "PRAGMA user_version") == [(len(later),)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    Database(file).release()

    with pytest.raises(StoreOpenError, match="no such table"):
        Database(file, (*MIGRATIONS, "CREATE TABLE t (a); DELETE FROM none"))

    assert rows_of(file, "SELECT name FROM sqlite_master WHERE name = 't'") == []
    Database(file).release()


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\1" * 9000])
def test_a_file_that_is_none_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "s.db"
    file.write_bytes(content)

    with pytest.raises(StoreOpenError, match=r"s\.db.*put back a copy"):
        Database(file)

    assert file.read_bytes() == content


# Commits


class Gated(Database):
    """A file whose commits wait for `gate`, and fail while `fault` is set.

    While `refusal` is set nothing can even be submitted.
    """

    def __init__(self, path: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.fault: str | None = None
        self.refusal: Exception | None = None
        self.commits = 0
        super().__init__(path)

    def submit(self, statements: Sequence[Statement], *calls: Any) -> asyncio.Future[None]:
        if self.refusal is not None:
            raise self.refusal
        return super().submit(statements, *calls)

    def _commit(self, statements: Iterable[Statement]) -> None:
        assert self.gate.wait(30)
        if self.fault:
            raise sqlite3.OperationalError(self.fault)
        self.commits += 1
        super()._commit(statements)


@asynccontextmanager
async def gated(
    models: Path, file: Path, **chosen: Any
) -> AsyncIterator[tuple[ForecastService, Gated]]:
    settings = Settings(models=models, store=f"sqlite:///{file}", **chosen)
    services = load_services(settings, make_database=Gated)
    (service,) = services
    database = services.database
    assert isinstance(database, Gated)
    yield service, database
    database.gate.set()
    await services.close()


async def started(*calls: Any) -> list[asyncio.Task[Any]]:
    """Start calls, and let them come as far as they can."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


async def test_nobody_is_refused_for_what_is_not_durable_yet(models: Path, tmp_path: Path) -> None:
    """A reset once said that there is no such series while readers still saw it."""
    async with gated(models, tmp_path / "s.db") as (service, database):
        await observe(service, "a", [1.0, 2.0])
        database.gate.clear()
        deleting, resetting = await started(service.delete("a"), service.reset("a"))

        assert not resetting.done()
        assert (await service.status("a")).step == 2
        database.gate.set()
        await deleting
        with pytest.raises(SeriesNotFoundError):
            await resetting


async def test_a_refusal_does_not_outlive_what_it_was_for(models: Path, tmp_path: Path) -> None:
    async with gated(models, tmp_path / "s.db") as (service, database):
        await observe(service, "a", [1.0, 2.0])
        database.fault = "disk I/O error"
        database.gate.clear()
        calls = await started(service.delete("a"), service.reset("a"))
        database.gate.set()
        for call in calls:
            with pytest.raises(StoreUnavailableError):
                await call
        database.fault = None

        assert (await service.status("a")).step == 2


async def test_nobody_sees_what_is_not_durable_yet(models: Path, tmp_path: Path) -> None:
    async with gated(models, tmp_path / "s.db") as (service, database):
        await observe(service, "a", [1.0, 2.0])
        database.gate.clear()
        calls = await started(
            service.observe("a", 3.0, 3, Clock.INTEGER), service.observe("b", 1.0, 1, Clock.INTEGER)
        )

        seen = await service.status("a")
        names = await service.store.ids()
        database.gate.set()
        answers = await asyncio.gather(*calls)

        assert seen.step == 2
        assert names == ["a"]
        assert [one.step for one in answers] == [3, 1]
        assert (await service.status("a")).step == 3


async def test_what_comes_while_a_commit_is_under_way_shares_the_next(
    models: Path, tmp_path: Path
) -> None:
    async with gated(models, tmp_path / "s.db") as (service, database):
        database.gate.clear()
        first = await started(service.observe("a", 0.0, 1, Clock.INTEGER))
        more = await started(*(service.observe(f"{n}", 0.0, 1, Clock.INTEGER) for n in range(50)))
        before = database.commits

        database.gate.set()
        await asyncio.gather(*first, *more)

        assert database.commits - before == 2


async def test_a_retry_waits_for_the_commit_of_what_it_repeats(
    models: Path, tmp_path: Path
) -> None:
    async with gated(models, tmp_path / "s.db") as (service, database):
        database.gate.clear()
        (first,) = await started(service.observe("a", 1.0, 1, Clock.INTEGER))
        (again,) = await started(service.observe("a", 1.0, 1, Clock.INTEGER))

        assert not again.done()
        database.gate.set()

        assert (await first).status == "applied"
        assert (await again).status == "duplicate"


async def test_what_could_not_be_made_durable_did_not_happen(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with gated(models, file) as (service, database):
        await observe(service, "a", [1.0, 2.0])
        before = await contents(service)
        database.gate.clear()
        database.fault = "disk I/O error"
        calls = await started(
            service.observe("a", 3.0, 3, Clock.INTEGER),
            service.observe("new", 3.0, 3, Clock.INTEGER),
            service.reset("a"),
            service.delete("a"),
            seed(service, "b", [1.0, 2.0]),
        )
        calls += await started(service.observe("a", 4.0, 4, Clock.INTEGER))  # builds on the others

        database.gate.set()
        failures = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(one) for one in failures] == [StoreUnavailableError] * 6
        assert_close(await contents(service), before)
        database.fault = None
        answer = await service.observe("a", 3.0, 3, Clock.INTEGER)
        assert (answer.step, answer.status) == (3, "applied")
        expected, copy = await contents(service), as_killed(file)
    async with opened(models, copy) as service:
        assert_close(await contents(service), expected)


async def test_a_checkpoint_that_fails_is_made_up_for_later(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    async with gated(models, file) as (service, database):
        await observe(service, "a", values(5))
        database.fault = "database or disk is full"
        await store_of(service).checkpoint()
        database.fault = None
        await observe(service, "a", values(2), start=6)

        assert len((await service.history("a", 100)).history) == 7
        await store_of(service).checkpoint()

        assert rows_of(file, "SELECT * FROM log") == []
        assert len((await service.history("a", 100)).history) == 7
        assert_close({"a": await replayed(service, "a")}, await contents(service))


@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
async def test_a_checkpoint_that_fails_in_any_way_takes_nothing_with_it(
    models: Path, tmp_path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a full disk was made up for: what anything else left unwritten, the next one deleted."""
    file = tmp_path / "s.db"
    async with gated(models, file) as (service, database):
        await observe(service, "customer-4711", values(5))
        database.refusal = fault
        await store_of(service).checkpoint()
        database.refusal = None
        await observe(service, "b", values(2))
        expected = await contents(service)
        past = await service.store.history("customer-4711")

        await store_of(service).checkpoint()

        assert rows_of(file, "SELECT * FROM log") == []
        copy = as_killed(file)
    async with opened(models, copy) as service:
        assert_close(await contents(service), expected)
        assert len(await service.store.history("customer-4711")) == len(past) == 5
    told = [one.getMessage() for one in caplog.records if one.name == "app.store.sqlite"]
    assert told == [f"a checkpoint failed, and will be tried again: {type(fault).__name__}"]


async def test_a_checkpoint_that_is_cancelled_takes_nothing_with_it(
    models: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.db"
    async with gated(models, file) as (service, _):
        await observe(service, "a", values(5))
        checkpoint = asyncio.ensure_future(store_of(service).checkpoint())
        while not len(store_of(service)._packing):
            await asyncio.sleep(0)
        checkpoint.cancel()
        await asyncio.gather(checkpoint, return_exceptions=True)
        await observe(service, "a", values(2), start=6)
        expected = await contents(service)

        await store_of(service).checkpoint()

        assert rows_of(file, "SELECT * FROM log") == []
        copy = as_killed(file)
    async with opened(models, copy) as service:
        assert_close(await contents(service), expected)
        assert len(await service.store.history("a")) == 7


async def test_a_checkpoint_that_failed_is_still_due(models: Path, tmp_path: Path) -> None:
    """How long a replay takes was forgotten with the first try."""
    file = tmp_path / "s.db"
    async with gated(models, file) as (service, database):
        times = itertools.count()
        store_of(service)._clock = lambda: float(next(times))  # each observation takes a second
        await observe(service, "a", values(2))
        database.gate.clear()
        third = await started(service.observe("a", 1.0, 3, Clock.INTEGER))
        database.refusal = MemoryError()
        database.gate.set()
        await asyncio.gather(*third)
        while store_of(service)._checkpointing is not None:
            await asyncio.sleep(0.001)
        database.refusal = None
        assert len(rows_of(file, "SELECT * FROM log")) == 3

        await observe(service, "a", values(1), start=4)
        while store_of(service)._checkpointing is not None:
            await asyncio.sleep(0.001)

        assert rows_of(file, "SELECT * FROM log") == []


async def test_two_checkpoints_do_not_meet(models: Path, tmp_path: Path) -> None:
    """One that was asked for was no reason not to plan another, which took its entries away."""
    file = tmp_path / "s.db"
    async with gated(models, file, recovery_seconds=1e-9) as (service, database):
        database.gate.clear()
        calls = await started(service.observe("a", 1.0, 1, Clock.INTEGER))
        database.gate.set()
        await asyncio.gather(*calls)
        await asyncio.gather(
            *(store_of(service).checkpoint() for _ in range(3)),
            *(service.observe(f"{n}", 1.0, 1, Clock.INTEGER) for n in range(50)),
        )
        await store_of(service).checkpoint()

        assert rows_of(file, "SELECT * FROM log") == []
        assert len(rows_of(file, "SELECT * FROM history")) == 51


# Marks


async def test_what_was_left_out_is_marked(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models / "m", freq="1")
    for on_gap, marks, times in (
        ("skip", ["observed"] * 3 + ["after-gap"], [1, 2, 3, 6]),
        ("fill", ["observed"] * 3 + ["filled"] * 2 + ["observed"], [1, 2, 3, 4, 5, 6]),
    ):
        async with opened(models, tmp_path / f"{on_gap}.db", on_gap=on_gap) as service:
            await observe(service, "one", [1.0, 2.0, 3.0])
            await service.observe("one", 6.0, 6, Clock.INTEGER)
            await service.seed(
                "other",
                History(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1, 2, 3, 6]), Clock.INTEGER),
            )

            for unique_id in ("one", "other"):
                past = (await service.history(unique_id, 10)).history
                assert [one.mark for one in past] == marks
                assert [one.ds for one in past] == times
            found = await contents(service)
            assert_close({"a": found["one"]}, {"a": found["other"]})
            assert_close({"one": await replayed(service, "one")}, {"one": found["one"]})


async def test_a_filled_step_can_be_corrected(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models / "m", freq="1")
    async with opened(models, tmp_path / "s.db", on_gap="fill") as service:
        await observe(service, "late", [1.0, 2.0, 3.0])
        await observe(service, "late", [5.0], start=5)
        await observe(service, "right", [1.0, 2.0, 3.0, 4.0, 5.0])

        await service.correct("late", 4.0, 4, Clock.INTEGER)

        found = await contents(service)
        assert_close({"a": found["late"]}, {"a": found["right"]})
        assert (await service.history("late", 9)).history[3].mark == "observed"
