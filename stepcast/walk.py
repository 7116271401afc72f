"""Walk a file's last observations through a running service.

Each series is seeded with what comes before; then, step by step, the service is asked for its
forecast and told the actual. The service's own `Forecaster` does the stepping, so the scores are
those of `stepcast backtest`.
"""

from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from forecaster.calendar import Clock, format_ds
from forecaster.errors import ForecastError
from forecaster.spec import QUANTILES
from training.backtest import Walk, check_walk, seasonal_naive
from training.data import Panel, Series

Floats = NDArray[np.float64]

_TIMEOUT_SECONDS = 60.0
# Walked series go by names of their own, so that nothing that the service keeps is touched.
_PREFIX = "walk:"


class ServiceError(ForecastError):
    """The service cannot be reached, or refused a call."""


class Client:
    """The calls that a walk makes.

    Args:
        url: Where the service is.
        model: The model asked for, the service's default if there is none.
        key: A key of the service that may write, if it asks for one.
    """

    def __init__(self, url: str, model: str | None, key: str | None = None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, headers=headers)
        except httpx.InvalidURL as error:
            raise ServiceError(f"{url!r} is no URL: {error}") from error
        self._model = {} if model is None else {"model": model}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def season(self) -> int:
        """Return the season of the model."""
        models = self._call("GET", "/models")
        name = self._model.get("model", models["default"])
        found = [one["season"] for one in models["models"] if one["name"] == name]
        return int(found[0]) if found else 1

    def seed(self, unique_id: str, series: Series, clock: Clock) -> None:
        """Begin a series anew with a history."""
        body: dict[str, Any] = {"unique_id": unique_id, "y": [_json(y) for y in series.y.tolist()]}
        if clock is not Clock.NONE:
            body["ds"] = [format_ds(ds, clock) for ds in series.ds.tolist()]
        self._post("/seed-state", body)

    def forecast(self, unique_id: str) -> dict[str, Any]:
        """Return the forecast of the next step."""
        body = {"unique_id": unique_id, "quantiles": list(QUANTILES)}
        found: dict[str, Any] = self._post("/forecast", body)["forecasts"][0]
        return found

    def observe(self, unique_id: str, y: float, ds: int | str | None) -> None:
        """Feed an actual."""
        self._post("/observe", {"unique_id": unique_id, "y": _json(y), "ds": ds})

    def delete(self, unique_id: str) -> None:
        """Forget a series."""
        # Where the service is gone, that was told already and its series went with it.
        with suppress(httpx.HTTPError):
            self._http.delete(f"/series/{quote(unique_id, safe='')}", params=self._model)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, json=body | self._model)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceError(
                f"no answer from {self._http.base_url} ({error}): is `stepcast serve` running?"
            ) from error
        if answer.is_error:
            raise ServiceError(f"{method} {path}: {answer.status_code} {body.get('detail', body)}")
        return body


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
        ServiceError: If the service cannot be reached, or refuses.
        DataError: If there is nothing to score.
    """
    check_walk(history, test, 0)  # the context is the service's to check
    y = np.array([series.y for series in test.series])
    mean = np.empty(y.shape)
    quantiles = np.empty((*y.shape, len(QUANTILES)))
    with Client(url, model, key) as client:
        season = season or client.season()
        for row, (before, series) in enumerate(zip(history.series, test.series, strict=True)):
            name = series.unique_id if keep else _PREFIX + series.unique_id
            try:
                client.seed(name, before, history.clock)
                for t, actual in enumerate(series.y.tolist()):
                    ds = format_ds(int(series.ds[t]), test.clock)
                    forecast = client.forecast(name)
                    mean[row, t] = forecast["mean"]
                    quantiles[row, t] = [forecast["quantiles"][str(level)] for level in QUANTILES]
                    client.observe(name, actual, ds)
                    if lines is not None:
                        lines.print(
                            f"{escape(series.unique_id)} {t + 1 if ds is None else ds}: "
                            f"expected {actual:,.4f}, predicted {mean[row, t]:,.4f}",
                            highlight=False,
                        )
            finally:
                if not keep:
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


def _json(y: float) -> float | None:
    """Return a value as JSON has it: null for a missing one."""
    return None if np.isnan(y) else y
