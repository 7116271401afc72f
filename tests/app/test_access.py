"""Who may call what: keys with scopes, this machine alone without them; and what a log may say."""

import base64
import hashlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.main import create_app
from app.security import PUBLIC, READING_CALLS, check_exposure, is_loopback, load_keys
from app.settings import Settings
from forecaster.errors import InvalidRequestError
from tests.app.raw import connected, request
from tests.app.running import Service, running, serving, stepcast

READ = "reading-0123456789"
WRITE = "writing-0123456789"
OTHER = "another-0123456789"
JSON = {"content-type": "application/json"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def operations() -> list[tuple[str, str]]:
    """Return method and path of every call that is documented."""
    paths = create_app(Settings()).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


OPERATIONS = operations()
PROTECTED = [(method, path) for method, path in OPERATIONS if path not in PUBLIC]
WRITING = [
    (method, path) for method, path in PROTECTED if method != "GET" and path not in READING_CALLS
]
READING = [one for one in PROTECTED if one not in WRITING]


@pytest.fixture(scope="module")
def keyed(models: Path) -> Iterator[Service]:
    """A service with a key that may read and two that may write."""
    keys = f"read:{READ},write:{WRITE}, {OTHER}"
    with running(models, model="plain", start="empty", api_keys=keys) as service:
        body = {"unique_id": "kept", "y": [1.0, 2.0, 3.0]}
        service.client.post("/seed-state", json=body, headers=bearer(WRITE)).raise_for_status()
        yield service


# Keys


@pytest.mark.parametrize(("method", "path"), [*PROTECTED, ("GET", "/nope"), ("POST", "/health")])
def test_without_a_key_nothing_is_told(keyed: Service, method: str, path: str) -> None:
    before = keyed.records()

    answer = keyed.client.request(method, path, json={})

    problem = keyed.problem(answer, 401)
    assert problem["type"] == "urn:stepcast:no-key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert keyed.records() == before


@pytest.mark.parametrize("path", ["/forecast", "/series"])
@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {WRITE}x",
        f"Bearer {WRITE[:-1]}",
        f"Bearer {WRITE.upper()}",
        f"Bearer write:{WRITE}",
        f"Bearer {WRITE},{READ}",
        f"Bearer {hashlib.sha256(WRITE.encode()).hexdigest()}",
        f"Basic {WRITE}",
        WRITE,
        "Bearer",
        "Bearer ",
        "",
        "Bearer \xff",
    ],
)
def test_a_wrong_key_is_as_good_as_none(keyed: Service, path: str, value: str) -> None:
    method = "POST" if path == "/forecast" else "GET"

    answer = keyed.client.request(
        method, path, json={}, headers={"authorization": value.encode("latin-1")}
    )

    problem = keyed.problem(answer, 401)
    assert problem["type"] == "urn:stepcast:wrong-key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert WRITE not in answer.text


def test_two_keys_in_one_call_are_none(keyed: Service) -> None:
    both = [("authorization", f"Bearer {WRITE}"), ("authorization", f"Bearer {READ}")]

    keyed.problem(keyed.client.get("/series", headers=both), 401)


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_a_reading_key_changes_nothing(keyed: Service, method: str, path: str) -> None:
    before = keyed.records()

    answer = keyed.client.request(method, path, json={}, headers=bearer(READ))

    assert keyed.problem(answer, 403)["type"] == "urn:stepcast:key-may-only-read"
    assert keyed.records() == before


def test_every_call_that_changes_something_asks_for_a_writing_key() -> None:
    assert {
        ("POST", "/observe"),
        ("POST", "/seed-state"),
        ("POST", "/reset-state"),
        ("POST", "/observe/batch"),
        ("POST", "/seed-state/batch"),
        ("DELETE", "/series/{unique_id}"),
    } <= set(WRITING)


@pytest.mark.parametrize("key", [READ, WRITE, OTHER])
@pytest.mark.parametrize(("method", "path"), READING)
def test_every_key_may_read(keyed: Service, method: str, path: str, key: str) -> None:
    body = {"unique_id": "kept"} if path == "/forecast" else {"unique_id": ["kept"]}
    path = path.replace("{unique_id}", "kept").replace("{name}", "plain")

    answer = keyed.client.request(
        method, path, json=body if method == "POST" else None, headers=bearer(key)
    )

    # A store in memory keeps no history, and says so.
    assert answer.status_code == (422 if path.endswith("/history") else 200), answer.text


@pytest.mark.parametrize("key", [WRITE, OTHER])
@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_every_writing_key_may_write(keyed: Service, key: str, kind: str) -> None:
    answer = keyed.client.post(
        "/observe", json={"unique_id": key, "y": 1.0}, headers={"authorization": f"{kind} {key}"}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_probes_and_the_description_need_no_key(keyed: Service, path: str) -> None:
    assert keyed.client.get(path).status_code == 200


def test_a_key_is_asked_for_before_the_body_comes() -> None:
    with (
        serving(variables={"STEPCAST_API_KEYS": WRITE}) as process,
        connected(process.url) as connection,
    ):
        connection.send(request("POST", "/observe", b"", length=10_000_000))

        assert connection.answer().status == 401


def test_keys_come_from_a_file_too(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# those who look\nread:{READ}\n\n  write:{WRITE}  \r\n")

    with running(models, api_keys=OTHER, api_keys_file=file, model="plain") as service:
        statuses = [
            service.client.post(
                "/observe", json={"unique_id": "a", "y": 1.0}, headers=bearer(key)
            ).status_code
            for key in (READ, WRITE, OTHER)
        ]

    assert statuses == [403, 200, 200]


def test_a_key_given_twice_may_do_what_either_may() -> None:
    keys = load_keys(
        Settings.model_validate({"api_keys": f"read:{WRITE},write:{WRITE},read:{WRITE}"})
    )

    assert keys is not None
    assert keys.find(WRITE.encode()) is True


BAD_KEYS = {
    "short": ("0123456789abcde", "expected at least 16 characters, found 15"),
    "short-scoped": ("read:0123456789abcde", "expected at least 16 characters, found 15"),
    "unknown-scope": ("admin:\t0123456789abcdef", "expected visible ASCII"),
    "spaces": ("0123456789 abcdef-", "expected visible ASCII"),
    "letters": ("0123456789abcdefä-", "expected visible ASCII"),
    "control": ("0123456789abcdef\x7f-", "expected visible ASCII"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
@pytest.mark.parametrize("source", ["variable", "file"])
def test_what_is_no_key_is_refused_without_a_word_of_it(
    tmp_path: Path, name: str, source: str
) -> None:
    bad, reason = BAD_KEYS[name]
    file = tmp_path / "keys"
    file.write_text(f"{WRITE}\n{bad}\n", encoding="utf-8")
    given = {"api_keys": f"{WRITE},{bad}"} if source == "variable" else {"api_keys_file": file}

    with pytest.raises(InvalidRequestError, match=f"(key|line) 2: {reason}") as refused:
        load_keys(Settings.model_validate(given))

    assert "0123456789" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "\n\n", "# none\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)

    with pytest.raises(InvalidRequestError, match="expected at least one key, found none"):
        load_keys(Settings(api_keys_file=file))


def test_a_variable_of_commas_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="expected at least one key, found none"):
        load_keys(Settings.model_validate({"api_keys": " , ,"}))


@pytest.mark.parametrize(("name", "reason"), [("missing", "No such file"), (".", "Is a directory")])
def test_the_command_refuses_keys_that_it_cannot_read_in_one_line(
    tmp_path: Path, name: str, reason: str
) -> None:
    file = tmp_path / name

    ended = stepcast("serve", "--port", "0", "--api-keys-file", str(file))

    assert ended.returncode == 1
    assert re.fullmatch(
        rf"error: STEPCAST_API_KEYS_FILE: {re.escape(str(file))}: cannot be read: {reason}.*\n",
        ended.stderr,
    )


def test_the_command_refuses_a_short_key_without_printing_it() -> None:
    ended = stepcast("serve", variables={"STEPCAST_API_KEYS": "read:secret-xyz"})

    assert ended.returncode == 1
    assert ended.stderr == (
        "error: STEPCAST_API_KEYS: key 1: expected at least 16 characters, found 10\n"
    )


def test_settings_do_not_show_their_keys() -> None:
    settings = Settings.model_validate({"api_keys": WRITE})

    assert WRITE not in f"{settings!r} {settings} {settings.model_dump()}"


# The description


def test_the_description_says_what_needs_which_key(keyed: Service) -> None:
    document = keyed.client.get("/openapi.json").json()

    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            needs_key = (method.upper(), path) in PROTECTED
            assert ("security" in call) == needs_key
            assert ("401" in call["responses"]) == needs_key
            assert ("403" in call["responses"]) == ((method.upper(), path) in WRITING)


def test_a_service_without_keys_asks_for_none(service: Service) -> None:
    document = service.client.get("/openapi.json").json()

    assert "securitySchemes" not in document["components"]


# Without keys


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_without_keys_this_machine_is_answered(host: str) -> None:
    check_exposure(Settings(host=host), None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.1", "example.org", "localhost.example.org"]
)
def test_without_keys_nobody_else_is_answered_unless_it_is_meant(host: str) -> None:
    settings = {"host": host, "api_keys": WRITE}
    keys = load_keys(Settings.model_validate(settings))

    check_exposure(Settings.model_validate(settings), keys)
    check_exposure(Settings(host=host, allow_anonymous=True), None)
    with pytest.raises(InvalidRequestError, match="STEPCAST_ALLOW_ANONYMOUS=true"):
        check_exposure(Settings(host=host), None)


def test_the_command_refuses_to_listen_to_others_without_keys_in_one_line() -> None:
    ended = stepcast("serve", "--host", "0.0.0.0", "--port", "0")

    assert ended.returncode == 1
    assert ended.stderr == (
        "error: host '0.0.0.0' is open to others, and there are no API keys: set "
        "STEPCAST_API_KEYS or STEPCAST_API_KEYS_FILE, or listen on 127.0.0.1, or say "
        "STEPCAST_ALLOW_ANONYMOUS=true\n"
    )


def test_the_start_says_that_there_are_no_keys() -> None:
    with serving() as process:
        assert process.log.count("no API keys: this machine alone may read and write") == 1
    with serving("--host", "0.0.0.0", "--allow-anonymous") as process:
        assert process.log.count("no API keys: anyone who reaches it may read and write") == 1
    with serving(variables={"STEPCAST_API_KEYS": WRITE}) as process:
        assert "no API keys" not in process.log


def test_without_keys_the_service_does_not_listen_to_others() -> None:
    with serving() as process:
        port = urlsplit(process.url).port

        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((own_address(), port), timeout=5).close()


def own_address() -> str:
    """Return an address of this machine that others know it by, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no network")
        address: str = probe.getsockname()[0]
    if is_loopback(address):
        pytest.skip("this machine has no address but its own")
    return address


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:8000"]
)
def test_this_machine_is_answered_under_its_own_names(service: Service, host: str) -> None:
    assert service.client.get("/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:80@evil.example",
        "evil.example#localhost",
        "[::2]:8000",
        "10.0.0.1",
        "",
        "\xff",
    ],
)
@pytest.mark.parametrize("path", ["/observe", "/models"])
def test_the_page_of_another_site_cannot_call_as_this_one(
    service: Service, path: str, host: str
) -> None:
    """Its name may resolve to this machine: DNS rebinding."""
    method = "POST" if path == "/observe" else "GET"
    before = service.records()

    answer = service.client.request(
        method,
        path,
        json={"unique_id": "a", "y": 1.0},
        headers={"host": host.encode("latin-1")},
    )

    assert service.problem(answer, 403)["type"] == "urn:stepcast:unknown-host"
    assert service.records() == before


def test_with_keys_or_where_it_is_meant_any_name_will_do(models: Path) -> None:
    other = {"host": "stepcast.example"}

    with running(models, api_keys=WRITE) as service:
        assert service.client.get("/models", headers=other | bearer(WRITE)).status_code == 200
    with running(models, allow_anonymous=True) as service:
        assert service.client.get("/models", headers=other).status_code == 200


# Browsers


def test_no_other_site_may_read_answers(service: Service) -> None:
    answer = service.client.get("/models", headers={"origin": "https://a.example"})

    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_sites_that_are_named_may_call(models: Path) -> None:
    origins = {"cors_origins": "https://a.example, http://localhost:3000"}
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, authorization",
    }
    with running(models, api_keys=WRITE, **origins) as service:
        for origin in ("https://a.example", "http://localhost:3000"):
            preflight = service.client.options("/observe", headers={"origin": origin} | asked)
            refused = service.client.post("/observe", json={}, headers={"origin": origin})

            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == origin
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == origin
        other = service.client.options("/observe", headers={"origin": "https://b.example"} | asked)

        assert "access-control-allow-origin" not in other.headers


def test_no_answer_is_taken_for_something_else() -> None:
    with serving() as process, httpx.Client(base_url=process.url) as client:
        answers = [
            client.get("/health/live"),
            client.get("/docs"),
            client.get("/openapi.json"),
            client.get("/nope"),
            client.post("/forecast", json={"unique_id": "shampoo"}),
            client.post("/forecast", json={"unique_id": "nope"}),
            client.post("/observe", content=b"{", headers=JSON),
        ]
        with connected(process.url) as connection:
            connection.send(b"\x00\r\n\r\n")
            nonsense = connection.answer()

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert nonsense.headers["x-content-type-options"] == "nosniff"


def test_the_page_runs_its_own_scripts_and_no_others(service: Service) -> None:
    page = service.client.get("/docs")

    policy = {
        directive.split()[0]: directive.split()[1:]
        for directive in page.headers["content-security-policy"].split("; ")
    }
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"]
    for kind, attribute in (("script-src", "src"), ("style-src", "href")):
        for url in re.findall(rf'{attribute}="(https://[^"]+\.(?:js|css))"', page.text):
            allowed = [one for one in policy[kind] if url.startswith(one)]
            assert allowed, url
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["default-src"] == policy["frame-ancestors"] == ["'none'"]
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"


# The log


def test_nothing_that_a_caller_sends_is_in_the_log() -> None:
    secret = "hush-0123456789"
    key = bearer(f"{secret}-wrong")
    bodies = [
        f'{{"unique_id": "{secret}", "y": 987654.25}}',
        f'{{"unique_id": "{secret}", "y": "{secret}"}}',
        f'{{"unique_id": "{secret}", "{secret}": 1}}',
        f'{{"unique_id": "{secret}", "y": 987654.25',
        secret,
    ]
    variables = {"STEPCAST_API_KEYS": f"write:{secret}-key,read:{READ}"}
    with serving(variables=variables) as process, httpx.Client(base_url=process.url) as client:
        for headers in (bearer(f"{secret}-key"), bearer(READ), key, {}):
            for body in bodies:
                for path in ("/observe", "/forecast", "/seed-state", "/observe/batch"):
                    client.post(path, content=body.encode(), headers=headers | JSON)
            for path in (f"/series/{secret}", f"/models/{secret}", f"/{secret}"):
                client.get(path, params={"q": secret, "model": secret}, headers=headers)
            client.delete(f"/series/{secret}", headers=headers)
        for rude in (
            f"GET /{secret} HTTP/1.1\r\n{secret}\r\n\r\n",
            f"{secret}\r\n\r\n",
            f"POST /observe HTTP/1.1\r\nUpgrade: {secret}\r\nConnection: upgrade\r\n\r\n{secret}",
            f"POST /observe HTTP/1.1\r\nContent-Length: {secret}\r\n\r\n",
        ):
            with connected(process.url) as connection:
                connection.send(rude.encode())
                connection.answer()
        assert process.stop() == 0

        assert secret not in process.log
        assert "987654" not in process.log
        assert READ not in process.log
        assert "Traceback" not in process.log
