"""Who may call: keys with scopes, or this machine alone; and what browsers are told."""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import document, refusal
from app.gate import METRICS
from app.settings import Settings
from forecaster.errors import InvalidRequestError

LEAST_CHARACTERS = 16
# Visible ASCII. A comma separates keys, so none holds one.
_KEY = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")

# What needs no key: probes, and the pages that ask for one or say how to use it.
PUBLIC = frozenset({"/", "/health/live", "/health/ready", "/docs", "/openapi.json"})
# What the dashboard is made of; nothing of any series or model.
_PUBLIC_FILES = "/dashboard/"
# The POST calls that change nothing.
READING_CALLS = frozenset({"/forecast", "/forecast/batch"})
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

NO_KEY = document(401, "No key", "send a key, in the header Authorization: Bearer <key>")
WRONG_KEY = document(401, "Wrong key", "the key is not one of this service's")
READING_KEY = document(403, "Key may only read", "this call changes something; send a write key")
OTHER_HOST = document(
    403, "Unknown host", "without API keys only this machine is answered, under its own names"
)
_CHALLENGE = {"www-authenticate": "Bearer"}

# On every answer: a browser takes JSON for nothing else.
EVERY_ANSWER = (("x-content-type-options", "nosniff"),)


def is_public(path: str) -> bool:
    """Say whether a call needs no key."""
    return path in PUBLIC or path.startswith(_PUBLIC_FILES)


def may_change(method: str, path: str) -> bool:
    """Say whether a call needs a key that may write."""
    return method not in _READING_METHODS and not (method == "POST" and path in READING_CALLS)


# Keys


@dataclass(frozen=True)
class Keys:
    """The keys of a service, as digests of one length.

    Args:
        digests: SHA-256 of each key, and whether it may write.
    """

    digests: tuple[tuple[bytes, bool], ...]

    def find(self, key: bytes) -> bool | None:
        """Return whether a key may write, or None where it is none of them.

        It takes as long for one key as for another: every digest is compared to its end.
        """
        sought = hashlib.sha256(key).digest()
        found = [may for digest, may in self.digests if hmac.compare_digest(sought, digest)]
        return any(found) if found else None


def load_keys(settings: Settings) -> Keys | None:
    """Return the keys of the settings; None where there are to be none.

    Raises:
        InvalidRequestError: If one is no key, or the file cannot be read. No message holds a key.
    """
    digests = []
    if settings.api_keys is not None:
        told = settings.api_keys.get_secret_value().encode("utf-8", "surrogateescape")
        digests += list(_digests("STEPCAST_API_KEYS", "key", enumerate(told.split(b","), 1)))
    if settings.api_keys_file is not None:
        source = f"STEPCAST_API_KEYS_FILE: {settings.api_keys_file}"
        lines = enumerate(_read(settings.api_keys_file, source).splitlines(), 1)
        kept = [(number, line) for number, line in lines if not line.lstrip().startswith(b"#")]
        digests += list(_digests(source, "line", kept))
    return Keys(tuple(digests)) if digests else None


def _read(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"{source}: cannot be read: {error.strerror}") from error


def _digests(
    source: str, unit: str, texts: Iterator[tuple[int, bytes]] | list[tuple[int, bytes]]
) -> Iterator[tuple[bytes, bool]]:
    is_empty = True
    for number, text in texts:
        if not text.strip():
            continue
        is_empty = False
        scope, colon, key = text.strip().partition(b":")
        if not colon or scope not in (b"read", b"write"):
            scope, key = b"write", text.strip()
        if not _KEY.fullmatch(key):
            fault = "expected visible ASCII without commas, found other characters"
            raise InvalidRequestError(f"{source}: {unit} {number}: {fault}")
        if len(key) < LEAST_CHARACTERS:
            fault = f"expected at least {LEAST_CHARACTERS} characters, found {len(key)}"
            raise InvalidRequestError(f"{source}: {unit} {number}: {fault}")
        yield hashlib.sha256(key).digest(), scope == b"write"
    if is_empty:
        raise InvalidRequestError(f"{source}: expected at least one key, found none")


class KeyCheck:
    """Middleware that asks for a key before anything is read.

    Args:
        app: Answers callers that have one.
        keys: The keys.
        has_public_metrics: Whether metrics need none, while they name no series.
    """

    def __init__(self, app: ASGIApp, keys: Keys, *, has_public_metrics: bool = False) -> None:
        self._app = app
        self._keys = keys
        self._has_public_metrics = has_public_metrics
        self._no_key = refusal(NO_KEY, _CHALLENGE)
        self._wrong_key = refusal(WRONG_KEY, _CHALLENGE)
        self._reading_key = refusal(READING_KEY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] != "http" or self._is_public(scope):
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, key = sent[0].partition(b" ") if len(sent) == 1 else (b"", b"", b"")
        may_write = self._keys.find(key.strip()) if kind.lower() == b"bearer" else None
        if not sent:
            await self._no_key.send(send)
        elif may_write is None:
            await self._wrong_key.send(send)
        elif not may_write and may_change(scope["method"], scope["path"]):
            await self._reading_key.send(send)
        else:
            await self._app(scope, receive, send)

    def _is_public(self, scope: Scope) -> bool:
        if scope["path"] == METRICS:
            return self._has_public_metrics and not scope["query_string"]
        return is_public(scope["path"])


# Without keys


def is_loopback(host: str) -> bool:
    """Say whether an address or a name is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_exposure(settings: Settings, keys: Keys | None) -> None:
    """Refuse to answer others without a key.

    Raises:
        InvalidRequestError: If that is what the settings say, and not that it is meant.
    """
    if keys is None and not settings.allow_anonymous and not is_loopback(settings.host):
        raise InvalidRequestError(
            f"host {settings.host!r} is open to others, and there are no API keys: set "
            "STEPCAST_API_KEYS or STEPCAST_API_KEYS_FILE, or listen on 127.0.0.1, or say "
            "STEPCAST_ALLOW_ANONYMOUS=true"
        )


class HostCheck:
    """Middleware that answers only under the names of this machine.

    A page of another site can have its own name resolve to this machine, and a browser then lets
    it call the service as its own (DNS rebinding). The name it uses is in the header.

    Args:
        app: Answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusal = refusal(OTHER_HOST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, or refuse it."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"host" and not _is_loopback_header(value):
                    await self._refusal.send(send)
                    return
        await self._app(scope, receive, send)


@lru_cache(maxsize=64)
def _is_loopback_header(value: bytes) -> bool:
    host = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+))(?::\d+)?", value.decode("latin-1"))
    return host is not None and is_loopback(host[1] or host[2])


# Browsers


def protect_page(page: HTMLResponse, *sources: str) -> HTMLResponse:
    """Return a page with the headers that keep others from using it.

    Scripts of the page itself may run as they are, and no others.

    Args:
        page: The page.
        sources: What else its Content-Security-Policy allows, as `img-src data:`.
    """
    page.headers.update(page_headers(bytes(page.body), *sources))
    return page


def page_headers(body: bytes, *sources: str) -> dict[str, str]:
    """Return the headers of `protect_page` for a page of this body."""
    scripts = re.findall(rb"<script>(.*?)</script>", body, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one).digest()).decode() for one in scripts]
    policy = {"default-src": ["'none'"], "base-uri": ["'none'"], "frame-ancestors": ["'none'"]}
    policy |= {"connect-src": ["'self'"], "script-src": [f"'sha256-{one}'" for one in hashes]}
    for source in sources:
        directive, *allowed = source.split()
        policy.setdefault(directive, []).extend(allowed)
    return {
        "content-security-policy": "; ".join(
            " ".join([directive, *allowed]) for directive, allowed in policy.items()
        ),
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
    }
