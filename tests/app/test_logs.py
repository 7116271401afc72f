"""The log: lines of JSON or of text, each with its request's id, and nothing that callers sent."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.logs import formatter
from app.settings import LogFormat
from tests.app.running import Service, running, serving

MADE = re.compile(r"[0-9a-f]{32}")
SECRET = "secret-name"
JSON_LOG = {"STEPCAST_LOG_FORMAT": "json", "STEPCAST_ACCESS_LOG": "all"}


def lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


@contextmanager
def logged(log_format: LogFormat) -> Iterator[io.StringIO]:
    """Yield what is written of all that is logged."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(log_format))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield stream
    finally:
        root.removeHandler(handler)


def test_every_answer_has_an_id_of_its_own(service: Service) -> None:
    answers = [
        service.client.post("/observe", json={"unique_id": "a", "y": 1.0}),
        service.client.post("/observe", json={}),
        service.client.get("/health/live"),
        service.client.get("/nope"),
    ]

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(MADE.fullmatch(one) for one in ids)


def test_a_refused_key_has_one_too(models: Path) -> None:
    with running(models, model="plain", api_keys="0123456789abcdef") as service:
        assert MADE.fullmatch(service.client.get("/series").headers["x-request-id"])


@pytest.mark.parametrize("one", ["a", "7f3c-11:22/33+44=@5._", "x" * 128])
def test_a_sane_id_is_kept(service: Service, one: str) -> None:
    answer = service.client.get("/models", headers={"x-request-id": one})

    assert answer.headers.get_list("x-request-id") == [one]


@pytest.mark.parametrize("one", ["", " ", "a b", "x" * 129, 'a"b', "{}", "a\tb", "\xff"])
def test_another_id_is_replaced(service: Service, one: str) -> None:
    answer = service.client.get("/models", headers={"x-request-id": one.encode("latin-1")})

    assert MADE.fullmatch(answer.headers["x-request-id"])


def test_each_line_of_a_request_has_its_id(service: Service) -> None:
    def fail() -> None:
        raise ZeroDivisionError(SECRET)

    service.app.add_api_route("/fail", fail)
    with logged("json") as stream:
        service.client.get("/fail", headers={"x-request-id": "mine"})
        logging.getLogger("elsewhere").warning("later")

    fault, later = lines(stream.getvalue())
    assert fault["request_id"] == "mine"
    assert "ZeroDivisionError" in fault["event"]
    assert "request_id" not in later
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_fault_is_told_without_its_message(log_format: LogFormat) -> None:
    with logged(log_format) as stream:
        try:
            raise KeyError(SECRET)
        except KeyError:
            logging.getLogger("any").exception("it failed")

    assert "Traceback" in stream.getvalue()  # which the tests of the process look for
    assert "KeyError" in stream.getvalue()
    assert "test_logs.py" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_a_process_writes_json_alone(tmp_path: Path) -> None:
    variables = JSON_LOG | {"STEPCAST_API_KEYS": "0123456789abcdef"}
    key = {"authorization": "Bearer 0123456789abcdef", "x-request-id": "mine"}
    with serving(variables=variables) as process, httpx.Client(base_url=process.url) as client:
        client.post("/observe", json={"unique_id": SECRET, "y": 987654}, headers=key)
        client.get(f"/series/{SECRET}", params={"model": SECRET}, headers=key)
        client.get("/series")
        assert process.stop() == 0

        log = process.log

    told = lines(log)
    answers = [one for one in told if one["logger"] == "stepcast.access"]
    assert {"timestamp", "level", "logger", "event"} <= set.intersection(*map(set, told))
    assert [(one["method"], one["route"], one["status"]) for one in answers] == [
        ("GET", "/health/ready", 200),
        ("POST", "/observe", 200),
        ("GET", "/series/{unique_id}", 404),
        ("GET", "/series", 401),
    ]
    assert [one["request_id"] for one in answers[1:3]] == ["mine", "mine"]
    assert all(one["milliseconds"] > 0 for one in answers)
    assert any(one["logger"].startswith("uvicorn") for one in told)
    for secret in (SECRET, "987654", "0123456789abcdef"):
        assert secret not in log


@pytest.mark.parametrize(("which", "statuses"), [("none", []), ("failed", [404])])
def test_answers_are_logged_as_the_setting_says(
    models: Path, which: str, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), running(models, model="plain", access_log=which) as service:
        service.client.get("/models")
        service.client.get("/nope")

    found = [vars(one)["status"] for one in caplog.records if one.name == "stepcast.access"]
    assert found == statuses


def test_what_is_below_the_level_is_not_logged() -> None:
    program = (
        "import logging; from app.logs import configure; from app.settings import Settings; "
        "configure(Settings(log_level='warning', log_format='json')); "
        "logging.getLogger('a').info('less'); logging.getLogger('a').warning('%s', 'more')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )

    (line,) = lines(ended.stderr)
    assert (line["event"], line["level"], line["logger"]) == ("more", "warning", "a")
