"""Models that stand on the universal one: as it is, or tuned to series of a user's own.

Which of both, validation says: tuning goes on for as many rounds as forecast the end of the history
best, and where that is none, the universal model is kept as it is.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.numpy
from pydantic import JsonValue, ValidationError

from forecaster import artifact
from forecaster.calendar import Clock, Freq
from forecaster.covariates import Covariates
from forecaster.journal import Season
from forecaster.model import build_forecaster
from forecaster.network import Weights
from forecaster.spec import (
    Cycle,
    HeadSpec,
    ModelSpec,
    NetworkSpec,
    StreamingScaler,
    UniversalTransformSpec,
)
from forecaster.universal import CYCLES, UniversalTransform
from training.backtest import Walk, backtest, check_walk, seasons_of
from training.data import Panel
from training.errors import DataError
from training.export import check_parity
from training.fit import History
from training.network import StreamNetwork, get_weights, set_weights
from training.progress import Epoch, OnEpoch, OnStage
from training.recipe import Job, SettledTuneRecipe, settle_tuning
from training.report import Run, Tried, reported_horizon
from training.rounds import weighted
from training.streams import Stream, pack, samples, tail
from training.tune import OnRound, draw, tune, widened
from training.widening import widened_head

BUNDLED = Path(__file__).parents[1] / "models" / "universal"

# Below so many samples tuning learns the noise, and with so few to validate on nobody can tell.
FEWEST_SAMPLES = 400
FEWEST_JUDGED = 60
# A cycle is learnt from a history that holds it so many times.
_TIMES_SEEN = 2
_FEWEST_STEPS = 60
# Tuning is worth it from so much less loss on.
_LEAST_GAIN = 0.01
# The universal model has seen nothing of a history, so baselines are held against it on more.
_UNSEEN = 1 / 3


@dataclass(frozen=True)
class Plan:
    """What all seeds of a job share.

    Args:
        recipe: Settled.
        spec: How the model steps.
        start: Weights that training begins with.
        seasons: Of each series.
        streams: What is learnt from.
        rounds: For how many rounds; 0 keeps the universal model as it is.
        losses: Those of the run that said so.
        tried: What there was to choose from.
        judged: Weights that have not seen the end of the histories.
        unseen: What share of each history that end is.
    """

    recipe: SettledTuneRecipe
    spec: ModelSpec
    start: Weights
    seasons: list[Season]
    streams: list[Stream]
    rounds: int
    losses: History
    tried: tuple[Tried, ...]
    judged: Weights
    unseen: float

    @property
    def repeats(self) -> int:
        """How many seeds there are beside the recipe's; nothing is drawn for a model as it is."""
        return self.recipe.repeats if self.rounds else 0

    @property
    def told(self) -> dict[str, JsonValue]:
        """The recipe, as a manifest has it."""
        if not self.rounds:
            return {"method": "universal"}
        recipe = self.recipe.model_copy(update={"rounds": self.rounds})
        calendar = self.spec.transform.model_dump(mode="json")["calendar"]
        return {"method": "tuned"} | recipe.model_dump(mode="json") | {"calendar": calendar}

    def run(
        self,
        number: int,
        history: Panel,
        test: Panel,
        season: int,
        on_epoch: OnEpoch | None,
        tell: OnStage,
    ) -> Run:
        """Tune on all of the history from one seed, if that is the plan, and walk over the test."""
        recipe, seed = self.recipe, self.recipe.seed + number
        started = time.perf_counter()
        if self.rounds:
            tell("Training")
            tuned = tune(
                recipe,
                self.spec.network,
                self.start,
                self.streams,
                rounds=self.rounds,
                seed=seed,
                on_round=_reporting(on_epoch, number, recipe, self.rounds),
            )
            network, losses = tuned.network, tuned.losses
            if number == 0:
                losses = {**losses, "val_loss": self.losses["val_loss"]}
        else:
            length = recipe.warmup + recipe.window
            network = StreamNetwork(self.spec.network, batch=recipe.batch, window=length)
            set_weights(network, self.start)
            losses = {}
        seconds = time.perf_counter() - started
        tell("Walking over the test part")
        weights = get_weights(network)
        some = draw(np.random.default_rng(seed), self.streams, recipe, updates=1)
        freq = Freq.parse(history.freq) if history.freq else None
        forecaster = build_forecaster(self.spec, weights, freq=freq)
        return Run(
            seed=seed,
            spec=self.spec,
            weights=weights,
            history=losses,
            seconds=seconds,
            parity=check_parity(network, self.spec, some),
            walk=backtest(
                forecaster,
                history,
                test,
                season=season,
                h=reported_horizon(test, season),
                seasons=self.seasons,
            ),
        )


def find_universal(models: Path) -> Path | None:
    """Return the folder of the universal model: that of a folder of models, or the bundled one.

    There may be none where the package is installed without the models that come with it.
    """
    for folder in (models / BUNDLED.name, BUNDLED):
        is_there = (folder / artifact.MANIFEST).exists()
        # Another model may have taken the name.
        if is_there and artifact.read_manifest(folder).transform == UniversalTransformSpec():
            return folder
    return None


def plan(
    job: Job,
    universal: Path,
    history: Panel,
    test: Panel,
    on_epoch: OnEpoch | None,
    tell: OnStage,
) -> Plan:
    """Choose between the universal model as it is and for how long to tune it.

    The end of each history is held back for that; the test is not looked at. `universal` is the
    universal model's folder.

    Raises:
        DataError: If a series cannot be walked, or there is nothing to tune with.
        DivergedError: If a loss is no finite number.
    """
    manifest = artifact.load(universal).manifest
    weights = safetensors.numpy.load((universal / artifact.WEIGHTS).read_bytes())
    check_walk(history, test, UniversalTransform.context, job.file)
    seasons = seasons_of(history, job.told_season)
    calendar = cycles_of(history) if job.tune.calendar is None else job.tune.calendar
    covariates = Covariates(history.covariates)
    spec = ModelSpec(
        network=_wider(manifest.network, UniversalTransform(), covariates),
        head=HeadSpec(kind="quantiles", quantiles=manifest.head.quantiles, calibrated=True),
        transform=UniversalTransformSpec(season=job.told_season),
        scaler=StreamingScaler(),
        covariates=history.covariates,
    )
    streams = _streams(history, seasons, calendar, covariates)
    count = sum(int(np.count_nonzero(stream.weights)) for stream in streams)
    recipe = settle_tuning(job.tune, count)
    told_less = _streams(history, seasons, (), covariates) if calendar else streams
    start = widened(weights, spec.network)
    as_it_is = Plan(recipe, spec, start, seasons, told_less, 0, {}, (), start, _UNSEEN)
    if job.method == "universal":
        return as_it_is
    held = [int(len(stream) * recipe.validation) for stream in streams]
    judged = sum(
        int(np.count_nonzero(one.weights[len(one) - steps :]))
        for one, steps in zip(streams, held, strict=True)
    )
    few = ""
    if count < FEWEST_SAMPLES:
        few = f"{count} observations to learn from, fewer than {FEWEST_SAMPLES}"
    elif judged < FEWEST_JUDGED:
        few = f"{judged} known observations to validate on, fewer than {FEWEST_JUDGED}"
    if few and job.method == "tuned":
        raise DataError(f"too few observations to tune with: {few}", path=job.file)
    if few:
        return replace(as_it_is, tried=(Tried("universal", None, f"kept: {few}"),))
    network = _wider(manifest.network, UniversalTransform(calendar), covariates)
    tell("Trying")
    judging = [tail(one, steps) for one, steps in zip(streams, held, strict=True) if steps]
    trial = tune(
        recipe,
        network,
        weights,
        [one[: len(one) - steps] for one, steps in zip(streams, held, strict=True)],
        judging,
        rounds=recipe.rounds,
        seed=recipe.seed,
        seconds=None if job.budget is None else job.budget.total_seconds() / 2.0,
        on_round=_reporting(on_epoch, 0, recipe),
    )
    untuned, best = trial.losses["val_loss"][0], min(trial.losses["val_loss"])
    gains = best < (1.0 - _LEAST_GAIN) * untuned or job.method == "tuned"
    if not trial.rounds or not gains:
        why = "kept" if trial.rounds else "kept: no round of tuning did better"
        tried = [Tried("universal", untuned, why)]
        if trial.rounds:
            tried.append(Tried(f"tuned, {trial.rounds * recipe.updates} updates", best, ""))
        return replace(as_it_is, tried=tuple(tried))
    tried = [
        Tried("universal", untuned, ""),
        Tried(f"tuned, {trial.rounds * recipe.updates} updates", best, "kept"),
    ]
    length = recipe.warmup + recipe.window
    tuned = ModelSpec(
        network=network,
        head=widened_head(
            spec.head, trial.network, pack(judging, batch=recipe.batch, window=length)
        ),
        transform=UniversalTransformSpec(calendar=calendar, season=job.told_season),
        scaler=spec.scaler,
        covariates=spec.covariates,
    )
    return Plan(
        recipe=recipe,
        spec=tuned,
        start=weights,
        seasons=seasons,
        streams=streams,
        rounds=trial.rounds,
        losses=trial.losses,
        tried=tuple(tried),
        judged=get_weights(trial.network),
        unseen=recipe.validation,
    )


def walk_as_it_is(
    universal: Path, history: Panel, test: Panel, season: int, told_season: Season | None
) -> Walk | None:
    """Walk the universal model over the test: what another model is to be better than.

    Args:
        universal: Its folder.
        history: What was known before the test.
        test: The same series in the same order.
        season: The season of the seasonal naive forecast and of MASE.
        told_season: What it is told of every series; by default their times tell it.

    Returns:
        `None` where a series is too short for it.
    """
    forecaster = artifact.load(universal).forecaster
    try:
        check_walk(history, test, forecaster.context)
    except DataError:
        return None
    seasons = seasons_of(history, told_season)
    return backtest(forecaster, history, test, season=season, seasons=seasons)


def cycles_of(history: Panel) -> tuple[Cycle, ...]:
    """Return the cycles of the calendar that these series can tell of.

    They are those of more than 60 steps: a shorter one is left to the seasons alone, which follow
    it as it changes.
    """
    if history.clock is not Clock.TIME:
        return ()
    spans = [int(series.ds[-1] - series.ds[0]) for series in history.series if len(series) > 1]
    steps = [int(np.median(np.diff(series.ds))) for series in history.series if len(series) > 1]
    if not spans:
        return ()
    span, step = int(np.median(spans)), int(np.median(steps))
    return tuple(
        name
        for name, length in CYCLES.items()
        if span >= _TIMES_SEEN * length and length > _FEWEST_STEPS * step
    )


def _streams(
    history: Panel, seasons: list[Season], calendar: tuple[Cycle, ...], covariates: Covariates
) -> list[Stream]:
    walked = samples(
        UniversalTransform(calendar),
        [series.y for series in history.series],
        np.array(seasons, np.int64).reshape(-1, 2),
        [series.ds for series in history.series],
        history.clock,
        covariates,
        [series.x for series in history.series],
    )
    return [weighted(stream) for stream in walked]


def _wider(
    network: NetworkSpec, transform: UniversalTransform, covariates: Covariates
) -> NetworkSpec:
    """Return the sizes of a network that is told of calendar and covariates too."""
    features = transform.features + covariates.features
    try:
        return NetworkSpec(features=features, units=network.units, outputs=network.outputs)
    except ValidationError as error:
        raise DataError(f"the covariates make {features} inputs, too many: name fewer") from error


def _reporting(
    on_epoch: OnEpoch | None, number: int, recipe: SettledTuneRecipe, rounds: int | None = None
) -> OnRound | None:
    if on_epoch is None:
        return None
    runs, most = recipe.repeats + 1, rounds or recipe.rounds
    return lambda done, losses: on_epoch(Epoch(number + 1, runs, done, most, losses))
