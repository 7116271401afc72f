"""Traces: a span of each call where the standard variables ask for them, and none otherwise."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.tracing import is_on, open_provider
from forecaster.errors import InvalidRequestError
from tests.app.running import serving, stepcast

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "secret-name"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector:
    """Takes spans over HTTP on this machine."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def spans_of(models: Path, *calls: tuple[str, str]) -> list[ReadableSpan]:
    """Return the spans of some calls."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(Settings(models=models, model="plain", store="memory"), tracing=provider)
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    with TestClient(app, "http://localhost") as client:
        for method, path in calls:
            client.request(method, path, headers=headers)
    return list(exporter.get_finished_spans())


def test_a_call_is_a_span_within_that_of_its_caller(models: Path) -> None:
    (span,) = spans_of(models, ("GET", f"/series/{SECRET}?model=plain"))

    assert span.name == "GET /series/{unique_id}"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/series/{unique_id}",
        "http.request.header.x-request-id": ("mine",),
        "http.response.status_code": 404,
    }
    assert SECRET not in span.to_json()


def test_probes_and_scrapes_are_no_spans(models: Path) -> None:
    calls = [("GET", path) for path in ("/health/live", "/health/ready", "/metrics", "/models")]

    assert [span.name for span in spans_of(models, *calls)] == ["GET /models"]


def test_a_process_sends_its_spans_where_the_variables_say(collector: Collector) -> None:
    variables = {ENDPOINT: collector.url, "OTEL_RESOURCE_ATTRIBUTES": "service.version=7"}
    with serving(variables=variables) as process:
        httpx.post(f"{process.url}/observe", json={"unique_id": SECRET, "y": 1.0})
        assert process.stop() == 0

    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    found = [one for request in sent for one in request.resource_spans]
    names = [span.name for one in found for scope in one.scope_spans for span in scope.spans]
    assert names == ["POST /observe"]
    told = {one.key: one.value.string_value for one in found[0].resource.attributes}
    assert (told["service.name"], told["service.version"]) == ("stepcast", "7")
    assert all(SECRET.encode() not in body for body in collector.bodies)


def test_a_collector_that_is_not_there_keeps_no_process_from_its_end() -> None:
    with serving(variables={ENDPOINT: "http://127.0.0.1:9"}) as process:
        assert httpx.get(f"{process.url}/models").status_code == 200
        assert process.stop() == 0


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine"},
        {"OTEL_TRACES_EXPORTER": "none", ENDPOINT: "http://127.0.0.1"},
        {"OTEL_SDK_DISABLED": "True", ENDPOINT: "http://127.0.0.1"},
        {ENDPOINT: ""},
    ],
)
def test_traces_are_off_unless_they_are_asked_for(variables: dict[str, str]) -> None:
    assert not is_on(variables)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {ENDPOINT: "http://127.0.0.1"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1/v1/traces"},
        {ENDPOINT: "http://127.0.0.1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
)
def test_the_standard_variables_turn_them_on(variables: dict[str, str]) -> None:
    assert is_on(variables)


def test_an_exporter_or_a_protocol_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="OTEL_TRACES_EXPORTER: expected otlp or none"):
        is_on({"OTEL_TRACES_EXPORTER": "zipkin"})
    ended = stepcast(
        "serve",
        "--port",
        "0",
        variables={ENDPOINT: "http://127.0.0.1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    )

    assert ended.returncode == 1
    expected = "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, found 'grpc'"
    assert ended.stderr == f"error: {expected}\n"


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)

    with pytest.raises(InvalidRequestError, match=r"pip install 'stepcast\[otel\]'"):
        open_provider()
