"""Walk a file's last observations through a running service.

Each series is seeded with what comes before; then, step by step, the service is asked for its
forecast and told the actual. The service's own `Forecaster` does the stepping, so the scores are
those of `stepcast backtest`.
"""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from forecaster.calendar import Clock, format_ds
from forecaster.spec import QUANTILES
from stepcast.client import Client, StepcastError
from training.backtest import Walk, check_walk, seasonal_naive
from training.data import Panel, Series

Floats = NDArray[np.float64]

# Walked series go by names of their own, so that nothing that the service keeps is touched.
_PREFIX = "walk:"


def walk(
    url: str,
    history: Panel,
    test: Panel,
    *,
    model: str | None = None,
    key: str | None = None,
    keep: bool = False,
    season: int | None = None,
    lines: Console | None = None,
) -> Walk:
    """Walk every series of the test part through a running service.

    Args:
        url: Where the service is.
        history: What was known before the test.
        test: The same series in the same order, the same number of observations of each.
        model: The model; the service's default if there is none.
        key: A key of the service that may write, if it asks for one.
        keep: Whether to walk under the series' own names and leave them there.
        season: Season of the seasonal naive forecast and of MASE; the model's by default.
        lines: Where to print each expected and predicted value, if anywhere.

    Raises:
        StepcastError: If the service cannot be reached, or refuses.
        DataError: If there is nothing to score.
    """
    check_walk(history, test, 0)  # the context is the service's to check
    y = np.array([series.y for series in test.series])
    mean = np.empty(y.shape)
    quantiles = np.empty((*y.shape, len(QUANTILES)))
    with Client(url, model=model, api_key=key) as client:
        client.health()  # where there is no service, this says so without trying again
        season = season or _season(client, model)
        for row, (before, series) in enumerate(zip(history.series, test.series, strict=True)):
            name = series.unique_id if keep else _PREFIX + series.unique_id
            try:
                client.seed_one(name, before.y.tolist(), _times(before, history.clock))
                for t, actual in enumerate(series.y.tolist()):
                    ds = format_ds(int(series.ds[t]), test.clock)
                    (forecast,) = client.forecast_one(name, quantiles=QUANTILES).forecasts
                    mean[row, t] = forecast.mean
                    quantiles[row, t] = [forecast.quantiles[str(level)] for level in QUANTILES]
                    client.observe_one(name, actual, ds)
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


def _season(client: Client, model: str | None) -> int:
    """Return the season of the model that is walked."""
    found = client.models()
    name = model or found.default
    return next((int(one["season"]) for one in found.models if one["name"] == name), 1)


def _times(series: Series, clock: Clock) -> list[int | str] | None:
    """Return the times of a series as calls have them, if it has any."""
    times = [format_ds(ds, clock) for ds in series.ds.tolist()]
    return [ds for ds in times if ds is not None] or None
