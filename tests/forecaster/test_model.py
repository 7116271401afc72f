import sys
from pathlib import Path

import pytest

from forecaster.artifact import load
from forecaster.errors import EngineUnavailableError
from forecaster.model import Engine
from tests.forecaster.fakes import write_model


def test_an_engine_that_is_not_installed_is_refused_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "small")
    monkeypatch.setitem(sys.modules, "forecaster.keras_network", None)  # as if not to be imported

    with pytest.raises(EngineUnavailableError, match=r"install stepcast\[training\], or use"):
        load(folder, Engine.KERAS)

    assert load(folder).name == "small"
