"""The laws of `SeriesStore`, which every store keeps."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from app.store.cache import Cache
from app.store.database import Database
from app.store.memory import MemoryStore
from app.store.protocol import Change, Changed, Records, SeriesStore
from app.store.sqlite import Contents, SqliteStore, Tail
from forecaster.journal import ENTRY

pytestmark = pytest.mark.anyio

DTYPE = np.dtype([("step", "<i8"), ("h", "<f4", (3,))])
NEW = np.zeros(1, DTYPE)

MakeStore = Callable[[], SeriesStore]

PLENTY = 10**9
ROOM = 10_000


class OwnFile(SqliteStore):
    """A store with a file to itself.

    Args:
        max_bytes: The memory that records may take.
    """

    def __init__(self, max_bytes: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Database(Path(self._folder.name) / "store.db")
        insert = "INSERT INTO models (id, name, fingerprint, layout) VALUES (1, 'm', 'f', '[]')"
        self._file.execute([(insert, [()])])
        contents = Contents(
            model=1,
            names=SortedDict(),
            series=np.zeros(1, np.int64),
            cache=Cache(DTYPE),
            tail=Tail(ENTRY),
            logged=0,
            replay_seconds=0.0,
        )
        super().__init__(
            self._file,
            DTYPE,
            contents,
            max_series=ROOM,
            max_bytes=max_bytes,
            keep_observations=1000,
            recovery_seconds=10.0,
        )

    async def close(self) -> None:
        await super().close()
        await self._file.close()
        self._folder.cleanup()


# Every store there is, empty. The last one has room in memory for nothing that is not in use.
STORES: dict[str, MakeStore] = {
    "memory": lambda: MemoryStore(DTYPE, max_series=ROOM),
    "sqlite": lambda: OwnFile(PLENTY),
    "sqlite-spilling": lambda: OwnFile(0),
}


@pytest.fixture(scope="module", autouse=True)
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=STORES)
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    return STORES[request.param]


@pytest.fixture
async def store(make_store: MakeStore) -> AsyncIterator[SeriesStore]:
    store = make_store()
    yield store
    await store.close()


def become(step: int) -> Change[str]:
    """Return a change that sets `step`, and with it everything in the record."""

    def change(records: Records) -> Changed[str]:
        new = records.copy()
        new["step"] = step
        new["h"] = step + np.arange(3)
        return Changed(new, f"became {step}", base=dict.fromkeys(range(len(new)), 0))

    return change


async def put(store: SeriesStore, ids: Sequence[str]) -> None:
    """Keep series whose steps are 1, 2, 3 and so on."""
    for step, unique_id in enumerate(ids, start=1):
        await store.update([unique_id], become(step))


async def steps(store: SeriesStore, ids: Sequence[str]) -> list[int]:
    found: list[int] = (await store.read(ids))["step"].tolist()
    return found


# Read and update


async def test_a_series_that_is_not_kept_reads_as_zeros_and_is_not_created(
    store: SeriesStore,
) -> None:
    await put(store, ["a"])

    records = await store.read(["nope", "a", "neither"])

    assert records.dtype == DTYPE
    assert records[0] == records[2] == NEW[0]
    assert records["step"].tolist() == [0, 1, 0]
    assert await store.ids() == ["a"]


async def test_reading_no_series_gives_no_records(store: SeriesStore) -> None:
    records = await store.read([])

    assert records.shape == (0,)
    assert records.dtype == DTYPE


async def test_records_come_in_the_order_asked_for(store: SeriesStore) -> None:
    await put(store, ["a", "b", "c"])

    assert await steps(store, ["c", "a", "b", "a"]) == [3, 1, 2, 1]


async def test_an_update_hands_over_the_old_records_and_keeps_the_new(store: SeriesStore) -> None:
    await put(store, ["a", "b"])
    seen = []

    def change(records: Records) -> Changed[str]:
        seen.append(records["step"].tolist())
        new = records.copy()
        new["step"] = [30, 20, 10]
        return Changed(new, "the result", base={0: 0, 1: 0, 2: 0})

    result = await store.update(["new", "b", "a"], change)

    assert result == "the result"
    assert seen[-1] == [0, 2, 1]
    assert await steps(store, ["a", "b", "new"]) == [10, 20, 30]


async def test_an_update_keeps_every_field_to_the_last_bit(store: SeriesStore) -> None:
    record = np.array([(2**62, (np.nan, -0.0, np.finfo(np.float32).tiny))], DTYPE)

    await store.update(["a"], lambda _: Changed(record, None, base={0: 0}))

    assert (await store.read(["a"])).tobytes() == record.tobytes()


async def test_an_update_of_no_series_still_gives_its_result(store: SeriesStore) -> None:
    assert await store.update([], become(1)) == "became 1"
    assert await store.ids() == []


async def test_an_update_that_fails_changes_nothing(store: SeriesStore) -> None:
    await put(store, ["a"])

    def change(records: Records) -> Changed[None]:
        records["step"] = 99
        raise ValueError("no such step")

    with pytest.raises(ValueError, match="no such step"):
        await store.update(["a", "new"], change)

    assert await steps(store, ["a", "new"]) == [1, 0]
    assert await store.ids() == ["a"]


async def test_what_was_read_is_a_copy(store: SeriesStore) -> None:
    await put(store, ["a", "b"])
    read, page = await store.read(["a", "b"]), await store.page()

    read["step"] = 99
    page.records["h"] = 99

    records = await store.read(["a", "b"])
    assert records["step"].tolist() == [1, 2]
    assert records["h"].tolist() == [[1, 2, 3], [2, 3, 4]]


async def test_what_was_written_is_a_copy(store: SeriesStore) -> None:
    record = np.ones(1, DTYPE)
    await store.update(["a"], lambda _: Changed(record, None, base={0: 0}))

    record["step"] = 99

    assert await steps(store, ["a"]) == [1]


async def test_there_is_room_for_any_number_of_series(store: SeriesStore) -> None:
    """A series that made the store grow was once written to the array of before."""
    ids = [f"{number:04}" for number in range(1000)]
    await put(store, ids[:500])

    await store.update(ids[400:], become(7))

    assert await steps(store, ids) == [*range(1, 401), *600 * [7]]
    assert await store.ids() == ids


async def test_a_store_that_is_full_has_no_record_for_a_name_it_does_not_keep(
    store: SeriesStore,
) -> None:
    for number in range(150):
        await store.update([f"{number}"], become(7))

        assert await steps(store, ["nope"]) == [0]


# Delete


async def test_series_are_counted_as_they_come_and_go(store: SeriesStore) -> None:
    assert len(store) == 0

    await put(store, ["a", "b"])
    assert len(store) == 2

    await store.delete(["a"])
    assert len(store) == 1


async def test_a_deleted_series_is_gone(store: SeriesStore) -> None:
    await put(store, ["a", "b", "c"])

    count = await store.delete(["b", "nope", "a"])

    assert count == 2
    assert await store.ids() == ["c"]
    assert await steps(store, ["a", "b", "c"]) == [0, 0, 3]
    assert await store.delete(["a"]) == 0


async def test_a_series_deleted_twice_in_one_call_counts_once(store: SeriesStore) -> None:
    await put(store, ["a", "b"])

    count = await store.delete(["a", "a"])

    assert count == 1
    await put(store, ["c", "d"])
    assert await steps(store, ["b", "c", "d"]) == [2, 1, 2]


async def test_a_new_series_starts_from_zeros_where_another_was(store: SeriesStore) -> None:
    await put(store, ["a", "b"])
    await store.delete(["a", "b"])
    seen = []

    def change(records: Records) -> Changed[None]:
        seen.append(records.tobytes())
        return Changed(np.ones(1, DTYPE), None, base={0: 0})

    await store.update(["c"], change)

    assert seen[-1] == NEW.tobytes()
    assert await steps(store, ["a", "b", "c"]) == [0, 0, 1]


# Names and pages


async def test_names_come_in_the_order_of_their_characters(store: SeriesStore) -> None:
    names = ["b", "a", "B", "a/1", "ä", "a b", "\U0001f40e", "\uffff", "10", "9"]

    await put(store, names)

    assert await store.ids() == sorted(names)


async def test_an_empty_store_has_an_empty_page(store: SeriesStore) -> None:
    page = await store.page()

    assert (page.ids, page.records.shape, page.more) == ([], (0,), False)
    assert page.records.dtype == DTYPE


async def test_a_page_holds_names_with_their_records(store: SeriesStore) -> None:
    await put(store, ["b", "a", "c"])

    page = await store.page(limit=2)

    assert (page.ids, page.more) == (["a", "b"], True)
    assert page.records["step"].tolist() == [2, 1]


@pytest.mark.parametrize(("limit", "more"), [(2, True), (3, False), (4, False)])
async def test_a_page_says_whether_others_follow(
    store: SeriesStore, limit: int, more: bool
) -> None:
    await put(store, ["a1", "a2", "a3", "b"])

    page = await store.page(prefix="a", limit=limit)

    assert page.more is more


@pytest.mark.parametrize(
    ("prefix", "after", "ids"),
    [
        ("", "", ["a", "a/1", "a/2", "ab", "b", "é", "é1"]),
        ("a", "", ["a", "a/1", "a/2", "ab"]),
        ("a/", "", ["a/1", "a/2"]),
        ("a", "a", ["a/1", "a/2", "ab"]),
        ("a/", "a", ["a/1", "a/2"]),
        ("a/", "a/1", ["a/2"]),
        ("a/", "a/15", ["a/2"]),
        ("a/", "b", []),
        ("b", "a", ["b"]),
        ("é", "", ["é", "é1"]),
        ("e", "", []),
        ("z", "", []),
        ("", "é1", []),
        ("a/3", "", []),
    ],
)
async def test_a_page_begins_after_a_name_and_keeps_to_a_prefix(
    store: SeriesStore, prefix: str, after: str, ids: list[str]
) -> None:
    await put(store, ["é1", "b", "a/2", "ab", "a", "é", "a/1"])

    page = await store.page(prefix=prefix, after=after)

    assert page.ids == ids


# Any order of calls

NAMES = st.text("ab/é\U0001f40e", min_size=1, max_size=3)
CALLS = st.lists(
    st.tuples(st.just("update"), st.lists(NAMES, max_size=3, unique=True))
    | st.tuples(st.just("delete"), st.lists(NAMES, max_size=3)),
    max_size=20,
)


@given(calls=CALLS, prefix=st.text("ab/é", max_size=2), limit=st.integers(1, 4))
async def test_a_store_is_a_mapping_in_the_order_of_names(
    make_store: MakeStore, calls: list[tuple[str, list[str]]], prefix: str, limit: int
) -> None:
    store = make_store()
    model: dict[str, int] = {}

    for step, (call, ids) in enumerate(calls, start=1):
        if call == "update":
            await store.update(ids, become(step))
            model |= dict.fromkeys(ids, step)
        else:
            assert await store.delete(ids) == len(model.keys() & set(ids))
            model = {one: at for one, at in model.items() if one not in ids}

    assert await store.ids() == sorted(model)
    assert await steps(store, sorted(model)) == [model[one] for one in sorted(model)]
    walked: list[str] = []
    more = True
    while more:
        page = await store.page(prefix=prefix, after=walked[-1] if walked else "", limit=limit)
        assert page.records["step"].tolist() == [model[one] for one in page.ids]
        walked += page.ids
        more = page.more
    assert walked == [one for one in sorted(model) if one.startswith(prefix)]
    await store.close()
