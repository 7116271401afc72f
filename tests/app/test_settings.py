"""Settings come from the environment, and flags go before it."""

from pathlib import Path

import pytest

from app.settings import read_settings
from forecaster.errors import InvalidRequestError
from forecaster.model import Engine


def test_without_a_word_the_bundled_models_are_served_to_this_machine_alone() -> None:
    settings = read_settings({})

    assert settings.models == Path("models")
    assert settings.model is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.engine is Engine.NUMPY
    assert settings.on_gap is None


def test_every_setting_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "models": "/srv/models",
        "model": "sales",
        "store": "memory",
        "max_series": "5",
        "max_memory_bytes": "6",
        "keep_observations": "0",
        "recovery_seconds": "0.5",
        "engine": "keras",
        "host": "0.0.0.0",
        "port": "8080",
        "on_gap": "fill",
        "season": "24",
        "start": "empty",
        "max_horizon": "7",
        "max_history": "8",
        "max_rows": "9",
        "max_body_bytes": "10",
        "max_bytes_in_flight": "11",
        "max_concurrency": "12",
        "max_connections": "13",
        "max_listeners": "14",
        "head_timeout_seconds": "1.5",
        "body_timeout_seconds": "2.5",
        "write_timeout_seconds": "3.5",
        "stop_timeout_seconds": "4.5",
        "api_keys": "read:0123456789abcdef",
        "api_keys_file": "/srv/keys",
        "allow_anonymous": "True",
        "metrics_public": "True",
        "log_format": "json",
        "log_level": "warning",
        "access_log": "failed",
        "cors_origins": "https://a.example",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"STEPCAST_{name.upper()}", value)

    settings = read_settings({})

    shown = {name: str(value) for name, value in settings.model_dump(mode="json").items()}
    assert shown == values | {
        "api_keys": "**********",  # as it would be in any log
        "cors_origins": "['https://a.example']",
    }


def test_a_flag_goes_before_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPCAST_PORT", "8080")
    monkeypatch.setenv("STEPCAST_HOST", "0.0.0.0")

    settings = read_settings({"port": 9090})

    assert (settings.host, settings.port) == ("0.0.0.0", 9090)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPCAST_PORT", "")
    monkeypatch.setenv("STEPCAST_MODEL", "")

    settings = read_settings({})

    assert (settings.port, settings.model) == (8000, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "65536"),
        ("engine", "torch"),
        ("store", "floppy"),
        ("on_gap", "ignore"),
        ("start", "later"),
        ("max_horizon", "0"),
        ("max_history", "many"),
        ("max_body_bytes", "-1"),
        ("max_concurrency", "0"),
        ("body_timeout_seconds", "0"),
        ("stop_timeout_seconds", "inf"),
        ("allow_anonymous", "perhaps"),
        ("log_format", "xml"),
        ("log_level", "loud"),
        ("access_log", "true"),
        ("cors_origins", "https://a.example/page"),
    ],
)
def test_a_bad_setting_is_named_with_its_variable_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    variable = f"STEPCAST_{name.upper()}"
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidRequestError, match=rf"^setting {name} \({variable}\): .*'{value}'"):
        read_settings({})
