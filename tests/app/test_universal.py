"""The bundled universal model: any series, with no training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.running import ROOT, Service, running

MODELS = ROOT / "models"
HOURS = [f"2024-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00" for hour in range(24 * 14)]


def season_of(service: Service, unique_id: str) -> list[int]:
    portal = service.client.portal
    assert portal is not None
    record = portal.call(service.services.get().store.read, [unique_id])
    found: list[int] = record["season"][0].tolist()
    return found


def daily(count: int) -> list[float]:
    rng = np.random.default_rng(1)
    values: list[float] = (
        50.0 + 20.0 * np.sin(np.arange(count) * 2 * np.pi / 24) + rng.normal(size=count)
    ).tolist()
    return values


def test_a_series_that_nobody_knows_is_forecast_from_its_second_observation() -> None:
    with running(MODELS) as service:
        answers = [service.post("/observe", unique_id="new", y=y) for y in (20.0, 21.0, 22.0)]
        ahead = service.post("/forecast", unique_id="new", h=5, level=[80])

    assert answers[0]["next"] is None
    assert answers[1]["next"]["mean"] == pytest.approx(21.0, abs=3.0)
    low, high = answers[2]["next"]["intervals"]["80"]
    assert low < answers[2]["next"]["mean"] < high
    assert answers[2]["error"] is not None
    assert ahead["model"] == "universal"
    assert len(ahead["forecasts"]) == 5


def test_times_of_a_history_tell_its_season() -> None:
    y = daily(24 * 14)
    with running(MODELS) as service:
        seeded = service.post("/seed-state", unique_id="s", y=y[:-1], ds=HOURS[:-1])
        service.post("/seed-state", unique_id="none", y=y[:-1], ds=HOURS[:-1], season=0)
        service.post("/seed-state", unique_id="two", y=y[:-1], season=[168, 24])
        inline = service.post("/forecast", y=y[:-1], ds=HOURS[:-1])
        seasons = [season_of(service, name) for name in ("s", "none", "two")]

    assert seasons == [[24, 0], [0, 0], [168, 24]]
    assert seeded["next"]["mean"] == pytest.approx(y[-1], abs=5.0)
    assert inline["forecasts"][0]["mean"] == pytest.approx(seeded["next"]["mean"])


def test_many_histories_may_have_a_season() -> None:
    y = daily(60)
    with running(MODELS) as service:
        columns = {"unique_id": ["a", "b"] * 60, "y": np.repeat(y, 2).tolist()}
        service.post("/seed-state/batch", **columns, season=24)
        service.post("/seed-state", unique_id="alone", y=y, season=24)
        told = service.post("/forecast/batch", unique_id=["a", "b", "alone"])
        seasons = [season_of(service, name) for name in ("a", "b")]
        problem = service.refused("/seed-state/batch", 422, **columns, season=169)

    assert seasons == [[24, 0], [24, 0]]
    assert told["mean"] == pytest.approx([told["mean"][2]] * 3)
    assert "season" in problem["detail"]


def test_a_setting_gives_the_season_of_new_series() -> None:
    with running(MODELS, season="168,24") as service:
        service.post("/observe", unique_id="new", y=1.0)
        service.post("/seed-state", unique_id="seeded", y=[1.0, 2.0, 3.0])

        assert season_of(service, "new") == [168, 24]
        assert season_of(service, "seeded") == [168, 24]


@pytest.mark.parametrize(
    "season", [-1, 169, [24, 24], [24, 168], [1, 2, 3], 1.5, "24", [24], [168, 85]]
)
def test_what_is_no_season_is_refused(season: Any) -> None:
    with running(MODELS) as service:
        problem = service.refused("/seed-state", 422, unique_id="s", y=[1.0, 2.0], season=season)

        assert "season" in problem["detail"]
        service.refused("/seed-state", 422, unique_id="s", copy_from="t", season=24)
        assert service.client.get("/series").json()["series"] == []


@pytest.mark.parametrize("season", [1.5, "24", True, [24], [1, 2, 3], [1.5, 2], {}])
def test_what_is_no_number_for_a_season_is_refused_in_one_sentence(season: Any) -> None:
    with running(MODELS) as service:
        problem = service.refused("/seed-state", 422, unique_id="s", y=[1.0, 2.0], season=season)

        assert [error["field"] for error in problem["errors"]] == ["season"]
        assert "expected a whole number, or two as in [168, 24]" in problem["detail"]


def test_a_season_outlives_the_process(tmp_path: Path) -> None:
    """It is written with each observation, so a replay knows it too."""
    store = f"sqlite:///{tmp_path}/s.db"
    with running(MODELS, store=store, season="12") as service:
        for y in daily(30):
            service.post("/observe", unique_id="new", y=y)
        service.post("/seed-state", unique_id="seeded", y=daily(60), season=24)
        for suffix in ("", "-wal"):  # as a kill would leave them
            (tmp_path / f"t.db{suffix}").write_bytes((tmp_path / f"s.db{suffix}").read_bytes())
        before = [service.post("/forecast", unique_id=name) for name in ("new", "seeded")]
    with running(MODELS, store=f"sqlite:///{tmp_path}/t.db") as service:
        after = [service.post("/forecast", unique_id=name) for name in ("new", "seeded")]
        assert season_of(service, "new") == [12, 0]
        assert season_of(service, "seeded") == [24, 0]

    for one, other in zip(before, after, strict=True):
        assert one["forecasts"][0]["mean"] == pytest.approx(other["forecasts"][0]["mean"])


def test_a_correction_keeps_the_season(tmp_path: Path) -> None:
    with running(MODELS, store=f"sqlite:///{tmp_path}/s.db") as service:
        y = daily(24 * 14)
        service.post("/seed-state", unique_id="s", y=y, ds=HOURS)
        service.post("/observe", unique_id="s", y=1.0, ds=HOURS[100], correct=True)

        assert season_of(service, "s") == [24, 0]
