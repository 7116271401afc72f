"""A baseline as a model: for series that the last value, or that of a season ago, forecasts best.

A plain network whose weights are all zero forecasts no change, so a difference of one step makes it
persistence and one of a season the seasonal naive forecast. It is served as any model is, and its
intervals are those of the errors that it made on the history.
"""

import time
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from pydantic import JsonValue

from forecaster.calendar import Freq
from forecaster.covariates import Covariates
from forecaster.journal import Season
from forecaster.model import build_forecaster
from forecaster.network import Weights
from forecaster.spec import (
    QUANTILES,
    HeadSpec,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    RunningScaler,
)
from forecaster.transform import PlainTransform
from training.backtest import Walk, backtest, check_walk
from training.data import Panel
from training.errors import DataError
from training.export import check_parity, offsets_of
from training.network import StreamNetwork, set_weights
from training.progress import OnEpoch, OnStage
from training.report import Run, Tried, reported_horizon
from training.streams import Batches, pack, samples

# A baseline is kept where its RMSE is so much less than that of the model that it is held against,
# over so many known observations at least. More steps than that tell nothing new and take long.
_LEAST_GAIN = 0.01
_FEWEST_JUDGED = 12
_MOST_STEPS = 1000
# What a model needs to have seen before: it forgets what is further back.
_MOST_SEEN = 5000
# Steps in a window of the parity check.
_WINDOW = 24


class Chosen(Protocol):
    """A model that a baseline has to be better than."""

    @property
    def spec(self) -> ModelSpec:
        """How it steps."""
        ...

    @property
    def judged(self) -> Weights:
        """Weights of it that have not seen the end of the histories."""
        ...

    @property
    def unseen(self) -> float:
        """What share of each history that end is."""
        ...

    @property
    def seasons(self) -> list[Season]:
        """Of each series."""
        ...

    @property
    def tried(self) -> tuple[Tried, ...]:
        """What there was to choose it from."""
        ...


@dataclass(frozen=True)
class Plan:
    """A baseline that is to be written.

    Args:
        method: `persistence` or `seasonal_naive`.
        spec: How the model steps.
        weights: Zeros.
        errors: Of the baseline on the histories, as the targets of a network.
        tried: What there was to choose from.
    """

    method: str
    spec: ModelSpec
    weights: Weights
    errors: Batches
    tried: tuple[Tried, ...]
    seasons: None = None
    repeats: int = 0

    @property
    def told(self) -> dict[str, JsonValue]:
        """The recipe, as a manifest has it."""
        return {"method": self.method}

    def run(
        self,
        number: int,
        history: Panel,
        test: Panel,
        season: int,
        on_epoch: OnEpoch | None,
        tell: OnStage,
    ) -> Run:
        """Check the network against its batch-1 copies, and walk over the test."""
        tell("Walking over the test part")
        started = time.perf_counter()
        network = StreamNetwork(
            self.spec.network, batch=self.errors.inputs.shape[1], window=_WINDOW
        )
        set_weights(network, self.weights)
        return Run(
            seed=number,
            spec=self.spec,
            weights=self.weights,
            history={},
            seconds=time.perf_counter() - started,
            parity=check_parity(network, self.spec, self.errors),
            walk=backtest(
                build_forecaster(self.spec, self.weights),
                history,
                test,
                season=season,
                h=reported_horizon(test, season),
            ),
        )


def hold(chosen: Chosen, history: Panel, season: int) -> tuple[Plan | None, tuple[Tried, ...]]:
    """Hold persistence and the seasonal naive forecast against a model on the end of the history.

    The test is not looked at.

    Args:
        chosen: The model.
        history: What comes before the test.
        season: That of the seasonal naive forecast.

    Returns:
        The plan of the better baseline where it does better than the model, else `None`; and what
        was tried with the verdicts as they then are.
    """
    steps = min(int(min(map(len, history.series)) * chosen.unseen), _MOST_STEPS)
    walk = _walk(chosen, history, steps, season) if steps else None
    if walk is None or np.count_nonzero(~np.isnan(walk.y)) < _FEWEST_JUDGED:
        return None, chosen.tried
    lags = {"persistence": 1, "seasonal_naive": season}
    found = {name: scores["rmse"] for name, scores in walk.summary().items()}
    rmse = {name: float(value) for name, value in found.items() if isinstance(value, float)}
    best = min((name for name in lags if name in rmse), key=lambda name: rmse[name])
    plan = None
    if rmse[best] < (1.0 - _LEAST_GAIN) * rmse["model"]:
        plan = _plan(best, lags[best], history)
    kept = chosen.tried if plan is None else tuple(map(_passed_over, chosen.tried))
    judged = tuple(
        Tried(
            name=f"{'the model above' if name == 'model' else name} (RMSE over {steps} steps)",
            loss=value,
            verdict="kept" if name == ("model" if plan is None else best) else "",
        )
        for name, value in rmse.items()
    )
    tried = (*kept, *judged)
    return None if plan is None else replace(plan, tried=tried), tried


def _walk(chosen: Chosen, history: Panel, steps: int, season: int) -> Walk | None:
    """Walk the model over the end of the histories; `None` where too little comes before."""
    freq = Freq.parse(history.freq) if history.freq else None
    forecaster = build_forecaster(chosen.spec, chosen.judged, freq=freq)
    try:
        if min(map(len, history.series)) > _MOST_SEEN + steps:
            history = history.split(_MOST_SEEN + steps)[1]
        seen, judged = history.split(steps)
        return backtest(forecaster, seen, judged, season=season, seasons=chosen.seasons)
    except DataError:
        return None


def _plan(method: str, lag: int, history: Panel) -> Plan | None:
    """Return the plan of a baseline; `None` where a history is too short to begin it."""
    covariates = Covariates(history.covariates)
    transform_spec = PlainTransformSpec(difference=lag)
    transform = PlainTransform(transform_spec, RunningScaler())
    try:
        check_walk(history, history, transform.context)
    except DataError:
        return None
    streams = samples(
        transform,
        [series.y for series in history.series],
        covariates=covariates,
        x=[series.x for series in history.series],
    )
    if not any(np.count_nonzero(stream.weights) for stream in streams):
        return None
    errors = pack(streams, batch=min(len(streams), 64), window=_WINDOW)
    network = NetworkSpec(features=transform.features + covariates.features, units=(1,), outputs=1)
    offsets = offsets_of(np.zeros_like(errors.targets), errors, QUANTILES)
    spec = ModelSpec(
        network=network,
        head=HeadSpec(kind="mean", quantiles=QUANTILES, offsets=offsets, calibrated=True),
        transform=transform_spec,
        scaler=RunningScaler(),
        covariates=history.covariates,
    )
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes().items()}
    return Plan(method, spec, weights, errors, ())


def _passed_over(tried: Tried) -> Tried:
    """Return what was kept before a baseline did better, with what is left of its verdict."""
    _, _, why = tried.verdict.partition("kept: ")
    return replace(tried, verdict=f"not tuned: {why}" if why else "")
