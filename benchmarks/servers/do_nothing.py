"""A FastAPI service with the contract's schemas that does nothing: every answer is the same."""

from fastapi import FastAPI

from benchmarks.servers.schemas import (
    Forecasted,
    ForecastRequest,
    ForecastStep,
    Observed,
    ObserveRequest,
)
from benchmarks.servers.serving import serve

_NEXT = ForecastStep(
    step=4,
    ds=None,
    mean=100.12345678901234,
    intervals={
        "80": (99.12345678901234, 101.12345678901234),
        "95": (98.12345678901234, 102.12345678901234),
    },
    quantiles={},
)
_FORECASTED = Forecasted(unique_id="series-0", step=3, model="bench", forecasts=[_NEXT])
_OBSERVED = Observed(
    unique_id="series-0",
    step=3,
    ds=None,
    status="applied",
    error=0.12345678901234,
    next=_NEXT,
)

app = FastAPI()


@app.post("/forecast")
async def forecast(body: ForecastRequest) -> Forecasted:
    return _FORECASTED


@app.post("/observe")
async def observe(body: ObserveRequest) -> Observed:
    return _OBSERVED


if __name__ == "__main__":
    serve(app)
