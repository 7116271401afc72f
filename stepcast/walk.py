"""Walk a file's last observations through a running service.

Each series is seeded with what comes before; then, step by step, the service is asked for its
forecast and told the actual. The service's own `Forecaster` does the stepping, so the scores are
those of `stepcast backtest`.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape

from forecaster.calendar import Clock, format_ds
from forecaster.covariates import Covariates, Value
from forecaster.spec import QUANTILES, Covariate, CovariateSpecs, Kind
from stepcast.client import Client, StepcastError
from training.backtest import Walk, check_walk, seasonal_naive, usual_season
from training.data import Panel, Series

Floats = NDArray[np.float64]

_SPECS: TypeAdapter[tuple[Covariate, ...]] = TypeAdapter(CovariateSpecs)

# Walked series go by names of their own, so that nothing that the service keeps is touched.
_PREFIX = "walk:"


def find_covariates(client: Client, model: str | None) -> tuple[Covariate, ...]:
    """Return what the model that is walked is told besides the values.

    Raises:
        StepcastError: If the service cannot be reached, or tells of covariates of unknown kinds.
    """
    client.health()  # where there is no service, this says so without trying again
    told = _manifest(client, model).get("covariates", ())
    try:
        return _SPECS.validate_python(told, strict=False)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in ("covariates", *fault["loc"]))
        raise StepcastError(
            f"GET /models: {where}: {fault['msg']}: is the service a later Stepcast?"
        ) from error


def walk(
    client: Client,
    history: Panel,
    test: Panel,
    *,
    model: str | None = None,
    keep: bool = False,
    season: int | None = None,
    lines: Console | None = None,
) -> Walk:
    """Walk every series of the test part through a running service.

    Args:
        client: Talks to the service, of the model that is walked.
        history: What was known before the test, with the covariates that the model has.
        test: The same series in the same order, the same number of observations of each.
        model: The model; the service's default if there is none.
        keep: Whether to walk under the series' own names and leave them there.
        season: Season of the seasonal naive forecast and of MASE; by default the model's, or the
            usual one of the series where that has none.
        lines: Where to print each expected and predicted value, if anywhere.

    Raises:
        StepcastError: If the service cannot be reached, or refuses.
        DataError: If there is nothing to score.
    """
    check_walk(history, test, 0)  # the context is the service's to check
    y = np.array([series.y for series in test.series])
    mean = np.empty(y.shape)
    quantiles = np.empty((*y.shape, len(QUANTILES)))
    told = int(_manifest(client, model).get("season", 1))
    season = season or (told if told > 1 else usual_season(None, history))
    covariates = Covariates(test.covariates)
    for row, (before, series) in enumerate(zip(history.series, test.series, strict=True)):
        name = series.unique_id if keep else _PREFIX + series.unique_id
        past, now = ([covariates.write(x) for x in part.x] for part in (before, series))
        try:
            client.seed_one(
                name, before.y.tolist(), _times(before, history.clock), x=_columns(past)
            )
            for t, actual in enumerate(series.y.tolist()):
                ds = format_ds(int(series.ds[t]), test.clock)
                (forecast,) = client.forecast_one(
                    name, quantiles=QUANTILES, x_future=_ahead(covariates, now[t])
                ).forecasts
                mean[row, t] = forecast.mean
                quantiles[row, t] = [forecast.quantiles[str(level)] for level in QUANTILES]
                client.observe_one(name, actual, ds, x=now[t] or None)
                if lines is not None:
                    lines.print(
                        f"{escape(series.unique_id)} {t + 1 if ds is None else ds}: "
                        f"expected {actual:,.4f}, predicted {mean[row, t]:,.4f}",
                        highlight=False,
                    )
        finally:
            if not keep:
                # Where the service is gone, that was told already and its series went with it.
                with suppress(StepcastError):
                    client.delete(name)
    known = tuple(series.y for series in history.series)
    return Walk(
        ids=test.ids,
        y=y,
        forecasts={
            "model": mean,
            "persistence": seasonal_naive(known, y, 1),
            "seasonal_naive": seasonal_naive(known, y, season),
        },
        quantiles=quantiles,
        histories=known,
        season=season,
    )


def _manifest(client: Client, model: str | None) -> dict[str, Any]:
    """Return the manifest of the model that is walked; nothing where there is none such.

    Who then seeds a series is told which there are.
    """
    found = client.models()
    name = model or found.default
    return next((one for one in found.models if one["name"] == name), {})


def _columns(rows: list[dict[str, Value]]) -> dict[str, list[Value]] | None:
    """Return the covariates of steps as columns, if there are any."""
    return {name: [row[name] for row in rows] for name in rows[0]} or None


def _ahead(covariates: Covariates, now: dict[str, Value]) -> dict[str, list[Value]] | None:
    """Return what is known ahead of a step, if anything is."""
    known = {one.name: [now[one.name]] for one in covariates.specs if one.kind is Kind.FUTURE}
    return known or None


def _times(series: Series, clock: Clock) -> list[int | str] | None:
    """Return the times of a series as calls have them, if it has any."""
    times = [format_ds(ds, clock) for ds in series.ds.tolist()]
    return [ds for ds in times if ds is not None] or None
