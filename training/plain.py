"""The textbook's way: a network of new weights, fitted to differences of the series.

A difference, one scale, LSTM layers and their inverse: for one short series, or to learn how it all
works. A recipe that names any part of it asks for it.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.preprocessing import MinMaxScaler as SklearnMinMaxScaler

from forecaster.covariates import Covariates
from forecaster.journal import Season
from forecaster.model import build_forecaster
from forecaster.spec import (
    HeadSpec,
    MinMaxScaler,
    ModelSpec,
    NetworkSpec,
    PlainTransformSpec,
    Policy,
    RunningScaler,
    Scaler,
)
from forecaster.transform import PlainTransform
from training.backtest import backtest, check_walk
from training.data import Panel
from training.errors import DataError
from training.export import check_parity, residual_offsets
from training.fit import fit
from training.network import get_weights
from training.progress import Epoch, OnEpoch, OnStage
from training.recipe import Job, SettledRecipe, settle
from training.report import Run, Tried, reported_horizon
from training.streams import Batches, Stream, cut, pack, restart_every_window, samples, tail

Floats = NDArray[np.float64]

# Fewer validation steps than this choose at random.
_FEWEST_VALIDATION_STEPS = 20


@dataclass(frozen=True)
class Plan:
    """What all seeds of a job share."""

    recipe: SettledRecipe
    network: NetworkSpec
    transform: PlainTransformSpec
    scaler: Scaler
    training: Batches
    validation: Batches | None
    tried: tuple[Tried, ...] = ()
    seasons: ClassVar[list[Season] | None] = None

    @property
    def repeats(self) -> int:
        """How many seeds there are beside the recipe's."""
        return self.recipe.repeats

    @property
    def told(self) -> dict[str, JsonValue]:
        """The recipe, as a manifest has it."""
        return self.recipe.model_dump(mode="json")

    def run(
        self,
        number: int,
        history: Panel,
        test: Panel,
        season: int,
        on_epoch: OnEpoch | None,
        tell: OnStage,
    ) -> Run:
        """Fit from one seed, check the network against its batch-1 copies, and walk."""
        recipe, seed = self.recipe, self.recipe.seed + number

        def report_epoch(epoch: int, logs: dict[str, float] | None) -> None:
            if on_epoch is not None:
                runs = recipe.repeats + 1
                on_epoch(Epoch(number + 1, runs, epoch + 1, recipe.epochs, logs or {}))

        tell("Training")
        started = time.perf_counter()
        network, losses = fit(
            recipe,
            self.network,
            self.training,
            self.validation,
            seed=seed,
            callbacks=(keras.callbacks.LambdaCallback(on_epoch_end=report_epoch),),
        )
        seconds = time.perf_counter() - started
        tell("Walking over the test part")
        if recipe.loss == "quantiles":
            head = HeadSpec(kind="quantiles", quantiles=recipe.quantiles)
        else:
            unseen = self.validation or self.training
            offsets = residual_offsets(network, unseen, recipe.quantiles)
            head = HeadSpec(kind="mean", quantiles=recipe.quantiles, offsets=offsets)
        spec = ModelSpec(
            network=self.network,
            head=head,
            transform=self.transform,
            scaler=self.scaler,
            policy=recipe.policy,
            covariates=history.covariates,
        )
        weights = get_weights(network)
        return Run(
            seed=seed,
            spec=spec,
            weights=weights,
            history=losses,
            seconds=seconds,
            parity=check_parity(network, spec, self.training),
            walk=backtest(
                build_forecaster(spec, weights),
                history,
                test,
                season=season,
                h=reported_horizon(test, season),
            ),
        )


def plan(job: Job, history: Panel, test: Panel) -> Plan:
    """Settle what all seeds share; what a walk would refuse is refused here, before the fit.

    The recipe names a policy: where it leaves that open, `training.policy` makes the plan.
    """
    transform_spec = PlainTransformSpec(difference=job.recipe.difference)
    check_walk(history, test, job.recipe.difference + 1, job.file)
    values = [series.y for series in history.series]
    scaler = _scaler(job, values)
    transform = PlainTransform(transform_spec, scaler)
    covariates = Covariates(history.covariates)
    streams = samples(
        transform, values, covariates=covariates, x=[series.x for series in history.series]
    )
    count = sum(int(np.count_nonzero(stream.weights)) for stream in streams)
    if not count:
        longest = max(len(y) for y in values)
        raise DataError(
            f"too few observations: {longest} before the test in the longest series, "
            f"at least {transform.context + 1} are needed to learn one step",
            path=job.file,
        )
    recipe = settle(job.recipe, count)
    training, validation = _split(recipe, streams)
    outputs = 1 + len(recipe.quantiles) if recipe.loss == "quantiles" else 1
    return Plan(
        recipe=recipe,
        network=NetworkSpec(
            features=transform.features + covariates.features, units=recipe.units, outputs=outputs
        ),
        transform=transform_spec,
        scaler=scaler,
        training=training,
        validation=validation,
    )


def _scaler(job: Job, histories: list[Floats]) -> Scaler:
    recipe = job.recipe
    if recipe.scale == "running" or (recipe.scale == "auto" and len(histories) > 1):
        return RunningScaler()
    lag = recipe.difference
    changes = [y[lag:] - y[:-lag] if lag else y for y in histories]
    known = np.concatenate(changes)
    known = known[~np.isnan(known)]
    if not known.size:
        raise DataError(
            f"too few observations: no difference at lag {lag} before the test", path=job.file
        )
    fitted = SklearnMinMaxScaler(feature_range=(-1, 1)).fit(known[:, None])
    return MinMaxScaler(data_min=float(fitted.data_min_[0]), data_max=float(fitted.data_max_[0]))


def _split(recipe: SettledRecipe, streams: list[Stream]) -> tuple[Batches, Batches | None]:
    """Hold the end of each stream back for validation, and pack both parts."""
    held = [int(len(stream) * recipe.validation) for stream in streams]
    if sum(held) < _FEWEST_VALIDATION_STEPS:
        held = [0] * len(streams)
    batch, window = recipe.batch, recipe.window
    seen = [stream[: len(stream) - count] for stream, count in zip(streams, held, strict=True)]
    training = pack(cut(seen, batch=batch, window=window), batch=batch, window=window)
    checking = None
    if any(held):
        tails = [tail(stream, count) for stream, count in zip(streams, held, strict=True) if count]
        checking = pack(tails, batch=batch, window=window)
    if recipe.policy is Policy.RESET_EACH_STEP:
        training = restart_every_window(training)
        checking = None if checking is None else restart_every_window(checking)
    return training, checking
