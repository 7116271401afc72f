"""Traces, where the standard variables of OpenTelemetry ask for them.

A span holds the method, the template of the path and the status of a call: no path, no query, for
they may name a series. That is why the instrumentation of ASGI that there is is not used.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.gate import PROBES
from app.watch import Routes, method_of, request_id
from forecaster.errors import InvalidRequestError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

# What tells of the span of a caller.
_CONTEXT = frozenset({b"traceparent", b"tracestate", b"baggage"})

# How long an end waits for spans to be sent.
_CLOSING_SECONDS = 1.0
_TICK_SECONDS = 0.01

_FIRST_FAULT = 500


def is_on(variables: Mapping[str, str]) -> bool:
    """Say whether an environment asks for traces.

    It does with `OTEL_TRACES_EXPORTER=otlp` or the endpoint of an exporter, unless another variable
    says not to.

    Raises:
        InvalidRequestError: If it asks for an exporter or a protocol that there is not.
    """
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        raise InvalidRequestError(
            f"OTEL_TRACES_EXPORTER: expected otlp or none, found {exporter!r}"
        )
    if exporter == "none" or not (exporter or any(variables.get(name) for name in _ENDPOINTS)):
        return False
    for name in _PROTOCOLS:
        if variables.get(name, _PROTOCOL) not in ("", _PROTOCOL):
            raise InvalidRequestError(f"{name}: expected {_PROTOCOL}, found {variables[name]!r}")
    return True


def open_provider() -> "TracerProvider":
    """Return what makes spans and sends them, as the standard variables say.

    Raises:
        InvalidRequestError: If the extra `otel` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidRequestError(
            "the OTEL_ variables ask for traces, and OpenTelemetry is not installed: pip install "
            "'stepcast[otel]', or set OTEL_SDK_DISABLED=true"
        ) from error
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "stepcast"}))
    provider = TracerProvider(resource=found, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def close(provider: "TracerProvider") -> None:
    """Send the last spans, if they are taken soon."""
    # A daemon: it may wait half a minute for a collector that is not there.
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    end = time.monotonic() + _CLOSING_SECONDS
    while thread.is_alive() and time.monotonic() < end:
        await asyncio.sleep(_TICK_SECONDS)


class Traces:
    """Middleware that makes a span of each call but probes, within that of its caller.

    Args:
        app: Answers.
        provider: Makes spans.
        routes: Those of the application.
    """

    def __init__(
        self, app: ASGIApp, provider: "TracerProvider", routes: Sequence[BaseRoute]
    ) -> None:
        from opentelemetry import propagate, trace

        self._app = app
        self._routes = Routes(routes)
        self._extract = propagate.extract
        self._kind, self._fault = trace.SpanKind.SERVER, trace.StatusCode.ERROR
        self._tracer = provider.get_tracer("stepcast", version("stepcast"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        method, route = method_of(scope), self._routes.template(scope)
        told = {
            name.decode("ascii"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CONTEXT
        }
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            context=self._extract(told),
            kind=self._kind,
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.request.header.x-request-id": [request_id.get()],
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def traced(message: Message) -> Awaitable[None]:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _FIRST_FAULT:
                        span.set_status(self._fault)
                return send(message)

            await self._app(scope, receive, traced)
