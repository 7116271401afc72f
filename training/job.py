"""The offline job: from a file of series to a model folder with its report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.preprocessing import MinMaxScaler as SklearnMinMaxScaler

from forecaster.artifact import check_free
from forecaster.cursor import OnGap
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
from training.backtest import backtest, check_walk, default_test, usual_season
from training.data import Gap, Panel, read_panel
from training.errors import DataError
from training.export import check_parity, export, residual_offsets
from training.fit import fit
from training.network import get_weights
from training.recipe import Job, SettledRecipe, settle
from training.report import Run, render
from training.streams import Batches, Stream, cut, pack, restart_every_window, samples

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended.

    Args:
        run: Which seed's, from 1.
        runs: How many seeds there are.
        number: Which epoch, from 1.
        epochs: How many there are at most.
        losses: Its losses.
    """

    run: int
    runs: int
    number: int
    epochs: int
    losses: dict[str, float]


OnEpoch = Callable[[Epoch], None]
# Called with what is being done, when it begins.
OnStage = Callable[[str], None]

# Steps before the validation part that give its state time to form; they are not scored.
_VALIDATION_WARMUP = 200
# Fewer validation steps than this choose at random.
_FEWEST_VALIDATION_STEPS = 20


@dataclass(frozen=True)
class Trained:
    """What a job made.

    Args:
        folder: The model folder.
        runs: One for each seed; the model kept is the first.
        scores: As the manifest has them.
        gaps: Where the file leaves steps out.
    """

    folder: Path
    runs: tuple[Run, ...]
    scores: dict[str, JsonValue]
    gaps: tuple[Gap, ...]

    @property
    def steps(self) -> int:
        """How many observations of each series the walk took."""
        return self.runs[0].walk.steps


def train(
    job: Job,
    models: Path,
    *,
    replace: bool = False,
    on_epoch: OnEpoch | None = None,
    on_stage: OnStage | None = None,
) -> Trained:
    """Read, split, fit, check parity, walk over the test part, and export.

    The test part is not looked at before a network is final, and nothing is chosen by it: the model
    kept is that of the recipe's seed, whatever further seeds score.

    Args:
        job: What to train on and how.
        models: The folder of model folders.
        replace: Whether a model of that name may be replaced.
        on_epoch: Called after each epoch.
        on_stage: Called before each piece of work.

    Raises:
        DataError: If the file or the job has a fault.
        ArtifactError: If the model exists and may not be replaced.
        DivergedError: If the fit ended in weights that are no numbers.
        ParityError: If the exported network is not the trained one.
    """
    folder = models / job.name
    check_free(folder, replace=replace)
    tell = on_stage or (lambda stage: None)
    tell(f"Reading {job.file}")
    panel = read_panel(
        job.file,
        id_column=job.id_column,
        time_column=job.time_column,
        target_column=job.target_column,
        freq=job.freq,
        on_gap=job.on_gap,
    )
    history, test = panel.split(job.test or default_test(panel))
    season = job.season or usual_season(None, panel)
    plan = _plan(job, history, test)
    job = job.model_copy(update={"recipe": plan.recipe})
    runs = tuple(
        _run(plan, number, history, test, season, on_epoch, tell)
        for number in range(job.recipe.repeats + 1)
    )
    tell("Writing model and report")
    values = history.series[0].y
    scores: dict[str, JsonValue] = {**runs[0].walk.summary(), "seeds": _spread(runs)}
    export(
        folder,
        spec=runs[0].spec,
        weights=runs[0].weights,
        golden=values[~np.isnan(values)],
        history=history,
        season=season,
        on_gap=job.on_gap if panel.gaps else OnGap.REJECT,
        data={
            "file": job.file.name,
            "sha256": panel.fingerprint,
            "series": len(panel),
            "observations": panel.observations,
            "test": len(test.series[0].y),
        },
        recipe=job.recipe.model_dump(mode="json"),
        scores=scores,
        report=render(job, runs, history, scores),
        replace=replace,
    )
    return Trained(folder, runs, scores, panel.gaps)


@dataclass(frozen=True)
class _Plan:
    """What all seeds of a job share."""

    recipe: SettledRecipe
    network: NetworkSpec
    transform: PlainTransformSpec
    scaler: Scaler
    training: Batches
    validation: Batches | None


def _plan(job: Job, history: Panel, test: Panel) -> _Plan:
    """Settle what all seeds share; what a walk would refuse is refused here, before the fit."""
    transform_spec = PlainTransformSpec(difference=job.recipe.difference)
    check_walk(history, test, job.recipe.difference + 1, job.file)
    values = [series.y for series in history.series]
    scaler = _scaler(job, values)
    transform = PlainTransform(transform_spec, scaler)
    streams = samples(transform, values)
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
    return _Plan(
        recipe=recipe,
        network=NetworkSpec(features=transform.features, units=recipe.units, outputs=outputs),
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
        tails = [_tail(stream, count) for stream, count in zip(streams, held, strict=True) if count]
        checking = pack(tails, batch=batch, window=window)
    if recipe.policy is Policy.RESET_EACH_STEP:
        training = restart_every_window(training)
        checking = None if checking is None else restart_every_window(checking)
    return training, checking


def _tail(stream: Stream, count: int) -> Stream:
    """Return the last `count` steps, behind unscored ones in which the state forms."""
    start = len(stream) - count
    first = max(start - _VALIDATION_WARMUP, 0)
    weights = stream.weights.copy()
    weights[:start] = 0.0
    return Stream(stream.inputs, stream.targets, weights)[first:]


def _run(
    plan: _Plan,
    number: int,
    history: Panel,
    test: Panel,
    season: int,
    on_epoch: OnEpoch | None,
    tell: OnStage,
) -> Run:
    """Fit from one seed, check the network against its batch-1 copies, and walk."""
    recipe, seed = plan.recipe, plan.recipe.seed + number

    def report_epoch(epoch: int, logs: dict[str, float] | None) -> None:
        if on_epoch is not None:
            runs = recipe.repeats + 1
            on_epoch(Epoch(number + 1, runs, epoch + 1, recipe.epochs, logs or {}))

    tell("Training")
    started = time.perf_counter()
    network, losses = fit(
        recipe,
        plan.network,
        plan.training,
        plan.validation,
        seed=seed,
        callbacks=(keras.callbacks.LambdaCallback(on_epoch_end=report_epoch),),
    )
    seconds = time.perf_counter() - started
    tell("Walking over the test part")
    if recipe.loss == "quantiles":
        head = HeadSpec(kind="quantiles", quantiles=recipe.quantiles)
    else:
        unseen = plan.validation or plan.training
        offsets = residual_offsets(network, unseen, recipe.quantiles)
        head = HeadSpec(kind="mean", quantiles=recipe.quantiles, offsets=offsets)
    spec = ModelSpec(
        network=plan.network,
        head=head,
        transform=plan.transform,
        scaler=plan.scaler,
        policy=recipe.policy,
    )
    weights = get_weights(network)
    return Run(
        seed=seed,
        spec=spec,
        weights=weights,
        history=losses,
        seconds=seconds,
        parity=check_parity(network, spec, plan.training),
        walk=backtest(build_forecaster(spec, weights), history, test, season=season),
    )


def _spread(runs: tuple[Run, ...]) -> dict[str, JsonValue]:
    """Return the test RMSE of every seed, with mean and sample standard deviation."""
    rmse = [run.rmse for run in runs]
    return {
        "seeds": [run.seed for run in runs],
        "rmse": list(rmse),
        "mean": float(np.mean(rmse)),
        "std": float(np.std(rmse, ddof=1)) if len(rmse) > 1 else None,
    }
