"""Model folders to serve, and a service of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.running import Service, running
from tests.forecaster.fakes import write_model

# What the models were trained on; a forecast needs two observations.
TRAINED = (3.0, 4.0, 2.5, 3.5)


@pytest.fixture(autouse=True)
def _settings_are_those_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("STEPCAST_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models: without a frequency (the default one), of every day, and of whole numbers."""
    folder = tmp_path_factory.mktemp("served") / "models"
    write_model(folder / "plain", states={"trained": TRAINED})
    write_model(folder / "daily", freq="D", states={"trained": TRAINED}, seed=1)
    write_model(folder / "counted", freq="1", head="mean", seed=2)
    return folder


@pytest.fixture
def service(models: Path) -> Iterator[Service]:
    """A service whose series are all to come."""
    with running(models, model="plain", start="empty") as service:
        yield service
