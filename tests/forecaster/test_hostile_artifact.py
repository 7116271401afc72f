"""A model folder made to harm is refused: in one line, soon, and within little memory.

Every checksum in it is right, for who made the files made the manifest, too.
"""

import hashlib
import json
import os
import pickle
import signal
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from forecaster import artifact
from forecaster.artifact import GOLDEN, MANIFEST, SCALER, SERIES, WEIGHTS, load
from forecaster.calendar import Clock
from forecaster.errors import ArtifactError
from tests.forecaster.damage import (
    REPORT,
    assert_refused,
    edit_files,
    edit_manifest,
    edit_weights,
    read_json,
    rewrite,
)
from tests.forecaster.fakes import write_model

FILES = [WEIGHTS, SCALER, GOLDEN, SERIES, REPORT]
JSON_FILES = [MANIFEST, SCALER, GOLDEN]

# What refusing takes at the most; most takes milliseconds, and what a file holds.
SECONDS = 10
MEBIBYTES = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small", freq="D", states={"a": [1.0, 2.0, 4.0], "b": [3.0]})


@pytest.fixture(autouse=True)
def _soon_and_within_little_memory() -> Iterator[None]:
    def give_up(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert peak < MEBIBYTES << 20


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Paths


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        "/etc/passwd",
        "report/../../x",
        "report/../scaler.json",
        "/dev/zero",
        "../gone",
    ],
)
def test_a_path_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    content = b"elsewhere"
    (folder.parent / "x").write_bytes(content)

    edit_files(folder, **{name: digest(content)})

    assert_refused(folder, MANIFEST, what="files", expected="paths inside the folder", found=name)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[2J", "\x7f", "", "x" * 256])
def test_a_path_that_can_be_none_is_refused(folder: Path, name: str) -> None:
    edit_files(folder, **{name: "0" * 64})

    assert_refused(folder, MANIFEST, what="files", expected="should ")


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_link_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    outside = (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(outside)

    assert_refused(folder, MANIFEST, what="files", expected="paths inside the folder", found=name)


def test_a_linked_folder_inside_that_leads_out_is_refused(folder: Path) -> None:
    (folder / "report").rename(folder.parent / "report")
    (folder / "report").symlink_to("../report")

    assert_refused(folder, MANIFEST, what="files", expected="paths inside the folder", found=REPORT)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/environ", "/etc/passwd"])
def test_a_link_to_a_file_of_the_machine_is_refused(folder: Path, name: str, target: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(target)

    assert_refused(folder, MANIFEST, what="files", expected="paths inside the folder", found=name)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_links_in_a_ring_are_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(Path(name).name)

    assert_refused(folder, name, expected="a readable file")


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    """As a mounted ConfigMap has them."""
    (folder / "..data").mkdir()
    (folder / WEIGHTS).rename(folder / "..data" / WEIGHTS)
    (folder / WEIGHTS).symlink_to(f"..data/{WEIGHTS}")

    assert load(folder).name == "small"


def test_the_folder_may_be_a_link_and_has_the_name_of_the_link(folder: Path) -> None:
    target = folder.rename(folder.parent / "release-42")
    folder.symlink_to(target)

    assert load(folder).name == "small"
    assert_refused(target, MANIFEST, what="name", expected="release-42", found="small")


def test_the_folder_of_model_folders_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(folder.parent)

    assert load(tmp_path / "models" / "small").name == "small"


@pytest.mark.parametrize("name", ["a\nerror: all is well", "\x1b[2J", "a\x7f", "\udcff"])
def test_a_folder_whose_name_tears_its_line_apart_is_refused(folder: Path, name: str) -> None:
    hostile = folder.rename(os.fsencode(folder.parent / name).decode("utf-8", "surrogateescape"))

    with pytest.raises(ArtifactError, match="folder: expected a model's name, found '") as caught:
        load(Path(hostile))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["../small", "..", "/small", "a/b", "Small", ".small", "", "a\n", "small\n", "x" * 65]
)
def test_a_name_that_is_a_path_or_no_name_is_refused(folder: Path, name: str) -> None:
    edit_manifest(folder, name=name)

    assert_refused(folder, MANIFEST, what="name", expected="should match pattern")


# Things that are no files


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
@pytest.mark.parametrize("make", [make_pipe, make_socket, Path.mkdir])
def test_what_is_no_file_is_refused_at_once(
    folder: Path, name: str, make: Callable[[Path], None]
) -> None:
    """The start waited for somebody to write into the pipe."""
    (folder / name).unlink()
    make(folder / name)

    assert_refused(folder, name, expected="a readable file")


# Sizes on disk


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        (MANIFEST, 1 << 20),
        (SCALER, 1 << 20),
        (GOLDEN, 4 << 20),
        (WEIGHTS, (1 << 20) + 4 * (16 + 64 + 16 + 48 + 12)),
        (SERIES, 1 << 30),
        (REPORT, 1 << 30),
    ],
)
def test_a_file_too_large_to_be_meant_is_refused_unread(
    folder: Path, name: str, largest: int
) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(largest + 1)  # sparse: it takes no room

    assert_refused(folder, name, expected=f"at most {largest} bytes", found=f"{largest + 1}")


def test_files_too_large_together_are_refused_unread(folder: Path) -> None:
    for number in range(5):
        with (folder / f"{number}").open("wb") as file:
            file.truncate(1 << 30)
        edit_files(folder, **{f"{number}": "0" * 64})

    assert_refused(folder, "", expected=f"at most {4 << 30} bytes")


def test_more_files_than_a_model_has_are_refused(folder: Path) -> None:
    edit_files(folder, **{f"report/{number}": "0" * 64 for number in range(1000)})

    assert_refused(folder, MANIFEST, what="files", expected="at most 1000 items")


# JSON


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"format":' + b"9" * 100_000 + b"}",
        b'{"format":' + b"9" * 4000 + b"}",
        b'{"kind":"a\\nb' + b"x" * 100_000 + b'"}',
        b'{"' + b"x" * 100_000 + b'\\n":1}',
        b"[" + b"[]," * 300_000 + b"[]]",
        b"{" + b",".join(b'"%d":1' % number for number in range(70_000)) + b"}",
        '{"format":1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"format":1}',
        b'{"format":1}\0',
        b"\x80\x04K\x01.",
    ],
)
def test_json_that_is_none_of_ours_is_refused(folder: Path, name: str, content: bytes) -> None:
    rewrite(folder, name, content)

    assert_refused(folder, name)


@pytest.mark.parametrize("fields", ["y", "forecasts"])
def test_only_the_first_of_many_faults_of_a_trace_is_told(folder: Path, fields: str) -> None:
    """To list them all took a gigabyte."""
    many: dict[str, Any] = {"y": [1.0], "forecasts": [[1.0]]}
    many[fields] = [{}] * 1_000_000

    rewrite(folder, GOLDEN, json.dumps(many).encode())

    assert_refused(folder, GOLDEN, what=f"{fields}.0", found="{}")


@pytest.mark.parametrize(("name", "key"), [(MANIFEST, "freq"), (SCALER, "kind"), (GOLDEN, "y")])
def test_a_name_that_stands_twice_is_refused(folder: Path, name: str, key: str) -> None:
    """Which of two values counts is for each reader to choose."""
    content = (folder / name).read_text().rstrip().removesuffix("}")
    again = json.dumps(read_json(folder / name)[key])

    rewrite(folder, name, f'{content}, "{key}": {again}}}'.encode())

    assert_refused(folder, name, expected="JSON", found=f"'{key}' twice")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["data", "recipe", "scores"])
def test_a_number_that_is_none_is_refused_where_anything_may_stand(
    folder: Path, number: str, field: str
) -> None:
    """It came out of `inspect --json` as a traceback."""
    edit_manifest(folder, **{field: {"deep": [float(number)]}})

    assert_refused(folder, MANIFEST, expected="JSON", found=number)


# Claims


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 0),
        ("format", 10**400),
        ("network", {"features": 1, "units": [10**9], "outputs": 12}),
        ("network", {"features": 1, "units": [8192] * 65, "outputs": 12}),
        ("network", {"features": 1, "units": [1] * 300_000, "outputs": 12}),
        ("network", {"features": 10**9, "units": [4], "outputs": 12}),
        ("network", {"features": 1, "units": [4], "outputs": 10**9}),
        ("network", {"features": 1, "units": [-4], "outputs": 12}),
        ("network", {"features": 1, "units": [4.0], "outputs": 12}),
        ("network", {"features": 1, "units": [], "outputs": 12}),
        ("transform", {"kind": "plain", "difference": 10**9}),
        ("transform", {"kind": "plain", "difference": -1}),
        ("season", 10**30),
        ("context", 10**30),
        ("freq", "D" * 100_000),
        ("freq", "9999999D"),
        ("freq", "W-XYZ"),
    ],
)
def test_a_size_that_nothing_has_is_refused(folder: Path, field: str, value: object) -> None:
    edit_manifest(folder, **{field: value})

    assert_refused(folder, MANIFEST, what=field)


def test_weights_of_terabytes_are_refused_before_any_room_is_made(folder: Path) -> None:
    edit_manifest(folder, network={"features": 1, "units": [8192] * 64, "outputs": 12})

    assert_refused(folder, WEIGHTS, what="names")


def test_quantiles_without_end_are_refused(folder: Path) -> None:
    """A square of as many was made of them: 40 GB for these."""
    quantiles = [number / 70_000 for number in range(1, 70_000)]
    head = {"kind": "mean", "quantiles": quantiles, "offsets": [0] * len(quantiles)}
    edit_manifest(folder, head=head, network={"features": 1, "units": [4], "outputs": 1})

    # The file is too long already; this is as many as one may hold.
    assert_refused(folder, MANIFEST, expected="at most")

    edit_manifest(folder, head=head | {"quantiles": [0.5] * 1000, "offsets": [0] * 1000})

    assert_refused(folder, MANIFEST, what="head.quantiles", expected="at most 999 items")


@pytest.mark.parametrize("offset", [1e300, -1e300])
def test_offsets_beyond_all_numbers_of_the_network_are_refused(folder: Path, offset: float) -> None:
    head = {"kind": "mean", "quantiles": [0.1, 0.5, 0.9], "offsets": [offset] * 3}

    edit_manifest(folder, head=head)

    assert_refused(folder, MANIFEST, what="head.offsets.0", expected="equal to")


# Scaler

MINMAX = {"kind": "minmax", "data_min": -4.0, "data_max": 6.0}


@pytest.mark.parametrize(
    "scaler",
    [
        {**MINMAX, "data_min": float("nan")},
        {**MINMAX, "data_max": float("inf")},
        {**MINMAX, "data_min": 7.0},
        {**MINMAX, "data_min": -1e308, "data_max": 1e308},
        {**MINMAX, "data_min": -1e308, "data_max": -1e308},
        {**MINMAX, "feature_min": 1.0, "feature_max": 1.0},
        {**MINMAX, "feature_min": -1e308, "feature_max": 1e308},
        {**MINMAX, "data_min": "0"},
        {**MINMAX, "data_min": True},
        {**MINMAX, "data_min": 10**400},
        {**MINMAX, "more": 1},
        {"kind": "running", "window": 0},
        {"kind": "running", "window": -1},
        {"kind": "running", "window": 10**30},
        {"kind": "running", "window": 1.5},
        {"kind": "pickle"},
        {"kind": None},
        {},
        [],
    ],
)
def test_a_scaler_that_cannot_scale_is_refused(folder: Path, scaler: object) -> None:
    rewrite(folder, SCALER, json.dumps(scaler).encode())

    assert_refused(folder, SCALER)


# Weights


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["lstm_0/kernel", "lstm_0/recurrent_kernel", "head/bias"])
def test_weights_that_are_no_numbers_are_refused(folder: Path, name: str, value: float) -> None:
    edit_weights(folder, lambda w: w[name].reshape(-1).__setitem__(3, value))

    assert_refused(folder, WEIGHTS, what=name, expected="finite numbers", found="NaN or infinity")


@pytest.mark.parametrize(
    "dtype", ["f2", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"]
)
def test_weights_of_another_type_are_refused(folder: Path, dtype: str) -> None:
    edit_weights(folder, lambda w: w.update({"head/bias": np.zeros(12, dtype)}))

    found = f"{np.dtype(dtype)} (12,)"
    assert_refused(folder, WEIGHTS, what="head/bias", expected="float32 (12,)", found=found)


def entry(dtype: object, shape: object, offsets: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def tensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with this header, which may claim to be of another length."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(head) if length is None else length).to_bytes(8, "little") + head + data


FOUR = bytes(16)
ONE = json.dumps(entry("F32", [4], [0, 16])).encode()
HOSTILE_TENSORS = {
    "nothing": b"",
    "no header": bytes(8),
    "a pickle": pickle.dumps({"a": 1}),
    "half a length": b"\x01\x00",
    "a header of 2^63 bytes": tensors({}, FOUR, 2**63),
    "a header of 2^64 bytes": b"\xff" * 8 + b"{}",
    "a header longer than the file": tensors({}, FOUR, 1000),
    "a header of two mebibytes": tensors(b" " * (2 << 20)),
    "no JSON": tensors(b"{nothing", FOUR),
    "deep JSON": tensors(b'{"a":' * 10_000, FOUR),
    "a list": tensors([], FOUR),
    "no entry": tensors({"a": None}, FOUR),
    "an unknown type": tensors({"a": entry("F1024", [4], [0, 16])}, FOUR),
    "bfloat16": tensors({"a": entry("BF16", [8], [0, 16])}, FOUR),
    "float8": tensors({"a": entry("F8_E4M3", [16], [0, 16])}, FOUR),
    "a negative shape": tensors({"a": entry("F32", [-2, -2], [0, 16])}, FOUR),
    "a shape of terabytes": tensors({"a": entry("F32", [2**20, 2**20], [0, 2**42])}, FOUR),
    "a shape beyond 64 bits": tensors({"a": entry("F32", [2**62, 4], [0, 0])}, FOUR),
    "a shape of nothing times 2^62": tensors({"a": entry("F32", [0, 2**62], [0, 0])}),
    "a hundred dimensions": tensors({"a": entry("F32", [1] * 100, [0, 4])}, FOUR[:4]),
    "a fraction of a shape": tensors({"a": entry("F32", [0.5, 8], [0, 16])}, FOUR),
    "offsets beyond the end": tensors({"a": entry("F32", [8], [0, 32])}, FOUR),
    "offsets backwards": tensors({"a": entry("F32", [4], [16, 0])}, FOUR),
    "negative offsets": tensors({"a": entry("F32", [4], [-16, 0])}, FOUR),
    "offsets that overlap": tensors(
        {"a": entry("F32", [4], [0, 16]), "b": entry("F32", [4], [0, 16])}, FOUR
    ),
    "a hole": tensors({"a": entry("F32", [2], [8, 16])}, FOUR),
    "more than it tells of": tensors({"a": entry("F32", [2], [0, 8])}, FOUR),
    "cut short": tensors({"a": entry("F32", [4], [0, 16])}, FOUR[:-1]),
    "a name twice": tensors(b'{"a":%b,"a":%b}' % (ONE, ONE), FOUR),
    "many names": tensors({f"a{number}\n": entry("F32", [0], [0, 0]) for number in range(10_000)}),
}


@pytest.mark.parametrize("name", [WEIGHTS, SERIES])
@pytest.mark.parametrize("content", HOSTILE_TENSORS.values(), ids=HOSTILE_TENSORS.keys())
def test_a_header_that_lies_is_refused(folder: Path, name: str, content: bytes) -> None:
    if name == WEIGHTS:
        content = content[: (1 << 20) + 1000]  # more is refused unread
    rewrite(folder, name, content)

    assert_refused(folder, name)


@pytest.mark.parametrize("name", [WEIGHTS, SERIES])
def test_a_tensor_that_stands_twice_is_refused(folder: Path, name: str) -> None:
    """Of two entries for the same bytes the last one counted, and the first went unseen."""
    content = (folder / name).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    first = next(iter(header))
    twice = json.dumps(header)[:-1] + f', "{first}": {json.dumps(header[first])}}}'

    rewrite(folder, name, tensors(twice.encode(), content[8 + length :]))

    assert_refused(folder, name, expected="JSON", found=f"'{first}' twice")


@pytest.mark.parametrize("shape", [(4, 16, 1), (64,), (16, 4), (0,), ()])
def test_weights_of_another_shape_are_refused(folder: Path, shape: tuple[int, ...]) -> None:
    name = "lstm_0/recurrent_kernel"

    edit_weights(folder, lambda w: w.update({name: np.zeros(shape, np.float32)}))

    assert_refused(folder, WEIGHTS, what=name, expected="float32 (4, 16)", found=f"{shape}")


# Golden trace


def test_a_trace_without_end_is_refused_unwalked(folder: Path) -> None:
    golden = read_json(folder / GOLDEN)
    golden["y"] = [0] * 5000
    golden["forecasts"] = [[0] * 12] * 4999

    rewrite(folder, GOLDEN, json.dumps(golden).encode())

    assert_refused(folder, GOLDEN, what="y", expected="at most 1002 values", found="5000")


@pytest.mark.parametrize("y", [1.1e300, -1e308])
def test_a_trace_of_numbers_that_may_not_be_observed_is_refused(folder: Path, y: float) -> None:
    """It was refused with an error of requests, which named no file."""
    golden = read_json(folder / GOLDEN)
    golden["y"][3] = y

    rewrite(folder, GOLDEN, json.dumps(golden).encode())

    assert_refused(folder, GOLDEN, what="y", expected="1e+300 at most")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", '"1"', "null", "[1]", "9" * 400])
@pytest.mark.parametrize("field", ["y", "forecasts"])
def test_a_trace_with_what_is_no_number_is_refused(folder: Path, field: str, number: str) -> None:
    row = number if field == "y" else f"[{number}]"
    golden = {"y": "[1.0]", "forecasts": "[[1.0]]"} | {field: f"[{row}]"}

    rewrite(folder, GOLDEN, f'{{"y": {golden["y"]}, "forecasts": {golden["forecasts"]}}}'.encode())

    assert_refused(folder, GOLDEN)


# Records where training ended


def edit_series(folder: Path, edit: Callable[[Any], object]) -> None:
    """Change the records of the series `a` and `b`."""
    dtype = load(folder).forecaster.dtype
    content = safetensors.numpy.load((folder / SERIES).read_bytes())
    records = content["records"].copy().view(dtype).reshape(-1)
    edit(records)
    content["records"] = records.view(np.uint8).reshape(len(records), dtype.itemsize)
    rewrite(folder, SERIES, safetensors.numpy.save(content))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["y", "forecast", "tail", "h", "c", "mae", "rmse", "naive_mae"])
def test_a_record_with_a_number_that_is_none_is_refused(
    folder: Path, field: str, value: float
) -> None:
    """One NaN in a state is in every forecast after it."""
    edit_series(folder, lambda records: records[field].reshape(2, -1).__setitem__((1, -1), value))

    assert_refused(folder, SERIES, what=f"records[1].{field}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", 0),
        ("step", -1),
        ("step", 2**63 - 1),
        ("step", 2**54),
        ("h", 2.5),
        ("scored", -1),
        ("covered", -1),
        ("y", 1e301),
        ("tail", -1e308),
        ("error", np.inf),
        ("clock", 3),
        ("clock", 255),
        ("clock", Clock.INTEGER),
        ("mark", 255),
        ("ds", 2**63 - 1),
        ("ds", -(2**63)),
        ("ds", 2**60),
        ("ds", -(2**60)),
    ],
)
def test_a_record_that_no_observations_leave_is_refused(
    folder: Path, field: str, value: float
) -> None:
    """A clock of no kind, or a time in year 40,000, made every call of its series a 500."""
    edit_series(folder, lambda records: records[field].__setitem__(slice(None), value))

    assert_refused(folder, SERIES, what=f"records[0].{field}", expected="what observing leaves")


def test_a_truth_that_is_neither_is_refused(folder: Path) -> None:
    edit_series(folder, lambda records: records["missing"].view(np.uint8).__setitem__(0, 2))

    assert_refused(folder, SERIES, what="records[0].missing")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (b'["a","a"]', "unique_id: expected 2 different names"),
        (b'["a"]', "unique_id: expected 2 different names"),
        (b'["a","b","c"]', "unique_id: expected 2 different names"),
        (b'["a",""]', "1: "),
        (b'["a","b\\u0000"]', "1: "),
        (b'["a",1]', "1: "),
        (b'["a","\\ud800"]', ": expected Invalid JSON"),
        (b'["a","' + b"x" * 4097 + b'"]', "1: "),
        (b"[" + b"1," * 2000 + b"1]", "0: "),
        (b"[" + b"1," * 1_000_000 + b"1]", "unique_id: expected 2 names"),
        (b'{"a":1}', ": expected Input should be a valid array"),
        (b"[" * 5000, ": expected Invalid JSON"),
        (b"", ": expected Invalid JSON"),
    ],
)
def test_names_that_no_series_can_have_are_refused(folder: Path, names: bytes, what: str) -> None:
    content = safetensors.numpy.load((folder / SERIES).read_bytes())
    content["unique_id"] = np.frombuffer(names, np.uint8)

    rewrite(folder, SERIES, safetensors.numpy.save(content))

    assert_refused(folder, SERIES, what=what.removeprefix(": "))


@pytest.mark.parametrize("shape", [(0, 0), (2, 0), (2, 8), (0,), (2,), ()])
def test_records_of_another_size_are_refused(folder: Path, shape: tuple[int, ...]) -> None:
    content = safetensors.numpy.load((folder / SERIES).read_bytes())
    content["records"] = np.zeros(shape, np.uint8)

    rewrite(folder, SERIES, safetensors.numpy.save(content))

    assert_refused(folder, SERIES, what="records", expected="(series, ", found=f"{shape}")


# Code


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", [MANIFEST, *FILES[:-1]])
def test_nothing_is_unpickled(folder: Path, name: str, tmp_path: Path) -> None:
    rewrite(folder, name, pickle.dumps(Trap(tmp_path / "mark")))

    assert_refused(folder, name)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["model.keras", "report/index.html", "weights.pkl"])
def test_files_that_serving_does_not_need_are_not_looked_into(
    folder: Path, name: str, tmp_path: Path
) -> None:
    rewrite(folder, name, pickle.dumps(Trap(tmp_path / "mark")))

    assert load(folder).name == "small"
    assert not (tmp_path / "mark").exists()


# Another file in the place of the one that was checked


def test_what_was_checked_is_what_is_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_model(tmp_path / "other", seed=1)
    before = load(folder).forecaster.seed([np.array([1.0, 2.0, 4.0])])

    def check_and_swap(content: bytes) -> str:
        found = digest(content)
        for name in (WEIGHTS, SCALER, GOLDEN, SERIES):
            if content == (folder / name).read_bytes():
                (other / name).rename(folder / name)
        return found

    monkeypatch.setattr(artifact, "sha256", check_and_swap)
    after = load(folder).forecaster.seed([np.array([1.0, 2.0, 4.0])])

    assert not list(other.glob("*.*t*s"))  # all were swapped
    assert after.tobytes() == before.tobytes()
