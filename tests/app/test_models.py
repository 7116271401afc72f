"""The models that are loaded, as their manifests tell."""

import json
from pathlib import Path

import pytest

from tests.app.running import ROOT, Service, running
from tests.forecaster.fakes import write_model


def test_all_models_are_listed_with_the_default(service: Service) -> None:
    answer = service.client.get("/models").json()

    assert [one["name"] for one in answer["models"]] == ["counted", "daily", "plain"]
    assert answer["default"] == "plain"


def test_a_model_is_its_manifest(service: Service, models: Path) -> None:
    answer = service.client.get("/models/daily").json()

    assert answer == json.loads((models / "daily" / "manifest.json").read_text())


def test_several_models_need_no_default(models: Path) -> None:
    with running(models, start="empty") as service:
        listed = service.client.get("/models").json()
        named = service.post("/observe", unique_id="a", y=1.0, model="plain")
        problem = service.refused("/observe", 404, unique_id="a", y=2.0)

        assert listed["default"] is None
        assert named["step"] == 1
        assert problem["detail"] == ("no default model, so name one; loaded: counted, daily, plain")


@pytest.mark.parametrize(
    ("model", "default"), [("shampoo", "shampoo"), ("universal", "universal"), (None, "universal")]
)
def test_a_call_that_names_no_model_is_answered_by_the_default(
    model: str | None, default: str
) -> None:
    with running(ROOT / "models", model=model, start="empty") as service:
        answer = service.post("/forecast", y=[1.0, 2.0])

        assert answer["model"] == default
        assert service.client.get("/models").json()["default"] == default


def test_a_call_that_names_no_model_is_answered_by_the_only_one(tmp_path: Path) -> None:
    write_model(tmp_path / "own")
    with running(tmp_path) as service:
        assert service.post("/forecast", y=[1.0, 2.0])["model"] == "own"
